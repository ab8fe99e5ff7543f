"""The cloud of the local run: moto with the template deployed, virtual time, a real KDC and a real PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import boto3
from moto import mock_aws
from moto.events.models import events_backends
from moto.iam.models import AccessKey, iam_backends
from moto.organizations.models import organizations_backends
from pydantic import BaseModel, ConfigDict, Field

from local import current, moto_patches, places, stack
from local import data_api as _data_api  # noqa: F401  registers its fakes
from local import directory_data as _directory_data  # noqa: F401  registers its fakes
from local import directory_sharing as _directory_sharing  # noqa: F401  registers its fakes
from local import directory_trusts as _directory_trusts  # noqa: F401  registers its fakes
from local import new_clusters as _new_clusters  # noqa: F401  registers its fakes
from local import parameter_groups as _parameter_groups  # noqa: F401  registers its fakes
from local import rds as _rds
from local import sns as _sns  # noqa: F401  registers its fakes
from local import step_functions as _step_functions  # noqa: F401  registers its fakes
from local import sts as _sts  # noqa: F401  registers its fakes
from local.aws import Call
from local.clients import access_key, client_of, session_of
from local.clock import Clock
from local.databases import Databases
from local.directory_service import Directories
from local.executions import Execution
from local.faults import Faults
from local.functions import Functions
from local.moments import Kind, Listener, Moment
from local.network import Hosts, Network, Networks, reaches
from local.organizations import Organization
from local.places import HOME, Place, at, present, written
from local.servers import LOOPBACK, NOBODY

MINUTE = 60
HOUR = 60 * MINUTE

Delivery = Literal["once", "lost", "doubled"]  # of an event

MEMORY = Path("/dev/shm")  # noqa: S108  Linux's file system in memory
ENOUGH = 1 << 30  # bytes; containers often have 64 MB there


class Takes(BaseModel):
    """How long things take, in virtual seconds."""

    model_config = ConfigDict(extra="forbid")

    directory: int = Field(25 * MINUTE, description="CreateMicrosoftAD until the stage is Active.")
    membership: int = Field(12 * MINUTE, description="Joining the domain.")
    leaving: int = Field(5 * MINUTE, description="Leaving the domain.")
    restart: int = Field(90, description="Restarting an instance.")
    new_cluster: int = Field(8 * MINUTE, description="Creating or restoring a cluster, and again its instances.")
    maintenance_window: int = Field(72 * HOUR, description="Until the next maintenance window.")
    event: int = Field(1, description="EventBridge's delivery of a tag event.")


@dataclass(frozen=True)
class Deployed:
    """A stack in an account and Region: its VPC, parameters and outputs."""

    network: Network
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


class Cloud:
    """An account and Region with the stack deployed, at home, and others beside it, from `with` to its end.

    Args:
        parameters: the stack's parameters, beside VpcId and SubnetIds, which the cloud has its own of.
        takes: how long things take.
        listener: told every moment as it happens.

    `stop_at` are executions and states by name: such an execution is stopped when it first enters the state. `deployed`
    are the stacks by their places. What the cloud has by name, it has by the name that `places.written` gives it.
    """

    home = HOME.account

    def __init__(
        self,
        parameters: Mapping[str, str] | None = None,
        takes: Takes | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.parameters = dict(parameters or {})
        self.takes = takes or Takes()
        self.faults = Faults([])
        self.delivery: Delivery = "once"
        self.clock = Clock()
        self.calls: list[Call] = []
        self.moments: list[Moment] = []
        self.events: list[dict[str, Any]] = []
        self.roles_made: dict[str, float] = {}
        self.executions: dict[str, Execution] = {}
        self.children: dict[str, Execution] = {}  # of Distributed Maps
        self.stop_at: set[tuple[str, str]] = set()
        self.failing_joins: dict[str, int] = {}
        self.secondaries: set[str] = set()
        self.named: dict[str, str] = {}
        self.deployed: dict[Place, Deployed] = {}
        self.organization: Organization | None = None
        self._listener = listener
        self._open = ExitStack()

    def __enter__(self) -> Cloud:
        with contextlib.ExitStack() as opened:
            folder = Path(opened.enter_context(temporary_folder()))
            opened.enter_context(environment_of(HOME.region))
            opened.enter_context(
                mock_aws(
                    config={
                        "stepfunctions": {"execute_state_machine": True},
                        "lambda": {"use_docker": False},
                        "iam": {"load_aws_managed_policies": True},
                    }
                )
            )
            moto_patches.install()
            organizations_backends.master_accounts.clear()  # which moto remembers from cloud to cloud
            current.enter(self)
            opened.callback(current.leave)
            self.directories = Directories(self, folder)
            opened.callback(self.directories.stop)
            self.databases = Databases(folder)
            opened.callback(self.databases.stop)
            self._folder = folder
            self.functions = Functions(self)
            self.networks = Networks(self)
            home = self.deploy(*HOME, self.parameters)
            self.vpc, self.subnets = home.network.vpc, home.network.subnets
            self.subnet_group = self.subnet_group_of(home.network)
            self.outputs, self.state_machine = home.outputs, home.outputs["StateMachine"]
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # --- what people and AWS do ---------------------------------------------------------------------------------------

    @property
    def account(self) -> str:
        """The account whose call is being answered; home's when there is none."""
        return present().account

    @property
    def region(self) -> str:
        """The Region in which a call is being answered; home's when there is none."""
        return present().region

    def deploy(
        self, account: str, region: str, parameters: Mapping[str, str] | None = None, template: str = ""
    ) -> Deployed:
        """Deploy the template, or another one, in an account and Region, into the default VPC that is there.

        Raises:
            ValueError: it is there already.
        """
        with at(Place(account, region)) as place:
            if place in self.deployed:
                raise ValueError(f"There is a stack in {account} in {region} already.")
            self.credentials(account)
            network = self.networks.own()
            given = {"VpcId": network.vpc, "SubnetIds": ",".join(network.subnets), **(parameters or {})}
            self.deployed[place] = Deployed(network, given, stack.deploy(self, given, template))
            return self.deployed[place]

    def client(self, service: str, account: str = "", region: str = "") -> Any:
        """A client for the cloud itself and for tests, of the present account and Region or others.

        Functions have others.
        """
        self.credentials(account or self.account)
        return client_of(service, account or self.account, region or self.region)

    def credentials(self, account: str) -> Mapping[str, str]:
        """An access key of an account, as environment variables: moto tells accounts apart by who signs."""
        key_id, secret = access_key(account)
        if account != self.home:  # whose is every key that moto does not know
            keys = iam_backends[account]["aws"].access_keys
            keys.setdefault(key_id, AccessKey(None, "ASIA", account))
        return {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret}

    def _session(self, account: str) -> boto3.Session:
        self.credentials(account)
        return session_of(account)

    def arn(self, service: str, resource: str, region: bool = True) -> str:
        """The ARN of a resource of this account."""
        return f"arn:aws:{service}:{self.region if region else ''}:{self.account}:{resource}"

    def cluster_arn(self, cluster: str) -> str:
        """The ARN of a DB cluster."""
        with places.of(written(cluster)) as name:
            return self.arn("rds", f"cluster:{name}")

    def subnet_group_of(self, network: Network) -> str:
        """The name of a DB subnet group with the subnets of a VPC, made when first asked for."""
        own = any(network.vpc == each.network.vpc for each in self.deployed.values())
        name = "databases" if own else f"databases-{network.vpc}"
        if name not in _rds.backend(self).subnet_groups:
            self.client("rds").create_db_subnet_group(
                DBSubnetGroupName=name, DBSubnetGroupDescription="databases", SubnetIds=network.subnets
            )
        return name

    def start(self, request: Mapping[str, Any]) -> str:
        """Start an execution of the present account and Region as a person does in the console; its name."""
        return self.start_execution(self.deployed[present()].outputs["StateMachine"], request)

    def start_execution(self, state_machine: str, request: Mapping[str, Any]) -> str:
        """Start an execution; its name."""
        name, place = f"run-{len(self.executions) + 1}", places.of_arn(state_machine)
        self.client("stepfunctions", *place).start_execution(
            stateMachineArn=state_machine, name=name, input=json.dumps(request)
        )
        return written(name, place)

    def stop(self, execution: str, cause: str = "") -> None:
        """Stop an execution (its name) as a person does in the console."""
        arn = (self.executions.get(execution) or self.children[execution]).arn
        self.client("stepfunctions", *places.of_arn(arn)).stop_execution(executionArn=arn, cause=cause)

    def redrive(self, execution: str) -> None:
        """Let an execution (its name) that did not succeed go on, as a person does in the console."""
        arn = self.executions[execution].arn
        self.client("stepfunctions", *places.of_arn(arn)).redrive_execution(executionArn=arn)

    def deliver(self, event: Mapping[str, Any]) -> None:
        """An event of an AWS service on the default bus, delivered as well as the scenario wants it."""
        if self.delivery == "lost":
            return
        if self.delivery == "doubled":
            self.clock.call_later(self.takes.event, lambda: self._send(event))
        self._send(event)

    def _send(self, event: Mapping[str, Any]) -> None:
        for rule in list(events_backends[self.account][self.region].describe_event_bus("default").rules.values()):
            rule.send_to_targets(dict(event))

    def run(self, until: float | None = None) -> None:
        """Let time pass until nothing happens any more, or to `until` (virtual seconds)."""
        self.clock.run(until)

    # --- what the fakes ask for and tell ------------------------------------------------------------------------------

    def environment(self, hosts: Hosts | None = None, cluster: str = "") -> dict[str, str]:
        """What is added to a function's environment: names mean this machine, and KDCs have ports of their own.

        Args:
            hosts: where the function is; None reaches everything.
            cluster: the one whose database it may want to reach.
        """
        kdcs = self._folder / f"kdcs-{self.account}-{self.region}.conf"
        kdcs.write_text(self.directories.client_conf(hosts))
        database = _rds.backend(self).clusters.get(cluster)
        reached = not hosts or not database or reaches(self, hosts, Hosts.of_cluster(self, database), database.port)
        return {
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            **self.credentials(self.account),
            "PGHOSTADDR": LOOPBACK if reached else NOBODY,
            "KRB5_CONFIG": str(kdcs),
        }

    def refuse_to_join(self, cluster: str) -> bool:
        """Whether this attempt of a cluster to join its domain shall fail."""
        name = written(cluster)
        left = self.failing_joins.get(name, 0)
        self.failing_joins[name] = left - 1
        return left > 0

    def record(self, call: Call) -> None:
        """A call has been answered."""
        self.calls.append(call)

    def happened(self, text: str) -> None:
        """Somebody, or AWS, did something."""
        self.tell("happened", text)

    def tell(self, kind: Kind, text: str = "", **details: Any) -> None:
        """Tell the listener, and keep it for the report."""
        moment = Moment(self.clock.now, kind, text, **details)
        self.moments.append(moment)
        if self._listener:
            self._listener(moment)

    # --- what the interpreter tells -----------------------------------------------------------------------------------

    def waiting(self, arn: str, state: str, seconds: float) -> None:
        """A Wait state has begun."""
        execution = self.execution(arn)
        execution.waits.append((state, seconds))
        self.tell("waiting", execution=execution.name, state=state, seconds=seconds)

    def retrying(self, arn: str, state: str, seconds: float) -> None:
        """A failed task will be tried again."""
        execution = self.execution(arn)
        error = execution.retried(seconds)
        self.tell("retrying", error, execution=execution.name, state=state, seconds=seconds)

    def entered(self, arn: str, state: str) -> None:
        """An execution has entered a state."""
        execution = self.execution(arn).name
        if (execution, state) in self.stop_at:
            self.stop_at.remove((execution, state))
            self.stop(execution, f"It was to be stopped at {state}.")

    def history_event(self, arn: str, event: Mapping[str, Any]) -> None:
        """An event has been added to an execution's history."""
        execution = self.execution(arn)
        for kind, state, text, ready in execution.add(event):
            self.tell(kind, text, execution=execution.name, state=state, ready=ready)

    def execution(self, arn: str) -> Execution:
        """What is known of an execution, or of a Distributed Map's child."""
        execution = Execution(arn)
        known = self.children if execution.is_child else self.executions
        return known.setdefault(execution.name, execution)


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder for the servers, which may run as another user than this one.

    In memory, where there is room and programs may be run: a database is a thousand small files, and their making and
    deleting is what a file system on a disk is slow at.
    """
    memory = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and os.statvfs(MEMORY)
    fits = memory and memory.f_bavail * memory.f_frsize > ENOUGH and not memory.f_flag & os.ST_NOEXEC
    folder = tempfile.mkdtemp(prefix="aurora-kerberos-", dir=MEMORY if fits else None)
    Path(folder).chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def environment_of(region: str) -> Iterator[None]:
    """No profile, no credentials and no ticket of the person at this machine."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("AWS_", "PG", "KRB5"))]:
        del os.environ[name]
    os.environ.update(AWS_DEFAULT_REGION=region, AWS_EC2_METADATA_DISABLED="true", MOTO_EC2_LOAD_DEFAULT_AMIS="false")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
