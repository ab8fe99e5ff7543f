"""Before step 6: the library that mapped groups need, asked for once, of a group that is the cluster's own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from aurora_kerberos import registry
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.expectations import registry_item
from local.scenario.format import Cluster, Membership
from local.scenario.prepare import add_cluster, add_membership, add_parameter_group
from local.services.rds import parameter_groups
from local.services.rds.backend import cluster_of, set_status
from tests.steps.conftest import Step, StepFailed

MAPPED = [{"group": "dba", "sid": "S-1-5-21-1-2-3-1106", "role": "dba_role", "roles": [], "weight": 7}]
GROUP = "orders-parameters"


@pytest.fixture
def target(cloud: Cloud) -> dict[str, Any]:
    add_parameter_group(cloud, GROUP, "pg_stat_statements,auto_explain")
    cluster_of(cloud, "orders").parameter_group = GROUP
    cloud.calls.clear()
    return {"id": "orders", "endpoint": "orders.cluster-x", "parameter_group": GROUP}


def asked(step: Step, target: dict[str, Any], mappings: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    arguments = {"apply": "now", "approved": False, **changes}
    return step("EnsureGroupMapping", cluster=target, mappings=mappings, **arguments)


def ensure(step: Step, target: dict[str, Any], mappings: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    answer = asked(step, target, MAPPED if mappings is None else mappings)
    assert answer["ready"]
    outputs: dict[str, Any] = answer["outputs"]
    return outputs


def tags(cloud: Cloud) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in cluster_of(cloud, "orders").get_tags()}


def joined(cloud: Cloud, made: datetime) -> None:
    directory = cloud.directories.find("corp.example.com").directory_id
    add_membership(cloud, Membership(directory=directory), cluster_of(cloud, "orders"))
    for instance in cluster_of(cloud, "orders").members:
        instance.instance_create_time = made


def changes(cloud: Cloud) -> list[str]:
    return [call.name for call in cloud.calls if call.function and call.changes and not call.error]


def test_without_mapped_groups_nothing_is_even_looked_at(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    assert ensure(step, target, []) == {"parameter_group": "", "changed": False}
    assert not [call for call in cloud.calls if call.function]


def test_the_library_is_appended_and_the_restart_noted_once(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    assert ensure(step, target)["changed"]
    assert parameter_groups.libraries(cloud, GROUP) == "pg_stat_statements,auto_explain,pg_ad_mapping"
    assert (
        tags(cloud)["kerberos-restart-due"]
        == registry_item(cloud, "orders", registry.RESTART)["since"]
        == "after joining"
    )
    cloud.client("rds").reboot_db_instance(DBInstanceIdentifier="orders-1")
    cloud.client("rds").reboot_db_instance(DBInstanceIdentifier="orders-2")
    cloud.run()
    cloud.calls.clear()
    assert not ensure(step, target)["changed"]
    assert changes(cloud) == []


def test_what_somebody_else_has_changed_restarts_nothing(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    """A parameter group that waits for a restart may do so for any parameter: that restart is not this workflow's."""
    value = {"ParameterName": "shared_preload_libraries", "ParameterValue": "pg_ad_mapping,auto_explain"}
    cloud.client("rds").modify_db_cluster_parameter_group(
        DBClusterParameterGroupName=GROUP, Parameters=[{**value, "ApplyMethod": "pending-reboot"}]
    )
    joined(cloud, datetime(2025, 4, 30))
    cloud.calls.clear()
    assert not ensure(step, target)["changed"]
    assert changes(cloud) == []
    assert "kerberos-restart-due" not in tags(cloud)


def test_a_library_appended_by_hand_is_enough_whoever_else_has_the_group(
    cloud: Cloud, step: Step, target: dict[str, Any]
) -> None:
    add_parameter_group(cloud, "of-two", "pg_stat_statements, pg_ad_mapping")
    cluster_of(cloud, "orders").parameter_group = "of-two"
    add_cluster(cloud, Cluster(id="sales", parameter_group="of-two"))
    cloud.calls.clear()
    assert not ensure(step, {**target, "parameter_group": "of-two"})["changed"]
    assert "rds:ModifyDBClusterParameterGroup" not in changes(cloud)


def test_the_restart_is_noted_before_it_is_needed(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    cloud.faults = Faults([Fault(call="rds:ModifyDBClusterParameterGroup", error="InternalFailure", status=500)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        ensure(step, target)
    assert (
        tags(cloud)["kerberos-restart-due"]
        == registry_item(cloud, "orders", registry.RESTART)["since"]
        == "after joining"
    )


def test_a_cluster_that_has_yet_to_be_made_needs_no_restart(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    cluster_of(cloud, "orders").parameter_group = "another"
    assert ensure(step, {**target, "id": "sales", "endpoint": ""})["changed"]
    assert changes(cloud) == ["rds:ModifyDBClusterParameterGroup"]


def test_aws_s_own_group_is_refused(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    with pytest.raises(StepFailed, match=r"(?s)GroupMappingUnavailable: .*default\.aurora-postgresql16.*of its own"):
        ensure(step, {**target, "parameter_group": "default.aurora-postgresql16"})
    assert changes(cloud) == []


def test_a_group_of_other_clusters_is_refused_and_they_are_named(
    cloud: Cloud, step: Step, target: dict[str, Any]
) -> None:
    add_cluster(cloud, Cluster(id="sales", parameter_group=GROUP))
    with pytest.raises(StepFailed, match=r"GroupMappingUnavailable: .*also that of sales"):
        ensure(step, target)
    assert changes(cloud) == []


def test_the_documented_hazard_is_refused(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    """Instances from before May 2025 that have joined before the library is loaded ("Prerequisites", Important)."""
    joined(cloud, datetime(2025, 4, 30))
    with pytest.raises(StepFailed, match=r"(?s)GroupMappingUnavailable: The instance orders-2 .*leave the domain"):
        ensure(step, target)
    assert changes(cloud) == []
    assert parameter_groups.libraries(cloud, GROUP) == "pg_stat_statements,auto_explain"


def test_a_cluster_that_leaves_its_domain_has_no_such_hazard(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    joined(cloud, datetime(2025, 4, 30))
    set_status(cluster_of(cloud, "orders"), "disabling-kerberos")
    assert ensure(step, target)["changed"]


def test_newer_instances_have_no_such_hazard(cloud: Cloud, step: Step, target: dict[str, Any]) -> None:
    joined(cloud, datetime(2025, 5, 2))
    assert ensure(step, target)["changed"]


def test_with_approval_the_parameter_group_is_changed_only_when_it_is_there(
    cloud: Cloud, step: Step, target: dict[str, Any]
) -> None:
    answer = asked(step, target, MAPPED, apply="approval")
    assert not answer["ready"]
    assert "orders joins the domain and restarts, and so loads pg_ad_mapping" in answer["outputs"]["approval"]
    assert changes(cloud) == []
    assert asked(step, target, MAPPED, apply="approval", approved=True)["outputs"]["changed"]
    assert asked(step, target, MAPPED, apply="approval")["ready"]  # it is there already: nobody need be asked
