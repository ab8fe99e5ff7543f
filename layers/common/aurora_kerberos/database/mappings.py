"""Groups of the directory as database roles: the extension pg_ad_mapping, whose functions are called by their schema.

Source: "Using AD security groups for Aurora PostgreSQL access control", Aurora user guide.
"""

from __future__ import annotations

from psycopg2 import sql

from aurora_kerberos.database.roles import Role
from aurora_kerberos.database.session import SETTINGS, Session
from aurora_kerberos.errors import GroupMappingUnavailable
from aurora_kerberos.principals import Mapped

# Of the extension, where there is none yet. Into `public` others may have put functions that its script would take.
SCHEMA = "aurora_kerberos"


def ensure_extension(session: Session) -> str:
    """The extension pg_ad_mapping, whose library `ensure_group_mapping` has had loaded; the schema that it is in.

    Raises:
        GroupMappingUnavailable: the library is not loaded, or somebody else has put functions of its names there.
    """
    ((loaded,),) = session.execute("SELECT current_setting('shared_preload_libraries')")
    if "pg_ad_mapping" not in [library.strip() for library in loaded.split(",")]:
        raise GroupMappingUnavailable(
            f"The database has loaded {loaded or 'no libraries'}, and not pg_ad_mapping.",
            "Restart the writer: its parameter group asks for the library, which is loaded at the start. If an "
            "instance is from before May 2025 and has joined already, let the cluster leave the domain first.",
        )
    if not schema_of_extension(session):
        create_extension(session)
    schema = schema_of_extension(session)
    if planted := session.execute(
        """
        SELECT CAST(CAST(p.oid AS regprocedure) AS text) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = %s AND left(p.proname, 8) = 'pgadmap_' AND NOT EXISTS (
            SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
            WHERE d.classid = CAST('pg_proc' AS regclass) AND d.objid = p.oid AND d.deptype = 'e'
            AND d.refclassid = CAST('pg_extension' AS regclass) AND e.extname = 'pg_ad_mapping'
        )
        """,
        (schema,),
    ):
        raise GroupMappingUnavailable(
            f"The function {planted[0][0]} looks like one of pg_ad_mapping's, and is somebody else's.",
            "Find out who has made it, drop it, then start again.",
        )
    return schema


def schema_of_extension(session: Session) -> str:
    """The schema of pg_ad_mapping; empty where the extension is not in the database."""
    rows = session.execute(
        "SELECT CAST(n.nspname AS text) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
        "WHERE e.extname = 'pg_ad_mapping'"
    )
    return str(rows[0][0]) if rows else ""


def create_extension(session: Session) -> None:
    """Create pg_ad_mapping in a schema in which only the master user may create anything.

    Raises:
        GroupMappingUnavailable: somebody else has a schema of that name.
    """
    owners = session.execute(
        "SELECT pg_get_userbyid(nspowner) = current_user FROM pg_namespace WHERE nspname = %s", (SCHEMA,)
    )
    if owners and not owners[0][0]:
        raise GroupMappingUnavailable(
            f"The schema {SCHEMA}, for the extension pg_ad_mapping, is there and somebody else's.",
            "Rename it, or create the extension yourself, in a schema in which nobody else may create anything.",
        )
    if not owners:
        session.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    # Not WITH SCHEMA, which PostgreSQL refuses where the extension says itself in which one it has to be.
    session.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(SCHEMA)))
    session.execute("CREATE EXTENSION pg_ad_mapping")
    session.execute(f"SET LOCAL search_path = {SETTINGS['search_path']}")


def ensure_mapping(session: Session, schema: str, mapped: Mapped, role: Role | None) -> None:
    """The mapping of a group to its role ("Mapping DB role with AD security group").

    Raises:
        GroupMappingUnavailable: the role has rds_ad, which it must not have.
    """
    if role and "rds_ad" in role.held:
        raise GroupMappingUnavailable(
            f"The database role {mapped['role']!r}, for the members of {mapped['group']}, has rds_ad.",
            f"REVOKE rds_ad from it: a role is either one person's or a group's. Or map {mapped['group']} to another.",
        )
    key = (mapped["sid"], mapped["role"])
    read, reset, make = (
        sql.Identifier(schema, name)
        for name in ("pgadmap_read_mapping", "pgadmap_reset_mapping", "pgadmap_set_mapping")
    )
    rows = session.execute(sql.SQL("SELECT ad_sid, pg_role, weight FROM {}()").format(read))
    weights = [weight for sid, name, weight in rows if (sid, name) == key]
    for weight in weights:
        if weight != mapped["weight"]:  # a mapping cannot be changed
            session.execute(sql.SQL("SELECT {}(%s, %s, CAST(%s AS integer))").format(reset), (*key, weight))
    if mapped["weight"] not in weights:
        session.execute(
            sql.SQL("SELECT {}(%s, %s, %s, CAST(%s AS integer))").format(make),
            (mapped["group"], mapped["role"], mapped["sid"], mapped["weight"]),
        )
