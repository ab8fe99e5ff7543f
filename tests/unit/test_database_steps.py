"""Step 7 and the proof against a real PostgreSQL and a real KDC: idempotence, refusals, and what is said of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from local import scenario
from local.cloud import Cloud
from tests.unit.conftest import Step, StepFailed, run_step

ALICE = "alice@CORP.EXAMPLE.COM"


@pytest.fixture
def target(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = step("ValidateRequest", request={"cluster": "orders"})["outputs"]["plan"]["cluster"]
    return found


def grant(principal: str = ALICE, *roles: str) -> list[dict[str, Any]]:
    return [{"principal": principal, "roles": list(roles)}]


def roles_of(cloud: Cloud, principal: str) -> set[str]:
    rows = cloud.databases.server("orders").sql(
        "SELECT r.rolname FROM pg_auth_members JOIN pg_roles m ON m.oid = member JOIN pg_roles r ON r.oid = roleid "
        "WHERE m.rolname = %s",
        [principal],
    )
    return {row[0] for row in rows}


def test_a_principal_becomes_a_login_role_with_rds_ad_once(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE app_read")
    first = step("EnsureDatabaseUsers", cluster=target, principals=grant(ALICE, "app_read"))
    assert first["outputs"] == {"roles": [ALICE], "made": [ALICE]}
    assert roles_of(cloud, ALICE) == {"rds_ad", "app_read"}
    second = step("EnsureDatabaseUsers", cluster=target, principals=grant(ALICE, "app_read"))
    assert second["outputs"] == {"roles": [ALICE], "made": []}


def test_a_role_that_is_there_is_completed(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    server = cloud.databases.server("orders")
    server.sql(f'CREATE ROLE "{ALICE}" NOLOGIN')
    server.sql('GRANT "rds_password" TO "' + ALICE + '"')
    assert step("EnsureDatabaseUsers", cluster=target, principals=grant())["outputs"]["made"] == []
    assert roles_of(cloud, ALICE) == {"rds_ad", "rds_password"}
    assert server.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [ALICE]) == [(True,)]


def test_names_are_identifiers_and_never_sql(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    evil = 'x"; DROP ROLE rds_ad; --@CORP.EXAMPLE.COM'
    step("EnsureDatabaseUsers", cluster=target, principals=grant(evil))
    assert roles_of(cloud, evil) == {"rds_ad"}


def test_all_are_made_or_none(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    server = cloud.databases.server("orders")
    server.sql("CREATE ROLE owned_by_aws SUPERUSER")
    principals = [*grant(), *grant("bob@CORP.EXAMPLE.COM", "owned_by_aws")]
    with pytest.raises(StepFailed, match="DatabaseRefused: PostgreSQL refused a statement"):
        step("EnsureDatabaseUsers", cluster=target, principals=principals)
    assert server.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [ALICE]) == []


@pytest.mark.parametrize("function", ["CheckDatabase", "EnsureDatabaseUsers"])
def test_rds_iam_is_found_through_other_roles(cloud: Cloud, step: Step, target: dict[str, Any], function: str) -> None:
    server = cloud.databases.server("orders")
    for statement in ("CREATE ROLE a", "CREATE ROLE b", "GRANT rds_iam TO a", "GRANT a TO b"):
        server.sql(statement)
    with pytest.raises(StepFailed, match=f"PrincipalUsesIam: The database role 'b' has rds_iam, so {ALICE} cannot"):
        step(function, cluster=target, principals=grant(ALICE, "b"))
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


def test_a_database_that_does_not_answer_after_the_restart_gets_five_minutes(
    step: Step, target: dict[str, Any]
) -> None:
    away = {**target, "port": 9}
    answer = step("EnsureDatabaseUsers", cluster=away, principals=[])
    assert not answer["ready"]
    again = {"waiting_for": answer["reason"], "cluster": away, "principals": []}
    assert not step("EnsureDatabaseUsers", polls=5, **again)["ready"]
    with pytest.raises(StepFailed, match=r"DatabaseUnreachable: No connection to orders\.\S+ port 9"):
        step("EnsureDatabaseUsers", polls=8, **again)


def test_a_check_without_secret_says_that_nothing_is_proven(step: Step, target: dict[str, Any]) -> None:
    outputs = step("VerifyLogin", cluster=target, directory={}, check={"principal": "x", "secret": ""})["outputs"]
    assert outputs["verified"] is False
    assert "CheckSecret" in outputs["reason"]


def test_a_keytab_that_is_none_is_refused(cloud: Cloud) -> None:
    from local.functions import ROOT, load  # noqa: PLC0415  a function's inside, for once

    module = load(ROOT / "functions" / "verify_login").__wrapped__.__globals__  # type: ignore[attr-defined]  # wraps() sets it
    cloud.client("secretsmanager").create_secret(Name="bad", SecretString=json.dumps({"keytab": "%%%"}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_REGION", cloud.region)
        with pytest.raises(Exception, match="is not base64"):
            module["read_credentials"]("bad")


@pytest.mark.parametrize("content", ["{}", '{"password": ""}', '["x"]', '{"username": "kerberos-check"}'])
def test_a_check_secret_without_keytab_and_password_is_refused(cloud: Cloud, step: Step, content: str) -> None:
    name = "aurora-kerberos/kerberos-check"
    cloud.client("secretsmanager").create_secret(Name=name, SecretString=content)
    allow_secret(cloud, name)
    with pytest.raises(StepFailed, match=r"SecretUnusable: The secret .* has no 'keytab' and no 'password'"):
        step("VerifyLogin", cluster={}, directory={}, check={"principal": "x", "secret": name})


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
    directory = {"realm": "CORP.EXAMPLE.COM", "dns_name": "corp.example.com", "dns_ips": ["127.0.0.2"]}
    with pytest.raises(StepFailed) as failed:
        run_step(cloud, step, "VerifyLogin", cluster=target, directory=directory, check=check)
    assert failed.value.error == "LoginRefused"
    assert said in failed.value.text
    assert remedy in failed.value.text
    assert password not in failed.value.text + cloud.functions.logs()


def test_a_login_leaves_no_file_and_no_environment_behind(cloud: Cloud, tmp_path: Any) -> None:
    """A warm Lambda keeps /tmp and os.environ: an old ticket would prove nothing."""
    from local.functions import ROOT, load  # noqa: PLC0415  a function's inside, for once

    module = load(ROOT / "functions" / "verify_login").__wrapped__.__globals__  # type: ignore[attr-defined]  # wraps() sets it
    key = tmp_path / "keytab"
    cloud.directories.realm("corp.example.com").keytab(key, "alice")
    assert base64.b64encode(key.read_bytes())
    conf = module["krb5_conf"]({"realm": "R.X", "dns_name": "r.x", "dns_ips": ["10.0.0.1", "10.0.0.2"]})
    assert "kdc = 10.0.0.1\n    kdc = 10.0.0.2\n" in conf
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", str(tmp_path))
        patched.setattr("tempfile.tempdir", None)
        patched.setenv("PGHOSTADDR", "127.0.0.1")
        import os  # noqa: PLC0415

        before = dict(os.environ)
        nowhere = {"endpoint": "x.rds.amazonaws.com", "port": 9, "database": "postgres"}
        directory = {"realm": "R.X", "dns_name": "r.x", "dns_ips": ["127.0.0.1"]}
        with pytest.raises(Exception, match="refused"):
            module["login"](nowhere, directory, "alice@R.X", key.read_bytes())
        assert dict(os.environ) == before
    assert [path.name for path in tmp_path.iterdir()] == ["keytab"]


def test_the_scenario_s_users_are_principals(cloud: Cloud) -> None:
    scenario.create_users(cloud, "corp.example.com", ["dave"])
    assert cloud.directories.realm("corp.example.com").has_principal("dave")
