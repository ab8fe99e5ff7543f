"""Step 7: every principal is a login role of the database with rds_ad and the roles asked for."""

from __future__ import annotations

from typing import TypedDict

from psycopg2 import sql
from psycopg2.extensions import cursor

from aurora_kerberos.database import Cluster, master, refuse_unfit_roles
from aurora_kerberos.errors import DatabaseUnreachable
from aurora_kerberos.principals import Grant
from aurora_kerberos.step import MINUTE, Ready, Waiting, step


class Arguments(TypedDict):
    """`cluster` and `principals` of the plan."""

    cluster: Cluster
    principals: list[Grant]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when all roles are there; all or none are made, in one transaction.

    CREATE USER "alice@CORP.EXAMPLE.COM" WITH LOGIN; GRANT rds_ad TO "alice@CORP.EXAMPLE.COM"
    """
    principals = arguments["principals"]
    try:
        with master(arguments["cluster"]) as session:
            refuse_unfit_roles(session, principals)
            made = [grant["principal"] for grant in principals if ensure_role(session, grant)]
    except DatabaseUnreachable as error:
        # It could be reached before its instances restarted; the writer's name may take a moment to follow.
        return Waiting("The database does not answer after the restart", deadline=5 * MINUTE, otherwise=error)
    return Ready({"roles": [grant["principal"] for grant in principals], "made": made})


def ensure_role(session: cursor, grant: Grant) -> bool:
    """One principal's role; True when it had to be made."""
    role = sql.Identifier(grant["principal"])
    session.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (grant["principal"],))
    found = session.fetchone()
    if found is None:
        session.execute(sql.SQL("CREATE USER {} WITH LOGIN").format(role))
    elif not found[0]:
        session.execute(sql.SQL("ALTER ROLE {} WITH LOGIN").format(role))
    for wanted in ["rds_ad", *grant["roles"]]:
        session.execute(
            """
            SELECT FROM pg_auth_members JOIN pg_roles member ON member.oid = member JOIN pg_roles r ON r.oid = roleid
            WHERE member.rolname = %s AND r.rolname = %s
            """,
            (grant["principal"], wanted),
        )
        if session.rowcount == 0:
            session.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(wanted), role))
    return found is None
