"""AWS Organizations as far as moto is kinder: who may list accounts, and how many fit a page.

Delegated administrators are not modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moto.organizations.models import organizations_backends

from local.aws import Parameters, fake
from local.faults import AwsError

if TYPE_CHECKING:
    from local.cloud import Cloud

PAGE = 20  # accounts in an answer of ListAccounts, at most


@fake("organizations", "ListAccounts")
def list_accounts(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """All accounts, page by page; moto's pages have 100."""
    accounts = [account.describe() for account in managed(cloud).accounts]
    start = int(parameters.get("NextToken", 0))
    more = {"NextToken": str(start + PAGE)} if len(accounts) > start + PAGE else {}
    return {"Accounts": accounts[start : start + PAGE], **more}


@fake("organizations", "ListAccountsForParent")
@fake("organizations", "ListOrganizationalUnitsForParent")
def check_caller(cloud: Cloud, parameters: Parameters) -> None:  # noqa: ARG001  as all fakes
    """moto answers whoever asks."""
    managed(cloud)


def managed(cloud: Cloud) -> Any:
    """What moto knows of the organization that the caller manages.

    Raises:
        AwsError: there is none, or it is another account's.
    """
    backend = organizations_backends[cloud.account]["aws"]
    if backend.org:
        return backend
    manager, partition = organizations_backends.master_accounts.get(cloud.account, ("", ""))
    if manager and organizations_backends[manager][partition].org:
        raise AwsError("AccessDeniedException", "You don't have permissions to access this resource.")
    raise AwsError("AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
