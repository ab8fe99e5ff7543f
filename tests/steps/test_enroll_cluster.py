"""A rollout's step for one cluster: how it asks, what it makes of the answer, and that all of it is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from moto.rds.models import DomainMembership

from aurora_kerberos.step import DAY
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.format import Cluster
from local.scenario.prepare import add_cluster
from local.services.event_bridge import DefaultBus
from local.services.rds.backend import cluster_of, moto_rds
from tests.steps.conftest import ROLE, Step, StepFailed
from tests.steps.rollouts import (
    EXECUTION,
    FAR,
    ID,
    LATER,
    NOW,
    SECOND,
    arn,
    called,
    forbid,
    item,
    recorded,
    rollout_cloud,
    tag,
    tags,
    untag,
)

ASKED = {"kerberos": "enabled", "kerberos-rollout": "first"}
ADD, REMOVE, DESCRIBE = "rds:AddTagsToResource", "rds:RemoveTagsFromResource", "rds:DescribeDBClusters"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """One fit cluster, and nobody to hear of its tags."""
    with rollout_cloud() as running:
        add_cluster(running, Cluster(id="orders", tags={"team": "sales"}))
        running.part(DefaultBus).delivery = "lost"
        yield running


def look(step: Step, before: dict[str, Any] | None = None, now: str = NOW, **arguments: Any) -> dict[str, Any]:
    """A look at the cluster `orders`; with the answer `before` it is not the first."""
    told = before or {"outputs": {}, "polls": 0, "reason": "", "waited": 0, "polled": 0}
    given = {"cluster": item("orders", wave=2), "rollout": ID, "parent": EXECUTION, "now": now, **arguments}
    handed_back = {name: told[name] for name in ("polls", "waited", "polled")}
    handed_back |= {"progress": told["outputs"], "waiting_for": told["reason"]}
    return step("EnrollCluster", **given, **handed_back, execution=f"{EXECUTION}/child:1")


def member(cloud: Cloud, status: str = "kerberos-enabled") -> None:
    (membership,) = joined = [DomainMembership("d-1234567890", ROLE)]
    membership.status = status
    cluster_of(cloud, "orders").domain_memberships = joined


def end(cloud: Cloud, status: str = "enabled", message: str = "It is done.") -> None:
    """The account's workflow has come to its end."""
    remedy = "" if status == "enabled" else "Mend it."
    tag(cloud, "orders", kerberos_status=status, kerberos_message=message, kerberos_remedy=remedy)
    if status == "enabled":
        member(cloud)


def outcome(cloud: Cloud) -> dict[str, str]:
    return recorded(cloud)["orders"]


# --- it asks ----------------------------------------------------------------------------------------------------------


def test_the_first_look_asks_and_waits(cloud: Cloud, step: Step) -> None:
    answer = look(step)
    assert tags(cloud, "orders") == {"team": "sales", **ASKED}
    assert not answer["ready"]
    assert answer["reason"] == f"The workflow of {cloud.home} is at work on orders"
    assert answer["wait_seconds"] == 300


def test_what_it_waits_for_is_recorded_before_it_waits(cloud: Cloud, step: Step) -> None:
    """Whoever stops the rollout now can see who is at work."""
    look(step)
    assert outcome(cloud) == {
        "rollout": ID,
        "cluster": arn("orders"),
        "account": cloud.home,
        "region": cloud.region,
        "wave": "2",
        "outcome": "enrolling",
        "error": "",
        "message": "",
        "remedy": "",
        "began_at": NOW,
        "recorded_at": NOW,
    }


def test_an_earlier_outcome_is_taken_off_and_not_taken_for_this_one(cloud: Cloud, step: Step) -> None:
    tag(cloud, "orders", kerberos="enabled", kerberos_rollout="before", kerberos_apply="now")
    end(cloud, "NetworkBlocked", "No route.")
    answer = look(step)
    assert not answer["ready"]
    assert tags(cloud, "orders") == {"team": "sales", "kerberos-apply": "now", **ASKED}
    assert outcome(cloud)["outcome"] == "enrolling"


def test_the_earlier_outcome_is_off_before_somebody_is_asked(cloud: Cloud, step: Step) -> None:
    """The other way round, a quick answer would be taken off."""
    look(step)
    made = [call.name for call in cloud.calls if call.function and call.name in {ADD, REMOVE}]
    assert made == [REMOVE, ADD]


def test_whoever_was_interrupted_between_taking_off_and_putting_on_puts_on(cloud: Cloud, step: Step) -> None:
    tag(cloud, "orders", kerberos="enabled", kerberos_rollout="before")
    end(cloud, "NetworkBlocked")
    cloud.faults = Faults([Fault(call=ADD, error="Throttling")])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        look(step)
    assert "kerberos-status" not in tags(cloud, "orders")
    assert tags(cloud, "orders")["kerberos-rollout"] == "before"
    assert not look(step)["ready"]
    assert tags(cloud, "orders") == {"team": "sales", **ASKED}


