"""Step 7: every principal is a login role of the database with rds_ad and the roles asked for.

Groups of the directory are either roles of their own (pg_ad_mapping) or have been expanded into their members. A member
who has left such a group loses rds_ad; a role that this workflow has not made is never taken anything from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from psycopg2 import sql

from aurora_kerberos.database import Cluster, Session, has_database, master, refuse_unfit_roles
from aurora_kerberos.errors import DatabaseUnreachable, GroupMappingUnavailable
from aurora_kerberos.principals import Grant, Mapped
from aurora_kerberos.step import MINUTE, Ready, Waiting, step

MARK = "aurora-kerberos: "  # begins the comment on a role made here; what it has come from follows, as JSON


class Arguments(TypedDict):
    """`cluster` that has joined; `principals`, `mappings` and `groups`: the outputs of `ensure_directory_users`."""

    cluster: Cluster
    principals: list[Grant]
    mappings: list[Mapped]
    groups: list[str]


class Mark(TypedDict):
    """What a role made here has come from: listed by name, groups; and the roles it was granted for that."""

    named: bool
    groups: list[str]
    roles: list[str]


@dataclass(frozen=True)
class Role:
    """A role of the database: whether it can log in, the roles it is a direct member of, its mark."""

    login: bool
    held: frozenset[str]
    mark: Mark | None


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when all roles are there; all or none are made, in one transaction.

    CREATE USER "alice@CORP.EXAMPLE.COM" WITH LOGIN; GRANT rds_ad TO "alice@CORP.EXAMPLE.COM"
    """
    grants, mappings = arguments["principals"], arguments["mappings"]
    if not has_database(arguments["cluster"]):
        return Ready({"roles": [], "made": [], "revoked": [], "reason": "The roles are those of the primary cluster."})
    roles = [*(grant["principal"] for grant in grants), *(mapped["role"] for mapped in mappings)]
    try:
        with master(arguments["cluster"]) as session:
            refuse_unfit_roles(session, grants, mappings)
            there = existing(session, roles)
            for grant in grants:
                ensure_user(session, grant, there.get(grant["principal"]))
            revoked = revoke_left(session, arguments, there)
            if mappings:
                ensure_extension(session)
            for mapped in mappings:
                ensure_mapping(session, mapped, there.get(mapped["role"]))
    except DatabaseUnreachable as error:
        # It could be reached before its instances restarted; the writer's name may take a moment to follow.
        return Waiting("The database does not answer after the restart", deadline=5 * MINUTE, otherwise=error)
    made = [role for role in roles if role not in there]
    return Ready({"roles": roles, "made": made, "revoked": revoked, "reason": ""})


def existing(session: Session, names: list[str]) -> dict[str, Role]:
    """The roles of these names, and all that this workflow has made."""
    rows = session.execute(
        """
        SELECT CAST(rolname AS text), rolcanlogin, shobj_description(oid, 'pg_authid'), CAST(ARRAY_TO_JSON(ARRAY(
            SELECT granted.rolname FROM pg_auth_members JOIN pg_roles granted ON granted.oid = roleid
            WHERE member = role.oid
        )) AS text)
        FROM pg_roles role
        WHERE rolname IN (SELECT jsonb_array_elements_text(CAST(%s AS jsonb)))
        OR shobj_description(oid, 'pg_authid') LIKE %s
        """,
        (json.dumps(names), MARK + "{%"),
    )
    return {name: Role(login, frozenset(json.loads(held)), mark_in(comment)) for name, login, comment, held in rows}


def mark_in(comment: str | None) -> Mark | None:
    """The mark in a role's comment; None when it was not made here."""
    if comment is None or not comment.startswith(MARK + "{"):
        return None
    try:
        mark: Mark = json.loads(comment.removeprefix(MARK))
    except ValueError:  # somebody has written into it: whose role it is, nobody knows any more
        return None
    return mark if mark.keys() >= Mark.__required_keys__ else None


def ensure_login(session: Session, name: str, role: Role | None, wanted: Iterable[str]) -> None:
    """A role that can log in and is a member of the wanted ones."""
    identifier = sql.Identifier(name)
    if role is None:
        session.execute(sql.SQL("CREATE USER {} WITH LOGIN").format(identifier))
    elif not role.login:
        session.execute(sql.SQL("ALTER ROLE {} WITH LOGIN").format(identifier))
    held = role.held if role else frozenset()
    for each in wanted:
        if each not in held:
            session.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(each), identifier))


