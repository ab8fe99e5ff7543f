"""The roles of a database, and the marks on them that tell what was given here and may be taken again.

A mark is a JSON object in the role's comment, in a line of its own after whatever else the comment says. Who may write
comments may write marks: a mark of another form, or on a role that is no principal's, is not believed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypedDict, TypeGuard

from psycopg2 import sql

from aurora_kerberos.database.session import Session
from aurora_kerberos.principals import Grant

MARK = "aurora-kerberos: "


class Mark(TypedDict):
    """What a role's rights have come from: listed by name, groups; and the roles it was granted here for that."""

    named: bool
    groups: list[str]
    roles: list[str]


NO_MARK: Mark = {"named": False, "groups": [], "roles": []}


@dataclass(frozen=True)
class Role:
    """A role of the database: whether it can log in, the roles it is a direct member of, its mark.

    `comment` is what its comment says beside the mark. `doubtful`: it has what looks like a mark and is not believed.
    """

    login: bool
    held: frozenset[str]
    mark: Mark | None
    comment: str
    doubtful: bool


def existing(session: Session, names: Collection[str] = ()) -> dict[str, Role]:
    """The roles of these names, and all that bear a mark."""
    rows = session.execute(
        """
        SELECT CAST(rolname AS text), rolcanlogin, shobj_description(oid, 'pg_authid'), CAST(ARRAY_TO_JSON(ARRAY(
            SELECT granted.rolname FROM pg_auth_members JOIN pg_roles granted ON granted.oid = roleid
            WHERE member = role.oid
        )) AS text), NOT rolsuper AND rolname <> session_user
        FROM pg_roles role
        WHERE rolname IN (SELECT jsonb_array_elements_text(CAST(%s AS jsonb)))
        OR shobj_description(oid, 'pg_authid') LIKE %s
        """,
        (json.dumps(list(names)), f"%{MARK}{{%"),
    )
    found = {}
    for name, login, comment, held, ordinary in rows:
        mark, rest = parted(comment or "") if ordinary and "@" in name else (None, comment or "")
        found[name] = Role(login, frozenset(json.loads(held)), mark, rest, doubtful=mark is None and MARK in rest)
    return found


def parted(comment: str) -> tuple[Mark | None, str]:
    """The mark in a role's comment, if there is one, and the rest of the comment."""
    before, found, text = comment.rpartition(MARK)
    try:
        mark = json.loads(text if found else "null")
    except (ValueError, RecursionError):  # somebody has written into it: what was given here, nobody knows any more
        return None, comment
    if not isinstance(mark, dict):
        return None, comment
    named, groups, roles = (mark.get(field) for field in ("named", "groups", "roles"))
    if not isinstance(named, bool) or not is_names(groups) or not is_names(roles):
        return None, comment
    return Mark(named=named, groups=groups, roles=roles), before.rstrip()


def is_names(value: object) -> TypeGuard[list[str]]:
    """Whether a value is a list of names."""
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def doubts(roles: Mapping[str, Role]) -> list[str]:
    """A warning for each role with a mark that is not believed."""
    return [
        f"The comment of the role {name!r} has a mark that this workflow has not written: nothing is taken from it."
        for name, role in sorted(roles.items())
        if role.doubtful
    ]


def completed(mark: Mark, grant: Grant, granted: Iterable[str]) -> Mark:
    """The mark with what is asked for now, and what was granted for it, added."""
    return Mark(
        named=mark["named"] or grant["named"],
        groups=sorted({*mark["groups"], *grant["groups"]}),
        roles=sorted({*mark["roles"], *granted}),
    )


def after_leaving(mark: Mark, grant: Grant, known: Collection[str]) -> Mark | None:
    """What remains of a mark when its role has left some of the groups; None when it has left none.

    Only the groups that are asked for now are known: of others, nobody knows who is in them. A role that may log in for
    another reason keeps rds_ad. The other roles granted here remain as far as something unknown may be the reason for
    them.

    Args:
        mark: as it is.
        grant: what the role is listed with now.
        known: the groups that are asked for now.
    """
    gone = set(mark["groups"]) & set(known) - set(grant["groups"])
    if not gone:
        return None
    mark = completed(mark, grant, [])
    groups = set(mark["groups"]) - gone
    unknown = groups - set(known) or (mark["named"] and not grant["named"])
    needed = {*mark["roles"]} if unknown else {*grant["roles"]}
    needed |= {"rds_ad"} if groups or mark["named"] else set()
    return Mark(named=mark["named"], groups=sorted(groups), roles=sorted(needed & set(mark["roles"])))


def write_mark(session: Session, name: str, role: Role | None, mark: Mark) -> None:
    """Note on a role what was given here; what else its comment says stays (`COMMENT ON ROLE`)."""
    lines = [*([role.comment] if role and role.comment else []), MARK + json.dumps(mark, sort_keys=True)]
    text = sql.Literal("\n".join(lines))
    session.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(name), text))


def take(session: Session, name: str, role: Role, roles: Iterable[str]) -> list[str]:
    """Take roles from a role, as far as it has them (`REVOKE`); all that are asked for, sorted."""
    wanted = sorted(roles)
    for each in wanted:
        if each in role.held:
            session.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(each), sql.Identifier(name)))
    return wanted
