"""Leaving the domain: every status of a membership, a cluster and an instance; when it may be; what RDS says no to."""

from __future__ import annotations

from typing import Any

import pytest
from moto.rds.models import DomainMembership

from aurora_kerberos import clusters, registry
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.expectations import registry_item
from local.services.rds.backend import cluster_of, members, moto_rds
from tests.steps.conftest import ROLE, Step, StepFailed, believe, polls_in, run_step

# "Understanding domain membership" of the guide, and the API reference of DomainMembership.
ENDS_BY_ITSELF = {
    "pending-disable-kerberos",
    "pending-maintenance-disable-kerberos",
    "disabling-kerberos",
    "enabling-kerberos",
    "pending-enable-kerberos",
    "pending-join",
}
# What has still to be joined in the maintenance window is left now: nothing has been begun.
TO_BE_LEFT = {
    "kerberos-enabled",
    "joined",
    "enable-kerberos-failed",
    "failed",
    "pending-maintenance-enable-kerberos",
    "something-new",
}


def arguments(**changes: Any) -> dict[str, Any]:
    return {"cluster": {"id": "orders"}, "apply": "now", "approved": False, "progress": {}, **changes}


def directory(cloud: Cloud) -> str:
    return str(cloud.directories.find("corp.example.com").directory_id)


def cluster(cloud: Cloud) -> Any:
    return cluster_of(cloud, "orders")


def instance(cloud: Cloud, name: str = "orders-2") -> Any:
    return moto_rds(cloud).databases[name]


def member(cloud: Cloud, status: str, *who: Any) -> None:
    """Cluster and instances, or some of them, have this membership."""
    for each in who or members(cluster(cloud)):
        each.domain_memberships = [DomainMembership(directory(cloud), ROLE)]
        each.domain_memberships[0].status = status


def join(cloud: Cloud) -> None:
    """A member, of which the database knows as well."""
    member(cloud, "kerberos-enabled")
    cloud.databases.join("orders", [cluster(cloud).endpoint], cloud.directories.realm("corp.example.com"))


def tags(cloud: Cloud) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in cluster(cloud).get_tags()}


def asked(cloud: Cloud) -> list[Any]:
    return [call.parameters for call in cloud.calls if call.name == "rds:ModifyDBCluster" and call.function]


