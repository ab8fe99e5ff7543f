"""Which groups of a directory were made here. Directory Service Data has no tags, so the registry knows it.

An item is written before its group is created, with the client token of that call, and has the group's SID afterwards.
So a group that an interrupted attempt has made is known again, as long as AWS knows the token: eight hours
("CreateGroup", AWS Directory Service Data API reference).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from aurora_kerberos.aws import client, code
from aurora_kerberos.environment import environment

PREFIX = "group:"


class Made(NamedTuple):
    """What is known of a group: its `sid`, and the `token` of a call whose answer is not known. Both may be empty."""

    sid: str = ""
    token: str = ""


def key(directory: str, name: str) -> dict[str, Any]:
    """The key of a group's item: the directory's id, and the name, of which Active Directory ignores the case."""
    return {"arn": {"S": f"{PREFIX}{directory}/{name.lower()}"}}


def read(directory: str, name: str) -> Made:
    """What is known of a group (`dynamodb:GetItem`)."""
    found = client("dynamodb").get_item(
        TableName=environment.registry_table, Key=key(directory, name), ConsistentRead=True
    )
    item: Mapping[str, Any] = found.get("Item", {})
    return Made(*(str(item.get(field, {}).get("S", "")) for field in ("group_sid", "client_token")))


def write(directory: str, name: str, before: Made, now: Made) -> bool:
    """Write what is known of a group; False when another execution has written since (`dynamodb:PutItem`)."""
    unchanged = "(group_sid = :sid AND client_token = :token)"
    try:
        client("dynamodb").put_item(
            TableName=environment.registry_table,
            Item={**key(directory, name), "group_sid": {"S": now.sid}, "client_token": {"S": now.token}},
            ConditionExpression=unchanged if any(before) else f"attribute_not_exists(arn) OR {unchanged}",
            ExpressionAttributeValues={":sid": {"S": before.sid}, ":token": {"S": before.token}},
        )
    except ClientError as error:
        if code(error) != "ConditionalCheckFailedException":
            raise
        return False
    return True


def new_token() -> str:
    """A client token for one attempt to make a group."""
    return str(uuid.uuid4())
