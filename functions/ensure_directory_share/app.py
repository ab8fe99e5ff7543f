"""Step 5: shares a directory of another account with the cluster's account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client, code, message
from aurora_kerberos.errors import DirectoryNotTrusted, ShareRefused
from aurora_kerberos.owners import owner_of
from aurora_kerberos.plan import Directory
from aurora_kerberos.step import MINUTE, Ready, Waiting, step

DEADLINE = 30 * MINUTE

# "ShareStatus" of the API reference of SharedDirectory.
REFUSED = {"Rejecting", "Rejected", "RejectFailed", "ShareFailed"}
ENDED = {"Deleting", "Deleted"}

# What ds:ShareDirectory refuses for good, and what to do about it.
REMEDIES = {
    "InvalidTargetException": "The directory's own account needs no share: leave the stack's parameter "
    "DirectoryAccountRole empty there.",
    "OrganizationsException": "Set the stack's parameter DirectoryShareMethod to HANDSHAKE, or make the directory's "
    "account the management account of the organization that both are in, with all features enabled.",
    "ShareLimitExceededException": "End a share that nobody needs, use another edition, or ask for a higher quota.",
}


class Arguments(TypedDict):
    """`directory`; `method` of sharing, HANDSHAKE or ORGANIZATIONS; the ARN of the `execution` tells the account."""

    directory: Directory
    method: str
    execution: str


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready with the id that the directory has in the cluster's account. It is the `Domain` of step 6."""
    directory, account = arguments["directory"], Arn.parse(arguments["execution"]).account
    if not directory["shared"] and directory["owner_account"] in {"", account}:
        return Ready({"id": directory["id"]})
    if directory["shared"]:
        name, here = directory["id"], described_here(directory["id"])
        owner, status = owner_of(here), status_of(here)
    elif found := owner_s_view(directory, account):
        name, owner, status = found["SharedDirectoryId"], found["OwnerAccountId"], found["ShareStatus"]
        status = status_of(described_here(name)) if status == "Shared" else status
    else:
        return share(directory, account, arguments["method"])
    if status in {"Shared", "PendingAcceptance"}:
        refuse_another_owner(directory, name, owner)
        return Ready({"id": name}) if status == "Shared" else accept(name)
    if status in REFUSED or (directory["shared"] and status in ENDED):
        raise refused(directory, account, name, status)
    return Waiting(f"Share {name} of the directory is {status}", deadline=DEADLINE)


def described_here(name: str) -> Mapping[str, Any]:
    """A share in the cluster's own account, where it may appear late; empty until then (`ds:DescribeDirectories`)."""
    try:
        return dict(client("ds").describe_directories(DirectoryIds=[name])["DirectoryDescriptions"][0])
    except ClientError as error:
        if code(error) != "EntityDoesNotExistException":
            raise
        return {}


def status_of(described: Mapping[str, Any]) -> str:
    """The status of a share in the cluster's own account."""
    return str(described.get("ShareStatus", "Sharing"))


def refuse_another_owner(directory: Directory, name: str, owner: str) -> None:
    """Refuse a share of another account than the one whose directory step 1 has found.

    Step 1 does not know the owner when AWS did not say who it is; then the stack names the share by its id.
    """
    if directory["owner_account"] not in {"", owner}:
        raise DirectoryNotTrusted(
            f"The share {name} is of the account {owner or 'that AWS does not name'}, and the directory "
            f"{directory['id']} is of the account {directory['owner_account']}.",
            "Find out who has shared it, and reject it in AWS Directory Service. Then start again.",
        )


def owner_s_view(directory: Directory, account: str) -> Mapping[str, str] | None:
    """The share with an account, as the directory's account describes it (`ds:DescribeSharedDirectories`)."""
    pages = client("ds", directory["role"]).get_paginator("describe_shared_directories")
    found = [
        share
        for page in pages.paginate(OwnerDirectoryId=directory["id"])
        for share in page["SharedDirectories"]
        if share["SharedAccountId"] == account and share["ShareStatus"] != "Deleted"
    ]
    # An earlier share may still be listed while it is being deleted.
    return min(found, key=lambda share: share["ShareStatus"] in ENDED | REFUSED, default=None)


def share(directory: Directory, account: str, method: str) -> Waiting:
    """Share the directory with the cluster's account (`ds:ShareDirectory`)."""
    notes = {"ShareNotes": "For Kerberos authentication of Aurora PostgreSQL"} if method == "HANDSHAKE" else {}
    try:
        client("ds", directory["role"]).share_directory(
            DirectoryId=directory["id"], ShareTarget={"Id": account, "Type": "ACCOUNT"}, ShareMethod=method, **notes
        )
    except ClientError as error:
        if code(error) in REMEDIES:
            raise ShareRefused(
                f"Directory {directory['id']} cannot be shared with the account {account} by {method}: "
                f"{code(error)}: {message(error)}",
                REMEDIES[code(error)],
            ) from error
        if code(error) != "DirectoryAlreadySharedException":  # the share exists, but is not listed yet
            raise
    return Waiting(f"Directory {directory['id']} is being shared", deadline=DEADLINE)


def accept(name: str) -> Waiting:
    """Accept the invitation in the cluster's account (`ds:AcceptSharedDirectory`)."""
    try:
        client("ds").accept_shared_directory(SharedDirectoryId=name)
    except ClientError as error:
        # The invitation is not listed here yet, or somebody has accepted it in the meantime.
        if code(error) not in {"EntityDoesNotExistException", "DirectoryAlreadySharedException"}:
            raise
    return Waiting(f"Share {name} is being accepted", deadline=DEADLINE)


def refused(directory: Directory, account: str, name: str, status: str) -> ShareRefused:
    """The error that says who has to end the share. A share that was refused can be made again only when it is gone."""
    owner = f"the account {directory['owner_account']}" if directory["owner_account"] else "the directory's account"
    anew = f"share the directory with the account {account} again, then start" if directory["shared"] else "then start"
    rejected = f" Somebody in the account {account} rejected it." if status.startswith("Reject") else ""
    return ShareRefused(
        f"The share {name} of the directory with the account {account} is {status}.{rejected}",
        f"In {owner}, end this share (AWS Directory Service, Scale & share, or `aws ds unshare-directory`). When it is "
        f"gone, {anew} again.",
    )