def ensure_user(session: Session, grant: Grant, role: Role | None) -> None:
    """One principal's role with rds_ad."""
    ensure_login(session, grant["principal"], role, ["rds_ad", *grant["roles"]])
    before = role.mark if role else Mark(named=False, groups=[], roles=[])
    if before is not None:
        mark = completed(before, grant)
        if role is None or mark != before:
            write_mark(session, grant["principal"], mark)


def completed(mark: Mark, grant: Grant) -> Mark:
    """The mark with what is asked for now added."""
    return Mark(
        named=mark["named"] or grant["named"],
        groups=sorted({*mark["groups"], *grant["groups"]}),
        roles=sorted({*mark["roles"], *grant["roles"]}),
    )


def write_mark(session: Session, name: str, mark: Mark) -> None:
    """Note on a role made here what it has come from."""
    text = sql.Literal(MARK + json.dumps(mark, sort_keys=True))
    session.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(name), text))


def revoke_left(session: Session, arguments: Arguments, there: dict[str, Role]) -> list[str]:
    """Take from members what came with the groups they have left; the roles that can no longer log in.

    Only the groups that are asked for now are known. Who may log in for another reason keeps rds_ad; the roles granted
    here are taken as far as nothing unknown may be the reason for them.
    """
    grants = {grant["principal"]: grant for grant in arguments["principals"]}
    known, revoked = set(arguments["groups"]), []
    for name, role in there.items():
        grant = grants.get(name, Grant(principal=name, roles=[], named=False, groups=[]))
        if role.mark is None or not (left := set(role.mark["groups"]) & known - set(grant["groups"])):
            continue
        mark = completed(role.mark, grant)
        groups = set(mark["groups"]) - left
        unknown = groups - known or (mark["named"] and not grant["named"])
        taken = set() if unknown else set(mark["roles"]) - set(grant["roles"])
        if not groups and not mark["named"]:
            taken.add("rds_ad")
            revoked.append(name)
        for each in sorted(taken & role.held):
            session.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(each), sql.Identifier(name)))
        roles = sorted(set(mark["roles"]) - taken)
        write_mark(session, name, Mark(named=mark["named"], groups=sorted(groups), roles=roles))
    return revoked


def ensure_extension(session: Session) -> None:
    """The extension pg_ad_mapping, whose library `ensure_group_mapping` has had loaded.

    Raises:
        GroupMappingUnavailable: the library is not loaded.
    """
    ((loaded,),) = session.execute("SELECT current_setting('shared_preload_libraries')")
    if "pg_ad_mapping" not in [library.strip() for library in loaded.split(",")]:
        raise GroupMappingUnavailable(
            f"The database has loaded {loaded or 'no libraries'}, and not pg_ad_mapping.",
            "Restart the writer: its parameter group asks for the library, which is loaded at the start. If an "
            "instance is from before May 2025 and has joined already, let the cluster leave the domain first.",
        )
    session.execute("CREATE EXTENSION IF NOT EXISTS pg_ad_mapping")


def ensure_mapping(session: Session, mapped: Mapped, role: Role | None) -> None:
    """One group's role, and the mapping to it ("Mapping DB role with AD security group").

    Raises:
        GroupMappingUnavailable: the role has rds_ad, which it must not have.
    """
    if role and "rds_ad" in role.held:
        raise GroupMappingUnavailable(
            f"The database role {mapped['role']!r}, for the members of {mapped['group']}, has rds_ad.",
            f"REVOKE rds_ad from it: a role is either one person's or a group's. Or map {mapped['group']} to another.",
        )
    ensure_login(session, mapped["role"], role, mapped["roles"])
    key = (mapped["sid"], mapped["role"])
    rows = session.execute("SELECT ad_sid, pg_role, weight FROM pgadmap_read_mapping()")
    weights = [weight for sid, name, weight in rows if (sid, name) == key]
    for weight in weights:
        if weight != mapped["weight"]:  # a mapping cannot be changed
            session.execute("SELECT pgadmap_reset_mapping(%s, %s, CAST(%s AS integer))", (*key, weight))
    if mapped["weight"] not in weights:
        session.execute(
            "SELECT pgadmap_set_mapping(%s, %s, %s, CAST(%s AS integer))",
            (mapped["group"], mapped["role"], mapped["sid"], mapped["weight"]),
        )
