"""Sessions of the master user with the cluster's database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection, cursor

from aurora_kerberos import authorities
from aurora_kerberos.aws import region, secret
from aurora_kerberos.database.session import SETTINGS, Row, Session, Statement, statement_refused
from aurora_kerberos.environment import environment
from aurora_kerberos.errors import DatabaseNotTrusted, DatabaseRefused, DatabaseUnreachable
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
# What libpq says of a server that does not prove who it is. "SSL error" is a signature that is none, or an alert; of a
# connection that breaks it says "SSL SYSCALL error".
UNPROVEN = ("does not match host name", "server does not support SSL", "SSL error: ")


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
        DatabaseNotTrusted: what answers does not prove that it is the cluster. It gets no password, and the Data API
            is not tried instead, so that somebody in between is noticed.
        DatabaseRefused: wrong password, or a statement the database does not let the master user run.
        AwsUnavailable: a statement has taken too long, or waited for a lock.
    """
    login = secret(cluster["master_secret"], "username", "password")
    try:
        # A Kerberos ticket that happens to lie about must not be tried in place of the password.
        opened = connect(
            cluster,
            login["username"],
            password=login["password"],
            gssencmode="disable",
            require_auth="scram-sha-256",
        )
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
    """A connection to the cluster's writer, always encrypted, and only if it proves by its certificate who it is.

    It begins with `SETTINGS`: what the client asks for goes before what the database and the role have set.

    Raises:
        DatabaseNotTrusted: it does not.
        psycopg2.OperationalError: no connection, for another reason.
        SecretUnusable: see `authorities.trusted`.
    """
    try:
        with authorities.trusted() as file:
            opened: connection = psycopg2.connect(
                host=cluster["endpoint"],
                port=cluster["port"],
                dbname=cluster["database"],
                user=user,
                sslmode="verify-full",
                sslrootcert=file,
                connect_timeout=CONNECT_TIMEOUT,
                application_name="aurora-kerberos",
                options=" ".join(f"-c {name}={value}" for name, value in SETTINGS.items()),
                **options,
            )
    except psycopg2.OperationalError as error:
        if distrust := unproven(error, cluster):
            raise distrust from None
        raise
    return opened


def unproven(error: psycopg2.OperationalError, cluster: Cluster) -> DatabaseNotTrusted | None:
    """Tell a server that does not prove that it is the cluster; None for any other trouble."""
    said = " ".join(str(error).split())
    message = f"What answers at {cluster['endpoint']} does not prove that it is the cluster: {said}."
    if "root certificate file" in said:
        return DatabaseNotTrusted(
            message,
            f"Store a PEM file of certificate authorities, such as {authorities.address(region())}, as the text of the "
            "secret that the stack's AuthoritiesSecret names.",
        )
    if "certificate verify failed" in said:
        return DatabaseNotTrusted(
            message,
            "If an instance's CACertificateIdentifier is rds-ca-2019, which has expired, modify it to "
            "rds-ca-rsa2048-g1. If this stack does not have the authorities of the Region, store "
            f"{authorities.address(region())} as the text of a secret, and name it as the stack's AuthoritiesSecret. "
            "Otherwise find out who answers: look at DNS and the routes.",
        )
    if any(text in said for text in UNPROVEN):
        return DatabaseNotTrusted(
            message,
            "Find out who answers at this address, for an Aurora cluster has TLS and a certificate of its name: look "
            "at DNS (private hosted zones, rules of resolvers) and at the routes from the stack's subnets.",
        )
    return None


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
    if "requested a hashed password" in said:
        return DatabaseRefused(
            f"Cluster {cluster['id']} wants the password of {user} as a hash that is as good as the password: {said}.",
            "The cluster has stored it as MD5: set password_encryption to scram-sha-256 in its parameter group, then "
            "give the master user a password anew.",
        )
    if "authentication method requirement" in said:
        return DatabaseRefused(
            f"Cluster {cluster['id']} does not let {user} log in by proving its password: {said}.",
            f"REVOKE rds_iam and rds_ad from {user}, be it through other roles: such a user has no password.",
        )
    groups = " or ".join(cluster["security_groups"])
    ours = environment.function_security_group
    return DatabaseUnreachable(
        f"No connection to {cluster['endpoint']} port {cluster['port']}: {said}.",
        f"Let {ours} in at TCP port {cluster['port']} of the cluster's security group {groups}, and check the routes "
        "from the stack's subnets to the cluster's; or switch on the cluster's HTTP endpoint (RDS Data API).",
    )
