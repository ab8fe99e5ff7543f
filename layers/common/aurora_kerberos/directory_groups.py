"""The groups that a directory is to have, and what the groups stand for that may log in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos.aws import client, code
from aurora_kerberos.directory_data import SEEN_DEADLINE, find
from aurora_kerberos.errors import (
    DirectoryGroupUnfit,
    DirectoryUserUnfit,
)
from aurora_kerberos.plan import Directory
from aurora_kerberos.principals import Grant, merged, written
from aurora_kerberos.step import MINUTE, Ready, Waiting

GROUP_DEADLINE = 5 * MINUTE


def ensure_group(directory: Directory, group: Mapping[str, Any], made: list[str]) -> Waiting | None:
    """Do the next missing thing for one group; None when it has the members that are asked for. Nobody is taken out."""
    name, data = group["name"], client("ds-data", directory["role"])
    ids = {"DirectoryId": directory["id"]}
    if not find(directory, "group", name):
        if done(data.create_group, **ids, SAMAccountName=name, GroupType="Security", GroupScope="Global"):
            made.append(f"group {name}")
        taken = DirectoryGroupUnfit(
            f"There is something of the name {name} in the directory, and no group is seen.",
            "Give the group another name, or delete what has this one, then start again.",
        )
        return Waiting(f"Group {name} is not seen yet", deadline=SEEN_DEADLINE, otherwise=taken)
    there = {member["SAMAccountName"].lower() for member in members(directory, name)}
    missing = [member for member in group["members"] if member not in there]
    made += [
        f"{member} in group {name}"
        for member in missing
        if done(data.add_group_member, **ids, GroupName=name, MemberName=member)
    ]
    if not missing:
        return None
    unknown = DirectoryUserUnfit(
        f"{' and '.join(missing)} cannot be seen among the members of the group {name}.",
        "Add them to the users in the settings, correct their names, or make them in the directory.",
    )
    waiting_for = f"Members {' and '.join(missing)} of group {name} are not seen yet"
    return Waiting(waiting_for, deadline=SEEN_DEADLINE, otherwise=unknown)


def done(write: Callable[..., Any], **parameters: Any) -> bool:
    """Whether a call has written what it was to write; False when that is there already, or what it needs is not."""
    try:
        write(**parameters)
    except ClientError as error:
        if code(error) not in {"ConflictException", "ResourceNotFoundException"}:
            raise
        return False
    return True


def members(directory: Directory, group: str) -> list[dict[str, str]]:
    """The direct members of a group that are of the directory's own domain (`ds-data:ListGroupMembers`)."""
    pages = client("ds-data", directory["role"]).get_paginator("list_group_members")
    found = pages.paginate(DirectoryId=directory["id"], SAMAccountName=group)
    return [member for page in found for member in page["Members"]]


def look_up(directory: Directory, groups: list[dict[str, Any]], principals: list[Grant]) -> Ready | Waiting:
    """Ready with what groups stand for: the users in them, or a mapping of the group to a database role."""
    grants, mappings, expanded = [*principals], [], []
    for group in groups:
        found = find(directory, "group", group["group"])
        if not found:
            missing = DirectoryGroupUnfit(
                f"The directory has no group {group['group']}, which is listed among the principals.",
                "Correct its name, make it in the directory, or add it to the groups in the settings.",
            )
            reason = f"Group {group['group']} is not seen"
            return Waiting(reason, deadline=GROUP_DEADLINE, otherwise=missing)
        name = found["SAMAccountName"]
        if not group["map_to"]:
            users = users_in(directory, name)
            expanded.append(name)
            grants += [
                Grant(principal=written(user, directory["realm"]), roles=group["roles"], named=False, groups=[name])
                for user in users
            ]
        elif found["GroupType"] != "Security":
            raise DirectoryGroupUnfit(
                f"The group {name} is a {found['GroupType']} group: no ticket tells who is in it.",
                "Map a security group, or leave `map_to` out so that its members become database users.",
            )
        else:
            role = {"role": group["map_to"], "roles": group["roles"], "weight": group["weight"]}
            mappings.append({"group": name, "sid": found["SID"], **role})
    return Ready({"principals": merged(grants), "mappings": mappings, "groups": expanded})


def users_in(directory: Directory, group: str) -> list[str]:
    """The users in a group and in the groups in it, each once, however the groups are nested."""
    users, groups, remaining = set(), {group.lower()}, [group]
    while remaining:
        for member in members(directory, remaining.pop()):
            name = member["SAMAccountName"]
            if member["MemberType"] == "USER":
                users.add(name.lower())
            elif member["MemberType"] == "GROUP" and name.lower() not in groups:
                groups.add(name.lower())
                remaining.append(name)
    return sorted(users)