def test_a_member_is_asked_to_leave_at_once(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled")
    answer = step("LeaveDomain", **arguments())
    assert (answer["ready"], answer["reason"]) == (False, "Cluster orders has been asked to leave")
    assert answer["outputs"] == {"left": directory(cloud)}
    assert asked(cloud) == [{"DBClusterIdentifier": "orders", "Domain": "none", "ApplyImmediately": True}]


def test_from_a_member_to_none_and_once_more(cloud: Cloud, step: Step) -> None:
    join(cloud)
    outputs = run_step(cloud, step, "LeaveDomain", **arguments())["outputs"]
    assert outputs == {"left": directory(cloud)}
    assert not any(each.domain_memberships for each in members(cluster(cloud)))
    assert len(asked(cloud)) == 1
    before = len(cloud.calls)
    assert step("LeaveDomain", **arguments())["outputs"] == {"left": ""}
    assert not [call for call in cloud.calls[before:] if call.changes]


@pytest.mark.parametrize("status", sorted(TO_BE_LEFT))
def test_whatever_does_not_end_by_itself_is_left(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, status)
    assert not step("LeaveDomain", **arguments())["ready"]
    assert len(asked(cloud)) == 1


@pytest.mark.parametrize("status", sorted(ENDS_BY_ITSELF))
def test_what_rds_is_at_work_on_is_waited_for(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, status)
    answer = step("LeaveDomain", **arguments())
    assert (answer["ready"], answer["reason"]) == (False, f"Membership of orders is {status}")
    assert asked(cloud) == []


def test_an_instance_that_is_still_at_it_is_waited_for(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled")
    member(cloud, "enabling-kerberos", instance(cloud))
    assert step("LeaveDomain", **arguments())["reason"] == "Membership of orders-2 is enabling-kerberos"
    assert asked(cloud) == []


@pytest.mark.parametrize(("status", "times"), [("kerberos-enabled", 1), ("disabling-kerberos", 0)])
def test_an_instance_may_be_a_member_longer_than_the_cluster(cloud: Cloud, step: Step, status: str, times: int) -> None:
    member(cloud, status, instance(cloud))
    answer = step("LeaveDomain", **arguments())
    assert (answer["ready"], answer["outputs"]) == (False, {"left": directory(cloud)})
    assert len(asked(cloud)) == times


def test_who_has_left_keeps_in_mind_what(cloud: Cloud, step: Step) -> None:
    assert cloud
    assert step("LeaveDomain", **arguments(progress={"left": "d-1"}))["outputs"] == {"left": "d-1"}


def test_days_of_patience_are_for_the_maintenance_window_alone(cloud: Cloud, step: Step) -> None:
    window = {"waiting_for": "Membership of orders is pending-maintenance-disable-kerberos"}
    member(cloud, "pending-maintenance-disable-kerberos")
    assert not step("LeaveDomain", **arguments(), polls=polls_in(8 * 24 * 60) - 1, **window)["ready"]
    with pytest.raises(StepFailed, match=r"StepTimedOut: .*orders is pending-maintenance-disable-kerberos"):
        step("LeaveDomain", **arguments(), polls=polls_in(8 * 24 * 60), **window)
    member(cloud, "disabling-kerberos")
    now = {"waiting_for": "Membership of orders is disabling-kerberos"}
    assert not step("LeaveDomain", **arguments(), polls=polls_in(180) - 1, **now)["ready"]
    with pytest.raises(StepFailed, match=r"StepTimedOut: Gave up after 1[89]\d minutes: Membership of orders"):
        step("LeaveDomain", **arguments(), polls=polls_in(180), **now)


def test_a_cluster_that_is_asked_again_and_again_and_stays_is_given_up(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled")
    reason = step("LeaveDomain", **arguments())["reason"]
    cluster(cloud).status = "available"
    member(cloud, "kerberos-enabled")
    with pytest.raises(StepFailed, match=r"StepTimedOut: .*orders has been asked to leave"):
        step("LeaveDomain", **arguments(), polls=polls_in(180, at_least=60), waiting_for=reason)


# --- who is busy or stuck ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["modifying", "upgrading", "failing-over", "something-new"])
def test_a_busy_cluster_is_waited_for(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, "kerberos-enabled")
    cluster(cloud).status = status
    assert step("LeaveDomain", **arguments())["reason"] == f"Cluster orders is {status}"
    assert asked(cloud) == []


@pytest.mark.parametrize("status", ["rebooting", "modifying", "creating", "maintenance"])
def test_a_busy_instance_is_waited_for(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, "kerberos-enabled")
    instance(cloud).status = status
    assert step("LeaveDomain", **arguments())["reason"] == f"Instance orders-2 is {status}"
    assert asked(cloud) == []


@pytest.mark.parametrize("status", sorted(clusters.STUCK_CLUSTER))
def test_a_stuck_cluster_is_refused(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, "kerberos-enabled")
    cluster(cloud).status = status
    with pytest.raises(StepFailed, match=f"ClusterUnusable: Cluster orders is {status}"):
        step("LeaveDomain", **arguments())


@pytest.mark.parametrize("status", sorted(clusters.STUCK_INSTANCE))
def test_a_stuck_instance_is_refused(cloud: Cloud, step: Step, status: str) -> None:
    member(cloud, "kerberos-enabled")
    instance(cloud).status = status
    with pytest.raises(StepFailed, match=f"InstanceUnusable: Instance orders-2 is {status}"):
        step("LeaveDomain", **arguments())


def test_what_is_in_no_domain_need_not_be_of_use(cloud: Cloud, step: Step) -> None:
    """A stopped cluster without membership is as it should be."""
    cluster(cloud).status = "stopped"
    assert step("LeaveDomain", **arguments())["ready"]


def test_a_cluster_that_is_gone_is_named(cloud: Cloud, step: Step) -> None:
    assert cloud
    with pytest.raises(StepFailed, match="ClusterNotFound: There is no DB cluster 'sales'"):
        step("LeaveDomain", **arguments(cluster={"id": "sales"}))


# --- what RDS answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["InvalidDBClusterStateFault", "InvalidDBInstanceState"])
def test_what_got_busy_this_moment_is_asked_again(cloud: Cloud, step: Step, code: str) -> None:
    member(cloud, "kerberos-enabled")
    cloud.faults = Faults([Fault(call="rds:ModifyDBCluster", error=code)])
    answer = step("LeaveDomain", **arguments())
    assert (answer["ready"], answer["reason"]) == (False, "Cluster orders is busy")
    again = {"progress": answer["outputs"], "polls": answer["polls"], "waiting_for": answer["reason"]}
    assert step("LeaveDomain", **{**arguments(), **again})["reason"] == "Cluster orders has been asked to leave"


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("InvalidParameterCombination", 400, "AwsRefused: ModifyDBCluster: InvalidParameterCombination"),
        ("DomainNotFoundFault", 404, "AwsRefused: ModifyDBCluster: DomainNotFoundFault"),
        ("AccessDenied", 403, "AccessDenied: ModifyDBCluster"),
        ("Throttling", 400, "AwsUnavailable: ModifyDBCluster"),
        ("InternalFailure", 500, "AwsUnavailable: ModifyDBCluster"),
    ],
)
def test_what_waiting_does_not_help_is_an_error(cloud: Cloud, step: Step, code: str, status: int, error: str) -> None:
    member(cloud, "kerberos-enabled")
    cloud.faults = Faults([Fault(call="rds:ModifyDBCluster", error=code, status=status)])
    with pytest.raises(StepFailed, match=error):
        step("LeaveDomain", **arguments())
    assert {each.domain_memberships[0].status for each in members(cluster(cloud))} == {"kerberos-enabled"}


# --- when it may be ---------------------------------------------------------------------------------------------------


def test_in_the_maintenance_window_nothing_is_applied_now(cloud: Cloud, step: Step) -> None:
    join(cloud)
    outputs = run_step(cloud, step, "LeaveDomain", **arguments(apply="maintenance-window"))["outputs"]
    assert asked(cloud) == [{"DBClusterIdentifier": "orders", "Domain": "none", "ApplyImmediately": False}]
    assert outputs == {"left": directory(cloud)}
    assert cloud.clock.now >= cloud.takes.maintenance_window


def test_approval_is_asked_for_before_anything_is_done(cloud: Cloud, step: Step) -> None:
    member(cloud, "kerberos-enabled")
    answer = step("LeaveDomain", **arguments(apply="approval"))
    assert answer["ready"] is False
    assert answer["outputs"]["approval"] == (
        f"Cluster orders leaves the domain of {directory(cloud)}: nobody can log in with a ticket any more."
    )
    assert not [call for call in cloud.calls if call.changes]
    approved = {"progress": answer["outputs"], "polls": answer["polls"], "waiting_for": answer["reason"]}
    answer = step("LeaveDomain", **{**arguments(apply="approval", approved=True), **approved})
    assert answer["outputs"] == {"left": directory(cloud)}  # and no question any more
    assert asked(cloud)[0]["ApplyImmediately"] is True


def test_nobody_is_asked_when_there_is_nothing_to_leave(cloud: Cloud, step: Step) -> None:
    assert cloud
    assert step("LeaveDomain", **arguments(apply="approval"))["ready"]


def test_nobody_is_asked_while_it_could_not_be_done(cloud: Cloud, step: Step) -> None:
    """The answer would come long before it could be acted on, and the question might change."""
    member(cloud, "kerberos-enabled")
    instance(cloud).status = "rebooting"
    assert "approval" not in step("LeaveDomain", **arguments(apply="approval"))["outputs"]


# --- the restart that was due -----------------------------------------------------------------------------------------


def test_a_restart_that_was_due_is_so_no_more_when_it_has_left(cloud: Cloud, step: Step) -> None:
    cluster(cloud).add_tags([{"Key": "kerberos-restart-due", "Value": "after joining"}])
    believe(cloud, registry.RESTART, since="after joining")
    member(cloud, "kerberos-enabled")
    step("LeaveDomain", **arguments())
    assert registry_item(cloud, "orders", registry.RESTART)
    assert "kerberos-restart-due" in tags(cloud)  # it may still turn out that it cannot leave
    for each in members(cluster(cloud)):
        each.domain_memberships = []
    assert step("LeaveDomain", **arguments())["ready"]
    assert "kerberos-restart-due" not in tags(cloud)
    assert not registry_item(cloud, "orders", registry.RESTART)
