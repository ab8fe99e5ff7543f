"""What must be true of the roles that are to be granted, before any is."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from aurora_kerberos.database.session import Session
from aurora_kerberos.errors import DatabaseRoleNotFound, PrincipalUsesIam
from aurora_kerberos.principals import Grant, MappedRole, is_reserved, role_reserved


def refuse_unfit_roles(
    session: Session, grants: Sequence[Grant], mappings: Sequence[MappedRole], allowed: Collection[str]
) -> None:
    """Refuse what may not be granted, before anything is.

    Args:
        session: the master user's.
        grants: the principals; what they hold already is not asked about, except rds_iam.
        mappings: what is granted to their roles, and what these roles hold already, is for all in the group.
        allowed: reserved roles that may be granted all the same.

    Raises:
        DatabaseRoleNotFound: a role to be granted does not exist.
        PrincipalUsesIam: a principal, or a role it would get, is a member of rds_iam, be it through other roles.
        RoleReserved: a role is or has, be it through other roles, a reserved one, the master user, or the power to
            make roles, to replicate, or to pass over row security.
    """
    wanted = [
        *((g["principal"], g["principal"], g["roles"], False) for g in grants),
        *((f"the group {m['group']}", m["role"], m["roles"], True) for m in mappings),
    ]
    held = held_roles(session, {role for _, login, roles, _ in wanted for role in [login, *roles]})
    for who, login, roles, mapped in wanted:
        if absent := [role for role in roles if role not in held]:
            raise DatabaseRoleNotFound(
                f"The database role {absent[0]!r}, to be granted to {who}, does not exist.",
                "Create the role, or take it out of the principal's roles.",
            )
        if holders := [role for role in [login, *roles] if "rds_iam" in held.get(role, {})]:
            raise PrincipalUsesIam(
                f"The database role {holders[0]!r} has rds_iam, so {who} cannot have rds_ad.",
                f"REVOKE rds_iam from it (or from the role it has it through), or take {who} out.",
            )
        for role in [*([login] if mapped else []), *roles]:
            if beyond := beyond_ceiling(held.get(role, {}), allowed):
                raise role_reserved(role, beyond, who)


def beyond_ceiling(held: Mapping[str, bool], allowed: Collection[str]) -> list[str]:
    """What a role is or has, as `held_roles` answers it, that this stack may not grant, sorted."""
    return sorted(each for each in held if each not in allowed and (held[each] or is_reserved(each)))


def held_roles(session: Session, roles: Collection[str]) -> dict[str, dict[str, bool]]:
    """Each role that exists with all roles that it is or has, and whether each of these has power of its own."""
    # pg_has_role() holds for every role when asked of a superuser, hence the walk.
    rows = session.execute(
        """
        WITH RECURSIVE held AS (
            SELECT oid, rolname AS holder FROM pg_roles
            WHERE rolname IN (SELECT jsonb_array_elements_text(CAST(%s AS jsonb)))
            UNION
            SELECT m.roleid, held.holder FROM held JOIN pg_auth_members m ON m.member = held.oid
        )
        SELECT CAST(holder AS text), CAST(rolname AS text), rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls
        OR rolname = session_user
        FROM held JOIN pg_roles role ON role.oid = held.oid
        """,
        (json.dumps(sorted(roles)),),
    )
    found: dict[str, dict[str, bool]] = {}
    for holder, name, power in rows:
        found.setdefault(holder, {})[name] = power
    return found
