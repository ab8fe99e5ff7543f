"""Step 6: every status of a membership, a cluster and an instance; the restart, in order, once; making a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from moto.iam.models import iam_backends
from moto.rds.models import DomainMembership

from aurora_kerberos import clusters, new_clusters, registry
from deploy import templates
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.expectations import registry_item
from local.services.iam.resources import listed
from local.services.iam.roles import Roles
from local.services.rds.backend import Aurora, cluster_of, members, moto_rds
from tests.steps import arguments as given
from tests.steps.conftest import ROLE, Step, StepFailed, believe, polls_in

NOW = "2026-01-05T09:00:00+00:00"

# "Understanding domain membership" of the guide, and the API reference of DomainMembership.
WAITING = {
    "enabling-kerberos",
    "pending-enable-kerberos",
    "pending-maintenance-enable-kerberos",
    "pending-join",
    "pending-disable-kerberos",
    "pending-maintenance-disable-kerberos",
    "disabling-kerberos",
    "something-new",
}


def arguments(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    directory = cloud.directories.find("corp.example.com").directory_id
    return {
        "cluster": given.cluster(),
        "way": given.modification(),
        "apply": "now",
        "move": False,
        "approved": False,
        "directory": directory,
        "role": ROLE,
        "now": NOW,
        "progress": {},
        **changes,
    }


def cluster(cloud: Cloud) -> Any:
    return cluster_of(cloud, "orders")


def member(cloud: Cloud, status: str, directory: str = "") -> None:
    """Cluster and instances have this membership."""
    for each in members(cluster(cloud)):
        domain = directory or cloud.directories.find("corp.example.com").directory_id
        each.domain_memberships = [DomainMembership(domain, ROLE)]
        each.domain_memberships[0].status = status


def tags(cloud: Cloud) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in cluster(cloud).get_tags()}


def calls(cloud: Cloud, name: str) -> list[Any]:
    return [call.parameters for call in cloud.calls if call.name == name and not call.error]


def test_a_cluster_without_membership_is_asked_to_join_at_once(cloud: Cloud, step: Step) -> None:
    answer = step("EnsureMembership", **arguments(cloud))
    assert not answer["ready"]
    (call,) = calls(cloud, "rds:ModifyDBCluster")
    assert call == {
        "DBClusterIdentifier": "orders",
        "Domain": arguments(cloud)["directory"],
        "DomainIAMRoleName": ROLE,
        "ApplyImmediately": True,
    }
    assert (
        tags(cloud)["kerberos-restart-due"]
        == registry_item(cloud, "orders", registry.RESTART)["since"]
        == "after joining"
    )


@pytest.mark.parametrize("status", sorted(WAITING))
def test_it_waits_for_what_is_on_its_way(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, status)
    answer = step("EnsureMembership", **arguments(cloud))
    assert not answer["ready"]
    assert status in answer["reason"]
    assert not calls(cloud, "rds:ModifyDBCluster")


def test_days_of_patience_are_for_the_maintenance_window_alone(cloud: Cloud, step: Step) -> None:
    member(cloud, "pending-maintenance-enable-kerberos")
    reason = step("EnsureMembership", **arguments(cloud))["reason"]
    assert not step("EnsureMembership", **arguments(cloud), polls=500, waiting_for=reason)["ready"]
    member(cloud, "enabling-kerberos")
    reason = step("EnsureMembership", **arguments(cloud))["reason"]
    with pytest.raises(StepFailed, match=r"StepTimedOut: Gave up after \d+ minutes: Membership of orders"):
        step("EnsureMembership", **arguments(cloud), polls=50, waiting_for=reason)


@pytest.mark.parametrize("status", ["kerberos-enabled", "joined"])
def test_a_membership_that_is_there_is_ready_and_nothing_is_done(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, status)
    answer = step("EnsureMembership", **arguments(cloud))
    assert answer["ready"]
    assert answer["outputs"]["restarted"] == []
    assert not [call for call in cloud.calls if call.changes]


def test_every_instance_must_be_a_member_as_well(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled")
    moto_rds(cloud).databases["orders-2"].domain_memberships[0].status = "enabling-kerberos"
    assert "orders-2 is enabling-kerberos" in step("EnsureMembership", **arguments(cloud))["reason"]
    moto_rds(cloud).databases["orders-2"].domain_memberships = []
    assert "orders-2 is not listed yet" in step("EnsureMembership", **arguments(cloud))["reason"]


@pytest.mark.parametrize("status", ["enable-kerberos-failed", "failed"])
def test_a_failed_membership_is_attempted_again_once(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, status)
    answer = step("EnsureMembership", **arguments(cloud))
    assert answer["outputs"]["reattempted"] is True
    assert len(calls(cloud, "rds:ModifyDBCluster")) == 1
    member(cloud, status)
    cluster(cloud).status = "available"
    with pytest.raises(StepFailed, match="EnableKerberosFailed"):
        step("EnsureMembership", **arguments(cloud, progress=answer["outputs"]))


def test_of_several_reasons_for_a_failure_the_newest_is_told(cloud: Cloud, step: Step) -> None:
    member(cloud, "failed")
    said = [(3, "Kerberos: no route"), (1, "Kerberos: no role"), (4, "Backup finished"), (2, "Kerberos: no port")]
    for hour, message in said:
        event = {"SourceIdentifier": "orders", "SourceType": "db-cluster", "EventCategories": ["failure"]}
        cloud.part(Aurora).events.append({**event, "Message": message, "Date": datetime(2026, 1, 5, hour, tzinfo=UTC)})
    with pytest.raises(StepFailed, match=r"EnableKerberosFailed: .*RDS says: Kerberos: no route"):
        step("EnsureMembership", **arguments(cloud, progress={"reattempted": True}))


def test_another_directory_is_named(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled", "d-9999999999")
    with pytest.raises(StepFailed, match=r"AnotherDirectory.*d-9999999999"):
        step("EnsureMembership", **arguments(cloud))
    member(cloud, "disabling-kerberos", "d-9999999999")
    assert not step("EnsureMembership", **arguments(cloud))["ready"]


def test_domain_none_is_no_membership(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled", "none")
    assert not step("EnsureMembership", **arguments(cloud))["ready"]
    assert calls(cloud, "rds:ModifyDBCluster")


@pytest.mark.parametrize("status", ["stopped", "deleting", "inaccessible-encryption-credentials"])
def test_a_cluster_that_got_stuck_meanwhile_is_refused(cloud: Cloud, step: Step, status: str) -> None:
    cluster(cloud).status = status
    with pytest.raises(StepFailed, match="ClusterUnusable"):
        step("EnsureMembership", **arguments(cloud))


@pytest.mark.parametrize("status", ["modifying", "upgrading", "failing-over", "something-new"])
def test_a_busy_cluster_is_waited_for(cloud: Cloud, step: Step, status: str) -> None:
    cluster(cloud).status = status
    assert step("EnsureMembership", **arguments(cloud))["reason"] == f"Cluster orders is {status}"


def restart_due(cloud: Cloud, since: str = "after joining") -> None:
    member(cloud, "kerberos-enabled")
    believe(cloud, registry.RESTART, since=since)
    cluster(cloud).add_tags([{"Key": "kerberos-restart-due", "Value": since}])


@pytest.mark.parametrize("value", ["after joining", "2026-01-01T00:00:00+00:00", "soon", ""])
def test_a_tag_alone_restarts_nothing(cloud: Cloud, step: Step, value: str) -> None:
    member(cloud, "kerberos-enabled")
    cluster(cloud).add_tags([{"Key": "kerberos-restart-due", "Value": value}])
    assert step("EnsureMembership", **arguments(cloud))["ready"]
    assert not [call for call in cloud.calls if call.changes and call.function]


def test_a_restart_that_is_due_is_not_forgotten_when_its_tag_is_taken_off(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    cluster(cloud).remove_tags(["kerberos-restart-due"])
    assert step("EnsureMembership", **arguments(cloud))["reason"] == "Instance orders-2 is rebooting"


def test_a_tag_that_says_the_restart_was_due_earlier_spares_no_instance(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    restarted_at(cloud, "2026-01-05T08:30:00", "orders-1", "orders-2")
    cluster(cloud).add_tags([{"Key": "kerberos-restart-due", "Value": "2026-01-05T08:00:00+00:00"}])
    assert step("EnsureMembership", **arguments(cloud))["reason"] == "Instance orders-2 is rebooting"


def test_the_restart_of_a_cluster_that_had_the_identifier_before_is_not_this_one_s(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled")
    believe(cloud, registry.RESTART, since="after joining", resource_id="cluster-OF-OLD")
    assert step("EnsureMembership", **arguments(cloud))["ready"]
    assert not calls(cloud, "rds:RebootDBInstance")


def test_an_execution_from_before_the_registry_knew_goes_on_to_its_restart(cloud: Cloud, step: Step) -> None:
    """It has asked to join, as its own memory says, and has written the tag alone."""
    member(cloud, "kerberos-enabled")
    cluster(cloud).add_tags([{"Key": "kerberos-restart-due", "Value": "after joining"}])
    answer = step("EnsureMembership", **arguments(cloud, progress={"asked": True}))
    assert answer["reason"] == "Instance orders-2 is rebooting"
    assert registry_item(cloud, "orders", registry.RESTART)["since"] == NOW


def test_readers_restart_first_the_writer_last_each_once(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    progress: dict[str, Any] = {}
    for _ in range(10):
        answer = step("EnsureMembership", **arguments(cloud, progress=progress))
        if answer["ready"]:
            break
        progress = answer["outputs"]
        cloud.run(until=cloud.clock.now + cloud.takes.restart)  # the event comes later than the instance
    assert [call["DBInstanceIdentifier"] for call in calls(cloud, "rds:RebootDBInstance")] == ["orders-2", "orders-1"]
    assert answer["outputs"]["restarted"] == ["orders-2", "orders-1"]
    assert "kerberos-restart-due" not in tags(cloud)


def test_another_run_sees_by_the_events_what_has_restarted(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    step("EnsureMembership", **arguments(cloud, now="2026-01-05T07:59:00+00:00"))
    cloud.run()
    step("EnsureMembership", **arguments(cloud, progress={}))
    assert [call["DBInstanceIdentifier"] for call in calls(cloud, "rds:RebootDBInstance")] == ["orders-2", "orders-1"]


def test_an_instance_made_since_is_not_restarted(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    moto_rds(cloud).databases["orders-2"].instance_create_time = cloud.clock.time().replace(year=2027)
    step("EnsureMembership", **arguments(cloud))
    assert [call["DBInstanceIdentifier"] for call in calls(cloud, "rds:RebootDBInstance")] == ["orders-1"]


def test_a_restart_of_the_last_two_weeks_counts_and_one_from_before_joining_does_not(cloud: Cloud, step: Step) -> None:
    restart_due(cloud, "2025-12-23T12:00:00+00:00")
    for instance, day in (("orders-1", 23), ("orders-2", 24)):
        event = {"SourceIdentifier": instance, "SourceType": "db-instance", "EventCategories": ["availability"]}
        restarted = {"Message": "DB instance restarted", "Date": datetime(2025, 12, day, 11, tzinfo=UTC)}
        cloud.part(Aurora).events.append({**event, **restarted})
    step("EnsureMembership", **arguments(cloud))
    assert [call["DBInstanceIdentifier"] for call in calls(cloud, "rds:RebootDBInstance")] == ["orders-1"]


def test_a_restart_due_since_who_knows_when_is_due_from_now_on(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    assert step("EnsureMembership", **arguments(cloud))["reason"] == "Instance orders-2 is rebooting"
    assert tags(cloud)["kerberos-restart-due"] == registry_item(cloud, "orders", registry.RESTART)["since"] == NOW


@pytest.mark.parametrize("due", [False, True])
def test_a_cluster_that_may_not_join_is_left_as_it_was(cloud: Cloud, step: Step, due: bool) -> None:
    if due:
        restart_due(cloud)
        for each in members(cluster(cloud)):
            each.domain_memberships = []
    before = tags(cloud), registry_item(cloud, "orders", registry.RESTART).get("since")
    strike(cloud, "rds:ModifyDBCluster", "InvalidParameterValue")
    with pytest.raises(StepFailed, match="AwsRefused: ModifyDBCluster"):
        step("EnsureMembership", **arguments(cloud))
    assert (tags(cloud), registry_item(cloud, "orders", registry.RESTART).get("since")) == before


def test_nothing_restarts_while_an_instance_is_away(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    moto_rds(cloud).databases["orders-1"].status = "maintenance"
    assert "orders-1 is maintenance" in step("EnsureMembership", **arguments(cloud))["reason"]
    assert not calls(cloud, "rds:RebootDBInstance")


@pytest.mark.parametrize("status", ["failed", "stopped", "storage-full", "incompatible-network"])
def test_a_broken_instance_is_named(cloud: Cloud, step: Step, status: str) -> None:
    moto_rds(cloud).databases["orders-2"].status = status
    with pytest.raises(StepFailed, match=f"InstanceUnusable: Instance orders-2 is {status}"):
        step("EnsureMembership", **arguments(cloud))


# --- a cluster that is made as a member -------------------------------------------------------------------------------

WAYS: dict[str, dict[str, Any]] = {
    "create": {},
    "restore": {"SnapshotIdentifier": "before-the-release"},
    "restore_to_time": {"SourceDBClusterIdentifier": "orders", "UseLatestRestorableTime": True},
}
MADE_BY = "rds:CreateDBCluster"
INSTANCE = "rds:CreateDBInstance"


def making(cloud: Cloud, way: str = "create", instances: int = 2, **changes: Any) -> dict[str, Any]:
    """The arguments for a cluster `sales`, as the plan has them."""
    placed = {"DBSubnetGroupName": "databases", "VpcSecurityGroupIds": cluster(cloud).vpc_security_group_ids}
    planned = {"id": "sales", "arn": "", "endpoint": "", "port": 5432, "master_secret": "", "engine_version": "15.4"}
    wanted = {
        "way": way,
        "parameters": new_clusters.parameters(way, "sales", {**WAYS[way], **placed}),
        "instances": new_clusters.instances("sales", [{"DBInstanceClass": "db.r6g.large"}] * instances),
        "restarts": [],
    }
    return arguments(cloud, cluster=planned, way=wanted, **changes)


def finished(cloud: Cloud, step: Step, asked: dict[str, Any]) -> dict[str, Any]:
    """The outputs at the end, when it is asked as often as the state machine does."""
    for _ in range(60):
        answer = step("EnsureMembership", **{**asked, "now": cloud.clock.time().isoformat()})
        if answer["ready"]:
            outputs: dict[str, Any] = answer["outputs"]
            return outputs
        assert "approval" not in answer["outputs"]
        seen = {"progress": answer["outputs"], "polls": answer["polls"], "waiting_for": answer["reason"]}
        asked = {**asked, **seen}
        cloud.run(until=cloud.clock.now + answer["wait_seconds"])
    raise AssertionError(answer["reason"])


def made_instances(cloud: Cloud) -> list[str]:
    return [call["DBInstanceIdentifier"] for call in calls(cloud, INSTANCE)]


def strike(cloud: Cloud, call: str, error: str) -> None:
    cloud.faults = Faults([Fault(call=call, error=error)])


def test_a_cluster_is_created_with_the_directory_and_the_role(cloud: Cloud, step: Step) -> None:
    asked = making(cloud)
    answer = step("EnsureMembership", **asked)
    (call,) = calls(cloud, MADE_BY)
    assert call == {
        "DBClusterIdentifier": "sales",
        "Engine": "aurora-postgresql",
        "EngineVersion": "15.4",
        "MasterUsername": "postgres",
        "ManageMasterUserPassword": True,
        "DBSubnetGroupName": "databases",
        "VpcSecurityGroupIds": cluster(cloud).vpc_security_group_ids,
        "Tags": call["Tags"],
        "Domain": asked["directory"],
        "DomainIAMRoleName": ROLE,
    }
    (tag,) = call["Tags"]
    assert tag["Key"] == "kerberos-made-by"
    assert tag["Value"].startswith("aurora-kerberos-")
    assert (answer["reason"], answer["wait_seconds"]) == ("Cluster sales is being created", 180)
    assert answer["outputs"]["made"] is True
    assert not made_instances(cloud)


def test_a_restored_cluster_keeps_the_version_of_its_snapshot(cloud: Cloud, step: Step) -> None:
    cloud.client("rds").create_db_cluster_snapshot(
        DBClusterSnapshotIdentifier="before-the-release", DBClusterIdentifier="orders"
    )
    asked = making(cloud, "restore")
    step("EnsureMembership", **asked)
    (call,) = calls(cloud, "rds:RestoreDBClusterFromSnapshot")
    assert (call["SnapshotIdentifier"], call["EngineVersion"]) == ("before-the-release", "15.4")
    assert (call["Domain"], call["DomainIAMRoleName"]) == (asked["directory"], ROLE)
    assert cluster_of(cloud, "sales").engine_version == "15.4"


def test_a_point_in_time_is_restored_with_the_directory_and_the_role(cloud: Cloud, step: Step) -> None:
    asked = making(cloud, "restore_to_time")
    step("EnsureMembership", **asked)
    (call,) = calls(cloud, "rds:RestoreDBClusterToPointInTime")
    assert (call["SourceDBClusterIdentifier"], call["UseLatestRestorableTime"]) == ("orders", True)
    assert (call["Domain"], call["DomainIAMRoleName"]) == (asked["directory"], ROLE)
    assert "EngineVersion" not in call  # the call has no such parameter


@pytest.mark.parametrize("way", WAYS)
def test_from_nothing_to_a_member_without_a_restart(cloud: Cloud, step: Step, way: str) -> None:
    cloud.client("rds").create_db_cluster_snapshot(
        DBClusterSnapshotIdentifier="before-the-release", DBClusterIdentifier="orders"
    )
    asked = making(cloud, way)
    outputs = finished(cloud, step, asked)
    made = cluster_of(cloud, "sales")
    assert {each.domain_memberships[0].status for each in members(made)} == {"kerberos-enabled"}
    assert made_instances(cloud) == ["sales-1", "sales-2"]
    assert outputs["restarted"] == []
    assert not calls(cloud, "rds:ModifyDBCluster") + calls(cloud, "rds:RebootDBInstance")
    assert "kerberos-restart-due" not in str([call.parameters for call in cloud.calls])
    known = outputs["cluster"]
    assert known["arn"] == cloud.cluster_arn("sales")
    assert (known["endpoint"], known["port"]) == (made.endpoint, made.port)
    assert known["engine_version"] == "15.4"
    assert known["master_secret"] == (made.master_user_secret.secret_arn if way == "create" else "")
    # A second run, which knows nothing of the first, changes nothing.
    before = len(cloud.calls)
    assert step("EnsureMembership", **asked)["outputs"]["cluster"] == known
    assert not [call for call in cloud.calls[before:] if call.changes]


def test_the_master_secret_that_was_named_stays(cloud: Cloud, step: Step) -> None:
    asked = making(cloud, "restore_to_time", instances=1)
    asked["cluster"]["master_secret"] = "aurora-kerberos/orders/master"
    assert finished(cloud, step, asked)["cluster"]["master_secret"] == "aurora-kerberos/orders/master"


@pytest.mark.parametrize("way", ["create", "restore_to_time"])
def test_a_role_that_is_seconds_old_is_waited_for_some_minutes(cloud: Cloud, step: Step, way: str) -> None:
    cloud.part(Roles).made[ROLE] = cloud.clock.now
    answer = step("EnsureMembership", **making(cloud, way))
    assert (answer["reason"], answer["outputs"]["made"]) == ("RDS does not accept the role yet", False)
    with pytest.raises(StepFailed, match="ServiceRoleInvalid: RDS refuses the role"):
        step("EnsureMembership", **making(cloud, way), polls=8, waiting_for=answer["reason"])
    cloud.run(until=cloud.clock.now + answer["wait_seconds"])
    assert step("EnsureMembership", **making(cloud, way))["outputs"]["made"] is True


def test_a_directory_that_rds_does_not_know_is_named(cloud: Cloud, step: Step) -> None:
    with pytest.raises(StepFailed, match=r"DirectoryNotFound: RDS does not know the directory d-9999999999"):
        step("EnsureMembership", **{**making(cloud), "directory": "d-9999999999"})
    assert "sales" not in moto_rds(cloud).clusters


def test_somebody_is_faster_by_a_moment(cloud: Cloud, step: Step) -> None:
    strike(cloud, MADE_BY, "DBClusterAlreadyExistsFault")
    answer = step("EnsureMembership", **making(cloud))
    assert (answer["reason"], answer["outputs"]["made"]) == ("Cluster sales is being created", True)


def test_a_cluster_that_others_have_made_meanwhile_is_left_alone(cloud: Cloud, step: Step) -> None:
    asked = making(cloud)
    asked["cluster"]["id"] = "orders"
    with pytest.raises(StepFailed, match="InvalidRequest: There is a cluster orders already"):
        step("EnsureMembership", **asked)
    assert not [call for call in cloud.calls if call.changes]


@pytest.mark.parametrize("told", [{}, {"made": True}])
def test_a_forged_tag_gets_no_cluster_an_instance(cloud: Cloud, step: Step, told: dict[str, Any]) -> None:
    """Not either when this execution was about to make a cluster of that name, and somebody was faster."""
    registered = {} if not told else {"mark": "aurora-kerberos-0"}
    believe(cloud, registry.MADE, resource_id="cluster-OF-OLD", **registered)
    cluster(cloud).add_tags([{"Key": "kerberos-made-by", "Value": "aurora-kerberos"}])
    asked = making(cloud, progress=told)
    asked["cluster"]["id"] = "orders"
    with pytest.raises(StepFailed, match="InvalidRequest: There is a cluster orders already"):
        step("EnsureMembership", **asked)
    assert not [call for call in cloud.calls if call.changes and call.function]


def test_a_cluster_whose_making_had_no_answer_is_known_by_its_mark(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call=MADE_BY, kind="lost")])
    step("EnsureMembership", **making(cloud, instances=1))
    assert "mark" in registry_item(cloud, "sales", registry.MADE)
    finished(cloud, step, making(cloud, instances=1))
    assert "mark" not in registry_item(cloud, "sales", registry.MADE)
    assert made_instances(cloud) == ["sales-1"]


def test_the_mark_stays_the_same_until_the_cluster_is_there(cloud: Cloud, step: Step) -> None:
    cloud.part(Roles).made[ROLE] = cloud.clock.now
    marks = []
    for _ in range(2):
        step("EnsureMembership", **making(cloud))
        marks.append(registry_item(cloud, "sales", registry.MADE)["mark"])
    assert marks[0] == marks[1]


def test_an_execution_that_made_its_cluster_before_the_registry_knew_goes_on(cloud: Cloud, step: Step) -> None:
    progress = step("EnsureMembership", **making(cloud, instances=1))["outputs"]
    cloud.client("dynamodb").delete_item(
        TableName=cloud.outputs["Registry"], Key={"arn": {"S": f"{registry.MADE}{cloud.cluster_arn('sales')}"}}
    )
    finished(cloud, step, making(cloud, instances=1, progress=progress))
    assert made_instances(cloud) == ["sales-1"]


def test_a_stack_that_makes_no_clusters_has_no_permission_for_it() -> None:
    policy = templates.source()["Resources"]["EnsureMembershipMayMakeClusters"]
    assert policy["Condition"] == "MakesClusters"
    making_alone = ("rds:Create", "rds:Restore", "kms:", "secretsmanager:", "dynamodb:UpdateItem")
    own = templates.functions()["EnsureMembership"]["Policies"]
    actions = {action for each in own for s in each["Statement"] for action in listed(s["Action"])}
    assert not [action for action in actions if action.startswith(making_alone)]
    with Cloud() as closed:
        role = iam_backends[closed.account]["aws"].get_role(closed.functions.role("EnsureMembership"))
        assert not [action for action in making_alone if action in str(role.policies)]


def test_a_cluster_that_is_gone_is_not_made_again(cloud: Cloud, step: Step) -> None:
    progress = step("EnsureMembership", **making(cloud))["outputs"]
    del moto_rds(cloud).clusters["sales"]
    with pytest.raises(StepFailed, match="ClusterNotFound: There is no DB cluster 'sales'"):
        step("EnsureMembership", **making(cloud, progress=progress))
    assert len(calls(cloud, MADE_BY)) == 1


def test_a_cluster_that_is_to_be_modified_is_never_made(cloud: Cloud, step: Step) -> None:
    with pytest.raises(StepFailed, match="ClusterNotFound"):
        step("EnsureMembership", **arguments(cloud, cluster={"id": "sales", "endpoint": ""}))
    assert not [call for call in cloud.calls if call.changes]


def test_instances_are_made_when_the_cluster_is_available(cloud: Cloud, step: Step) -> None:
    progress = step("EnsureMembership", **making(cloud))["outputs"]
    assert step("EnsureMembership", **making(cloud, progress=progress))["reason"] == "Cluster sales is being created"
    assert not made_instances(cloud)
    cloud.run(until=cloud.clock.now + cloud.takes.new_cluster)
    answer = step("EnsureMembership", **making(cloud, progress=progress))
    assert (answer["reason"], answer["wait_seconds"]) == ("The instances of sales are being created", 180)
    assert [call["DBClusterIdentifier"] for call in calls(cloud, INSTANCE)] == ["sales", "sales"]
    assert made_instances(cloud) == ["sales-1", "sales-2"]
    assert [each.db_instance_identifier for each in cluster_of(cloud, "sales").members if each.is_cluster_writer] == [
        "sales-1"
    ]
    assert step("EnsureMembership", **making(cloud, progress=progress))["reason"] == answer["reason"]
    assert len(made_instances(cloud)) == 2


def made_without_instances(cloud: Cloud, step: Step) -> None:
    """A run that ended when the cluster had been created."""
    step("EnsureMembership", **making(cloud))
    cloud.run()


def test_an_interrupted_run_is_finished_by_the_next(cloud: Cloud, step: Step) -> None:
    made_without_instances(cloud, step)
    finished(cloud, step, making(cloud))
    assert len(calls(cloud, MADE_BY)) == 1
    assert made_instances(cloud) == ["sales-1", "sales-2"]


def test_only_the_missing_instances_are_made(cloud: Cloud, step: Step) -> None:
    made_without_instances(cloud, step)
    step("EnsureMembership", **making(cloud, instances=1))
    cloud.run()
    finished(cloud, step, making(cloud))
    assert made_instances(cloud) == ["sales-1", "sales-2"]
    assert not calls(cloud, "rds:RebootDBInstance")


def test_an_instance_that_somebody_has_made_a_moment_ago_is_waited_for(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_without_instances(cloud, step)
    step("EnsureMembership", **making(cloud, instances=1))
    with monkeypatch.context() as before:
        before.setattr(clusters, "instances", lambda _: [])
        answer = step("EnsureMembership", **making(cloud))
    assert answer["reason"] == "The instances of sales are being created"
    assert made_instances(cloud) == ["sales-1", "sales-2"]


def test_an_instance_of_another_cluster_is_named(cloud: Cloud, step: Step) -> None:
    made_without_instances(cloud, step)
    asked = making(cloud, instances=1)
    asked["way"]["instances"][0]["DBInstanceIdentifier"] = "orders-1"
    with pytest.raises(StepFailed, match="InstanceUnusable: There is a DB instance orders-1 already"):
        step("EnsureMembership", **asked)


def test_a_cluster_that_is_busy_when_its_instances_are_made_is_waited_for(cloud: Cloud, step: Step) -> None:
    made_without_instances(cloud, step)
    strike(cloud, INSTANCE, "InvalidDBClusterStateFault")
    assert step("EnsureMembership", **making(cloud))["reason"] == "Cluster sales is busy"


def test_an_instance_may_have_tags_and_a_parameter_group_of_its_own(cloud: Cloud, step: Step) -> None:
    made_without_instances(cloud, step)
    cloud.client("rds").create_db_parameter_group(
        DBParameterGroupName="sales", DBParameterGroupFamily="aurora-postgresql15", Description="sales"
    )
    asked = making(cloud, instances=1)
    more = {"DBParameterGroupName": "sales", "Tags": [{"Key": "team", "Value": "sales"}]}
    asked["way"]["instances"][0].update(more)
    assert not step("EnsureMembership", **asked)["ready"]
    assert made_instances(cloud) == ["sales-1"]


@pytest.mark.parametrize("status", ["failed", "incompatible-create", "insufficient-capacity"])
def test_a_new_instance_that_got_stuck_is_named(cloud: Cloud, step: Step, status: str) -> None:
    made_without_instances(cloud, step)
    step("EnsureMembership", **making(cloud))
    cloud.run()
    moto_rds(cloud).databases["sales-2"].status = status
    with pytest.raises(StepFailed, match=f"InstanceUnusable: Instance sales-2 is {status}"):
        step("EnsureMembership", **making(cloud))


def test_a_new_cluster_that_could_not_join_is_asked_once_more(cloud: Cloud, step: Step) -> None:
    cloud.part(Aurora).failing_joins["sales"] = 1
    outputs = finished(cloud, step, making(cloud))
    assert len(calls(cloud, "rds:ModifyDBCluster")) == 1
    # It has been modified now, so the guide's restart is due.
    assert outputs["restarted"] == ["sales-2", "sales-1"]


def test_a_new_cluster_that_could_not_join_twice_is_an_error(cloud: Cloud, step: Step) -> None:
    cloud.part(Aurora).failing_joins["sales"] = 2
    with pytest.raises(
        StepFailed, match=r"EnableKerberosFailed: Membership of sales and sales-2 and sales-1 is .* RDS"
    ):
        finished(cloud, step, making(cloud))
    assert len(calls(cloud, "rds:ModifyDBCluster")) == 1


# --- moving to another directory --------------------------------------------------------------------------------------

OLD = "d-9999999999"


def in_domain(cloud: Cloud, name: str, domain: str, status: str = "kerberos-enabled") -> None:
    """One of the cluster and its instances has a membership of its own."""
    (found,) = [each for each in members(cluster(cloud)) if name == each.resource_id]
    found.domain_memberships = [DomainMembership(domain, ROLE)]
    found.domain_memberships[0].status = status


@pytest.mark.parametrize("who", ["orders", "orders-2"])
def test_who_may_not_move_is_refused_be_it_an_instance(cloud: Cloud, step: Step, who: str) -> None:
    member(cloud, "kerberos-enabled")
    in_domain(cloud, who, OLD)
    said = rf'(?s)AnotherDirectory: Cluster orders is in the domain of {OLD}, and d-\w+ is asked for.*"move": true'
    with pytest.raises(StepFailed, match=said):
        step("EnsureMembership", **arguments(cloud))
    assert not [call for call in cloud.calls if call.changes]


@pytest.mark.parametrize("status", ["kerberos-enabled", "joined", "enable-kerberos-failed", "failed"])
def test_who_may_move_is_asked_to_join_the_other_directory(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, status, OLD)
    answer = step("EnsureMembership", **arguments(cloud, move=True))
    assert answer["reason"] == "Cluster orders is joining the domain"
    assert answer["outputs"]["reattempted"] is False  # it is the first attempt with this directory
    (call,) = calls(cloud, "rds:ModifyDBCluster")
    assert (call["Domain"], call["ApplyImmediately"]) == (arguments(cloud)["directory"], True)
    assert (
        tags(cloud)["kerberos-restart-due"]
        == registry_item(cloud, "orders", registry.RESTART)["since"]
        == "after joining"
    )


def test_an_instance_that_has_not_moved_yet_is_waited_for(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled")
    in_domain(cloud, "orders-2", OLD)
    answer = step("EnsureMembership", **arguments(cloud, move=True))
    assert answer["reason"] == "Membership of orders-2 is not listed yet"
    assert not calls(cloud, "rds:ModifyDBCluster")


def test_a_move_ends_with_restarts(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled", OLD)
    outputs = finished(cloud, step, arguments(cloud, move=True))
    assert outputs["restarted"] == ["orders-2", "orders-1"]
    domains = {each.domain_memberships[0].domain for each in members(cluster(cloud))}
    assert domains == {arguments(cloud)["directory"]}
    assert len(calls(cloud, "rds:ModifyDBCluster")) == 1


# --- the role's name differs ------------------------------------------------------------------------------------------


def with_role(cloud: Cloud, role: str) -> None:
    member(cloud, "kerberos-enabled")
    for each in members(cluster(cloud)):
        each.domain_memberships[0].iam_role_name = role


def test_another_role_is_corrected_once_and_then_waited_for(cloud: Cloud, step: Step) -> None:
    with_role(cloud, "an-older-one")
    answer = step("EnsureMembership", **arguments(cloud))
    assert answer["reason"] == "Cluster orders is joining the domain again"
    assert answer["outputs"]["corrected"] is True
    (call,) = calls(cloud, "rds:ModifyDBCluster")
    assert call["DomainIAMRoleName"] == ROLE
    with_role(cloud, "an-older-one")
    cluster(cloud).status = "available"
    asked = arguments(cloud, progress=answer["outputs"])
    reason = step("EnsureMembership", **asked)["reason"]
    assert reason == "Cluster orders has the role an-older-one still"
    assert not step("EnsureMembership", **asked, polls=polls_in(30) - 1, waiting_for=reason)["ready"]
    with pytest.raises(StepFailed, match=r"(?s)ServiceRoleInvalid: Cluster orders keeps the role an-older-one"):
        step("EnsureMembership", **asked, polls=polls_in(30), waiting_for=reason)
    assert len(calls(cloud, "rds:ModifyDBCluster")) == 1


def test_a_corrected_role_ends_well(cloud: Cloud, step: Step) -> None:
    with_role(cloud, "an-older-one")
    assert finished(cloud, step, arguments(cloud))["restarted"] == ["orders-2", "orders-1"]
    assert {each.domain_memberships[0].iam_role_name for each in members(cluster(cloud))} == {ROLE}
    assert len(calls(cloud, "rds:ModifyDBCluster")) == 1


@pytest.mark.parametrize("shown", ["", f"arn:aws:iam::123456789012:role/service-role/{ROLE}"])
def test_a_role_that_rds_does_not_show_or_shows_in_full_is_right(cloud: Cloud, step: Step, shown: str) -> None:
    with_role(cloud, shown)
    assert step("EnsureMembership", **arguments(cloud))["ready"]


def test_what_an_instance_shows_as_its_role_cannot_be_corrected(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled")
    moto_rds(cloud).databases["orders-2"].domain_memberships[0].iam_role_name = "an-older-one"
    assert step("EnsureMembership", **arguments(cloud))["ready"]


# --- in the maintenance window ----------------------------------------------------------------------------------------

WINDOW = {"apply": "maintenance-window"}


def test_in_the_maintenance_window_nothing_is_applied_now(cloud: Cloud, step: Step) -> None:
    step("EnsureMembership", **arguments(cloud, **WINDOW))
    (call,) = calls(cloud, "rds:ModifyDBCluster")
    assert call["ApplyImmediately"] is False
    answer = step("EnsureMembership", **arguments(cloud, **WINDOW))
    assert answer["reason"] == "Membership of orders is pending-maintenance-enable-kerberos"
    assert answer["outputs"]["last_pending"] == NOW


def restarted_at(cloud: Cloud, when: str, *instances: str) -> None:
    """RDS has restarted the instances in its window."""
    for instance in instances:
        event = {"SourceIdentifier": instance, "SourceType": "db-instance", "EventCategories": ["availability"]}
        cloud.part(Aurora).events.append(
            {**event, "Message": "DB instance restarted", "Date": datetime.fromisoformat(f"{when}+00:00")}
        )


def test_a_restart_after_the_last_pending_poll_counts(cloud: Cloud, step: Step) -> None:
    """In its window RDS may restart an instance before the membership shows."""
    restart_due(cloud)
    restarted_at(cloud, "2026-01-05T07:15:00", "orders-1", "orders-2")
    told = {"progress": {"last_pending": "2026-01-05T07:00:00+00:00"}}
    answer = step("EnsureMembership", **arguments(cloud, **WINDOW, **told))
    assert (answer["ready"], answer["outputs"]["restarted"]) == (True, [])
    assert "kerberos-restart-due" not in tags(cloud)
    assert not calls(cloud, "rds:RebootDBInstance")


def test_a_restart_before_it_was_joined_does_not_count(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    restarted_at(cloud, "2026-01-05T06:59:00", "orders-1", "orders-2")
    told = {"progress": {"last_pending": "2026-01-05T07:00:00+00:00"}}
    assert not step("EnsureMembership", **arguments(cloud, **WINDOW, **told))["ready"]


def test_in_the_maintenance_window_the_restart_is_somebody_else_s(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    asked = arguments(cloud, **WINDOW)
    reason = step("EnsureMembership", **asked)["reason"]
    assert reason == "orders-2, orders-1 must restart, by RDS or a person"
    days = polls_in(8 * 24 * 60)
    assert not step("EnsureMembership", **asked, polls=days - 1, waiting_for=reason)["ready"]
    with pytest.raises(
        StepFailed, match=r"(?s)RestartDue: .* not restarted since: orders-2, orders-1\..*readers first"
    ):
        step("EnsureMembership", **asked, polls=days, waiting_for=reason)
    assert not calls(cloud, "rds:RebootDBInstance")
    assert "kerberos-restart-due" in tags(cloud)  # the next execution goes on here
    restarted_at(cloud, "2026-01-05T09:05:00", "orders-1", "orders-2")
    cloud.clock.now += 2 * 3600
    assert step("EnsureMembership", **asked)["ready"]


def test_one_instance_that_has_restarted_is_waited_for_no_more(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    step("EnsureMembership", **arguments(cloud, **WINDOW))
    restarted_at(cloud, "2026-01-05T09:05:00", "orders-2")
    cloud.clock.now += 2 * 3600
    reason = step("EnsureMembership", **arguments(cloud, **WINDOW))["reason"]
    assert reason == "orders-1 must restart, by RDS or a person"


def test_a_new_cluster_knows_no_maintenance_window(cloud: Cloud, step: Step) -> None:
    finished(cloud, step, making(cloud, instances=1, apply="maintenance-window"))
    assert len(calls(cloud, MADE_BY)) == 1


# --- with a person's approval -----------------------------------------------------------------------------------------

APPROVAL = {"apply": "approval"}


def changes(cloud: Cloud) -> list[str]:
    return [call.name for call in cloud.calls if call.changes]


def test_before_it_is_approved_nothing_is_changed_not_even_the_tag(cloud: Cloud, step: Step) -> None:
    answer = step("EnsureMembership", **arguments(cloud, **APPROVAL))
    assert (answer["ready"], answer["reason"]) == (False, "Approval is needed")
    assert answer["outputs"]["approval"] == (
        f"Cluster orders joins the domain of {arguments(cloud)['directory']}, "
        "then its instances restart: orders-2, orders-1."
    )
    assert changes(cloud) == []
    assert tags(cloud) == {}


def test_what_is_approved_is_done_restarts_and_all_without_another_question(cloud: Cloud, step: Step) -> None:
    question = step("EnsureMembership", **arguments(cloud, **APPROVAL))
    asked = arguments(cloud, **APPROVAL, approved=True, progress=question["outputs"])
    assert finished(cloud, step, asked)["restarted"] == ["orders-2", "orders-1"]
    assert calls(cloud, "rds:ModifyDBCluster")[0]["ApplyImmediately"] is True


def test_a_restart_alone_is_asked_for_as_well(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    answer = step("EnsureMembership", **arguments(cloud, **APPROVAL))
    assert answer["outputs"]["approval"] == "The instances restart: orders-2, orders-1."
    assert not calls(cloud, "rds:RebootDBInstance")
    asked = arguments(cloud, **APPROVAL, approved=True, progress=answer["outputs"])
    answer = step("EnsureMembership", **asked)
    assert answer["reason"] == "Instance orders-2 is rebooting"
    assert "approval" not in answer["outputs"]


def test_nobody_is_asked_for_what_is_there(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled")
    assert step("EnsureMembership", **arguments(cloud, **APPROVAL))["ready"]


@pytest.mark.parametrize("status", ["enable-kerberos-failed", "failed"])
def test_a_second_attempt_needs_approval_and_counts_when_it_is_made(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, status)
    answer = step("EnsureMembership", **arguments(cloud, **APPROVAL))
    assert "approval" in answer["outputs"]
    assert answer["outputs"]["reattempted"] is False
    asked = arguments(cloud, **APPROVAL, approved=True, progress=answer["outputs"])
    assert step("EnsureMembership", **asked)["outputs"]["reattempted"] is True


def test_a_cluster_is_made_only_when_somebody_has_approved_it(cloud: Cloud, step: Step) -> None:
    answer = step("EnsureMembership", **making(cloud, apply="approval"))
    groups = ", ".join(cluster(cloud).vpc_security_group_ids)
    assert answer["outputs"]["approval"] == (
        f"Cluster sales is created in the subnet group databases with the security groups {groups} and the instances "
        "sales-1 (db.r6g.large), sales-2 (db.r6g.large), which costs money."
    )
    assert changes(cloud) == []


def test_the_question_says_what_is_restored_and_what_is_public(cloud: Cloud, step: Step) -> None:
    asked = making(cloud, "restore", instances=1, **APPROVAL)
    asked["way"]["instances"][0]["PubliclyAccessible"] = True
    said = step("EnsureMembership", **asked)["outputs"]["approval"]
    assert said.startswith("Cluster sales is restored from before-the-release with an address in the internet in the ")


def test_instances_that_are_missing_are_asked_for_as_well(cloud: Cloud, step: Step) -> None:
    made_without_instances(cloud, step)
    answer = step("EnsureMembership", **making(cloud, instances=1, **APPROVAL))
    assert answer["outputs"]["approval"] == (
        "Cluster sales, which was made here, gets the instances sales-1 (db.r6g.large)."
    )
    assert not made_instances(cloud)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_cluster_that_is_made_disturbs_nobody(cloud: Cloud, step: Step, failing: int) -> None:
    """Nobody uses it yet, be it that it has to be asked to join once more, and restarted."""
    cloud.part(Aurora).failing_joins["sales"] = failing
    finished(cloud, step, making(cloud, instances=1, **APPROVAL, approved=True))
    assert len(calls(cloud, MADE_BY)) == 1
    assert len(calls(cloud, "rds:RebootDBInstance")) == failing


# --- busy just when it is to be asked ---------------------------------------------------------------------------------


def be_busy(cloud: Cloud) -> None:
    moto_rds(cloud).databases["orders-1"].status = "maintenance"


def be_busy_in_a_moment(cloud: Cloud) -> None:
    strike(cloud, "rds:ModifyDBCluster", "InvalidDBInstanceState")


def have_a_young_role(cloud: Cloud) -> None:
    cloud.part(Roles).made[ROLE] = cloud.clock.now


@pytest.mark.parametrize("happens", [be_busy, be_busy_in_a_moment, have_a_young_role])
def test_what_could_not_be_asked_does_not_count_as_an_attempt(cloud: Cloud, step: Step, happens: Any) -> None:
    member(cloud, "failed")
    happens(cloud)
    answer = step("EnsureMembership", **arguments(cloud))
    assert not answer["ready"]
    assert answer["outputs"]["reattempted"] is False
    assert not calls(cloud, "rds:ModifyDBCluster")
    moto_rds(cloud).databases["orders-1"].status = "available"
    cloud.run(until=cloud.clock.now + 60)
    answer = step("EnsureMembership", **arguments(cloud, progress=answer["outputs"]))
    assert answer["outputs"]["reattempted"] is True
    assert len(calls(cloud, "rds:ModifyDBCluster")) == 1


def test_a_busy_cluster_is_waited_for_before_a_person_is_asked(cloud: Cloud, step: Step) -> None:
    be_busy(cloud)
    answer = step("EnsureMembership", **arguments(cloud, **APPROVAL))
    assert answer["reason"] == "Instance orders-1 is maintenance"
    assert "approval" not in answer["outputs"]
