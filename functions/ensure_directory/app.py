"""Step 1: the AWS Managed Microsoft AD directory, found by id, found by DNS name, or created."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos.aws import client, code, message, secret
from aurora_kerberos.errors import AwsRefused, DirectoryAmbiguous, DirectoryNotFound, DirectoryUnusable
from aurora_kerberos.step import MINUTE, Ready, Waiting, step

DEADLINE = 90 * MINUTE
TAKES_AT_LEAST = 10 * MINUTE  # AWS documents 20 to 40 minutes

NEW = {"Requested", "Creating", "Created"}
BROKEN = {"Failed", "RestoreFailed", "Inoperable", "Deleting", "Deleted"}
TYPES = {"MicrosoftAD", "SharedMicrosoftAD"}


class Directory(TypedDict):
    """The plan's `directory`. `id` may be empty; the last four are for creating one."""

    id: str
    dns_name: str
    edition: str
    vpc_id: str
    subnet_ids: list[str]
    admin_secret: str


class Arguments(TypedDict):
    """`directory` of the plan."""

    directory: Directory


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when the directory is Active, with what later steps need to know of it."""
    wanted = arguments["directory"]
    found = find(wanted)
    if found is None:
        return being_created(create(wanted))
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
    if stage in NEW:
        return being_created(name)
    if stage != "Active":
        return Waiting(f"Directory {name} is {stage}", deadline=DEADLINE)
    return Ready(described(found))


def being_created(name: str) -> Waiting:
    """One thing to wait for, whatever the stages on the way are called."""
    return Waiting(f"Directory {name} is being created", at_least=TAKES_AT_LEAST, deadline=DEADLINE)


def find(wanted: Directory) -> dict[str, Any] | None:
    """The directory of that id, or the only living one of that DNS name (`ds:DescribeDirectories`)."""
    if wanted["id"]:
        try:
            return dict(client("ds").describe_directories(DirectoryIds=[wanted["id"]])["DirectoryDescriptions"][0])
        except ClientError as error:
            if code(error) != "EntityDoesNotExistException":
                raise
            raise DirectoryNotFound(
                f"There is no directory {wanted['id']} in this account and Region.",
                "Set the stack's parameter DirectoryId to an existing one, or leave it empty.",
            ) from error
    pages = client("ds").get_paginator("describe_directories").paginate()
    found = [
        directory
        for page in pages
        for directory in page["DirectoryDescriptions"]
        if directory["Name"].lower() == wanted["dns_name"]
        and directory["Type"] in TYPES
        and directory["Stage"] != "Deleted"
    ]
    living = [directory for directory in found if directory["Stage"] not in BROKEN] or found
    if len(living) > 1:
        raise DirectoryAmbiguous(
            f"The directories {' and '.join(sorted(d['DirectoryId'] for d in living))} have the same DNS name "
            f"{wanted['dns_name']}.",
            "Set the stack's parameter DirectoryId to the one that is meant.",
        )
    return living[0] if living else None


def create(wanted: Directory) -> str:
    """Create the directory in two of the stack's subnets; its id (`ds:CreateMicrosoftAD`)."""
    subnet_ids = two_subnets(wanted["subnet_ids"])
    password = admin_password(wanted["admin_secret"], wanted["dns_name"])
    try:
        made = client("ds").create_microsoft_ad(
            Name=wanted["dns_name"],
            Password=password,
            Edition=wanted["edition"],  # left out, AWS makes the dear one
            VpcSettings={"VpcId": wanted["vpc_id"], "SubnetIds": subnet_ids},
            Tags=[{"Key": "managed-by", "Value": "aurora-kerberos"}],
        )
    except ClientError as error:
        # AWS may quote what it was sent.
        error.response["Error"]["Message"] = said = message(error).replace(password, "***")
        if code(error) not in {"InvalidParameterException", "ClientException", "DirectoryLimitExceededException"}:
            raise
        raise AwsRefused(
            f"AWS refused to create the directory {wanted['dns_name']}: {said}",
            "Correct DirectoryDnsName, VpcId and SubnetIds of the stack, or raise the directory quota.",
        ) from None
    return str(made["DirectoryId"])


def two_subnets(subnet_ids: list[str]) -> list[str]:
    """Two of the subnets that are in different Availability Zones, as a directory needs them."""
    subnets = client("ec2").describe_subnets(SubnetIds=subnet_ids)["Subnets"]
    zones: Mapping[str, str] = {subnet["AvailabilityZone"]: subnet["SubnetId"] for subnet in subnets}
    if len(zones) < 2:
        raise AwsRefused(
            f"The subnets {', '.join(subnet_ids)} are all in one Availability Zone.",
            "Give the stack's parameter SubnetIds subnets of two Availability Zones.",
        )
    return [subnet for _, subnet in sorted(zones.items())][:2]


def admin_password(name: str, dns_name: str) -> str:
    """The Admin user's password, generated into Secrets Manager the first time."""
    password = new_password()
    try:
        client("secretsmanager").create_secret(
            Name=name,
            Description=f"The user Admin of the directory {dns_name}",
            SecretString=json.dumps({"username": "Admin", "password": password}),
            Tags=[{"Key": "managed-by", "Value": "aurora-kerberos"}],
        )
    except ClientError as error:
        if code(error) != "ResourceExistsException":
            raise
        return secret(name, "password")["password"]
    return password


def new_password() -> str:
    """A password as CreateMicrosoftAD wants it: three of four classes of characters, without the word admin."""
    while True:
        password = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))
        classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
        if all(set(password) & set(each) for each in classes) and "admin" not in password.lower():
            return password


def described(found: Mapping[str, Any]) -> dict[str, Any]:
    """What later steps need; a shared directory tells its addresses only through its owner's description."""
    owner = found.get("OwnerDirectoryDescription", {})
    vpc = found.get("VpcSettings") or owner.get("VpcSettings", {})
    return {
        "id": found["DirectoryId"],
        "realm": found["Name"].upper(),
        "dns_name": found["Name"],
        "dns_ips": found.get("DnsIpAddrs") or owner.get("DnsIpAddrs", []),
        "vpc_id": vpc.get("VpcId", ""),
        "security_group": vpc.get("SecurityGroupId", ""),
        "owner_account": owner.get("AccountId", ""),
    }
