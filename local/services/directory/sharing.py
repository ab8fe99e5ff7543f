"""Directories of another account, which moto does not know: shared, accepted, and seen in both accounts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from moto.ds.models import ds_backends
from moto.moto_api._internal import mock_random

from local.core.calls import Parameters, aftermath, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.services.directory.directories import SHARED, Directories, Share, microsoft_ad
from local.services.organizations import manages

SHARING = 60  # virtual seconds
SEEN_AFTER = 20
MOST = {"Standard": 25, "Enterprise": 500}  # shares of a directory ("Directory Service quotas")


@fake("ds", "ShareDirectory")
def share_directory(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """HANDSHAKE waits for the other account, ORGANIZATIONS does not."""
    owner, account, method = (
        microsoft_ad(cloud, parameters["DirectoryId"]),
        parameters["ShareTarget"]["Id"],
        parameters["ShareMethod"],
    )
    living = [each for each in cloud.part(Directories).shares if each.owner is owner and each.status != "Deleted"]
    if account == cloud.account or not (account.isdecimal() and len(account) == 12):
        raise AwsError("InvalidTargetException", f"The account {account} is no target.")
    if method == "ORGANIZATIONS" and not manages(cloud, cloud.account):
        raise AwsError("OrganizationsException", f"{cloud.account} is not the management account of an organization.")
    if any(each.account == account for each in living):
        raise AwsError("DirectoryAlreadySharedException", f"It is shared with {account} already.")
    if len(living) >= MOST[owner.edition]:
        raise AwsError("ShareLimitExceededException", "The maximum number of accounts has been reached.")
    status = "PendingAcceptance" if method == "HANDSHAKE" else "Sharing"
    notes = parameters.get("ShareNotes", "")
    share = new_share(cloud, owner, account, method=method, status=status, notes=notes)
    cloud.clock.call_later(SEEN_AFTER, lambda: show(cloud, share))
    if status == "Sharing":
        cloud.clock.call_later(SHARING, lambda: shared(cloud, share))
    return {"SharedDirectoryId": share.shared_id}


def new_share(cloud: Cloud, owner: Any, account: str, **fields: str) -> Share:
    """A share that only the directory's account sees yet; `fields` are method, status and perhaps notes."""
    share = Share(owner, account, f"d-{mock_random.get_random_hex(10)}", **fields)
    cloud.part(Directories).shares.append(share)
    return share


def show(cloud: Cloud, share: Share) -> None:
    """The other account sees the shared directory, under an id of its own."""
    seen = copy.copy(share.owner)
    seen.owner, seen.directory_id, seen.directory_type = share.owner, share.shared_id, SHARED
    seen.vpc_settings, seen.dns_ip_addrs = None, []
    ds_backends[share.account][cloud.region].directories[share.shared_id] = seen


def shared(cloud: Cloud, share: Share) -> None:
    """It can be used from now on, unless somebody has ended it."""
    if share.status == "Sharing":
        share.status = "Shared"
        cloud.happened(f"directory {share.owner.directory_id} is shared with {share.account}")


@fake("ds", "AcceptSharedDirectory")
def accept_shared_directory(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Only in the account it is shared with, once it is seen there."""
    name = parameters["SharedDirectoryId"]
    here = name in ds_backends[cloud.account][cloud.region].directories
    found = [share for share in cloud.part(Directories).shares if share.shared_id == name]
    if not here or not found:
        raise AwsError("EntityDoesNotExistException", f"Directory {name} does not exist.")
    (share,) = found
    if share.status in {"Sharing", "Shared"}:
        raise AwsError("DirectoryAlreadySharedException", f"Directory {name} is {share.status}.")
    if share.status != "PendingAcceptance":
        raise AwsError("InvalidParameterException", f"Directory {name} is {share.status}.")
    share.status = "Sharing"
    cloud.clock.call_later(SHARING, lambda: shared(cloud, share))
    return {"SharedDirectory": described(share)}


@fake("ds", "DescribeSharedDirectories")
def describe_shared_directories(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Of the directory's own account, some at a time."""
    owner = microsoft_ad(cloud, parameters["OwnerDirectoryId"])
    named = parameters.get("SharedDirectoryIds", [])
    found = [
        share
        for share in cloud.part(Directories).shares
        if share.owner is owner and (not named or share.shared_id in named)
    ]
    start = int(parameters.get("NextToken") or 0)
    end = start + (parameters.get("Limit") or 10)
    more = {"NextToken": str(end)} if end < len(found) else {}
    return {"SharedDirectories": [described(share) for share in found[start:end]], **more}


def described(share: Share) -> dict[str, Any]:
    """A share as its owner sees it."""
    return {
        "OwnerAccountId": share.owner.account_id,
        "OwnerDirectoryId": share.owner.directory_id,
        "ShareMethod": share.method,
        "SharedAccountId": share.account,
        "SharedDirectoryId": share.shared_id,
        "ShareStatus": share.status,
        "ShareNotes": share.notes,
    }


@aftermath("ds", "DescribeDirectories")
def add_what_is_shared(cloud: Cloud, _: Parameters, answer: Mapping[str, Any]) -> None:
    """A shared directory tells its status, and network and addresses only by its owner's description."""
    shares = {share.shared_id: share for share in cloud.part(Directories).shares}
    for directory in answer["DirectoryDescriptions"]:
        if share := shares.get(directory["DirectoryId"]):
            directory.update(
                ShareStatus=share.status,
                ShareMethod=share.method,
                OwnerDirectoryDescription={
                    "DirectoryId": share.owner.directory_id,
                    "AccountId": share.owner.account_id,
                    "DnsIpAddrs": share.owner.dns_ip_addrs,
                    "VpcSettings": share.owner.vpc_settings,
                },
            )
