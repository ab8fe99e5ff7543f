"""The users that a directory is to have.

A user gets a password only if this workflow has made him and no password was set since; see `passwords` for how that is
known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos import passwords
from aurora_kerberos.aws import client, code, message, redacted, secret
from aurora_kerberos.directory_data import SEEN_DEADLINE, find
from aurora_kerberos.errors import (
    DirectoryUserUnfit,
    SecretUnusable,
)
from aurora_kerberos.plan import Directory
from aurora_kerberos.step import Waiting

ATTRIBUTES = {"GivenName": "given_name", "Surname": "surname", "EmailAddress": "email"}


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


def create(directory: Directory, user: Mapping[str, str], token: str, made: list[str]) -> str:
    """Make a user, who is disabled yet; the new mark, empty when somebody else has made it (`ds-data:CreateUser`).

    The same token has the same answer for eight hours: so the user that an interrupted attempt has made is known again.
    """
    name, secret_name = user["name"], user["secret"]
    try:
        sid = client("ds-data", directory["role"]).create_user(
            DirectoryId=directory["id"], SAMAccountName=name, ClientToken=token, **attributes_of(user)
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


def attributes_of(user: Mapping[str, str]) -> dict[str, str]:
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
    missing = {name: value for name, value in attributes_of(user).items() if not found.get(name)}
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
