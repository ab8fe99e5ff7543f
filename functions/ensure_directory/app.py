"""Step 1: looks the AWS Managed Microsoft AD directory up by id or by DNS name, or creates it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import leases, names, owners
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client, code, message, redacted
from aurora_kerberos.errors import (
    AwsRefused,
    DirectoryAmbiguous,
    DirectoryNotFound,
    DirectoryNotTrusted,
    DirectoryUnusable,
)
from aurora_kerberos.passwords import generated
from aurora_kerberos.plan import Directory, WantedDirectory
from aurora_kerberos.step import MINUTE, Ready, Waiting, step

DEADLINE = 90 * MINUTE
TAKES_AT_LEAST = 20 * MINUTE  # AWS documents 20 to 40 minutes

NEW = {"Requested", "Creating", "Created"}
BROKEN = {"Failed", "RestoreFailed", "Inoperable", "Deleting", "Deleted"}
TYPES = {"MicrosoftAD", owners.SHARED}
NO_SHARE = {"Rejecting", "Rejected", "Deleting", "Deleted"}  # "ShareStatus": nobody can take it for ours any more
MOST_NAMED = 5  # of the directories in a warning: whoever shares them decides how many there are


class Arguments(TypedDict):
    """`directory` of the plan; the ARN of the `execution`; `now`: ISO 8601."""

    directory: WantedDirectory
    execution: str
    now: str


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when the directory is Active, with the facts about it that later steps need."""
    wanted = arguments["directory"]
    found, foreign = find(wanted)
    if found is None:
        if wanted["role"]:
            raise DirectoryNotFound(
                f"There is no directory {wanted['dns_name']} in {where(wanted['role'])}.",
                "Create it in that account; only in its own account does this stack create a directory.",
            )
        refuse_foreign(foreign, wanted, Arn.parse(arguments["execution"]).account)
        return create_once(wanted, arguments["execution"], arguments["now"])
    name, stage = found["DirectoryId"], found["Stage"]
    if found["Type"] not in TYPES:
        raise DirectoryUnusable(
            f"Directory {name} is of type {found['Type']}.",
            "Aurora needs an AWS Managed Microsoft AD: set DirectoryId or DirectoryDnsName to one.",
        )
    if stage in BROKEN:
        raise DirectoryUnusable(
            f"Directory {name} ({wanted['dns_name']}) is {stage}. {found.get('StageReason', '')}".strip(),
            "Repair or delete it in AWS Directory Service, or set DirectoryId to another one, then start again.",
        )
    shared = found["Type"] == owners.SHARED
    if stage in NEW and not shared:
        return being_created(name)
    if stage != "Active" and not shared:  # a shared directory has a ShareStatus instead, which step 5 looks at
        return Waiting(f"Directory {name} is {stage}", deadline=DEADLINE)
    return Ready(described(found, wanted["role"], warnings(foreign, wanted["dns_name"])))


def being_created(name: str) -> Waiting:
    """Wait for the new directory, with the same reason in every stage, so that the waits do not begin anew."""
    return Waiting(f"Directory {name} is being created", at_least=TAKES_AT_LEAST, deadline=DEADLINE)


def create_once(wanted: WantedDirectory, execution: str, now: str) -> Waiting:
    """Create the directory, unless another execution is creating it: AWS would make two of the same name."""
    holder = leases.take(f"directory:{wanted['dns_name']}", execution, now)
    if holder != execution:
        return Waiting(f"{holder} is creating the directory {wanted['dns_name']}", deadline=DEADLINE)
    found, _ = find(wanted)  # an execution that held the lease before may have created it
    return being_created(found["DirectoryId"] if found else create(wanted))


