"""Which groups of a directory were made here. Directory Service Data has no tags, so the registry knows it.

An item is written before its group is created, with the client token of that call, and has the group's SID afterwards.
So a group that an interrupted attempt has made is known again, as long as AWS knows the token: eight hours
("CreateGroup", AWS Directory Service Data API reference).
"""

from __future__ import annotations

from typing import NamedTuple

from aurora_kerberos import items

PREFIX = "group:"


class Made(NamedTuple):
    """What is known of a group: its `sid`, and the `token` of a call whose answer is not known. Both may be empty."""

    sid: str = ""
    token: str = ""


def read(directory: str, name: str) -> Made:
    """What is known of a group (`dynamodb:GetItem`)."""
    item = items.read(key(directory, name))
    return Made(item.get("group_sid", ""), item.get("client_token", ""))


def write(directory: str, name: str, before: Made, now: Made) -> bool:
    """Write what is known of a group; False when another execution has written since (`dynamodb:PutItem`)."""
    unchanged = "(group_sid = :sid AND client_token = :token)"
    return items.put(
        key(directory, name),
        {"group_sid": now.sid, "client_token": now.token},
        unchanged if any(before) else f"attribute_not_exists(arn) OR {unchanged}",
        {":sid": before.sid, ":token": before.token},
    )


def key(directory: str, name: str) -> str:
    """The key of a group's item: the directory's id, and the name, of which Active Directory ignores the case."""
    return f"{PREFIX}{directory}/{name.lower()}"
