"""What a session with the cluster's database is, whichever way it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from psycopg2 import sql

from aurora_kerberos.errors import DatabaseRefused
from aurora_kerberos.plan import Cluster

Row = tuple[Any, ...]
Statement = str | sql.Composable


class Session(Protocol):
    """A transaction with the database, whichever way it is reached."""

    def execute(self, statement: Statement, parameters: Sequence[str | int] = ()) -> list[Row]:
        """Run a statement with `%s` for its parameters; its rows, empty when it has none."""


def has_database(cluster: Cluster) -> bool:
    """Whether there are roles to look after: not before the cluster is made, and not in a secondary cluster.

    The roles of a global database's secondary cluster are those of its primary.
    """
    return bool(cluster["endpoint"]) and not cluster["secondary"]


def statement_refused(said: str, user: str) -> DatabaseRefused:
    """The error for a statement that PostgreSQL does not let the master user run."""
    return DatabaseRefused(
        f"PostgreSQL refused a statement of step 7: {said.strip().removeprefix('ERROR: ').rstrip('.')}.",
        f"Let the master user {user} do it: on PostgreSQL 16 and later it may grant only roles it has ADMIN on.",
    )
