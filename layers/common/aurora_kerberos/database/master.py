"""Sessions of the master user with the cluster's database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection, cursor

from aurora_kerberos.aws import secret
from aurora_kerberos.database.session import SETTINGS, Row, Session, Statement, statement_refused
from aurora_kerberos.environment import environment
from aurora_kerberos.errors import DatabaseRefused, DatabaseUnreachable
from aurora_kerberos.plan import Cluster

CONNECT_TIMEOUT = 10  # seconds; well below the functions' own time-outs

# What a server says that will let the user in a little later ...
NOT_NOW = (
    "the database system is",  # starting up, shutting down, in recovery mode
    "too many clients",
    "remaining connection slots",
    "terminating connection",
)
# ... and what is no matter of the password.
REMEDIES = {
    "does not exist": "Name a database of the cluster as `database` in the input.",
    "no pg_hba.conf entry": "The cluster refuses password logins of this user: see its parameter group.",
    "permission denied for database": "GRANT CONNECT on the database to the master user.",
}


class DirectSession:
    """A transaction over a connection of psycopg2's."""

    def __init__(self, open_cursor: cursor) -> None:
        self._cursor = open_cursor

    def execute(self, statement: Statement, parameters: Sequence[str | int] = ()) -> list[Row]:
        """See `Session`."""
        self._cursor.execute(statement, parameters or None)
        return self._cursor.fetchall() if self._cursor.description else []


@contextmanager
def master(cluster: Cluster) -> Iterator[Session]:
    """A transaction of the master user, committed at the end.

    Over a connection, or, where the cluster cannot be reached and has its HTTP endpoint on, by the RDS Data API.

    Raises:
        SecretUnusable: the master secret is missing or incomplete.
        DatabaseUnreachable: no connection; names host, port and security groups.
        DatabaseRefused: wrong password, or a statement the database does not let the master user run.
        AwsUnavailable: a statement has taken too long, or waited for a lock.
    """
    login = secret(cluster["master_secret"], "username", "password")
    try:
        # A Kerberos ticket that happens to lie about must not be tried in place of the password.
        opened = connect(cluster, login["username"], password=login["password"], gssencmode="disable")
    except psycopg2.OperationalError as error:
        refused = refusal(error, cluster, login["username"])
        if isinstance(refused, DatabaseRefused) or not cluster["http_endpoint"]:
            raise refused from None
    else:
        try:
            with opened, opened.cursor() as open_cursor:
                yield DirectSession(open_cursor)
        except psycopg2.Error as error:
            raise statement_refused(
                error.diag.message_primary or str(error), login["username"], error.pgcode or ""
            ) from error
        finally:
            opened.close()
        return
    from aurora_kerberos.database import data_api  # noqa: PLC0415  most clusters never need it

    with data_api.session(cluster, login["username"]) as session:
        yield session


def connect(cluster: Cluster, user: str, **options: Any) -> connection:
    """A connection to the cluster's writer, always encrypted, which begins with `SETTINGS`.

    What the client asks for at the start goes before what the database and the role have set for themselves.
    """
    opened: connection = psycopg2.connect(
        host=cluster["endpoint"],
        port=cluster["port"],
        dbname=cluster["database"],
        user=user,
        sslmode="require",
        connect_timeout=CONNECT_TIMEOUT,
        application_name="aurora-kerberos",
        options=" ".join(f"-c {name}={value}" for name, value in SETTINGS.items()),
        **options,
    )
    return opened


def refusal(error: psycopg2.OperationalError, cluster: Cluster, user: str) -> DatabaseUnreachable | DatabaseRefused:
    """Tell a server that says no from one that cannot be reached."""
    said = " ".join(str(error).split())
    if "FATAL:" in said and not any(text in said for text in NOT_NOW):
        remedies = [remedy for text, remedy in REMEDIES.items() if text in said]
        return DatabaseRefused(
            f"Cluster {cluster['id']} refuses the user {user}: {said.partition('FATAL:')[2].strip()}.",
            remedies[0]
            if remedies
            else f"Correct the user name and password in the secret {cluster['master_secret']}.",
        )
    groups = " or ".join(cluster["security_groups"])
    ours = environment.function_security_group
    return DatabaseUnreachable(
        f"No connection to {cluster['endpoint']} port {cluster['port']}: {said}.",
        f"Let {ours} in at TCP port {cluster['port']} of the cluster's security group {groups}, and check the routes "
        "from the stack's subnets to the cluster's; or switch on the cluster's HTTP endpoint (RDS Data API).",
    )
