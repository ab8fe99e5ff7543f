"""What a session with the cluster's database is, whichever way it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from psycopg2 import sql

from aurora_kerberos.errors import AwsUnavailable, DatabaseRefused
from aurora_kerberos.plan import Cluster

Row = tuple[Any, ...]
Statement = str | sql.Composable

# What a session begins with. A database, and whoever owns it, has settings of its own and things of PostgreSQL's names:
# none of it is used here. pg_temp is named because it would come first otherwise. Times are in milliseconds: those of
# locks and statements are shorter than the functions' own; the last ends what a function that was killed left open.
SETTINGS = {
    "search_path": "pg_catalog,pg_temp",
    "role": "none",
    "default_transaction_read_only": "off",
    "transform_null_equals": "off",
    "lock_timeout": "5000",
    "statement_timeout": "15000",
    "idle_in_transaction_session_timeout": "60000",
}
TIMED_OUT = {"55P03": "lock_timeout", "57014": "statement_timeout"}  # SQLSTATEs ("PostgreSQL Error Codes")


class Session(Protocol):
    """A transaction with the database, whichever way it is reached."""

    def execute(self, statement: Statement, parameters: Sequence[str | int] = ()) -> list[Row]:
        """Run a statement with `%s` for its parameters; its rows, empty when it has none."""


def has_database(cluster: Cluster) -> bool:
    """Whether there are roles to look after: not before the cluster is made, and not in a secondary cluster.

    The roles of a global database's secondary cluster are those of its primary.
    """
    return bool(cluster["endpoint"]) and not cluster["secondary"]


def statement_refused(said: str, user: str, state: str) -> DatabaseRefused | AwsUnavailable:
    """The error for a statement that PostgreSQL does not let the master user run, or not now.

    Args:
        said: PostgreSQL's message.
        user: the master user.
        state: the SQLSTATE.
    """
    if state in TIMED_OUT:
        return AwsUnavailable(
            f"PostgreSQL has ended a statement of step 7 by {TIMED_OUT[state]}: {said.strip()}.",
            "Nothing: it is tried again by itself. If it persists, end the session that holds the lock (pg_locks).",
        )
    return DatabaseRefused(
        f"PostgreSQL refused a statement of step 7: {said.strip().removeprefix('ERROR: ').rstrip('.')}.",
        f"Let the master user {user} do it: on PostgreSQL 16 and later it may grant only roles it has ADMIN on.",
    )
