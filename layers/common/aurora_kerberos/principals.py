"""Kerberos principals as PostgreSQL must know them, and the database roles that they are granted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from aurora_kerberos.errors import InvalidRequest, RoleReserved

RESERVED = ("pg_", "rds_")  # what the names of PostgreSQL's own roles and of Aurora's begin with
OF_AWS = {"rdsadmin", "rdsproxyadmin", "rdsrepladmin", "rdstopmgr", "rdswriteforwarduser"}  # users of AWS's own
LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer names with only a notice (NAMEDATALEN)


class Grant(TypedDict):
    """One of the plan's `principals`: the login role and the roles it is granted beside rds_ad.

    `named` says whether the list has the principal by name. `groups` are the listed groups that it is a member of.
    """

    principal: str
    roles: list[str]
    named: bool
    groups: list[str]


class MappedRole(TypedDict):
    """A group whose members log in as the database role `role`, and the roles that this one is granted."""

    group: str
    role: str
    roles: list[str]


class Mapped(MappedRole):
    """The same once the group has been looked up, as pg_ad_mapping takes it."""

    sid: str
    weight: int


def is_reserved(role: str) -> bool:
    """Whether a role is one of PostgreSQL's or Aurora's own, which carries more than access to data of applications.

    `rds_ad` is not: everybody who is listed gets it.
    """
    return role != "rds_ad" and (role.startswith(RESERVED) or role in OF_AWS)


def role_reserved(role: str, held: list[str], who: str) -> RoleReserved:
    """The error for a role that may not be granted to somebody, because of what it is or has."""
    because = "is reserved" if held == [role] else f"has {' and '.join(each for each in held if each != role)}"
    return RoleReserved(
        f"The database role {role!r}, for {who}, {because}.",
        f"Take it out of the list. If it is meant, add {' and '.join(held)} to the stack's parameter AllowedRoles.",
    )


def written(name: str, realm: str) -> str:
    """The principal as PostgreSQL must know it: lower-case name, upper-case realm (step 7 of the guide).

    Raises:
        InvalidRequest: the principal is longer than a PostgreSQL name may be.
    """
    principal = f"{name.lower()}@{realm.upper()}"
    if len(principal.encode()) > LONGEST_NAME:
        raise InvalidRequest(
            f"The principal {principal!r} has {len(principal.encode())} bytes.",
            f"PostgreSQL cuts names at {LONGEST_NAME} bytes, and the login would never match. Use a shorter name.",
        )
    return principal


def merged(grants: Iterable[Grant]) -> list[Grant]:
    """Each principal once, with all its roles and groups, ordered by name."""
    found: dict[str, Grant] = {}
    for grant in grants:
        name = grant["principal"]
        known = found.get(name, Grant(principal=name, roles=[], named=False, groups=[]))
        found[name] = Grant(
            principal=name,
            roles=sorted({*known["roles"], *grant["roles"]}),
            named=known["named"] or grant["named"],
            groups=sorted({*known["groups"], *grant["groups"]}),
        )
    return [found[name] for name in sorted(found)]
