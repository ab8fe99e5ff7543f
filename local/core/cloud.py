"""The cloud as services see it: where and when a call is answered, what has happened, and the state of each service.

It knows no service. A service keeps what it has to remember in a type of its own, of which every cloud has one
(`Cloud.part`), as moto keeps its backends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from moto.iam.models import AccessKey, iam_backends
from pydantic import BaseModel, ConfigDict, Field

from local.core import places
from local.core.calls import Call
from local.core.clients import access_key, client_of
from local.core.clock import Clock
from local.core.executions import Execution
from local.core.faults import Faults, Unmodelled
from local.core.moments import Kind, Listener, Moment
from local.core.places import HOME, present, written

Part = TypeVar("Part")

MINUTE = 60
HOUR = 60 * MINUTE


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
    trail: int = Field(5 * MINUTE, description="A call until CloudTrail's event history shows it.")


def person(name: str) -> str:
    """The principal id of a person, as of an IAM user."""
    return f"AIDA{name.upper()}"


class Cloud:
    """The accounts and Regions of one run.

    Args:
        takes: how long things take.
        listener: told every moment as it happens.

    `folder` is for the files of servers, from `with` to its end. `stop_at` are executions and states by name: such an
    execution is stopped when it first enters the state. `named` are the ids of things that a scenario has names for.
    `person` is the principal id of who makes the calls that no function makes.
    What the cloud has by name, it has by the name that `places.written` gives it.
    """

    home = HOME.account
    folder: Path

    def __init__(self, takes: Takes | None = None, listener: Listener | None = None) -> None:
        self.takes = takes or Takes()
        self.faults = Faults([])
        self.clock = Clock()
        self.calls: list[Call] = []
        self.moments: list[Moment] = []
        self.executions: dict[str, Execution] = {}
        self.children: dict[str, Execution] = {}  # of Distributed Maps
        self.trouble: list[Unmodelled] = []  # of the local cloud's own
        self.stop_at: set[tuple[str, str]] = set()
        self.named: dict[str, str] = {}
        self.person = person("alice")
        self.at_end = ExitStack()
        self._parts: dict[type[Any], Any] = {}
        self._one_at_a_time = RLock()
        self._listener = listener

    def part(self, kind: type[Part]) -> Part:
        """The state of this cloud's that a service keeps in a type of its own; made of the cloud when first asked for.

        A part that has something to end says so to `at_end` when it is made.
        """
        with self._one_at_a_time:
            if kind not in self._parts:
                self._parts[kind] = kind(self)  # type: ignore[call-arg]  # every part is made of its cloud
            found: Part = self._parts[kind]
            return found

    # --- where a call is answered -------------------------------------------------------------------------------------

    @property
    def account(self) -> str:
        """The account whose call is being answered; home's when there is none."""
        return present().account

    @property
    def region(self) -> str:
        """The Region in which a call is being answered; home's when there is none."""
        return present().region

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

    def arn(self, service: str, resource: str, region: bool = True) -> str:
        """The ARN of a resource of this account."""
        return f"arn:aws:{service}:{self.region if region else ''}:{self.account}:{resource}"

    def cluster_arn(self, cluster: str) -> str:
        """The ARN of a DB cluster."""
        with places.of(written(cluster)) as name:
            return self.arn("rds", f"cluster:{name}")

    @contextmanager
    def acting(self, principal: str) -> Iterator[None]:
        """Let somebody else (a principal id) be who makes the calls that no function makes."""
        before, self.person = self.person, principal
        try:
            yield
        finally:
            self.person = before

    # --- what people do -----------------------------------------------------------------------------------------------

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

    def run(self, until: float | None = None) -> None:
        """Let time pass until nothing happens any more, or to `until` (virtual seconds).

        Raises:
            Unmodelled: something was asked of the local cloud that it does not know.
        """
        self.clock.run(until)
        self.raise_trouble()

    def raise_trouble(self) -> None:
        """Raise what the local cloud could not do meanwhile, if anything, with its traceback."""
        if self.trouble:
            raise self.trouble.pop(0)

    # --- what services tell -------------------------------------------------------------------------------------------

    def record(self, call: Call) -> None:
        """A call has been answered."""
        self.calls.append(replace(call, by=self.person, at=self.clock.now))

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
