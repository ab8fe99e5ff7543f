"""Step 4: the users and groups of the directory, and who is in the groups that may log in.

Directory Service Data is eventually consistent: what was made is waited for until it is seen. A user gets a password
only if this workflow has made him and no password was set since; see `aurora_kerberos.passwords` for how that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import passwords
from aurora_kerberos.aws import client, code, message, redacted, secret
from aurora_kerberos.errors import (
    AccessDenied,
    AwsRefused,
    DirectoryAccountRoleMissing,
    DirectoryDataUnavailable,
    DirectoryGroupUnfit,
    DirectoryUserUnfit,
    SecretUnusable,
)
from aurora_kerberos.plan import Directory, DirectoryUsers
from aurora_kerberos.principals import Grant, merged, written
from aurora_kerberos.step import MINUTE, Ready, Waiting, step

ACCESS_DEADLINE = 30 * MINUTE
SEEN_DEADLINE = 15 * MINUTE
GROUP_DEADLINE = 5 * MINUTE

ATTRIBUTES = {"GivenName": "given_name", "Surname": "surname", "EmailAddress": "email"}


class Arguments(TypedDict):
    """`directory`; `directory_users` and `principals` of the plan; `progress`: what was `made` so far, at first {}."""

    directory: Directory
    wanted: DirectoryUsers
    principals: list[Grant]
    progress: Mapping[str, list[str]]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when all is there, with the principals and mappings that the groups stand for."""
    directory, wanted, principals = arguments["directory"], arguments["wanted"], arguments["principals"]
    if not any(wanted.values()):
        return Ready({"principals": merged(principals), "mappings": [], "groups": [], "made": []})
    if directory["shared"] and not directory["role"]:
        raise DirectoryAccountRoleMissing(
            f"The directory {directory['id']} is shared by the account {directory['owner_account'] or 'that owns it'}, "
            "and only there its users and groups can be read and made.",
            "Set the stack's parameter DirectoryAccountRole to a role of that account, or take the users and groups "
            "out of the settings and the principals.",
        )
    made = [*arguments["progress"].get("made", [])]
    try:
        result = ensure(directory, wanted, principals, made)
    except ClientError as error:
        result = later(error, directory)
    return replace(result, outputs={**result.outputs, "made": made})


def ensure(directory: Directory, wanted: DirectoryUsers, principals: list[Grant], made: list[str]) -> Ready | Waiting:
    """Do what is missing; `made` gets a line for each thing that is done."""
    if waiting := ensure_access(directory):
        return waiting
    waits = [ensure_user(directory, user, made) for user in wanted["users"]]
    waits += [ensure_group(directory, group, made) for group in wanted["groups"]]
    for each in filter(None, waits):
        return each
    return look_up(directory, wanted["principal_groups"], principals)


# --- access -----------------------------------------------------------------------------------------------------------


def ensure_access(directory: Directory) -> Waiting | None:
    """Switch Directory Data access on (`ds:EnableDirectoryDataAccess`); None when it is Enabled."""
    ds, name = client("ds", directory["role"]), directory["id"]
    try:
        status = ds.describe_directory_data_access(DirectoryId=name)["DataAccessStatus"]
        if status == "Enabled":
            return None
        if status in {"Disabled", "Failed"}:
            ds.enable_directory_data_access(DirectoryId=name)
    except ClientError as error:
        if code(error) == "UnsupportedOperationException":
            raise DirectoryDataUnavailable(
                f"Directory {name} does not let its users and groups be read by API: {message(error)}",
                "Take the users and groups out of the settings and the principals, and make them by hand.",
            ) from error
        if code(error) != "DirectoryInDesiredStateException":
            raise
    unavailable = DirectoryDataUnavailable(
        f"Data access of directory {name} is {status} after {ACCESS_DEADLINE // MINUTE} minutes.",
        "Switch it on in AWS Directory Service (the directory's page, Directory Service Data), then start again.",
    )
    reason = f"Data access of directory {name} is not Enabled yet"
    return Waiting(reason, at_least=MINUTE, deadline=ACCESS_DEADLINE, otherwise=unavailable)


def later(error: ClientError, directory: Directory) -> Waiting:
    """What to wait for after an error of Directory Service Data.

    Raises:
        KerberosError: waiting does not help.
        ClientError: not one of its errors.
    """
    name, reason = code(error), str(error.response.get("Reason", ""))
    said = f"{error.operation_name}: {name} {reason}: {message(error)}"
    if name == "DirectoryUnavailableException" or reason == "DATA_DISABLED":
        unavailable = DirectoryDataUnavailable(said, "See the directory's status in AWS Directory Service.")
        waiting_for = f"Users and groups of directory {directory['id']} cannot be read or written"
        return Waiting(waiting_for, deadline=ACCESS_DEADLINE, otherwise=unavailable)
    if reason == "IAM_AUTH":
        who = directory["role"] or "the function's role"
        action = f"ds-data:{error.operation_name}"
        raise AccessDenied(said, f"Let {who} do {action} and ds:AccessDSData on the directory {directory['id']}.")
    if reason == "DIRECTORY_AUTH":
        outside = "Users and groups can only be written in the organizational unit that AWS made for the directory."
        raise AccessDenied(said, f"{outside} Make this one by hand, or take it out of the settings.")
    if name == "ValidationException" and reason == "INVALID_SECONDARY_REGION":
        raise AwsRefused(
            said, "Deploy the stack in the directory's primary Region, or make the users and groups there."
        )
    if name == "ValidationException":
        raise AwsRefused(said, "Correct the users and groups in the settings, then start again.")
    raise error