def test_whoever_did_not_hear_that_he_has_asked_does_not_ask_again(cloud: Cloud, step: Step) -> None:
    """A second asking would take off what may have been answered since."""
    look(step)
    end(cloud)
    cloud.calls.clear()
    assert look(step)["ready"]
    assert not called(cloud, ADD)
    assert not called(cloud, REMOVE)


def test_the_second_look_only_looks(cloud: Cloud, step: Step) -> None:
    first = look(step)
    cloud.calls.clear()
    second = look(step, first, LATER)
    assert (second["ready"], second["reason"]) == (False, first["reason"])
    assert (second["polled"], second["wait_seconds"] > 0) == (2, True)
    assert {call.name for call in cloud.calls if call.function} == {"rds:DescribeDBClusters", "dynamodb:PutItem"}
    assert (outcome(cloud)["outcome"], outcome(cloud)["began_at"], outcome(cloud)["recorded_at"]) == (
        "enrolling",
        NOW,
        LATER,
    )


def test_a_name_that_is_no_value_of_a_tag_is_written_as_one(cloud: Cloud, step: Step) -> None:
    """Step Functions takes more characters in an execution's name than RDS takes in a tag."""
    parent = EXECUTION.replace("first", "orders'(2)!")
    first = look(step, parent=parent)
    assert (first["ready"], tags(cloud, "orders")["kerberos-rollout"]) == (False, "orders 2")
    cloud.calls.clear()
    look(step, first, parent=parent)
    look(step, parent=parent)
    assert not called(cloud, ADD)


# --- what has become of it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("membership", ["kerberos-enabled", "joined"])
def test_enabled_is_what_the_account_says_and_rds_as_well(cloud: Cloud, step: Step, membership: str) -> None:
    first = look(step)
    end(cloud, message="alice may log in")
    member(cloud, membership)
    answer = look(step, first, LATER)
    assert (answer["ready"], answer["outputs"]) == (True, {"outcome": "enabled"})
    written = outcome(cloud)
    assert (written["outcome"], written["message"], written["error"]) == ("enabled", "alice may log in", "")
    assert (written["began_at"], written["recorded_at"]) == (NOW, LATER)


@pytest.mark.parametrize("status", ["PrincipalUsesIam", "ClusterUnfit", "InvalidRequest", "ApprovalRefused"])
def test_refused_is_who_cannot_be_enabled_as_he_is(cloud: Cloud, step: Step, status: str) -> None:
    first = look(step)
    end(cloud, status, "alice has rds_iam.")
    assert look(step, first)["outputs"] == {"outcome": "refused"}
    written = outcome(cloud)
    assert (written["outcome"], written["error"]) == ("refused", status)
    assert (written["message"], written["remedy"]) == ("alice has rds_iam.", "Mend it.")


@pytest.mark.parametrize(
    "status",
    [
        "NetworkBlocked",
        "EnableKerberosFailed",
        "StepTimedOut",
        "ApprovalExpired",
        "States.Timeout",
        "REMEDY",
        "KeyError",
    ],
)
def test_failed_is_who_could_not_be_enabled(cloud: Cloud, step: Step, status: str) -> None:
    first = look(step)
    end(cloud, status)
    assert look(step, first)["outputs"] == {"outcome": "failed"}
    assert (outcome(cloud)["error"], outcome(cloud)["remedy"]) == (status, "Mend it.")


@pytest.mark.parametrize(("membership", "said"), [("", "none"), ("failed", "failed")])
def test_what_is_enabled_and_no_member_any_more_has_failed(
    cloud: Cloud, step: Step, membership: str, said: str
) -> None:
    first = look(step)
    end(cloud)
    cluster_of(cloud, "orders").domain_memberships = []
    if membership:
        member(cloud, membership)
    assert look(step, first)["outputs"] == {"outcome": "failed"}
    written = outcome(cloud)
    assert (written["error"], bool(written["remedy"])) == ("MembershipLost", True)
    assert written["message"].endswith(f"its membership is {said} now.")


# --- what others do meanwhile -----------------------------------------------------------------------------------------


def test_who_was_switched_off_meanwhile_is_refused_and_left_so(cloud: Cloud, step: Step) -> None:
    first = look(step)
    tag(cloud, "orders", kerberos="disabled")
    assert look(step, first)["outputs"] == {"outcome": "refused"}
    assert outcome(cloud)["error"] == "ClusterUnfit"
    assert tags(cloud, "orders")["kerberos"] == "disabled"


def test_who_was_switched_off_between_plan_and_wave_is_not_touched(cloud: Cloud, step: Step) -> None:
    tag(cloud, "orders", kerberos="disabled")
    before = tags(cloud, "orders")
    assert look(step)["outputs"] == {"outcome": "refused"}
    assert tags(cloud, "orders") == before


def test_the_tag_that_somebody_took_off_is_put_on_again(cloud: Cloud, step: Step) -> None:
    first = look(step)
    untag(cloud, "orders", "kerberos")
    assert not look(step, first)["ready"]
    assert tags(cloud, "orders")["kerberos"] == "enabled"


