"""A rollout's first step: lists the accounts and Regions that the input selects, without suspended accounts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import aws
from aurora_kerberos.aws import client, code, region
from aurora_kerberos.errors import AccessDenied, InvalidRequest
from aurora_kerberos.request import Rollout, parse
from aurora_kerberos.rollout import work
from aurora_kerberos.step import Ready, step

PATIENT = 5  # attempts: there is a call for each unit, and AWS answers only a few calls in a second


class Arguments(TypedDict):
    """`request`: the execution's input as it came; `execution`: its ARN."""

    request: Any
    execution: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready with the input, completed by defaults, when the list of targets is in the rollout's bucket."""
    request = parse(Rollout, arguments["request"], "The input")
    try:
        found = list(dict.fromkeys(accounts(request)))
    except ClientError as error:
        if code(error) not in aws.DENIED:
            raise
        raise AccessDenied(
            aws.translate(error).message,
            "Deploy the rollout in the organization's management account, or in that of a delegated administrator.",
        ) from error
    if not found:
        raise InvalidRequest(
            "None of the accounts asked for is an active one of the organization.",
            "Check accounts and organizational_units; suspended accounts are left out.",
        )
    targets = [{"account": account, "region": each} for account in found for each in request.regions or [region()]]
    return Ready(
        {
            "rollout": request.id,
            "request": request.model_dump(),
            "targets": work.write(arguments["execution"], "targets.json", targets),
            "accounts": len(found),
        }
    )


def accounts(request: Rollout) -> Iterator[str]:
    """The ids of the active accounts that the input selects (`organizations:ListAccounts...`)."""
    if request.organizational_units or not request.accounts:
        if request.organizational_units:
            for unit in request.organizational_units:
                yield from below(unit)
        else:
            yield from active(client("organizations", attempts=PATIENT).get_paginator("list_accounts").paginate())
    if request.accounts:
        yield from active_of(request.accounts)


def below(unit: str) -> Iterator[str]:
    """The accounts of an organizational unit and of those below it."""
    organizations = client("organizations", attempts=PATIENT)
    try:
        yield from active(organizations.get_paginator("list_accounts_for_parent").paginate(ParentId=unit))
    except ClientError as error:
        if code(error) != "ParentNotFoundException":
            raise
        raise InvalidRequest(f"There is no organizational unit {unit}.", "Check organizational_units.") from error
    for page in organizations.get_paginator("list_organizational_units_for_parent").paginate(ParentId=unit):
        for child in page["OrganizationalUnits"]:
            yield from below(child["Id"])


def active_of(wanted: list[str]) -> Iterator[str]:
    """The wanted accounts, if all of them are active in the organization, or if there is no organization."""
    try:
        known = set(active(client("organizations", attempts=PATIENT).get_paginator("list_accounts").paginate()))
    except ClientError as error:
        if code(error) != "AWSOrganizationsNotInUseException":
            raise
        known = set(wanted)
    if unknown := [account for account in wanted if account not in known]:
        raise InvalidRequest(
            f"Not active accounts of the organization: {', '.join(unknown)}.", "Take them out of accounts."
        )
    yield from wanted


def active(pages: Any) -> Iterator[str]:
    """The ids of the accounts that are not suspended; AWS replaces `Status` by `State`."""
    for page in pages:
        for account in page["Accounts"]:
            if account.get("State", account.get("Status")) == "ACTIVE":
                yield account["Id"]
