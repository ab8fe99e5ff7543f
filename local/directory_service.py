"""AWS Directory Service as far as moto does not know it: stages that take time, and a real KDC behind each realm."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.ds.models import ds_backends

from local.aws import Parameters, aftermath, fake
from local.faults import AwsError
from local.kdc import Kdc, section
from local.network import Hosts, furnish_directory, reaches
from local.servers import LOOPBACK, NOBODY

if TYPE_CHECKING:
    from local.cloud import Cloud

CREATING = 60  # virtual seconds in the stage Requested


class Directories:
    """The directories of a cloud, and their KDCs."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._cloud = cloud
        self._folder = folder
        self._kdcs: dict[str, Kdc] = {}

    def all(self) -> list[Any]:
        """moto's directories, of all accounts."""
        accounts = list(ds_backends.values())
        return [found for account in accounts for found in account[self._cloud.region].directories.values()]

    def find(self, name: str) -> Any:
        """moto's directory by id or DNS name, or None."""
        return next((found for found in self.all() if name in (found.directory_id, found.name)), None)

    def activate(self, directory: Any) -> None:
        """The domain controllers are there."""
        directory.stage = "Active"
        directory.dns_ip_addrs = directory.subnet_ips
        self.realm(directory.directory_id).add_principal("admin", directory.password)

    def realm(self, name: str) -> Kdc:
        """The directory's KDC, started when first needed."""
        directory = self.find(name)
        if directory is None:
            raise LookupError(f"The local cloud has no directory {name}.")
        if directory.directory_id not in self._kdcs:
            realm = directory.name.upper()
            kdc = Kdc(realm, self._folder / directory.directory_id)
            kdc.start()
            self._kdcs[directory.directory_id] = kdc
        return self._kdcs[directory.directory_id]

    def client_conf(self, hosts: Hosts | None = None) -> str:
        """Where the KDCs of this machine are; libkrb5 reads it before a client's own krb5.conf.

        Those that `hosts` do not reach are said to be where nobody listens.
        """
        sections = []
        for name, kdc in self._kdcs.items():
            open_ = hosts is None or reaches(self._cloud, hosts, Hosts.of_directory(self.find(name)), 88)
            sections.append(section(kdc.realm, kdc.port, LOOPBACK if open_ else NOBODY))
        return f"[realms]\n{''.join(sections)}" if sections else ""

    def stop(self) -> None:
        """End all KDCs."""
        for kdc in self._kdcs.values():
            kdc.stop()


@fake("ds", "CreateMicrosoftAD")
def check_password(cloud: Cloud, parameters: Parameters) -> None:  # noqa: ARG001  as all fakes
    """What moto lets pass: a password without three of the four classes, or with the word admin."""
    password = parameters["Password"]
    classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation)
    present = sum(bool(set(password) & set(each)) for each in classes)
    if present < 3 or "admin" in password.lower():
        raise AwsError("InvalidParameterException", "The password does not meet the complexity requirements.")


@aftermath("ds", "CreateMicrosoftAD")
def created(cloud: Cloud, _: Parameters, answer: Mapping[str, Any]) -> None:
    """Requested, Creating, and a long time later Active."""
    directory = cloud.directories.find(answer["DirectoryId"])
    furnish_directory(cloud, directory, None)
    directory.stage, directory.dns_ip_addrs = "Requested", []

    def active() -> None:
        cloud.directories.activate(directory)
        cloud.happened(f"directory {directory.directory_id} is Active")

    cloud.clock.call_later(CREATING, lambda: setattr(directory, "stage", "Creating"))
    cloud.clock.call_later(cloud.takes.directory, active)


@aftermath("iam", "CreateRole")
def role_made(cloud: Cloud, parameters: Parameters, _: Mapping[str, Any]) -> None:
    """RDS will not be able to assume it at once."""
    cloud.roles_made[parameters["RoleName"]] = cloud.clock.now
