"""AWS Organizations: the organization that the accounts of a scenario are in.

moto answers, and is told here what there is. It lets every account ask; AWS only the management account, and those to
which it has delegated that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from botocore import xform_name
from moto.organizations.models import FakeAccount, organizations_backends
from pydantic import BaseModel, ConfigDict, Field

from local.core.calls import Parameters, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError

PAGE = 20  # accounts (API reference of ListAccounts)
FOR_ADMINISTRATORS = (
    "DescribeAccount",
    "DescribeOrganizationalUnit",
    "ListAccounts",
    "ListAccountsForParent",
    "ListChildren",
    "ListOrganizationalUnitsForParent",
    "ListParents",
    "ListRoots",
)


class Organization(BaseModel):
    """An organization. Accounts that are in no unit are right under its root."""

    model_config = ConfigDict(extra="forbid")

    management: str = Field(description="Number of the management account.")
    units: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Organizational unit → its accounts; `Workloads/Test` is a unit in `Workloads`. An execution's "
        "input means one by `$name`, and the root by `$root`.",
    )
    suspended: list[str] = Field(default_factory=list, description="Accounts that have been closed.")
    administrators: list[str] = Field(
        default_factory=list, description="Accounts that may ask as the management account may."
    )
    names: dict[str, str] = Field(default_factory=dict, description="Account → its name; when not said, made up.")


class Accounts:
    """The organization that the accounts of a cloud are in; None when they are in none."""

    def __init__(self, _: Cloud) -> None:
        self.organization: Organization | None = None


def manages(cloud: Cloud, account: str) -> bool:
    """Whether an account is the management account of the organization."""
    organization = cloud.part(Accounts).organization
    return organization is not None and organization.management == account


def establish(cloud: Cloud, wanted: str | Organization, accounts: Iterable[str] = ()) -> None:
    """Found the organization, with all accounts that it names, and others."""
    described = Organization(management=wanted) if isinstance(wanted, str) else wanted
    cloud.part(Accounts).organization = described
    client = cloud.client("organizations", described.management)
    client.create_organization()
    backend = organizations_backends[described.management]["aws"]
    backend.accounts[0].name = described.names.get(described.management, "management")
    units = {"": backend.org.root_id}
    for name in described.units:
        make_unit(client, name, units)
    cloud.named.update({name or "root": unit for name, unit in units.items()})
    parents = {account: units[name] for name, within in described.units.items() for account in within}
    for account in dict.fromkeys([*parents, *described.suspended, *described.administrators, *accounts]):
        if account == described.management:
            backend.accounts[0].parent_id = parents.get(account, units[""])
            continue
        name = described.names.get(account, f"account-{account}")
        made = FakeAccount(backend.org, AccountName=name, Email=f"{account}@example.com")
        made.id, made.parent_id = account, parents.get(account, units[""])
        made.status = made.state = "SUSPENDED" if account in described.suspended else "ACTIVE"
        backend.accounts.append(made)
        organizations_backends.master_accounts[account] = (described.management, "aws")


def make_unit(client: Any, name: str, units: dict[str, str]) -> None:
    """Make an organizational unit, and before it those that it is in; `units` are those that are there, by name."""
    parent, _, last = name.rpartition("/")
    if parent not in units:
        make_unit(client, parent, units)
    if name not in units:
        made = client.create_organizational_unit(ParentId=units[parent], Name=last)
        units[name] = made["OrganizationalUnit"]["Id"]


def page_of(backend: Any, parameters: Parameters) -> Mapping[str, Any]:
    """A page of ListAccounts; moto's are longer than AWS's."""
    accounts = [account.describe() for account in backend.accounts]
    start = int(parameters.get("NextToken", 0))
    more = {"NextToken": str(start + PAGE)} if len(accounts) > start + PAGE else {}
    return {"Accounts": accounts[start : start + PAGE], **more}


def _for_administrators(operation: str) -> None:
    @fake("organizations", operation)
    def ask(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any] | None:
        organization = cloud.part(Accounts).organization
        own = organizations_backends[cloud.account]["aws"]
        if own.org:
            return page_of(own, parameters) if operation == "ListAccounts" else None
        if organization is None and cloud.account not in organizations_backends.master_accounts:
            raise AwsError("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
        if organization is None or cloud.account not in organization.administrators:
            raise AwsError("AccessDeniedException", "You don't have permissions to access this resource.")
        client = cloud.client("organizations", organization.management)
        answer: dict[str, Any] = getattr(client, xform_name(operation))(**parameters)
        return answer


for each in FOR_ADMINISTRATORS:
    _for_administrators(each)