def test_two_rollouts_do_not_ask_in_turns(cloud: Cloud, step: Step) -> None:
    """Each would take off what the other is waiting for, until both give up."""
    mine, theirs = look(step), look(step, parent=SECOND)
    assert tags(cloud, "orders")["kerberos-rollout"] == "second"
    cloud.calls.clear()
    mine, theirs = look(step, mine), look(step, theirs, parent=SECOND)
    assert not called(cloud, REMOVE)
    end(cloud)
    assert look(step, mine)["outputs"] == look(step, theirs, parent=SECOND)["outputs"] == {"outcome": "enabled"}


def test_a_cluster_that_is_gone_is_refused(cloud: Cloud, step: Step) -> None:
    first = look(step)
    del moto_rds(cloud).clusters["orders"]
    assert look(step, first)["outputs"] == {"outcome": "refused"}
    written = outcome(cloud)
    assert (written["error"], "orders" in written["message"]) == ("ClusterNotFound", True)


# --- who refuses, and what is only for now ----------------------------------------------------------------------------


def test_an_account_without_the_role_fails_alone(cloud: Cloud, step: Step) -> None:
    far = {**item("orders"), "account": FAR, "arn": arn("orders", FAR)}
    assert look(step, cluster=far)["outputs"] == {"outcome": "failed"}
    written = outcome(cloud)
    assert (written["account"], written["cluster"], written["error"]) == (FAR, arn("orders", FAR), "AccessDenied")
    assert (written["message"].startswith("AssumeRole: AccessDenied: "), bool(written["remedy"])) == (True, True)


@pytest.mark.parametrize("action", [DESCRIBE, ADD, REMOVE])
def test_a_call_that_the_account_denies_is_recorded(cloud: Cloud, step: Step, action: str) -> None:
    forbid(cloud, action)
    assert look(step)["outputs"] == {"outcome": "failed"}
    assert (outcome(cloud)["error"], action.partition(":")[2] in outcome(cloud)["message"]) == ("AccessDenied", True)
    assert "kerberos-rollout" not in tags(cloud, "orders")


def test_what_aws_refuses_for_good_is_recorded(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call=ADD, error="InvalidDBClusterStateFault", message="Not now.")])
    assert look(step)["outputs"] == {"outcome": "failed"}
    assert outcome(cloud)["error"] == "AwsRefused"
    assert "Not now." in outcome(cloud)["message"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("sts:AssumeRole", "Throttling"),
        (DESCRIBE, "Throttling"),
        (REMOVE, "RequestLimitExceeded"),
        (ADD, "ServiceUnavailable"),
        ("dynamodb:PutItem", "ProvisionedThroughputExceededException"),
    ],
)
def test_what_is_only_for_now_the_state_machine_asks_again(cloud: Cloud, step: Step, call: str, error: str) -> None:
    cloud.faults = Faults([Fault(call=call, error=error)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        look(step)
    assert recorded(cloud) == {}
    assert not look(step)["ready"]
    assert (tags(cloud, "orders"), outcome(cloud)["outcome"]) == ({"team": "sales", **ASKED}, "enrolling")


def test_an_outcome_that_cannot_be_recorded_is_not_handed_back_as_if_it_were(cloud: Cloud, step: Step) -> None:
    first = look(step)
    end(cloud)
    cloud.faults = Faults([Fault(call="dynamodb:PutItem", error="ResourceNotFoundException")])
    with pytest.raises(StepFailed, match="AwsRefused"):
        look(step, first)


# --- how long ---------------------------------------------------------------------------------------------------------


def at(days: float) -> str:
    """So long after the first look, as Step Functions writes it."""
    time = datetime.fromisoformat(NOW) + timedelta(days=days)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_maintenance_window_can_be_waited_for(cloud: Cloud, step: Step) -> None:
    first = look(step)
    assert not look(step, first, at(15.9))["ready"]
    assert outcome(cloud)["outcome"] == "enrolling"


def test_an_account_that_never_answers_has_failed_on_record(cloud: Cloud, step: Step) -> None:
    first = look(step)
    assert look(step, first, at(16))["outputs"] == {"outcome": "failed"}
    written = outcome(cloud)
    assert (written["outcome"], written["error"], written["began_at"]) == ("failed", "StepTimedOut", NOW)
    assert "16 days" in written["message"]
    assert "state machine there" in written["remedy"]


def test_an_answer_that_comes_at_the_last_moment_counts(cloud: Cloud, step: Step) -> None:
    first = look(step)
    end(cloud)
    assert look(step, first, at(17))["outputs"] == {"outcome": "enabled"}


def test_the_looks_of_sixteen_days_end_on_record_and_not_in_an_error(cloud: Cloud, step: Step) -> None:
    answer, seconds = look(step), 0
    while not answer["ready"]:
        seconds += answer["wait_seconds"]
        assert seconds < 17 * DAY
        if seconds > 15 * DAY:
            answer = look(step, answer, at(seconds / DAY))
        else:  # as the state machine would have it, without the looks
            answer = {**answer, "polls": answer["polls"] + 1, "polled": answer["polled"] + 1, "wait_seconds": 900}
    assert outcome(cloud)["error"] == "StepTimedOut"