# --- users ------------------------------------------------------------------------------------------------------------


def ensure_user(directory: Directory, user: Mapping[str, str], made: list[str]) -> Waiting | None:
    """Do the next missing thing for one user; None when nothing is missing.

    The mark on the secret tells that this workflow makes the user, who has no password yet.
    """
    name, secret_name = user["name"], user["secret"]
    found, mark = find(directory, "user", name), passwords.mark_of(secret_name)
    if not mark and not found:
        mark = passwords.begin(secret_name, name, f"The user {name} of the directory {directory['id']}")
    if mark and not mark.startswith("S-"):
        mark = create(directory, user, mark, made)
        if not mark:
            taken = DirectoryUserUnfit(
                f"There is something of the name {name} in the directory, and no user is seen.",
                "Give the user another name, or delete what has this one, then start again.",
            )
            return Waiting(f"User {name} exists and is not seen yet", deadline=SEEN_DEADLINE, otherwise=taken)
    if mark:
        if not found or (found["SID"] == mark and not found["Enabled"] and not set_password(directory, user)):
            gone = DirectoryUserUnfit(
                f"The user {name} was made and is not seen in the directory.",
                f"If somebody has deleted it, take the tag {passwords.MARK} off the secret {secret_name}, then start "
                "again: it is made anew.",
            )
            return Waiting(f"User {name} is not seen yet", deadline=SEEN_DEADLINE, otherwise=gone)
        passwords.unmark(secret_name)
    complete(directory, user, found or {}, made)
    return None


def find(directory: Directory, kind: str, name: str) -> dict[str, Any] | None:
    """A user or a group, if it is seen (`ds-data:DescribeUser`, `ds-data:DescribeGroup`)."""
    data = client("ds-data", directory["role"])
    describe = data.describe_user if kind == "user" else data.describe_group
    try:
        return dict(describe(DirectoryId=directory["id"], SAMAccountName=name))
    except ClientError as error:
        if code(error) != "ResourceNotFoundException":
            raise
        return None


def create(directory: Directory, user: Mapping[str, str], token: str, made: list[str]) -> str:
    """Make a user, who is disabled yet; the new mark, empty when somebody else has made it (`ds-data:CreateUser`).

    The same token has the same answer for eight hours: so the user that an interrupted attempt has made is known again.
    """
    name, secret_name = user["name"], user["secret"]
    try:
        sid = client("ds-data", directory["role"]).create_user(
            DirectoryId=directory["id"], SAMAccountName=name, ClientToken=token, **asked(user)
        )["SID"]
    except ClientError as error:
        if code(error) != "ConflictException":
            raise
        if (now := passwords.mark_of(secret_name)) != token:
            return now  # somebody else was faster, with this workflow
        passwords.unmark(secret_name)
        return ""
    passwords.mark(secret_name, sid)
    made.append(f"user {name}")
    return str(sid)


def asked(user: Mapping[str, str]) -> dict[str, str]:
    """The attributes that the settings give a user."""
    return {name: user[field] for name, field in ATTRIBUTES.items() if user[field]}


def set_password(directory: Directory, user: Mapping[str, str]) -> bool:
    """Set the password of the user's secret, which enables the user; False when it is not seen yet.

    (`ds:ResetUserPassword`.)
    """
    password = secret(user["secret"], "password")["password"]
    try:
        client("ds", directory["role"]).reset_user_password(
            DirectoryId=directory["id"], UserName=user["name"], NewPassword=password
        )
    except ClientError as error:
        said = message(redacted(error, password))
        if code(error) == "UserDoesNotExistException":
            return False
        if code(error) != "InvalidPasswordException":
            raise
        raise SecretUnusable(
            f"The directory refuses the password of the user {user['name']}: {said}",
            f"Store one that satisfies the directory's password policy as `password` in the secret {user['secret']}.",
        ) from None
    return True


def complete(directory: Directory, user: Mapping[str, str], found: Mapping[str, Any], made: list[str]) -> None:
    """Give a user the attributes that are asked for and have no value (`ds-data:UpdateUser`)."""
    missing = {name: value for name, value in asked(user).items() if not found.get(name)}
    if not missing:
        return
    try:
        client("ds-data", directory["role"]).update_user(
            DirectoryId=directory["id"], SAMAccountName=user["name"], UpdateType="ADD", **missing
        )
        made.append(f"{' and '.join(missing)} of user {user['name']}")
    except ClientError as error:
        if error.response.get("Reason") != "ATTRIBUTE_EXISTS":  # set, and not seen yet
            raise


# --- groups -----------------------------------------------------------------------------------------------------------


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
    users, groups, left = set(), {group.lower()}, [group]
    while left:
        for member in members(directory, left.pop()):
            name = member["SAMAccountName"]
            if member["MemberType"] == "USER":
                users.add(name.lower())
            elif member["MemberType"] == "GROUP" and name.lower() not in groups:
                groups.add(name.lower())
                left.append(name)
    return sorted(users)
