"""What remains of what was given in a database when somebody has left a group."""

from __future__ import annotations

import pytest

from aurora_kerberos.database.roles import Mark, after_leaving
from aurora_kerberos.principals import Grant


def mark(*roles: str, groups: str = "", named: bool = False) -> Mark:
    return Mark(named=named, groups=groups.split(), roles=sorted(roles))


def listed(*roles: str, groups: str = "", named: bool = False) -> Grant:
    return Grant(principal="alice@CORP.EXAMPLE.COM", roles=list(roles), named=named, groups=groups.split())


AD = "rds_ad"


@pytest.mark.parametrize(
    ("before", "now", "known", "after"),
    [
        # nothing was left
        (mark(AD, "r", groups="dba"), listed("r", groups="dba"), "dba", None),
        (mark(AD, named=True), listed(), "dba", None),
        (mark(AD, groups="dba"), listed(), "", None),  # nobody asks for the group any more
        # the only group
        (mark(AD, "r", groups="dba"), listed(), "dba", mark()),
        (mark(AD, "r", groups="dba"), listed("r", named=True), "dba", mark(AD, "r", named=True)),
        (mark(AD, "r", groups="dba"), listed("s", named=True), "dba", mark(AD, named=True)),
        # one of two groups
        (mark(AD, "r", "s", groups="app dba"), listed("s", groups="app"), "app dba", mark(AD, "s", groups="app")),
        (mark(AD, "r", groups="app dba"), listed(), "dba", mark(AD, "r", groups="app")),  # the other is unknown
        (mark(AD, "r", groups="app dba"), listed(), "app dba", mark()),
        # listed by name once, and not in this list
        (mark(AD, "r", groups="dba", named=True), listed(), "dba", mark(AD, "r", named=True)),
        # what was not given here is not taken: rds_ad is not in the mark
        (mark("r", groups="dba"), listed(named=True), "dba", mark(named=True)),
    ],
)
def test_what_remains(before: Mark, now: Grant, known: str, after: Mark | None) -> None:
    assert after_leaving(before, now, known.split()) == after
