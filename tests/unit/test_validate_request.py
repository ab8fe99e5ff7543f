"""The plan: from what is asked for, the settings and the live cluster; and every refusal before anything is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aurora_kerberos import clusters
from local import rds
from local.cloud import Cloud
from tests.unit.conftest import Step, StepFailed

EVENT = json.loads((Path(__file__).parents[1] / "events" / "tag-change.json").read_text())


def plan(step: Step, **request: Any) -> dict[str, Any]:
    answer = step("ValidateRequest", request={"cluster": "orders", **request})
    assert answer["ready"]
    found: dict[str, Any] = answer["outputs"]["plan"]
    return found


def tag(cloud: Cloud, **tags: str) -> None:
    rds.cluster_of(cloud, "orders").add_tags([{"Key": k.replace("_", "-"), "Value": v} for k, v in tags.items()])


def put(cloud: Cloud, name: str, value: Any) -> None:
    cloud.client("ssm").put_parameter(Name=name, Type="String", Value=json.dumps(value), Overwrite=True)


def names(found: dict[str, Any]) -> list[str]:
    return [each["principal"] for each in found["principals"]]


def test_the_plan_holds_what_later_steps_need(cloud: Cloud, step: Step) -> None:
    found = plan(step, principals=[{"name": "Bob", "roles": ["b", "a"]}, "alice", {"name": "bob", "roles": ["c"]}])
    cluster = found["cluster"]
    assert (cluster["id"], cluster["database"]) == ("orders", "postgres")
    assert cluster["endpoint"].endswith(".eu-central-1.rds.amazonaws.com")
    assert cluster["security_groups"][0].startswith("sg-")
    assert ":secret:rds!cluster-" in cluster["master_secret"]
    assert found["principals"] == [
        {"principal": "alice@CORP.EXAMPLE.COM", "roles": [], "named": True, "groups": []},
        {"principal": "bob@CORP.EXAMPLE.COM", "roles": ["a", "b", "c"], "named": True, "groups": []},
    ]
    assert found["directory"]["dns_name"] == "corp.example.com"
    assert found["directory"]["subnet_ids"] == cloud.subnets
    assert found["warnings"] == []
    assert not [call for call in cloud.calls if call.changes]


def test_the_cluster_may_be_named_by_its_arn(cloud: Cloud, step: Step) -> None:
    assert plan(step, cluster=cloud.cluster_arn("orders"))["cluster"]["id"] == "orders"


def test_principals_come_from_input_tag_cluster_and_stack_in_this_order(cloud: Cloud, step: Step) -> None:
    found = plan(step)
    assert names(found) == []
    assert found["warnings"] == ["No principals are listed: nobody will be able to log in."]
    put(cloud, "/aurora-kerberos/principals-by-default", ["default"])
    assert names(plan(step)) == ["default@CORP.EXAMPLE.COM"]
    put(cloud, "/aurora-kerberos/principals/orders", ["own"])
    assert names(plan(step)) == ["own@CORP.EXAMPLE.COM"]
    put(cloud, "/aurora-kerberos/principals/team", ["team"])
    tag(cloud, kerberos_principals="/aurora-kerberos/principals/team")
    assert names(plan(step)) == ["team@CORP.EXAMPLE.COM"]
    assert names(plan(step, principals=["input"])) == ["input@CORP.EXAMPLE.COM"]
    assert names(plan(step, principals=[])) == []


def test_an_empty_list_of_the_cluster_s_own_is_a_list(cloud: Cloud, step: Step) -> None:
    put(cloud, "/aurora-kerberos/principals-by-default", ["default"])
    put(cloud, "/aurora-kerberos/principals/orders", [])
    assert names(plan(step)) == []


def test_the_master_secret_comes_from_input_tag_and_rds_in_this_order(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos_master_secret="aurora-kerberos/shared/master")
    assert plan(step)["cluster"]["master_secret"] == "aurora-kerberos/shared/master"
    assert (
        plan(step, master_secret="aurora-kerberos/x/master")["cluster"]["master_secret"] == "aurora-kerberos/x/master"
    )


def test_a_tag_event_stands_for_its_cluster_while_the_tag_is_there(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    assert step("ValidateRequest", request=EVENT)["outputs"]["plan"]["cluster"]["id"] == "orders"
    tag(cloud, kerberos="later")
    assert "now 'later'" in step("ValidateRequest", request=EVENT)["outputs"]["end"]["message"]


def test_a_tag_event_of_a_cluster_that_is_gone_is_superseded(cloud: Cloud, step: Step) -> None:
    assert cloud
    event = {**EVENT, "resources": ["arn:aws:rds:eu-central-1:123456789012:cluster:gone"]}
    assert "no longer exists" in step("ValidateRequest", request=event)["outputs"]["end"]["message"]


@pytest.mark.parametrize(
    "request_",
    [
        [],
        "orders",
        None,
        7,
        {"detail-type": "Tag Change on Resource"},
        {**EVENT, "resources": []},
        {**EVENT, "resources": ["not-an-arn at all"]},
        {**EVENT, "detail": {"service": "ec2", "resource-type": "instance"}},
        {"detail-type": ["x"], "cluster": "orders"},
    ],
)
def test_whatever_the_input_is_the_error_is_ours(step: Step, request_: Any) -> None:
    with pytest.raises(StepFailed) as failed:
        step("ValidateRequest", request=request_)
    assert failed.value.error == "InvalidRequest"
    assert "Remedy: " in failed.value.text


@pytest.mark.parametrize("status", sorted(clusters.STUCK_CLUSTER))
def test_a_stuck_cluster_is_refused(cloud: Cloud, step: Step, status: str) -> None:
    rds.cluster_of(cloud, "orders").status = status
    with pytest.raises(StepFailed, match=f"ClusterUnusable: Cluster orders is {status}"):
        plan(step)


@pytest.mark.parametrize("status", ["creating", "starting", "upgrading", "something-new"])
def test_a_busy_cluster_is_waited_for(cloud: Cloud, step: Step, status: str) -> None:
    cluster = rds.cluster_of(cloud, "orders")
    type(cluster).status.fset(cluster, status)
    answer = step("ValidateRequest", request={"cluster": "orders"})
    assert (answer["ready"], answer["reason"]) == (False, f"Cluster orders is {status}")


def test_an_instance_that_is_being_created_is_waited_for(cloud: Cloud, step: Step) -> None:
    rds.backend(cloud).databases["orders-2"].status = "creating"
    answer = step("ValidateRequest", request={"cluster": "orders"})
    assert (answer["ready"], answer["reason"]) == (False, "The instances of orders are being created")


@pytest.mark.parametrize("place", ["eu-central-1:999999999999", "eu-west-1:123456789012"])
def test_a_cluster_of_another_account_or_region_is_refused(step: Step, place: str) -> None:
    said = r"(?s)InvalidRequest: .* of another account or Region.*this stack is for eu-central-1 123456789012"
    with pytest.raises(StepFailed, match=said):
        plan(step, cluster=f"arn:aws:rds:{place}:cluster:orders")


@pytest.mark.parametrize("secret", ["payroll", "aurora-kerberos/corp.example.com/admin", "xaurora-kerberos/x/master"])
@pytest.mark.parametrize("by_tag", [True, False])
def test_a_master_secret_of_somebody_else_is_refused(cloud: Cloud, step: Step, secret: str, by_tag: bool) -> None:
    if by_tag:
        tag(cloud, kerberos_master_secret=secret)
    said = f"(?s)InvalidRequest: The master secret {secret} is .* of the form aurora-kerberos/<anything>/master"
    with pytest.raises(StepFailed, match=said):
        plan(step, **({} if by_tag else {"master_secret": secret}))


def test_a_principals_parameter_of_somebody_else_is_refused(cloud: Cloud, step: Step) -> None:
    put(cloud, "/payroll/people", ["alice"])
    tag(cloud, kerberos_principals="/payroll/people")
    with pytest.raises(StepFailed, match=r"(?s)InvalidRequest: .*/payroll/people.*begins with /aurora-kerberos/\."):
        plan(step)


def test_an_old_version_is_a_warning(cloud: Cloud, step: Step) -> None:
    rds.cluster_of(cloud, "orders").engine_version = "10.21"
    assert "Aurora PostgreSQL 10.21" in plan(step, principals=["alice"])["warnings"][0]


def test_a_principal_of_an_unknown_realm_is_a_warning(cloud: Cloud, step: Step) -> None:
    listed = ["alice", "bob@ONPREM.EXAMPLE.COM", "eve@child.onprem.example.com", "mallory@SONPREM.EXAMPLE.COM"]
    warnings = plan(step, principals=listed)["warnings"]
    assert len(warnings) == 3
    assert warnings[0].startswith("The realm of bob@ONPREM.EXAMPLE.COM is neither CORP.EXAMPLE.COM nor")
    put(cloud, "/aurora-kerberos/settings", {"trusts": [{"domain": "onprem.example.com", "dns_ips": ["10.99.0.10"]}]})
    (warning,) = plan(step, principals=listed)["warnings"]
    assert "mallory@SONPREM.EXAMPLE.COM" in warning
