"""Step 7 and the proof against a real PostgreSQL and a real KDC: idempotence, refusals, and what is said of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from botocore.exceptions import ClientError

from aurora_kerberos import krb5
from aurora_kerberos.database import data_api
from aurora_kerberos.database.session import SETTINGS
from aurora_kerberos.errors import AwsUnavailable
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.login import login
from local.scenario.prepare import add_groups, create_users
from local.services.rds.backend import cluster_of
from tests.steps.conftest import Step, StepFailed, polls_in, run_step

ALICE = "alice@CORP.EXAMPLE.COM"


@pytest.fixture
def target(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = step("ValidateRequest", request={"cluster": "orders"})["outputs"]["plan"]["cluster"]
    return found


def grant(principal: str = ALICE, *roles: str, groups: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [{"principal": principal, "roles": list(roles), "named": not groups, "groups": list(groups)}]


def users(step: Step, target: dict[str, Any], *grants: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The outputs of EnsureDatabaseUsers."""
    arguments = {"mappings": [], "groups": [], **more}
    answer = step(
        "EnsureDatabaseUsers", cluster=target, principals=[each for listed in grants for each in listed], **arguments
    )
    assert answer["ready"]
    outputs: dict[str, Any] = answer["outputs"]
    return outputs


def roles_of(cloud: Cloud, principal: str) -> set[str]:
    rows = cloud.databases.server("orders").sql(
        "SELECT r.rolname FROM pg_auth_members JOIN pg_roles m ON m.oid = member JOIN pg_roles r ON r.oid = roleid "
        "WHERE m.rolname = %s",
        [principal],
    )
    return {row[0] for row in rows}


def test_a_principal_becomes_a_login_role_with_rds_ad_once(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE app_read")
    first = users(step, target, grant(ALICE, "app_read"))
    assert first == {"roles": [ALICE], "made": [ALICE], "revoked": [], "reason": "", "warnings": []}
    assert roles_of(cloud, ALICE) == {"rds_ad", "app_read"}
    assert users(step, target, grant(ALICE, "app_read"))["made"] == []


def test_a_role_that_is_there_is_completed(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    server = cloud.databases.server("orders")
    server.sql(f'CREATE ROLE "{ALICE}" NOLOGIN')
    server.sql('GRANT "rds_password" TO "' + ALICE + '"')
    assert users(step, target, grant())["made"] == []
    assert roles_of(cloud, ALICE) == {"rds_ad", "rds_password"}
    assert server.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [ALICE]) == [(True,)]


def test_names_are_identifiers_and_never_sql(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    evil = 'x"; DROP ROLE rds_ad; --@CORP.EXAMPLE.COM'
    users(step, target, grant(evil))
    assert roles_of(cloud, evil) == {"rds_ad"}


def test_all_are_made_or_none(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    server = cloud.databases.server("orders")
    server.sql('CREATE ROLE "bob@CORP.EXAMPLE.COM" SUPERUSER NOLOGIN')
    principals = [*grant(), *grant("bob@CORP.EXAMPLE.COM")]
    with pytest.raises(StepFailed, match="DatabaseRefused: PostgreSQL refused a statement"):
        users(step, target, principals)
    assert server.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [ALICE]) == []


@pytest.mark.parametrize("function", ["CheckDatabase", "EnsureDatabaseUsers"])
def test_rds_iam_is_found_through_other_roles(cloud: Cloud, step: Step, target: dict[str, Any], function: str) -> None:
    server = cloud.databases.server("orders")
    for statement in ("CREATE ROLE a", "CREATE ROLE b", "GRANT rds_iam TO a", "GRANT a TO b"):
        server.sql(statement)
    with pytest.raises(StepFailed, match=f"PrincipalUsesIam: The database role 'b' has rds_iam, so {ALICE} cannot"):
        step(function, cluster=target, principals=grant(ALICE, "b"), mappings=[], groups=[])
    assert server.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [ALICE]) == []


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("not json", "SecretUnusable: The secret aurora-kerberos/x/master is not JSON"),
        ('["a"]', "has no 'username' and no 'password'"),
        ('{"username": "postgres", "password": ""}', "has no 'password'"),
        ('{"username": "postgres", "password": "wrong-hidden"}', "DatabaseRefused: Cluster orders refuses the user"),
    ],
)
def test_a_bad_secret_is_named_and_not_shown(
    cloud: Cloud, step: Step, target: dict[str, Any], secret: str, said: str
) -> None:
    cloud.client("secretsmanager").create_secret(Name="aurora-kerberos/x/master", SecretString=secret)
    with pytest.raises(StepFailed) as failed:
        step("CheckDatabase", cluster={**target, "master_secret": "aurora-kerberos/x/master"}, principals=[])
    assert said in str(failed.value)
    assert "hidden" not in str(failed.value)
    assert secret not in cloud.functions.logs()


