"""Connections to the cluster's database, and what must be true of its roles."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypedDict

import psycopg2
from psycopg2.extensions import connection, cursor

from aurora_kerberos.aws import secret
from aurora_kerberos.errors import DatabaseRefused, DatabaseRoleNotFound, DatabaseUnreachable, PrincipalUsesIam
from aurora_kerberos.principals import Grant

CONNECT_TIMEOUT = 10  # seconds; well below the functions' own time-outs


class Cluster(TypedDict):
    """The plan's `cluster`, as far as a connection needs it."""

    id: str
    endpoint: str
    port: int
    database: str
    security_groups: list[str]
    master_secret: str


@contextmanager
def master(cluster: Cluster) -> Iterator[cursor]:
    """A transaction of the master user, committed at the end.

    Raises:
        SecretUnusable: the master secret is missing or incomplete.
        DatabaseUnreachable: no connection; names host, port and security groups.
        DatabaseRefused: wrong password, or a statement the database does not let the master user run.
    """
    login = secret(cluster["master_secret"], "username", "password")
    try:
        # A Kerberos ticket that happens to lie about must not be tried in place of the password.
        opened = connect(cluster, login["username"], password=login["password"], gssencmode="disable")
    except psycopg2.OperationalError as error:
        raise refusal(error, cluster, login["username"]) from None
    try:
        with opened, opened.cursor() as session:
            yield session
    except psycopg2.Error as error:
        raise DatabaseRefused(
            f"PostgreSQL refused a statement of step 7: {(error.diag.message_primary or str(error)).strip()}.",
            f"Let the master user {login['username']} do it: on PostgreSQL 16 and later it may grant only roles it "
            "has ADMIN on.",
        ) from error
    finally:
        opened.close()


def connect(cluster: Cluster, user: str, **options: Any) -> connection:
    """A connection to the cluster's writer, always encrypted."""
    opened: connection = psycopg2.connect(
        host=cluster["endpoint"],
        port=cluster["port"],
        dbname=cluster["database"],
        user=user,
        sslmode="require",
        connect_timeout=CONNECT_TIMEOUT,
        application_name="aurora-kerberos",
        **options,
    )
    return opened


def refusal(error: psycopg2.OperationalError, cluster: Cluster, user: str) -> DatabaseUnreachable | DatabaseRefused:
    """Tell a server that says no from one that cannot be reached."""
    said = " ".join(str(error).split())
    if "FATAL:" in said:
        return DatabaseRefused(
            f"Cluster {cluster['id']} refuses the user {user}: {said.partition('FATAL:')[2].strip()}.",
            f"Correct the user name and password in the secret {cluster['master_secret']}.",
        )
    groups = " or ".join(cluster["security_groups"])
    ours = os.environ.get("FUNCTION_SECURITY_GROUP", "this stack's functions")
    return DatabaseUnreachable(
        f"No connection to {cluster['endpoint']} port {cluster['port']}: {said}.",
        f"Let {ours} in at TCP port {cluster['port']} of the cluster's security group {groups}, and check the routes "
        "from the stack's subnets to the cluster's.",
    )


def refuse_unfit_roles(session: cursor, grants: Sequence[Grant]) -> None:
    """Refuse what may not be granted, before anything is.

    Raises:
        DatabaseRoleNotFound: a role to be granted does not exist.
        PrincipalUsesIam: a principal, or a role it would get, is a member of rds_iam, be it through other roles.
    """
    named = sorted({role for grant in grants for role in [grant["principal"], *grant["roles"]]})
    # pg_has_role() holds for every role when asked of a superuser, hence the walk.
    session.execute(
        """
        WITH RECURSIVE held AS (
            SELECT oid, rolname AS holder, rolname FROM pg_roles WHERE rolname = ANY(%s)
            UNION
            SELECT granted.oid, held.holder, granted.rolname
            FROM held JOIN pg_auth_members m ON m.member = held.oid JOIN pg_roles granted ON granted.oid = m.roleid
        )
        SELECT holder, bool_or(rolname = 'rds_iam') FROM held GROUP BY holder
        """,
        (named,),
    )
    uses_iam: Mapping[str, bool] = dict(session.fetchall())
    for grant in grants:
        if absent := [role for role in grant["roles"] if role not in uses_iam]:
            raise DatabaseRoleNotFound(
                f"The database role {absent[0]!r}, to be granted to {grant['principal']}, does not exist.",
                "Create the role, or take it out of the principal's roles.",
            )
        if holders := [role for role in [grant["principal"], *grant["roles"]] if uses_iam.get(role)]:
            raise PrincipalUsesIam(
                f"The database role {holders[0]!r} has rds_iam, so {grant['principal']} cannot have rds_ad.",
                f"REVOKE rds_iam from it (or from the role it has it through), or take {grant['principal']} out.",
            )
