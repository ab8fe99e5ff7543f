"""The groups that a directory is to have, and what the groups stand for that may log in."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos import made_groups
from aurora_kerberos.aws import client, code
from aurora_kerberos.directory_data import SEEN_DEADLINE, find
from aurora_kerberos.errors import (
    DirectoryGroupNotAllowed,
    DirectoryGroupUnfit,
    DirectoryUserUnfit,
    InvalidRequest,
)
from aurora_kerberos.made_groups import Made
from aurora_kerberos.plan import Directory
from aurora_kerberos.principals import Grant, merged, written
from aurora_kerberos.step import MINUTE, Ready, Waiting

GROUP_DEADLINE = 5 * MINUTE

# Groups that have rights over the directory. Active Directory's own have a SID below 1000 ("Active Directory security
# groups", Microsoft), but for those of its DNS; AWS's all begin alike ("What gets created with your AWS Managed
# Microsoft AD").
BUILT_IN = "S-1-5-32-"
FIRST_RID_OF_PEOPLE = 1000
OF_DNS = {"dnsadmins", "dnsupdateproxy"}
OF_AWS = "aws "


def ensure_group(directory: Directory, group: Mapping[str, Any], made: list[str]) -> Waiting | None:
    """Do the next missing thing for one group; None when it has the members that are asked for. Nobody is taken out."""
    name, data = group["name"], client("ds-data", directory["role"])
    found, known = find(directory, "group", name), made_groups.read(directory["id"], name)
    if not found or known.token:
        known = create(directory, name, known, made)
    if not found:
        taken = DirectoryGroupUnfit(
            f"There is something of the name {name} in the directory, and no group is seen.",
            "Give the group another name, or delete what has this one, then start again.",
        )
        return Waiting(f"Group {name} is not seen yet", deadline=SEEN_DEADLINE, otherwise=taken)
    there = {member["SAMAccountName"].lower() for member in members(directory, name)}
    missing = [member for member in group["members"] if member not in there]
    if missing:
        refuse_not_allowed(found, missing, group.get("allowed", False) or made_here(found, known, made))
    made += [
        f"{member} in group {name}"
        for member in missing
        if done(data.add_group_member, DirectoryId=directory["id"], GroupName=name, MemberName=member)
    ]
    if not missing:
        return None
    unknown = DirectoryUserUnfit(
        f"{' and '.join(missing)} cannot be seen among the members of the group {name}.",
        "Add them to the list of users, correct their names, or make them in the directory.",
    )
    waiting_for = f"Members {' and '.join(missing)} of group {name} are not seen yet"
    return Waiting(waiting_for, deadline=SEEN_DEADLINE, otherwise=unknown)


def create(directory: Directory, name: str, known: Made, made: list[str]) -> Made:
    """Make a group, or find out whether an attempt before has made it (`ds-data:CreateGroup`); what is known then."""
    attempt = Made(known.sid, known.token or str(uuid.uuid4()))
    if attempt != known and not made_groups.write(directory["id"], name, known, attempt):
        return known  # another execution is making it
    try:
        sid = client("ds-data", directory["role"]).create_group(
            DirectoryId=directory["id"],
            SAMAccountName=name,
            GroupType="Security",
            GroupScope="Global",
            ClientToken=attempt.token,
        )["SID"]
        now = Made(sid)
        made.append(f"group {name}")
    except ClientError as error:
        if code(error) != "ConflictException":
            raise
        now = Made(known.sid)  # the name is taken, and not by this attempt
    made_groups.write(directory["id"], name, attempt, now)
    return now


def made_here(found: Mapping[str, Any], known: Made, made: list[str]) -> bool:
    """Whether the group is the one that was made here, and not another one of its name."""
    # An execution that began with the version before has made it without an item in the registry.
    return known.sid == found["SID"] or f"group {found['SAMAccountName']}" in made


def refuse_not_allowed(group: Mapping[str, Any], missing: list[str], allowed: bool) -> None:
    """Refuse to add members to a group that somebody else has made, for whatever it gives them.

    Raises:
        DirectoryGroupNotAllowed: it is of Active Directory or AWS, or the stack does not allow it.
    """
    name, sid = group["SAMAccountName"], group["SID"]
    if (
        sid.startswith(BUILT_IN)
        or int(sid.rpartition("-")[2]) < FIRST_RID_OF_PEOPLE
        or name.lower() in OF_DNS
        or name.lower().startswith(OF_AWS)
    ):
        raise DirectoryGroupNotAllowed(
            f"The group {name} is one of Active Directory's or AWS's own, with rights over the directory: "
            f"{' and '.join(missing)} is not added to it.",
            "Take it out of the list of groups. Who is to administer the directory is added to it by hand.",
        )
    if not allowed:
        raise DirectoryGroupNotAllowed(
            f"The group {name} was not made here: {' and '.join(missing)} is not added to it.",
            "If whoever writes the list of groups may add members to it, write its name into the stack's parameter "
            "AllowedGroups. Or add them in the directory by hand, or give the group another name.",
        )


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
    warnings: list[str] = []
    for group in groups:
        found = find(directory, "group", group["group"])
        if not found:
            missing = DirectoryGroupUnfit(
                f"The directory has no group {group['group']}, which is listed among the principals.",
                "Correct its name, make it in the directory, or add it to the list of groups.",
            )
            reason = f"Group {group['group']} is not seen"
            return Waiting(reason, deadline=GROUP_DEADLINE, otherwise=missing)
        name = found["SAMAccountName"]
        if not group["map_to"]:
            users = users_in(directory, name)
            expanded.append(name)
            for user in users:
                try:
                    principal = written(user, directory["realm"])
                except InvalidRequest as too_long:  # who is in a group is not for who lists it to say
                    warnings.append(f"{too_long.message} This member of the group {name} cannot log in.")
                else:
                    grants.append(Grant(principal=principal, roles=group["roles"], named=False, groups=[name]))
        elif found["GroupType"] != "Security":
            raise DirectoryGroupUnfit(
                f"The group {name} is a {found['GroupType']} group: no ticket tells who is in it.",
                "Map a security group, or leave `map_to` out so that its members become database users.",
            )
        else:
            role = {"role": group["map_to"], "roles": group["roles"], "weight": group["weight"]}
            mappings.append({"group": name, "sid": found["SID"], **role})
    return Ready({"principals": merged(grants), "mappings": mappings, "groups": expanded, "warnings": warnings})


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