def find(wanted: WantedDirectory) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The directory with the id, or the only usable one with the DNS name (`ds:DescribeDirectories`).

    The list is of the directories with the DNS name that accounts share which the stack does not name.
    """
    ds = client("ds", wanted["role"])
    if wanted["id"]:
        try:
            return dict(ds.describe_directories(DirectoryIds=[wanted["id"]])["DirectoryDescriptions"][0]), []
        except ClientError as error:
            if code(error) != "EntityDoesNotExistException":
                raise
            raise DirectoryNotFound(
                f"There is no directory {wanted['id']} in {where(wanted['role'])}.",
                "Set the stack's parameter DirectoryId to an existing one of this Region, or leave it empty.",
            ) from error
    pages = ds.get_paginator("describe_directories").paginate()
    named = [
        directory
        for page in pages
        for directory in page["DirectoryDescriptions"]
        if directory["Name"].lower() == wanted["dns_name"]
        and directory["Type"] in TYPES
        and directory["Stage"] != "Deleted"
    ]
    found = [directory for directory in named if owners.trusted(directory, wanted.get("owners", []))]
    foreign = [each for each in named if each not in found and each.get("ShareStatus") not in NO_SHARE]
    living = [directory for directory in found if directory["Stage"] not in BROKEN] or found
    if len(living) > 1:
        raise DirectoryAmbiguous(
            f"The directories {' and '.join(sorted(d['DirectoryId'] for d in living))} have the same DNS name "
            f"{wanted['dns_name']}.",
            "Set the stack's parameter DirectoryId to the one that is meant.",
        )
    return living[0] if living else None, foreign


def refuse_foreign(foreign: list[dict[str, Any]], wanted: WantedDirectory, account: str) -> None:
    """Refuse to create a directory where another account's may be the one that is meant.

    It is created all the same when the stack names its own account as the owner.
    """
    if foreign and account not in wanted.get("owners", []):
        sharing = " or ".join(sorted({owners.owner_of(each) or "an unknown one" for each in foreign}))
        raise DirectoryNotTrusted(
            f"{listed(foreign)} has the DNS name {wanted['dns_name']}, and the stack does not name the account that "
            "shares it.",
            f"If the directory of the account {sharing} is the right one, set the stack's parameter "
            f"DirectoryOwnerAccounts to that account. If not, set it to {account}: then one is created here.",
        )


def warnings(foreign: list[dict[str, Any]], dns_name: str) -> list[str]:
    """What is said of directories that are not used because of who shares them."""
    said = f"{listed(foreign)} has the DNS name {dns_name} as well, and was ignored: the stack does not name its owner."
    return [said] if foreign else []


def listed(foreign: list[dict[str, Any]]) -> str:
    """Some directories with the accounts that share them, in words."""
    known = [
        f"{each['DirectoryId']} of the account {owners.owner_of(each) or 'that AWS does not name'}"
        for each in foreign[:MOST_NAMED]
    ]
    more = f", like {len(foreign) - MOST_NAMED} more," if len(foreign) > MOST_NAMED else ""
    return f"The directory {' and '.join(known)}{more}"


def where(role: str) -> str:
    """The account in which the directory was looked for, in words."""
    return f"the account of the role {role}" if role else "this account"


def create(wanted: WantedDirectory) -> str:
    """Create the directory in two of the stack's subnets and return its id (`ds:CreateMicrosoftAD`)."""
    subnet_ids = two_subnets(wanted["subnet_ids"])
    description = f"The user Admin of the directory {wanted['dns_name']}"
    password = generated(wanted["admin_secret"], "Admin", description)
    try:
        made = client("ds", attempts=1).create_microsoft_ad(
            Name=wanted["dns_name"],
            Password=password,
            Edition=wanted["edition"],  # if this is left out, AWS makes an Enterprise directory, which costs more
            VpcSettings={"VpcId": wanted["vpc_id"], "SubnetIds": subnet_ids},
            Tags=[names.MANAGED_BY],
        )
    except ClientError as error:
        said = message(redacted(error, password))
        if code(error) not in {"InvalidParameterException", "ClientException", "DirectoryLimitExceededException"}:
            raise
        raise AwsRefused(
            f"AWS refused to create the directory {wanted['dns_name']}: {said}",
            "Correct DirectoryDnsName, VpcId and SubnetIds of the stack, or raise the directory quota.",
        ) from None
    return str(made["DirectoryId"])


def two_subnets(subnet_ids: list[str]) -> list[str]:
    """Two of the subnets, in different Availability Zones, as a directory needs them."""
    subnets = client("ec2").describe_subnets(SubnetIds=subnet_ids)["Subnets"]
    zones: Mapping[str, str] = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in subnets}
    if len(zones) < 2:
        raise AwsRefused(
            f"The subnets {', '.join(subnet_ids)} are all in one Availability Zone.",
            "Give the stack's parameter SubnetIds subnets of two Availability Zones.",
        )
    return [subnet for _, subnet in sorted(zones.items())][:2]


def described(found: Mapping[str, Any], role: str, warned: list[str]) -> Directory:
    """The facts that later steps need. The addresses of a shared directory are in its owner's description.

    `owner_account` is empty for a directory of this account. `shared` is true for a directory that another account
    shares with this one; `id` is then the id that the directory has in this account.
    """
    owner = found.get("OwnerDirectoryDescription", {})
    vpc = found.get("VpcSettings") or owner.get("VpcSettings", {})
    return {
        "id": found["DirectoryId"],
        "realm": found["Name"].upper(),
        "dns_name": found["Name"].lower(),
        "dns_ips": found.get("DnsIpAddrs") or owner.get("DnsIpAddrs", []),
        "vpc_id": vpc.get("VpcId", ""),
        "subnet_ids": vpc.get("SubnetIds", []),
        "security_group": vpc.get("SecurityGroupId", ""),
        "owner_account": Arn.parse(role).account if role else owner.get("AccountId", ""),
        "shared": found["Type"] == owners.SHARED,
        "role": role,
        "warnings": warned,
    }