def test_a_secret_that_is_to_be_deleted_is_named(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    name = "aurora-kerberos/x/master"
    cloud.client("secretsmanager").create_secret(Name=name, SecretString="{}")
    cloud.client("secretsmanager").delete_secret(SecretId=name)
    with pytest.raises(
        StepFailed, match=rf"(?s)SecretUnusable: The secret {name} cannot be read.*'username' and 'pass"
    ):
        step("CheckDatabase", cluster={**target, "master_secret": name}, principals=[])


def test_a_secret_under_a_key_that_is_gone_is_named(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    cloud.faults = Faults([Fault(call="secretsmanager:GetSecretValue", error="DecryptionFailure", message="No key.")])
    with pytest.raises(StepFailed, match=r"SecretUnusable: The secret .* cannot be read: No key\."):
        step("CheckDatabase", cluster=target, principals=[])


def test_a_ticket_that_lies_about_is_not_tried_for_the_master_user(
    cloud: Cloud, step: Step, target: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.directories.realm("corp.example.com").keytab(tmp_path / "keytab", "alice")
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{tmp_path / 'keytab'}")
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'ccache'}")
    assert step("CheckDatabase", cluster=target, principals=[])["ready"]
    assert not (tmp_path / "ccache").exists()  # no ticket for the database has been asked for


def test_a_database_that_does_not_exist_is_told_where_to_name_another(step: Step, target: dict[str, Any]) -> None:
    with pytest.raises(
        StepFailed, match=r'(?s)DatabaseRefused: .*"nowhere" does not exist.*as `database` in the input'
    ):
        step("CheckDatabase", cluster={**target, "database": "nowhere"}, principals=[])


@pytest.mark.parametrize(
    "said",
    [
        "the database system is starting up",
        "the database system is in recovery mode",
        "sorry, too many clients already",
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "terminating connection due to administrator command",
    ],
)
def test_a_server_that_will_let_in_later_is_waited_for(
    cloud: Cloud, step: Step, target: dict[str, Any], monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    def connect(**_: Any) -> None:
        raise psycopg2.OperationalError(f'connection to server at "orders", port 5432 failed: FATAL:  {said}\n')

    cloud.databases.start("orders")
    monkeypatch.setattr(psycopg2, "connect", connect)
    nobody: dict[str, Any] = {"principals": [], "mappings": [], "groups": []}
    assert not step("EnsureDatabaseUsers", cluster=target, **nobody)["ready"]
    with pytest.raises(StepFailed, match=f"DatabaseUnreachable: .*{said}"):
        step("CheckDatabase", cluster=target, principals=[])


def test_a_database_that_does_not_answer_after_the_restart_gets_five_minutes(
    step: Step, target: dict[str, Any]
) -> None:
    away = {**target, "port": 9}
    nobody: dict[str, Any] = {"principals": [], "mappings": [], "groups": []}
    answer = step("EnsureDatabaseUsers", cluster=away, **nobody)
    assert not answer["ready"]
    again = {"waiting_for": answer["reason"], "cluster": away, **nobody}
    assert not step("EnsureDatabaseUsers", polls=5, **again)["ready"]
    with pytest.raises(StepFailed, match=r"DatabaseUnreachable: No connection to orders\.\S+ port 9"):
        step("EnsureDatabaseUsers", polls=8, **again)


# --- groups that have been expanded into their members ----------------------------------------------------------------

BOB = "bob@CORP.EXAMPLE.COM"


def test_who_leaves_a_group_loses_rds_ad_and_what_came_with_it(
    cloud: Cloud, step: Step, target: dict[str, Any]
) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE app_write")
    dba = {"groups": ["dba"]}
    users(step, target, grant(ALICE, "app_write", groups=("dba",)), grant(BOB, "app_write", groups=("dba",)), **dba)
    outputs = users(step, target, grant(ALICE, "app_write", groups=("dba",)), **dba)
    assert outputs["revoked"] == [BOB]
    assert roles_of(cloud, BOB) == set()
    assert roles_of(cloud, ALICE) == {"rds_ad", "app_write"}
    assert users(step, target, grant(ALICE, "app_write", groups=("dba",)), **dba)["revoked"] == []  # once
    users(step, target, grant(BOB, "app_write", groups=("dba",)), **dba)
    assert roles_of(cloud, BOB) == {"rds_ad", "app_write"}  # and back again


def test_who_leaves_one_group_keeps_what_the_other_gives(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    for role in ("app_read", "app_write"):
        cloud.databases.server("orders").sql(f"CREATE ROLE {role}")
    both = {"groups": ["dba", "readers"]}
    users(step, target, grant(ALICE, "app_read", "app_write", groups=("dba", "readers")), **both)
    assert users(step, target, grant(ALICE, "app_read", groups=("readers",)), **both)["revoked"] == []
    assert roles_of(cloud, ALICE) == {"rds_ad", "app_read"}


def test_of_a_group_that_is_not_asked_for_nothing_is_known(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE app_write")
    users(step, target, grant(ALICE, "app_write", groups=("dba", "readers")), groups=["dba", "readers"])
    users(step, target, grant(BOB), groups=[])  # somebody starts it for bob alone
    assert roles_of(cloud, ALICE) == {"rds_ad", "app_write"}
    users(step, target, groups=["dba"])  # she has left dba; of readers nothing is known
    assert roles_of(cloud, ALICE) == {"rds_ad", "app_write"}
    users(step, target, groups=["readers"])
    assert roles_of(cloud, ALICE) == set()


def test_who_is_listed_by_name_as_well_keeps_rds_ad(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    both = [{**grant(groups=("dba",))[0], "named": True}]
    users(step, target, both, groups=["dba"])
    assert users(step, target, grant(), groups=["dba"])["revoked"] == []
    assert users(step, target, groups=["dba"])["revoked"] == []  # not listed now, but not known to have been taken out
    assert roles_of(cloud, ALICE) == {"rds_ad"}


def test_who_was_listed_by_name_keeps_the_roles_of_that(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    """Which of the roles she was given for her name, nobody knows when she is not listed."""
    for role in ("app_read", "app_write"):
        cloud.databases.server("orders").sql(f"CREATE ROLE {role}")
    users(step, target, [{**grant(ALICE, "app_read", "app_write", groups=("dba",))[0], "named": True}], groups=["dba"])
    users(step, target, groups=["dba"])
    assert roles_of(cloud, ALICE) == {"rds_ad", "app_read", "app_write"}


def test_what_a_person_grants_after_it_was_taken_stays(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    server = cloud.databases.server("orders")
    for role in ("app_read", "app_write"):
        server.sql(f"CREATE ROLE {role}")
    both = {"groups": ["dba", "readers"]}
    users(step, target, grant(ALICE, "app_read", "app_write", groups=("dba", "readers")), **both)
    users(step, target, grant(ALICE, "app_read", groups=("readers",)), **both)
    server.sql(f'GRANT app_write TO "{ALICE}"')
    assert users(step, target, **both)["revoked"] == [ALICE]
    assert roles_of(cloud, ALICE) == {"app_write"}


BROKEN = [
    "{is not its maker",
    '{"groups": ["dba"]}',
    "{}",
    '["dba"]',
    '{"named": true, "groups": [], "roles": ["rds_ad"]}. Ask Carol',
]


def comment_of(cloud: Cloud, role: str) -> str | None:
    rows = cloud.databases.server("orders").sql(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", [role]
    )
    comment: str | None = rows[0][0]
    return comment


def of_somebody_else(cloud: Cloud, role: str, comment: str, *roles: str) -> None:
    """A role that a person has made, with what he has granted it and said of it."""
    server = cloud.databases.server("orders")
    server.sql(f'CREATE ROLE "{role}" LOGIN' + (f" IN ROLE {', '.join(roles)}" if roles else ""))
    if comment:
        server.sql(f'COMMENT ON ROLE "{role}" IS %s', [comment])


@pytest.mark.parametrize("written", ["", "Of Bob, since 2019", *(f"aurora-kerberos: {each}" for each in BROKEN)])
def test_a_role_of_somebody_else_is_never_taken_anything_from(
    cloud: Cloud, step: Step, target: dict[str, Any], written: str
) -> None:
    of_somebody_else(cloud, BOB, written, "rds_ad")
    users(step, target, grant(BOB, groups=("dba",)), groups=["dba"])
    assert users(step, target, groups=["dba"])["revoked"] == []
    assert roles_of(cloud, BOB) == {"rds_ad"}
    assert comment_of(cloud, BOB) == (written or None)


@pytest.mark.parametrize("written", ["Of Bob,\nsince 2019", *(f"aurora-kerberos: {each}" for each in BROKEN)])
def test_from_a_role_of_somebody_else_is_taken_what_was_given_here(
    cloud: Cloud, step: Step, target: dict[str, Any], written: str
) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE app_read")
    of_somebody_else(cloud, BOB, written, "app_read")
    users(step, target, grant(BOB, "app_read", groups=("dba",)), groups=["dba"])
    mark = {"groups": ["dba"], "named": False, "roles": ["rds_ad"]}
    assert comment_of(cloud, BOB) == f"{written}\naurora-kerberos: {json.dumps(mark)}"
    assert users(step, target, groups=["dba"])["revoked"] == [BOB]
    assert roles_of(cloud, BOB) == {"app_read"}
    left = {"groups": [], "named": False, "roles": []}
    assert comment_of(cloud, BOB) == f"{written}\naurora-kerberos: {json.dumps(left)}"


def test_a_mark_says_all_that_was_ever_given(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    """What is no longer asked for stays granted, and so stays in the mark."""
    for role in ("app_read", "app_write"):
        cloud.databases.server("orders").sql(f"CREATE ROLE {role}")
    users(step, target, grant(ALICE, "app_write"))
    users(step, target, grant(ALICE, "app_read"))
    mark = {"groups": [], "named": True, "roles": ["app_read", "app_write", "rds_ad"]}
    assert comment_of(cloud, ALICE) == f"aurora-kerberos: {json.dumps(mark)}"


# --- when the cluster has left its domain -----------------------------------------------------------------------------

CAROL = "carol@CORP.EXAMPLE.COM"


def revoked(step: Step, target: dict[str, Any]) -> list[str]:
    answer = step("RevokeDatabaseUsers", cluster=target)
    assert answer["ready"]
    found: list[str] = answer["outputs"]["revoked"]
    return found


def test_who_got_rds_ad_here_loses_it_and_nothing_else(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    """Alice was made here, Bob was there without rds_ad, Carol had it from somebody else and got app_read here."""
    cloud.databases.server("orders").sql("CREATE ROLE app_read")
    of_somebody_else(cloud, BOB, "Of Bob", "rds_password")
    of_somebody_else(cloud, CAROL, "", "rds_ad")
    of_somebody_else(cloud, "dave@CORP.EXAMPLE.COM", "", "rds_ad")
    users(step, target, *(grant(each, "app_read") for each in (ALICE, BOB, CAROL)))
    assert revoked(step, target) == [ALICE, BOB]
    assert roles_of(cloud, ALICE) == {"app_read"}
    assert roles_of(cloud, BOB) == {"app_read", "rds_password"}
    assert roles_of(cloud, CAROL) == {"rds_ad", "app_read"}
    assert roles_of(cloud, "dave@CORP.EXAMPLE.COM") == {"rds_ad"}
    assert str(comment_of(cloud, BOB)).startswith("Of Bob\naurora-kerberos: ")


def test_revoking_twice_does_nothing(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    users(step, target, grant())
    assert revoked(step, target) == [ALICE]
    before = comment_of(cloud, ALICE)
    assert revoked(step, target) == []
    assert comment_of(cloud, ALICE) == before


def test_what_a_person_grants_after_revoking_is_his(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    users(step, target, grant())
    revoked(step, target)
    cloud.databases.server("orders").sql(f'GRANT rds_ad TO "{ALICE}"')
    assert revoked(step, target) == []
    assert roles_of(cloud, ALICE) == {"rds_ad"}


def test_what_a_person_has_revoked_already_is_no_trouble(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    users(step, target, grant())
    cloud.databases.server("orders").sql(f'REVOKE rds_ad FROM "{ALICE}"')
    assert revoked(step, target) == [ALICE]
    assert revoked(step, target) == []


@pytest.mark.parametrize("written", BROKEN)
def test_a_mark_that_somebody_has_written_into_is_left_alone(
    cloud: Cloud, step: Step, target: dict[str, Any], written: str
) -> None:
    users(step, target, grant())
    cloud.databases.server("orders").sql(f'COMMENT ON ROLE "{ALICE}" IS %s', [f"aurora-kerberos: {written}"])
    assert revoked(step, target) == []
    assert roles_of(cloud, ALICE) == {"rds_ad"}
    assert comment_of(cloud, ALICE) == f"aurora-kerberos: {written}"


FORGED = [
    '{"named": false, "groups": null, "roles": ["rds_ad"]}',
    '{"named": false, "groups": ["dba"], "roles": null}',
    '{"named": 1, "groups": ["dba"], "roles": ["rds_ad"]}',
    '{"named": false, "groups": {"dba": []}, "roles": ["rds_ad"]}',
    '{"named": false, "groups": [["dba"]], "roles": ["rds_ad"]}',
    '{"named": false, "groups": ["dba"], "roles": [1e999]}',
    '{"groups": ' + "[" * 100_000 + "]" * 100_000 + "}",
]


@pytest.mark.parametrize("written", FORGED)
def test_a_mark_of_another_form_is_no_mark_and_told(
    cloud: Cloud, step: Step, target: dict[str, Any], written: str
) -> None:
    of_somebody_else(cloud, BOB, f"aurora-kerberos: {written}", "rds_ad")
    outputs = users(step, target, grant(), groups=["dba"])
    assert (outputs["made"], outputs["revoked"]) == ([ALICE], [])
    told = [f"The comment of the role '{BOB}' has a mark that this workflow has not written: nothing is taken from it."]
    assert outputs["warnings"] == told
    answer = step("RevokeDatabaseUsers", cluster=target)
    assert answer["outputs"] == {"revoked": [ALICE], "warnings": told}
    assert roles_of(cloud, BOB) == {"rds_ad"}


@pytest.mark.parametrize("role", ["postgres", "app_owner", "root@CORP.EXAMPLE.COM"])
def test_a_forged_mark_takes_nothing_from_the_master_user_nor_from_who_is_no_principal(
    cloud: Cloud, step: Step, target: dict[str, Any], role: str
) -> None:
    server = cloud.databases.server("orders")
    server.sql('CREATE ROLE "root@CORP.EXAMPLE.COM" SUPERUSER')
    server.sql("CREATE ROLE app_owner")
    server.sql(f'GRANT rds_superuser, rds_ad TO "{role}"')
    before = roles_of(cloud, role)
    forged = {"named": False, "groups": ["dba"], "roles": ["rds_ad", "rds_superuser"]}
    server.sql(f'COMMENT ON ROLE "{role}" IS %s', [f"aurora-kerberos: {json.dumps(forged)}"])
    outputs = users(step, target, groups=["dba"])
    assert outputs["revoked"] == []
    assert [role in warning for warning in outputs["warnings"]] == [True]
    assert revoked(step, target) == []
    assert roles_of(cloud, role) == before


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("rds_superuser", []),
        ("leads_there", []),
        ("pg_signal_backend", ["pg_signal_backend"]),
        ("leads_there", ["pg_signal_backend"]),
    ],
)
def test_a_mark_takes_only_what_this_stack_may_grant(
    cloud: Cloud, step: Step, target: dict[str, Any], role: str, allowed: list[str]
) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE leads_there IN ROLE pg_signal_backend")
    forged = json.dumps({"named": False, "groups": ["dba"], "roles": ["rds_ad", role]})
    of_somebody_else(cloud, BOB, f"aurora-kerberos: {forged}", "rds_ad", role)
    arguments = {"principals": [], "mappings": [], "groups": ["dba"], "allowed_roles": allowed}
    outputs = step("EnsureDatabaseUsers", cluster=target, **arguments)["outputs"]
    assert outputs["revoked"] == [BOB]
    assert roles_of(cloud, BOB) == (set() if allowed else {role})
    assert [role in warning for warning in outputs["warnings"]] == ([] if allowed else [True])


def test_a_lock_that_somebody_holds_is_tried_again(
    cloud: Cloud, step: Step, target: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = cloud.databases.server("orders")
    server.sql(f'CREATE ROLE "{ALICE}" NOLOGIN')
    monkeypatch.setitem(SETTINGS, "lock_timeout", "100")
    with server.transaction() as somebody:
        somebody.execute(f"ALTER ROLE \"{ALICE}\" VALID UNTIL 'infinity'")
        with pytest.raises(StepFailed, match=r"(?s)AwsUnavailable: PostgreSQL has ended .* by lock_timeout.*pg_locks"):
            users(step, target, grant())


def test_a_statement_that_takes_too_long_by_the_data_api_is_tried_again() -> None:
    answer: Any = {"Error": {"Code": "DatabaseErrorException", "Message": "ERROR: canceling; SQLState: 57014"}}
    cluster: Any = {"id": "orders", "master_secret": "s", "port": 5432}
    assert isinstance(data_api.refusal(ClientError(answer, "ExecuteStatement"), cluster, "postgres"), AwsUnavailable)


def test_who_is_enabled_again_has_everything_as_it_was(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE app_read")
    dba = {"groups": ["dba"]}
    listed = [grant(ALICE, "app_read"), grant(BOB, "app_read", groups=("dba",))]
    users(step, target, *listed, **dba)
    before = {each: (roles_of(cloud, each), comment_of(cloud, each)) for each in (ALICE, BOB)}
    revoked(step, target)
    assert users(step, target, *listed, **dba) == {
        "roles": [ALICE, BOB],
        "made": [],
        "revoked": [],
        "reason": "",
        "warnings": [],
    }
    assert {each: (roles_of(cloud, each), comment_of(cloud, each)) for each in (ALICE, BOB)} == before
    assert revoked(step, target) == [ALICE, BOB]


def test_who_left_a_group_while_it_was_disabled_loses_the_rest_afterwards(
    cloud: Cloud, step: Step, target: dict[str, Any]
) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE app_read")
    users(step, target, grant(BOB, "app_read", groups=("dba",)), groups=["dba"])
    revoked(step, target)
    users(step, target, groups=["dba"])
    assert roles_of(cloud, BOB) == set()


def test_the_roles_of_a_secondary_cluster_are_left_to_its_primary(
    cloud: Cloud, step: Step, target: dict[str, Any]
) -> None:
    users(step, target, grant())
    assert revoked(step, {**target, "secondary": True, "port": 9}) == []
    assert revoked(step, {**target, "endpoint": "", "port": 9}) == []
    assert roles_of(cloud, ALICE) == {"rds_ad"}


def test_a_database_that_cannot_be_reached_is_told(step: Step, target: dict[str, Any]) -> None:
    with pytest.raises(StepFailed, match=r"DatabaseUnreachable: No connection to orders\.\S+ port 9"):
        revoked(step, {**target, "port": 9})


# --- groups as roles of their own (pg_ad_mapping) ---------------------------------------------------------------------


def mapped(**changes: Any) -> dict[str, Any]:
    return {"group": "dba", "sid": "S-1-5-21-1-2-3-1106", "role": "dba_role", "roles": [], "weight": 7, **changes}


def mappings(cloud: Cloud) -> list[tuple[Any, ...]]:
    return cloud.databases.server("orders").sql("SELECT * FROM aurora_kerberos.pgadmap_read_mapping()")


@pytest.fixture
def with_library(cloud: Cloud) -> None:
    cloud.databases.server("orders")
    cloud.databases.preload("orders", group_mapping=True)
    cloud.databases.restart("orders")


@pytest.mark.usefixtures("with_library")
def test_a_group_is_mapped_to_a_role_without_rds_ad_once(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE app_write")
    first = users(step, target, mappings=[mapped(roles=["app_write"])])
    assert first["made"] == ["dba_role"]
    assert roles_of(cloud, "dba_role") == {"app_write"}
    assert users(step, target, mappings=[mapped(roles=["app_write"])])["made"] == []
    assert mappings(cloud) == [("S-1-5-21-1-2-3-1106", "dba_role", 7, "dba")]


@pytest.mark.usefixtures("with_library")
def test_another_weight_takes_the_place_of_the_first(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    users(step, target, mappings=[mapped(), mapped(sid="S-1-5-21-1-2-3-1107", group="readers", role="r", weight=1)])
    users(step, target, mappings=[mapped(weight=9)])
    assert sorted(mappings(cloud)) == [
        ("S-1-5-21-1-2-3-1106", "dba_role", 9, "dba"),
        ("S-1-5-21-1-2-3-1107", "r", 1, "readers"),
    ]


@pytest.mark.usefixtures("with_library")
def test_a_member_s_ticket_lets_in_as_the_group_s_role(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    directory = cloud.directories.find("corp.example.com").directory_id
    found = cluster_of(cloud, "orders")
    cloud.databases.join("orders", [found.endpoint], cloud.directories.realm(directory))
    cloud.databases.restart("orders")
    add_groups(cloud, directory, {"dba": ["alice"]})
    users(step, target, mappings=[mapped(sid=cloud.directories.data(directory).true["dba"].sid)])
    assert login(cloud, "orders", ALICE, role="dba_role").ok
    assert not login(cloud, "orders", "kerberos-check@CORP.EXAMPLE.COM", role="dba_role").ok


@pytest.mark.usefixtures("with_library")
def test_a_role_with_rds_ad_is_no_group_s(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE dba_role LOGIN IN ROLE rds_ad")
    with pytest.raises(StepFailed, match=r"GroupMappingUnavailable: The database role 'dba_role'.*has rds_ad"):
        users(step, target, mappings=[mapped()])


def test_without_the_library_the_restart_is_asked_for(step: Step, target: dict[str, Any]) -> None:
    with pytest.raises(StepFailed, match=r"(?s)GroupMappingUnavailable: .* not pg_ad_mapping.*Restart the writer"):
        users(step, target, mappings=[mapped()])


# --- the RDS Data API -------------------------------------------------------------------------------------------------


@pytest.fixture
def by_api(cloud: Cloud, target: dict[str, Any]) -> dict[str, Any]:
    """No route leads to the database, but its HTTP endpoint is on."""
    cluster_of(cloud, "orders")._enable_http_endpoint = True
    return {**target, "port": 9, "http_endpoint": True}


def test_the_data_api_runs_the_same_statements(cloud: Cloud, step: Step, by_api: dict[str, Any]) -> None:
    evil = "o'br%sien\"; DROP ROLE rds_ad; --:p0@CORP.EXAMPLE.COM"
    cloud.databases.server("orders").sql('CREATE ROLE "app read"')
    first = users(step, by_api, grant(ALICE, "app read", groups=("dba",)), grant(evil), groups=["dba"])
    assert first["made"] == [ALICE, evil]
    assert roles_of(cloud, ALICE) == {"rds_ad", "app read"}
    assert roles_of(cloud, evil) == {"rds_ad"}
    second = users(step, by_api, grant(evil), groups=["dba"])
    assert (second["made"], second["revoked"]) == ([], [ALICE])
    assert roles_of(cloud, ALICE) == set()


@pytest.mark.usefixtures("with_library")
def test_the_data_api_maps_groups(cloud: Cloud, step: Step, by_api: dict[str, Any]) -> None:
    users(step, by_api, mappings=[mapped()])
    users(step, by_api, mappings=[mapped(weight=8)])
    assert mappings(cloud) == [("S-1-5-21-1-2-3-1106", "dba_role", 8, "dba")]


def test_the_data_api_tells_a_role_of_somebody_else(cloud: Cloud, step: Step, by_api: dict[str, Any]) -> None:
    of_somebody_else(cloud, BOB, "", "rds_ad")
    users(step, by_api, grant(BOB, groups=("dba",)), groups=["dba"])
    assert users(step, by_api, groups=["dba"])["revoked"] == []
    assert roles_of(cloud, BOB) == {"rds_ad"}
    assert comment_of(cloud, BOB) is None


def test_the_data_api_takes_what_was_given_here_and_nothing_else(
    cloud: Cloud, step: Step, by_api: dict[str, Any]
) -> None:
    of_somebody_else(cloud, BOB, "It's 100 % Bob's :p0", "rds_password")
    of_somebody_else(cloud, CAROL, "", "rds_ad")
    users(step, by_api, grant(ALICE), grant(BOB), grant(CAROL))
    assert revoked(step, by_api) == [ALICE, BOB]
    assert [roles_of(cloud, each) for each in (ALICE, BOB, CAROL)] == [set(), {"rds_password"}, {"rds_ad"}]
    assert str(comment_of(cloud, BOB)).startswith("It's 100 % Bob's :p0\naurora-kerberos: ")
    assert revoked(step, by_api) == []


def test_the_data_api_makes_all_or_nothing(cloud: Cloud, step: Step, by_api: dict[str, Any]) -> None:
    server = cloud.databases.server("orders")
    server.sql(f'CREATE ROLE "{BOB}" SUPERUSER NOLOGIN')
    with pytest.raises(StepFailed, match="DatabaseRefused: PostgreSQL refused a statement of step 7: "):
        users(step, by_api, grant(), grant(BOB))
    assert server.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [ALICE]) == []
    # And nothing stays locked until the Data API forgets the transaction.
    assert server.sql("SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == []


def test_what_went_wrong_is_told_even_when_the_transaction_is_gone(
    cloud: Cloud, step: Step, by_api: dict[str, Any]
) -> None:
    cloud.faults = Faults(
        [
            Fault(call="rds-data:ExecuteStatement", error="DatabaseUnavailableException", message="It is away."),
            Fault(call="rds-data:RollbackTransaction", error="TransactionNotFoundException", status=404),
        ]
    )
    with pytest.raises(StepFailed, match=r"AwsUnavailable: .* It is away"):
        step("CheckDatabase", cluster=by_api, principals=[])


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("DatabaseResumingException", "AwsUnavailable"),
        ("DatabaseUnavailableException", "AwsUnavailable"),
        ("StatementTimeoutException", "AwsUnavailable"),
        ("InvalidSecretException", "SecretUnusable"),
        ("SecretsErrorException", "SecretUnusable"),
        ("HttpEndpointNotEnabledException", "DatabaseUnreachable"),
        ("InvalidResourceStateException", "DatabaseUnreachable"),
        ("DatabaseNotFoundException", "DatabaseUnreachable"),
        ("BadRequestException", "DatabaseRefused"),
        ("AccessDeniedException", "AccessDenied"),
    ],
)
def test_what_the_data_api_refuses_has_a_name(
    cloud: Cloud, step: Step, by_api: dict[str, Any], fault: str, error: str
) -> None:
    cloud.faults = Faults([Fault(call="rds-data:BeginTransaction", error=fault)])
    with pytest.raises(StepFailed) as failed:
        step("CheckDatabase", cluster=by_api, principals=[])
    assert failed.value.error == error


def test_where_neither_way_leads_the_error_says_what_to_open(cloud: Cloud, step: Step, by_api: dict[str, Any]) -> None:
    cluster_of(cloud, "orders")._enable_http_endpoint = False
    with pytest.raises(StepFailed, match=r"(?s)DatabaseUnreachable: Neither .* TCP port 9 .* switch on its HTTP"):
        step("CheckDatabase", cluster=by_api, principals=[])


# --- where there is no database to look after -------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"endpoint": ""}, {"secondary": True}])
def test_without_a_database_of_its_own_nothing_is_done(
    step: Step, target: dict[str, Any], change: dict[str, Any]
) -> None:
    nowhere = {**target, **change, "port": 9}
    assert step("CheckDatabase", cluster=nowhere, principals=grant())["ready"]
    outputs = users(step, nowhere, grant())
    assert outputs["roles"] == []
    assert "primary" in outputs["reason"]


def test_a_check_without_secret_says_that_nothing_is_proven(step: Step, target: dict[str, Any]) -> None:
    outputs = step("VerifyLogin", cluster=target, krb5_conf="", check={"principal": "x", "secret": ""})["outputs"]
    assert outputs["verified"] is False
    assert "CheckSecret" in outputs["reason"]


def test_a_keytab_that_is_none_is_refused(cloud: Cloud) -> None:
    from local.services.lambda_functions import ROOT, load  # noqa: PLC0415  a function's inside, for once

    module = load(ROOT / "functions" / "verify_login").__wrapped__.__globals__  # type: ignore[attr-defined]  # wraps() sets it
    cloud.client("secretsmanager").create_secret(Name="bad", SecretString=json.dumps({"keytab": "%%%"}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_REGION", cloud.region)
        with pytest.raises(Exception, match="is not base64"):
            module["read_credentials"]("bad")


@pytest.mark.parametrize("content", ["{}", '{"password": ""}', '["x"]', '{"username": "kerberos-check"}'])
def test_a_check_secret_without_keytab_and_password_is_refused(
    cloud: Cloud, step: Step, target: dict[str, Any], content: str
) -> None:
    name = "aurora-kerberos/kerberos-check"
    cloud.client("secretsmanager").create_secret(Name=name, SecretString=content)
    allow_secret(cloud, name)
    with pytest.raises(StepFailed, match=r"SecretUnusable: The secret .* has no 'keytab' and no 'password'"):
        step("VerifyLogin", cluster=target, krb5_conf="", check={"principal": "x", "secret": name})


def allow_secret(cloud: Cloud, name: str) -> None:
    """As if the stack had been deployed with the parameter CheckSecret."""
    resource = cloud.arn("secretsmanager", f"secret:{name}-*")
    statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": resource}
    cloud.client("iam").put_role_policy(
        RoleName=cloud.functions.role("VerifyLogin"),
        PolicyName="check",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


@pytest.mark.parametrize(
    ("password", "trouble", "said", "remedy"),
    [
        ("not-this-one-7", "", "Preauthentication failed", "store it, or a new keytab"),
        ("Right-password-7", "+needchange", "Password has expired", "Reset the user's password"),
        ("Right-password-7", "-allow_tix", "credentials have been revoked", "enable it"),
        ("Right-password-7", "gone", "not found in Kerberos database", "Create the check principal's user"),
    ],
)
def test_a_password_that_does_not_do_is_told_with_a_remedy(  # noqa: PLR0917  a table
    cloud: Cloud, step: Step, target: dict[str, Any], password: str, trouble: str, said: str, remedy: str
) -> None:
    name, kdc = "aurora-kerberos/kerberos-check", cloud.directories.realm("corp.example.com")
    cloud.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps({"password": password}))
    allow_secret(cloud, name)
    kdc.set_password("kerberos-check", "Right-password-7")
    if trouble == "gone":
        kdc.delete_principal("kerberos-check")
    elif trouble:
        kdc._admin("modprinc", trouble, "kerberos-check")
    check = {"principal": "kerberos-check@CORP.EXAMPLE.COM", "secret": name}
    conf = krb5.conf({"corp.example.com": ["127.0.0.2"]})
    with pytest.raises(StepFailed) as failed:
        run_step(cloud, step, "VerifyLogin", cluster=target, krb5_conf=conf, check=check)
    assert failed.value.error == "LoginRefused"
    assert said in failed.value.text
    assert remedy in failed.value.text
    assert password not in failed.value.text + cloud.functions.logs()


def test_a_login_that_does_not_succeed_gets_ten_minutes(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    name = "aurora-kerberos/kerberos-check"
    cloud.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps({"password": "not-this-one-7"}))
    allow_secret(cloud, name)
    conf = krb5.conf({"corp.example.com": ["127.0.0.2"]})
    check = {"principal": "kerberos-check@CORP.EXAMPLE.COM", "secret": name}
    asked = {"cluster": target, "krb5_conf": conf, "check": check}
    reason = step("VerifyLogin", **asked)["reason"]
    assert not step("VerifyLogin", **asked, polls=polls_in(10) - 1, waiting_for=reason)["ready"]
    with pytest.raises(StepFailed, match="LoginRefused"):
        step("VerifyLogin", **asked, polls=polls_in(10), waiting_for=reason)


def test_a_login_leaves_no_file_and_no_environment_behind(cloud: Cloud, tmp_path: Any) -> None:
    """A warm Lambda keeps /tmp and os.environ: an old ticket would prove nothing."""
    from local.services.lambda_functions import ROOT, load  # noqa: PLC0415  a function's inside, for once

    module = load(ROOT / "functions" / "verify_login").__wrapped__.__globals__  # type: ignore[attr-defined]  # wraps() sets it
    key = tmp_path / "keytab"
    cloud.directories.realm("corp.example.com").keytab(key, "alice")
    assert base64.b64encode(key.read_bytes())
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", str(tmp_path))
        patched.setattr("tempfile.tempdir", None)
        patched.setenv("PGHOSTADDR", "127.0.0.1")
        patched.setenv("AUTHORITIES_SECRET", "")
        import os  # noqa: PLC0415

        before = dict(os.environ)
        nowhere = {"endpoint": "x.rds.amazonaws.com", "port": 9, "database": "postgres"}
        conf = krb5.conf({"r.x": ["127.0.0.1"]})
        with pytest.raises(Exception, match="refused"):
            module["login"](nowhere, conf, "alice@R.X", key.read_bytes())
        assert dict(os.environ) == before
    assert [path.name for path in tmp_path.iterdir()] == ["keytab"]


def test_the_scenario_s_users_are_principals(cloud: Cloud) -> None:
    create_users(cloud, "corp.example.com", ["dave"])
    assert cloud.directories.realm("corp.example.com").has_principal("dave")
