"""Step 6: every status of a membership, a cluster and an instance; the restart, in order, once."""

from __future__ import annotations

from typing import Any

import pytest
from moto.rds.models import DomainMembership

from local import rds
from local.cloud import Cloud
from tests.unit.conftest import ROLE, Step, StepFailed

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
    return {"cluster": {"id": "orders"}, "directory": directory, "role": ROLE, "now": NOW, "progress": {}, **changes}


def cluster(cloud: Cloud) -> Any:
    return rds.cluster_of(cloud, "orders")


def member(cloud: Cloud, status: str, directory: str = "") -> None:
    """Cluster and instances have this membership."""
    for each in rds.members(cluster(cloud)):
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
    assert tags(cloud)["kerberos-restart-due"] == "after joining"


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
    rds.backend(cloud).databases["orders-2"].domain_memberships[0].status = "enabling-kerberos"
    assert "orders-2 is enabling-kerberos" in step("EnsureMembership", **arguments(cloud))["reason"]
    rds.backend(cloud).databases["orders-2"].domain_memberships = []
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


def restart_due(cloud: Cloud) -> None:
    member(cloud, "kerberos-enabled")
    cluster(cloud).add_tags([{"Key": "kerberos-restart-due", "Value": "after joining"}])


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
    rds.backend(cloud).databases["orders-2"].instance_create_time = cloud.clock.time().replace(year=2027)
    step("EnsureMembership", **arguments(cloud))
    assert [call["DBInstanceIdentifier"] for call in calls(cloud, "rds:RebootDBInstance")] == ["orders-1"]


def test_nothing_restarts_while_an_instance_is_away(cloud: Cloud, step: Step) -> None:
    restart_due(cloud)
    rds.backend(cloud).databases["orders-1"].status = "maintenance"
    assert "orders-1 is maintenance" in step("EnsureMembership", **arguments(cloud))["reason"]
    assert not calls(cloud, "rds:RebootDBInstance")


@pytest.mark.parametrize("status", ["failed", "stopped", "storage-full", "incompatible-network"])
def test_a_broken_instance_is_named(cloud: Cloud, step: Step, status: str) -> None:
    rds.backend(cloud).databases["orders-2"].status = status
    with pytest.raises(StepFailed, match=f"InstanceUnusable: Instance orders-2 is {status}"):
        step("EnsureMembership", **arguments(cloud))
