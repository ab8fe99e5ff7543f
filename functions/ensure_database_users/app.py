"""Step 7: makes every principal a login role of the database with rds_ad and the roles that the list names.

A group of the directory either is mapped to a role (pg_ad_mapping) or has been expanded into its members. A member who
leaves such a group loses rds_ad. The step only revokes what it has granted itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NotRequired, TypedDict

from psycopg2 import sql

from aurora_kerberos.database.grants import beyond_ceiling, held_roles, refuse_unfit_roles
from aurora_kerberos.database.mappings import ensure_extension, ensure_mapping
from aurora_kerberos.database.master import master
from aurora_kerberos.database.roles import NO_MARK, Role, after_leaving, completed, doubts, existing, take, write_mark
from aurora_kerberos.database.session import Session, has_database
from aurora_kerberos.errors import DatabaseUnreachable
from aurora_kerberos.plan import Cluster
from aurora_kerberos.principals import Grant, Mapped
from aurora_kerberos.step import MINUTE, Ready, Waiting, step


class Arguments(TypedDict):
    """`cluster` that has joined; `principals`, `mappings` and `groups`: the outputs of `ensure_directory_users`.

    `allowed_roles` of the plan.
    """

    cluster: Cluster
    principals: list[Grant]
    mappings: list[Mapped]
    groups: list[str]
    allowed_roles: NotRequired[list[str]]  # unknown to the definition before


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when all roles exist. They are made in one transaction: all of them or none.

    CREATE USER "alice@CORP.EXAMPLE.COM" WITH LOGIN; GRANT rds_ad TO "alice@CORP.EXAMPLE.COM"
    """
    grants, mappings = arguments["principals"], arguments["mappings"]
    if not has_database(arguments["cluster"]):
        reason = "The roles are those of the primary cluster."
        return Ready({"roles": [], "made": [], "revoked": [], "reason": reason, "warnings": []})
    roles = [*(grant["principal"] for grant in grants), *(mapped["role"] for mapped in mappings)]
    try:
        with master(arguments["cluster"]) as session:
            refuse_unfit_roles(session, grants, mappings, arguments.get("allowed_roles", []))
            there = existing(session, roles)
            for grant in grants:
                ensure_user(session, grant, there.get(grant["principal"]))
            revoked, kept = revoke_leavers(session, arguments, there)
            schema = ensure_extension(session) if mappings else ""
            for mapped in mappings:
                role = there.get(mapped["role"])
                ensure_login(session, mapped["role"], role, mapped["roles"])
                ensure_mapping(session, schema, mapped, role)
    except DatabaseUnreachable as error:
        # The database could be reached before the restart; DNS may take a moment to name the writer again.
        return Waiting("The database does not answer after the restart", deadline=5 * MINUTE, otherwise=error)
    made = [role for role in roles if role not in there]
    return Ready({"roles": roles, "made": made, "revoked": revoked, "reason": "", "warnings": [*doubts(there), *kept]})


def ensure_login(session: Session, name: str, role: Role | None, wanted: Iterable[str]) -> list[str]:
    """Make a role that can log in and has the wanted roles; return the roles that were granted to it now."""
    identifier = sql.Identifier(name)
    if role is None:
        session.execute(sql.SQL("CREATE USER {} WITH LOGIN").format(identifier))
    elif not role.login:
        session.execute(sql.SQL("ALTER ROLE {} WITH LOGIN").format(identifier))
    granted = [each for each in wanted if role is None or each not in role.held]
    for each in granted:
        session.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(each), identifier))
    return granted


def ensure_user(session: Session, grant: Grant, role: Role | None) -> None:
    """Make one principal's role with rds_ad, and write the mark that says what was granted here, and why."""
    granted = ensure_login(session, grant["principal"], role, ["rds_ad", *grant["roles"]])
    before = role.mark if role else None
    if before is None and not granted:
        return  # somebody else has granted all of it
    mark = completed(before or NO_MARK, grant, granted)
    if mark != before:
        write_mark(session, grant["principal"], role, mark)


def revoke_leavers(session: Session, arguments: Arguments, there: dict[str, Role]) -> tuple[list[str], list[str]]:
    """Take from those who have left a group what came with it.

    A mark is in a comment, which others may write as well: what this stack may not grant is not taken on its word.

    Returns:
        The roles that can no longer log in, and a warning for each that keeps what its mark names.
    """
    grants = {grant["principal"]: grant for grant in arguments["principals"]}
    known, revoked, warnings = set(arguments["groups"]), [], []
    allowed = arguments.get("allowed_roles", [])
    held = held_roles(session, {each for role in there.values() if role.mark for each in role.mark["roles"]})
    for name, role in there.items():
        grant = grants.get(name, Grant(principal=name, roles=[], named=False, groups=[]))
        if role.mark and (mark := after_leaving(role.mark, grant, known)):
            gone = set(role.mark["roles"]) - set(mark["roles"])
            beyond = {each for each in gone & role.held - {"rds_ad"} if beyond_ceiling(held[each], allowed)}
            taken = take(session, name, role, gone - beyond)
            revoked += [name] if "rds_ad" in taken else []
            write_mark(session, name, role, mark)
            if beyond:
                warnings.append(
                    f"The role {name!r} keeps {' and '.join(sorted(beyond))}: its mark says it was granted here, "
                    "and AllowedRoles does not allow it. If it is not meant, revoke it by hand."
                )
    return revoked, warnings
