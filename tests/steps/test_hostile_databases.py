"""What a database's owner and users have planted in it never runs as the master user, over either session.

Every function and operator that a statement of ours names is planted, in each place that could come before PostgreSQL's
own. What is planted counts in a sequence, which no rollback takes back, when it runs as the master user.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from aurora_kerberos.database import data_api, master
from aurora_kerberos.database.session import SETTINGS
from local.cloud import Cloud
from local.services.rds.backend import cluster_of
from tests.steps.conftest import Step, StepFailed

ALICE, BOB = "alice@CORP.EXAMPLE.COM", "bob@CORP.EXAMPLE.COM"
MAPPED = {"group": "dba", "sid": "S-1-5-21-1-2-3-1106", "role": "dba_role", "roles": [], "weight": 7}
NOT_CALLS = {"in", "values", "as", "and", "with", "array", "exists", "cast", "union"}
OPERATOR = re.compile(r"(?<=\s)(?:<>|=|\|\||~~|<|>)(?=\s)")

# Which other types a better fitting overload may have in place of PostgreSQL's own.
FITTING = {"name": ["text"], "text": ["name"], "anyarray": ["name[]", "text[]"], "any": ["text", "name"]}


@pytest.fixture(params=["direct", "by the Data API"])
def shop(request: pytest.FixtureRequest, cloud: Cloud, step: Step) -> dict[str, Any]:
    """A cluster whose functions log in to a database of mallory's, who may do there what an owner may."""
    server = cloud.databases.server("orders")
    server.sql("CREATE ROLE mallory LOGIN")
    server.sql("CREATE DATABASE shop OWNER mallory")
    server.sql("GRANT CREATE ON DATABASE shop TO rds_superuser")
    cloud.databases.preload("orders", group_mapping=True)
    cloud.databases.restart("orders")
    plan = step("ValidateRequest", request={"cluster": "orders", "database": "shop"})["outputs"]["plan"]
    found: dict[str, Any] = plan["cluster"]
    if request.param == "direct":
        return found
    cluster_of(cloud, "orders")._enable_http_endpoint = True
    return {**found, "port": 9, "http_endpoint": True}


