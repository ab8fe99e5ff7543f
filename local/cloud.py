"""The whole cloud of the local run: moto with the template deployed, virtual time, a real KDC and a real PostgreSQL.

The one module that knows every service: it opens them all.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto import mock_aws
from moto.organizations.models import organizations_backends
from moto.secretsmanager.models import secretsmanager_backends

from deploy.environment import environment_of
from local import deployment, patches, services
from local.core import current
from local.core.cloud import Cloud as Core
from local.core.cloud import Takes
from local.core.moments import Listener
from local.core.places import HOME, Place, at, present
from local.gate import hooks
from local.servers.authority import authority
from local.servers.databases import Databases
from local.services.directory.directories import Directories
from local.services.ec2.vpcs import Network, Networks
from local.services.lambda_functions import Functions
from local.services.rds.backend import moto_rds

AUTHORITIES = "aurora-kerberos-authorities"  # the secret with the local run's own authority
MEMORY = Path("/dev/shm")  # noqa: S108  Linux's file system in memory
ENOUGH = 1 << 30  # bytes; containers often have 64 MB there


@dataclass(frozen=True)
class Deployed:
    """A stack in an account and Region: its VPC, parameters and outputs."""

    network: Network
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


class Cloud(Core):
    """An account and Region with the stack deployed, at home, and others beside it, from `with` to its end.

    Args:
        parameters: the stack's parameters, beside VpcId, SubnetIds and ExternalId, which the cloud has its own of.
        takes: how long things take.
        listener: told every moment as it happens.

    `deployed` are the stacks by their places.
    """

    def __init__(
        self,
        parameters: Mapping[str, str] | None = None,
        takes: Takes | None = None,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(takes, listener)
        self.parameters = dict(parameters or {})
        self.deployed: dict[Place, Deployed] = {}

    def __enter__(self) -> Cloud:
        with ExitStack() as opened:
            self.folder = Path(opened.enter_context(temporary_folder()))
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
            hooks.install()
            patches.install()
            organizations_backends.master_accounts.clear()  # which moto remembers from cloud to cloud
            current.enter(self)
            opened.callback(current.leave)
            opened.enter_context(self.at_end)
            self.part(Functions)  # so that no client of an earlier cloud is left
            home = self.deploy(*HOME, self.parameters)
            self.vpc, self.subnets = home.network.vpc, home.network.subnets
            self.subnet_group = self.subnet_group_of(home.network)
            self.outputs, self.state_machine = home.outputs, home.outputs["StateMachine"]
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def directories(self) -> Directories:
        """AWS Directory Service."""
        return self.part(Directories)

    @property
    def databases(self) -> Databases:
        """The servers behind the clusters."""
        return self.part(Databases)

    @property
    def functions(self) -> Functions:
        """AWS Lambda."""
        return self.part(Functions)

    @property
    def networks(self) -> Networks:
        """The VPCs."""
        return self.part(Networks)

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
            # The servers have no certificates of RDS's: the stack is told of their authority as its owner would do it.
            own = {
                "VpcId": network.vpc,
                "SubnetIds": ",".join(network.subnets),
                "ExternalId": deployment.EXTERNAL_ID,
                "AuthoritiesSecret": AUTHORITIES,
            }
            store_authority(place)
            given = {**own, **(parameters or {})}
            self.deployed[place] = Deployed(network, given, deployment.deploy(self, given, template))
            return self.deployed[place]

    def subnet_group_of(self, network: Network) -> str:
        """The name of a DB subnet group with the subnets of a VPC, made when first asked for."""
        own = any(network.vpc == each.network.vpc for each in self.deployed.values())
        name = "databases" if own else f"databases-{network.vpc}"
        if name not in moto_rds(self).subnet_groups:
            self.client("rds").create_db_subnet_group(
                DBSubnetGroupName=name, DBSubnetGroupDescription="databases", SubnetIds=network.subnets
            )
        return name

    def start(self, request: Mapping[str, Any]) -> str:
        """Start an execution of the present account and Region as a person does in the console; its name."""
        return self.start_execution(self.deployed[present()].outputs["StateMachine"], request)


def store_authority(place: Place) -> None:
    """Store the authority of the local run's servers in Secrets Manager; moto is told directly, as by `deployment`."""
    backend = secretsmanager_backends[place.account][place.region]
    backend.create_secret(AUTHORITIES, authority().pem, None, None, None, None, None, [], force_overwrite=False)


def open_services() -> None:
    """Import every module of the services, each of which registers its fakes."""
    for module in pkgutil.walk_packages(services.__path__, f"{services.__name__}."):
        importlib.import_module(module.name)


open_services()


@contextmanager
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
