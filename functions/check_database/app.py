"""Before anything is changed: finds out whether step 7 can succeed.

The step logs in as the master user and looks at the roles. So a closed port, a wrong password or a principal that uses
IAM shows in the first minute, and not after the hour that directory and membership take. It changes nothing.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from aurora_kerberos.database.grants import refuse_unfit_roles
from aurora_kerberos.database.master import master
from aurora_kerberos.database.session import has_database
from aurora_kerberos.plan import Cluster
from aurora_kerberos.principals import Grant, MappedRole
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """`cluster`, `principals`, `allowed_roles` of the plan; `groups`: those that are listed, with their roles."""

    cluster: Cluster
    principals: list[Grant]
    groups: NotRequired[list[dict[str, Any]]]  # and the roles: unknown to the definition before
    allowed_roles: NotRequired[list[str]]


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when the master user can log in and everybody may have what is listed, or when there is no database yet."""
    groups = arguments.get("groups", [])
    members = [
        Grant(principal=f"the members of {group['group']}", roles=group["roles"], named=False, groups=[])
        for group in groups
        if not group["map_to"]
    ]
    mappings = [
        MappedRole(group=group["group"], role=group["map_to"], roles=group["roles"])
        for group in groups
        if group["map_to"]
    ]
    if has_database(arguments["cluster"]):
        with master(arguments["cluster"]) as session:
            grants = [*arguments["principals"], *members]
            refuse_unfit_roles(session, grants, mappings, arguments.get("allowed_roles", []))
    return Ready()
