"""AWS Directory Service as far as moto does not know it: stages that take time, and a real KDC behind each realm."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.ds.models import ds_backends

from local.core.calls import Parameters, aftermath, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.core.places import present
from local.servers.kdc import Kdc, section
from local.servers.server import LOOPBACK, NOBODY
from local.services.directory.entries import DirectoryData
from local.services.ec2.reach import Hosts, reaches
from local.services.ec2.vpcs import furnish_directory

CREATING = 60  # virtual seconds in the stage Requested

SHARED = "SharedMicrosoftAD"


@dataclass
class OnPremises:
    """An on-premises domain: its KDC, and what its administrator has entered for the trust.

    Attributes:
        password: of the trust; empty until he has made his side of it.
    """

    domain: str
    kdc: Kdc
    dns_ips: list[str]
    password: str = ""


@dataclass
class Share:
    """A directory that is shared with another account: what both see of it.

    Attributes:
        owner: moto's directory.
        shared_id: the directory's id in the other account.
    """

    owner: Any
    account: str
    shared_id: str
    method: str
    status: str
    notes: str = ""


class Directories:
    """The directories of a cloud, and their KDCs."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._folder = cloud.folder
        cloud.at_end.callback(self.stop)
        self._kdcs: dict[str, Kdc] = {}
        self._data: dict[str, DirectoryData] = {}
        self._forwarders: dict[str, dict[str, dict[str, list[str]]]] = {}
        self._trusting: set[tuple[str, str]] = set()
        self.shares: list[Share] = []
        self.on_premises: dict[str, OnPremises] = {}

    def all(self) -> list[Any]:
        """moto's directories in the present Region: those of the present account, owned and shared, before the others.

        What is shared comes after what is owned.
        """
        own = [getattr(each, "owner", each) for each in self.of_account(present().account)]
        found = [each for account in list(ds_backends) for each in self.of_account(account)]
        return list(dict.fromkeys([*own, *sorted(found, key=lambda each: each.directory_type == SHARED)]))

    def of_account(self, account: str) -> list[Any]:
        """moto's directories of one account, in the present Region."""
        return list(ds_backends[account][self._cloud.region].directories.values())

    def find(self, name: str) -> Any:
        """moto's directory by id or DNS name, or None."""
        return next((found for found in self.all() if name in (found.directory_id, found.name)), None)

    def id_here(self, name: str) -> str:
        """The id that a directory has in the present account, be it as another account's share."""
        found = self.find(name)
        shared = [each.shared_id for each in self.shares if each.owner is found and each.account == present().account]
        return str(shared[0] if shared else found.directory_id)

    def forwarders(self, directory_id: str) -> dict[str, dict[str, list[str]]]:
        """The conditional forwarders of a directory: domain → addresses, as DescribeConditionalForwarders has them."""
        return self._forwarders.setdefault(directory_id, {})

    def data(self, directory_id: str) -> DirectoryData:
        """The users and groups of a directory."""
        if directory_id not in self._data:
            self._data[directory_id] = DirectoryData(directory_id)
        return self._data[directory_id]

    def add_user(self, name: str, user: str, password: str | None = None) -> None:
        """A user that was made long ago, in a directory or an on-premises domain; enabled, a principal of its KDC."""
        self.realm(name).add_principal(user, password)
        if name not in self.on_premises:
            data = self.data(self.find(name).directory_id)
            data.add("USER", user)
            data.show(user)

    def add_on_premises(self, domain: str, dns_ips: list[str], password: str) -> OnPremises:
        """A domain of nobody's account, with its KDC; `password` of the trust, empty when its side is not made."""
        kdc = self._kdcs[domain] = Kdc(domain.upper(), self._folder / domain)
        self.on_premises[domain] = OnPremises(domain, kdc, dns_ips, password)
        return self.on_premises[domain]

    def let_trust(self, directory: Any, domain: str, password: str) -> None:
        """The two KDCs get the same cross-realm keys, once."""
        if (directory.directory_id, domain) not in self._trusting:
            self._trusting.add((directory.directory_id, domain))
            self.realm(directory.directory_id).trust(self.on_premises[domain].kdc, password)

    def activate(self, directory: Any) -> None:
        """The domain controllers are there."""
        directory.stage = "Active"
        directory.dns_ip_addrs = directory.subnet_ips
        self.add_user(directory.directory_id, "admin", directory.password)

    def realm(self, name: str) -> Kdc:
        """The KDC of a directory, be it a shared one, or of an on-premises domain; it starts when first needed."""
        if name in self.on_premises:
            return self.on_premises[name].kdc
        directory = self.find(name)
        directory = getattr(directory, "owner", directory)
        if directory is None:
            raise LookupError(f"The local cloud has no directory {name}.")
        if directory.directory_id not in self._kdcs:
            realm = directory.name.upper()
            self._kdcs[directory.directory_id] = Kdc(realm, self._folder / directory.directory_id)
        return self._kdcs[directory.directory_id]

    def client_conf(self, hosts: Hosts | None = None) -> str:
        """Where the KDCs of this machine are; libkrb5 reads it before a client's own krb5.conf.

        A realm has one directory, as seen from the present account and Region. Those of directories that `hosts` do not
        reach are said to be where nobody listens.
        """
        known = {name: self._kdcs[name] for name in self._names() if name in self._kdcs}
        sections: dict[str, str] = {}
        for name, kdc in known.items():
            address = LOOPBACK
            if hosts and name not in self.on_premises:  # whose network is nobody's model
                found = Hosts.of_directory(self.find(name))
                address = LOOPBACK if reaches(self._cloud, hosts, found, 88) else NOBODY
            sections.setdefault(kdc.realm, section(kdc.realm, kdc.port, address))
        return f"[realms]\n{''.join(sections.values())}" if sections else ""

    def _names(self) -> list[str]:
        """On-premises domains and directories; of those with the same DNS name the present account's comes first."""
        return [*self.on_premises, *(each.directory_id for each in self.all())]

    def start(self) -> None:
        """Serve all realms: a function may want a ticket."""
        for kdc in self._kdcs.values():
            kdc.start()

    def stop(self) -> None:
        """End all KDCs."""
        for kdc in self._kdcs.values():
            kdc.stop()


def microsoft_ad(cloud: Cloud, directory_id: str, unknown: str = "EntityDoesNotExistException") -> Any:
    """A directory that belongs to the account of the call and can have trusts, shares and users.

    Raises:
        AwsError: there is none (with the code `unknown`), or it is of another type.
    """
    found = [each for each in cloud.part(Directories).of_account(cloud.account) if each.directory_id == directory_id]
    if not found:
        raise AwsError(unknown, f"Directory {directory_id} does not exist.")
    if found[0].directory_type != "MicrosoftAD":
        raise AwsError("UnsupportedOperationException", "The operation is not supported for this directory type.")
    return found[0]


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
    directory = cloud.part(Directories).find(answer["DirectoryId"])
    furnish_directory(cloud, directory, None)
    directory.stage, directory.dns_ip_addrs = "Requested", []

    def active() -> None:
        cloud.part(Directories).activate(directory)
        cloud.happened(f"directory {directory.directory_id} is Active")

    cloud.clock.call_later(CREATING, lambda: setattr(directory, "stage", "Creating"))
    cloud.clock.call_later(cloud.takes.directory, active)
