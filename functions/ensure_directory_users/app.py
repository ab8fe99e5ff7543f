"""Step 4: the users and groups of the directory, and who is in the groups that may log in.

Directory Service Data is eventually consistent: what was made is waited for until it is seen. A user gets a password
only if this workflow has made him and no password was set since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos.directory_data import ensure_access, later
from aurora_kerberos.directory_groups import ensure_group, look_up
from aurora_kerberos.directory_users import ensure_user
from aurora_kerberos.errors import DirectoryAccountRoleMissing
from aurora_kerberos.plan import Directory, DirectoryUsers
from aurora_kerberos.principals import Grant, merged
from aurora_kerberos.step import Ready, Waiting, step


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
