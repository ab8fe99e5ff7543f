"""The ceiling on what a list of principals may give, whoever writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.cloud import Cloud
from tests.steps.conftest import Step, StepFailed, set_of_stack

ALICE = "alice@CORP.EXAMPLE.COM"


def plan(step: Step, *principals: Any) -> dict[str, Any]:
    outputs: dict[str, Any] = step("ValidateRequest", request={"cluster": "orders", "principals": [*principals]})[
        "outputs"
    ]
    found: dict[str, Any] = outputs["plan"]
    return found


def check(step: Step, plan: dict[str, Any]) -> None:
    step(
        "CheckDatabase",
        cluster=plan["cluster"],
        principals=plan["principals"],
        groups=plan["directory_users"]["principal_groups"],
        allowed_roles=plan["allowed_roles"],
    )


LISTED = [
    lambda role: {"name": "alice", "roles": [role]},
    lambda role: {"group": "dba", "roles": [role]},
    lambda role: {"group": "dba", "roles": [role], "map_to": "dba_role"},
    lambda role: {"group": "dba", "map_to": role},
]


@pytest.mark.parametrize("listed", LISTED)
@pytest.mark.parametrize("role", ["rds_superuser", "rds_replication", "rds_password", "pg_read_all_data", "rdsadmin"])
def test_a_reserved_role_is_refused_by_its_name(step: Step, role: str, listed: Any) -> None:
    with pytest.raises(StepFailed, match=rf"(?s)RoleReserved: The database role '{role}', for \w+, .*AllowedRoles"):
        plan(step, listed(role))


def test_what_the_stack_allows_is_granted(cloud: Cloud, step: Step) -> None:
    set_of_stack(cloud, allowed_roles="pg_read_all_data,pg_monitor")
    made = plan(step, {"name": "alice", "roles": ["pg_read_all_data"]})
    check(step, made)
    arguments = {key: made[key] for key in ("cluster", "principals", "allowed_roles")}
    answer = step("EnsureDatabaseUsers", **arguments, mappings=[], groups=[])
    assert answer["outputs"]["made"] == [ALICE]
    with pytest.raises(StepFailed, match="RoleReserved: The database role 'pg_write_all_data'"):
        plan(step, {"name": "alice", "roles": ["pg_write_all_data"]})


@pytest.mark.parametrize("listed", LISTED)
@pytest.mark.parametrize(
    ("made", "held"),
    [
        (["CREATE ROLE app_admin IN ROLE middle"], "rds_superuser"),
        (["CREATE ROLE app_admin IN ROLE pg_signal_backend"], "pg_signal_backend"),
        (["CREATE ROLE app_admin", "GRANT postgres TO app_admin"], "postgres"),
        (["CREATE ROLE app_admin CREATEROLE"], "app_admin"),
        (["CREATE ROLE app_admin BYPASSRLS"], "app_admin"),
        (["CREATE ROLE app_admin REPLICATION"], "app_admin"),
    ],
)
def test_a_role_that_leads_to_power_is_refused_before_anything_is_changed(
    cloud: Cloud, step: Step, made: list[str], held: str, listed: Any
) -> None:
    server = cloud.databases.server("orders")
    for statement in ["CREATE ROLE middle IN ROLE rds_superuser", "CREATE ROLE dba_role", *made]:
        server.sql(statement)
    wanted = plan(step, listed("app_admin"))
    said = "is reserved" if held == "app_admin" else rf"has .*\b{held}"
    with pytest.raises(StepFailed, match=rf"RoleReserved: The database role 'app_admin', for .*{said}\b"):
        check(step, wanted)


@pytest.mark.parametrize("role", ["postgres", "app_admin"])
def test_a_group_is_not_mapped_to_the_master_user_nor_to_who_has_power(cloud: Cloud, step: Step, role: str) -> None:
    cloud.databases.server("orders").sql("CREATE ROLE app_admin IN ROLE rds_superuser")
    with pytest.raises(StepFailed, match=f"RoleReserved: The database role '{role}', for the group dba"):
        check(step, plan(step, {"group": "dba", "map_to": role}))


def test_step_7_asks_again_for_the_database_may_have_changed(cloud: Cloud, step: Step) -> None:
    server = cloud.databases.server("orders")
    server.sql("CREATE ROLE app_admin")
    made = plan(step, {"name": "alice", "roles": ["app_admin"]})
    check(step, made)
    server.sql("GRANT rds_superuser TO app_admin")
    with pytest.raises(StepFailed, match="RoleReserved"):
        step("EnsureDatabaseUsers", cluster=made["cluster"], principals=made["principals"], mappings=[], groups=[])
    assert server.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [ALICE]) == []


# --- lists ------------------------------------------------------------------------------------------------------------

OWN, SHARED = "/aurora-kerberos/principals/orders", "/aurora-kerberos/principals/team-a"


def put(cloud: Cloud, name: str, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    cloud.client("ssm").put_parameter(Name=name, Value=text, Type="String", Overwrite=True)


def tag(cloud: Cloud, value: str) -> None:
    (cluster,) = cloud.client("rds").describe_db_clusters(DBClusterIdentifier="orders")["DBClusters"]
    tags = [{"Key": "kerberos-principals", "Value": value}]
    cloud.client("rds").add_tags_to_resource(ResourceName=cluster["DBClusterArn"], Tags=tags)


def people(step: Step) -> list[str]:
    made = step("ValidateRequest", request={"cluster": "orders"})["outputs"]["plan"]
    return [each["principal"] for each in made["principals"]]


@pytest.mark.parametrize("clusters", [["orders"], ["stock", "ord*"], ["o*"]])
def test_a_shared_list_says_for_which_clusters_it_is(cloud: Cloud, step: Step, clusters: list[str]) -> None:
    put(cloud, SHARED, {"clusters": clusters, "principals": ["alice"]})
    tag(cloud, SHARED)
    assert people(step) == [ALICE]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["mallory"], "does not say for which clusters its list is, so it is not for orders"),
        ({"clusters": ["stock"], "principals": ["mallory"]}, "has a list that is not for the cluster orders"),
        ({"clusters": ["order"], "principals": ["mallory"]}, "has a list that is not for the cluster orders"),
        ({"clusters": [], "principals": ["mallory"]}, "clusters: List should have at least 1 item"),
        ({"principals": ["mallory"]}, "clusters: Field required"),
    ],
)
def test_another_cluster_s_list_is_not_borrowed(cloud: Cloud, step: Step, value: Any, said: str) -> None:
    put(cloud, SHARED, value)
    tag(cloud, SHARED)
    with pytest.raises(StepFailed, match="InvalidRequest: The parameter /aurora-kerberos/principals/team-a") as failed:
        people(step)
    assert said in failed.value.text
    assert "mallory" not in failed.value.text


@pytest.mark.parametrize(
    "name",
    [
        "/aurora-kerberos/stack",
        "/aurora-kerberos/settings",
        "/aurora-kerberos/principals/",
        "/aurora-kerberos/principals/orders:1",
        "/aurora-kerberos/principals/orders:label",
        "/aurora-kerberos/principals/../stack",
        "/aurora-kerberos/clients/orders/connect",
        "/elsewhere/principals/orders",
        "arn:aws:ssm:eu-central-1:123456789012:parameter/aurora-kerberos/principals/orders",
    ],
)
def test_the_tag_names_lists_alone_and_no_earlier_version(cloud: Cloud, step: Step, name: str) -> None:
    put(cloud, OWN, ["leaver"])
    put(cloud, OWN, ["alice"])
    tag(cloud, name)
    with pytest.raises(StepFailed, match=r"InvalidRequest: The tag kerberos-principals names the parameter") as failed:
        people(step)
    assert "leaver" not in failed.value.text


def test_a_cluster_s_own_list_may_say_so(cloud: Cloud, step: Step) -> None:
    put(cloud, OWN, {"clusters": ["orders"], "principals": ["alice"]})
    assert people(step) == [ALICE]
    put(cloud, OWN, {"clusters": ["stock"], "principals": ["alice"]})
    with pytest.raises(StepFailed, match="not for the cluster orders"):
        people(step)