def all_statements(step: Step, shop: dict[str, Any]) -> None:
    """Everything that the functions do in a database: users, leavers, mappings, and taking all of it again."""
    one = {"roles": [], "named": False, "groups": ["dba"]}
    for principals in ([{"principal": ALICE, **one}, {"principal": BOB, **one}], [{"principal": ALICE, **one}]):
        step("CheckDatabase", cluster=shop, principals=principals)
        step("EnsureDatabaseUsers", cluster=shop, principals=principals, mappings=[MAPPED], groups=["dba"])
    step("EnsureDatabaseUsers", cluster=shop, principals=[], mappings=[{**MAPPED, "weight": 8}], groups=[])
    step("RevokeDatabaseUsers", cluster=shop)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of all statements that sessions run from now on."""
    heard: list[str] = []
    for kind in (master.DirectSession, data_api.DataApiSession):
        execute = kind.execute

        def listening(self: Any, statement: Any, parameters: Any = (), execute: Any = execute) -> Any:
            heard.append(statement if isinstance(statement, str) else repr(statement))
            return execute(self, statement, parameters)

        monkeypatch.setattr(kind, "execute", listening)
    return heard


def plant(cloud: Cloud, schema: str, heard: list[str]) -> int:
    """Put traps for all that the statements name into a schema of mallory's; how many there are."""

    def sql(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return cloud.databases.server("orders").sql(statement, list(parameters) or None, database="shop")

    text = "\n".join(heard)
    functions = {name.lower() for name in re.findall(r"\b([a-z_][a-z_0-9]*)\(", text, re.IGNORECASE)} - NOT_CALLS
    operators = {*OPERATOR.findall(text), "=", "~~"}  # of IN and LIKE
    sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    sql(f'GRANT ALL ON SCHEMA "{schema}" TO PUBLIC')
    sql("CREATE SEQUENCE IF NOT EXISTS public.sprung")
    sql("GRANT ALL ON SEQUENCE public.sprung TO PUBLIC")
    trap = (
        "LANGUAGE plpgsql AS $t$ BEGIN IF current_user = 'postgres' THEN "
        "PERFORM pg_catalog.nextval('public.sprung'::pg_catalog.regclass); END IF; RETURN NULL; END $t$"
    )
    planted = set()
    for name, arguments, result, kind in sql(
        "SELECT proname, ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) t), "
        "format_type(prorettype, NULL), prokind FROM pg_proc WHERE proname = ANY(%s) "
        "AND pronamespace = 'pg_catalog'::regnamespace AND NOT proretset AND provariadic = 0",
        sorted(functions),
    ):
        for own in variants([each.strip('"') for each in arguments]):
            made = result if not result.startswith("any") else "text"
            signature = f'"{schema}"."{name}"({", ".join(own)})'
            if kind == "a":
                step_name = f'"{schema}"."{name}_step"(boolean, {", ".join(own)})'
                sql(f"CREATE OR REPLACE FUNCTION {step_name} RETURNS boolean {trap}")
                sql(f'CREATE OR REPLACE AGGREGATE {signature} (SFUNC = "{schema}"."{name}_step", STYPE = boolean)')
            else:
                sql(f"CREATE OR REPLACE FUNCTION {signature} RETURNS {made} {trap}")
            planted.add(signature)
    for name, left, right in sql(
        "SELECT oprname, format_type(oprleft, NULL), format_type(oprright, NULL) FROM pg_operator "
        "WHERE oprname = ANY(%s) AND oprkind = 'b' AND oprresult = 'boolean'::regtype AND oprleft::regtype::text = "
        "ANY(ARRAY['name', 'text', 'oid', 'integer', '\"char\"', 'boolean', 'regclass'])",
        sorted(operators),
    ):
        function = f'"{schema}"."trap"({left}, {right})'
        sql(f"CREATE OR REPLACE FUNCTION {function} RETURNS boolean {trap}")
        sql(f'CREATE OPERATOR "{schema}".{name} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = "{schema}"."trap")')
        planted.add(f"{left} {name} {right}")
    for name in ("pgadmap_read_mapping", "pgadmap_reset_mapping", "pgadmap_set_mapping"):
        sql(f'CREATE FUNCTION "{schema}"."{name}"() RETURNS text {trap}')
    return len(planted)


def variants(types: list[str]) -> list[list[str]]:
    """The argument types of a function, and those of overloads that fit better."""
    found = [[]]  # type: list[list[str]]
    for each in types:
        own = [] if each.startswith("any") else [each]
        found = [[*before, one] for before in found for one in [*own, *FITTING.get(each, ["text"] if not own else [])]]
    return found


WAYS = {
    "in public": ("public", []),
    "in a schema named like the master user": ("postgres", []),
    "by the database's search path": ("evil", ["ALTER DATABASE shop SET search_path = evil, pg_catalog"]),
    "by the master's search path in the database": (
        "evil",
        ["ALTER ROLE postgres IN DATABASE shop SET search_path = evil, pg_catalog"],
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_is_planted_runs_as_the_master(
    cloud: Cloud, step: Step, shop: dict[str, Any], statements: list[str], way: str
) -> None:
    all_statements(step, shop)
    schema, settings = WAYS[way]
    assert plant(cloud, schema, statements) > 30
    for statement in settings:
        cloud.databases.server("orders").sql(statement)
    all_statements(step, shop)
    sprung = cloud.databases.server("orders").sql("SELECT is_called FROM public.sprung", database="shop")
    assert sprung == [(False,)]


@pytest.mark.parametrize("setting", ["role = mallory", "default_transaction_read_only = on"])
def test_what_the_database_s_owner_sets_does_not_stop_the_session(
    cloud: Cloud, step: Step, shop: dict[str, Any], setting: str
) -> None:
    server = cloud.databases.server("orders")
    server.sql("GRANT mallory TO postgres")
    server.sql(f"ALTER DATABASE shop SET {setting}")
    all_statements(step, shop)


def test_a_session_has_its_own_settings(
    cloud: Cloud, step: Step, shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SETTINGS.keys() - {"role", "search_path"}:
        other = "on" if SETTINGS[name] == "off" else "9999"
        cloud.databases.server("orders").sql(f"ALTER DATABASE shop SET {name} = {other}")
    seen: dict[str, str] = {}
    for kind in (master.DirectSession, data_api.DataApiSession):
        execute = kind.execute

        def asking(self: Any, statement: Any, parameters: Any = (), execute: Any = execute) -> Any:
            if "WITH RECURSIVE" in str(statement):
                seen.update({name: str(execute(self, f"SHOW {name}")[0][0]) for name in SETTINGS})
            return execute(self, statement, parameters)

        monkeypatch.setattr(kind, "execute", asking)
    step("CheckDatabase", cluster=shop, principals=[])
    times = {"5000": "5s", "15000": "15s", "60000": "1min"}
    assert seen == {name: times.get(value, value) for name, value in SETTINGS.items()}


def test_a_function_beside_the_extension_s_is_not_called(cloud: Cloud, step: Step, shop: dict[str, Any]) -> None:
    all_statements(step, shop)
    cloud.databases.server("orders").sql(
        "CREATE FUNCTION aurora_kerberos.pgadmap_set_mapping(text) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$",
        database="shop",
    )
    said = r"(?s)GroupMappingUnavailable: The function aurora_kerberos\.pgadmap_set_mapping\(text\) .*drop it"
    with pytest.raises(StepFailed, match=said):
        all_statements(step, shop)


def test_the_extension_is_not_created_in_a_schema_of_somebody_else(
    cloud: Cloud, step: Step, shop: dict[str, Any]
) -> None:
    cloud.databases.server("orders").sql("CREATE SCHEMA aurora_kerberos AUTHORIZATION mallory", database="shop")
    with pytest.raises(StepFailed, match=r"(?s)GroupMappingUnavailable: The schema aurora_kerberos.*Rename it"):
        all_statements(step, shop)
