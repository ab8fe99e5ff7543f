"""A rollout's gate: what counts as a failure, when it stops, and which wave comes next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import Cloud
from local.core.faults import Fault, Faults
from tests.steps.conftest import Step, StepFailed
from tests.steps.rollouts import (
    EARLIER,
    EXECUTION,
    ID,
    LATER,
    NOW,
    arn,
    called,
    item,
    record,
    recorded,
    rollout_cloud,
    write,
)

WAVES = {1: ["orders"], 2: ["sales", "stock"], 4: ["web", "shop", "mail"]}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Three waves, of numbers that have a gap; nothing has become of anybody yet."""
    with rollout_cloud() as running:
        for number, names in WAVES.items():
            write(running, f"waves/{number}.json", [item(name, number) for name in names])
        yield running


def judge(step: Step, wave: int, max_failures: int = 0) -> dict[str, Any]:
    outputs: dict[str, Any] = step(
        "JudgeWave",
        rollout=ID,
        request={"max_failures": max_failures},
        waves=[{"number": number, "size": len(names)} for number, names in WAVES.items()],
        wave=wave,
        began_at=NOW,
        now=LATER,
        execution=EXECUTION,
    )["outputs"]
    return outputs


def record_all(cloud: Cloud, *names: str, outcome: str = "enabled") -> None:
    for name in names:
        record(cloud, name, outcome)


def test_a_wave_that_went_well_is_followed_by_the_next_there_is(cloud: Cloud, step: Step) -> None:
    record_all(cloud, "orders")
    assert judge(step, 1) == {"next": 2, "stopped": ""}
    record_all(cloud, "sales", "stock")
    assert judge(step, 2) == {"next": 4, "stopped": ""}


def test_after_the_last_wave_there_is_none(cloud: Cloud, step: Step) -> None:
    record_all(cloud, *WAVES[1], *WAVES[2], *WAVES[4])
    assert judge(step, 4) == {"next": 0, "stopped": ""}


@pytest.mark.parametrize(("most", "stops"), [(0, True), (1, True), (2, False), (3, False)])
def test_more_failures_than_are_allowed_stop_it(cloud: Cloud, step: Step, most: int, stops: bool) -> None:
    record_all(cloud, "orders")
    record_all(cloud, "sales", "stock", outcome="failed")
    answer = judge(step, 2, most)
    assert answer["next"] == (0 if stops else 4)
    said = f"After wave 2, 2 clusters have failed, more than {most}: sales, stock."
    assert answer["stopped"] == (said if stops else "")


def test_one_cluster_is_one(cloud: Cloud, step: Step) -> None:
    record_all(cloud, "orders", outcome="failed")
    assert judge(step, 1)["stopped"] == "After wave 1, 1 cluster has failed, more than 0: orders."


def test_who_was_refused_is_no_failure(cloud: Cloud, step: Step) -> None:
    record_all(cloud, "orders", "sales", "stock", outcome="refused")
    assert judge(step, 2) == {"next": 4, "stopped": ""}


def test_failures_of_all_waves_add_up(cloud: Cloud, step: Step) -> None:
    record_all(cloud, "orders", "stock", outcome="failed")
    record_all(cloud, "sales")
    assert judge(step, 1, max_failures=1)["next"] == 2
    answer = judge(step, 2, max_failures=1)
    assert answer["next"] == 0
    assert "2 clusters have failed, more than 1: orders, stock." in answer["stopped"]


def test_waves_to_come_are_not_looked_at(cloud: Cloud, step: Step) -> None:
    """What was recorded of them, an earlier start has."""
    record_all(cloud, "orders")
    record_all(cloud, *WAVES[2], *WAVES[4], outcome="failed")
    assert judge(step, 1) == {"next": 2, "stopped": ""}


def test_outcomes_of_another_rollout_are_none_of_this_one(cloud: Cloud, step: Step) -> None:
    record(cloud, "orders", "failed", rollout="another")
    record(cloud, "orders", "enabled")
    assert judge(step, 1)["next"] == 2


@pytest.mark.parametrize("lost", ["nothing recorded", "enrolling", "of an earlier start"])
def test_whose_execution_ended_without_an_outcome_has_failed_on_record(cloud: Cloud, step: Step, lost: str) -> None:
    """It may have failed before it could record anything, or after: nobody is at work on it any more."""
    if lost == "enrolling":
        record(cloud, "orders", "enrolling")
    if lost == "of an earlier start":
        record(cloud, "orders", "enabled", began_at=EARLIER, recorded_at=EARLIER)
    answer = judge(step, 1)
    assert (answer["next"], "orders" in answer["stopped"]) == (0, True)
    written = recorded(cloud)["orders"]
    assert (written["outcome"], written["error"], written["recorded_at"]) == ("failed", "OutcomeUnknown", LATER)
    assert (written["wave"], written["cluster"], written["account"]) == ("1", arn("orders"), cloud.home)
    assert "wave 1" in written["remedy"]
    assert written["began_at"] == (NOW if lost == "enrolling" else LATER)


def test_what_is_on_record_stays_as_it_is(cloud: Cloud, step: Step) -> None:
    record(cloud, "orders", "failed", error="NetworkBlocked", remedy="Add a route.")
    record_all(cloud, "sales", outcome="refused")
    record_all(cloud, "stock")
    before = recorded(cloud)
    judge(step, 2, max_failures=5)
    assert recorded(cloud) == before


def test_what_was_lost_once_is_counted_once(cloud: Cloud, step: Step) -> None:
    assert judge(step, 1, max_failures=1)["next"] == 2
    record_all(cloud, "sales", "stock")
    assert judge(step, 2, max_failures=1)["next"] == 4


def test_of_many_failures_ten_are_named_whatever_their_number(cloud: Cloud, step: Step) -> None:
    """The sentence is a mail's and an execution's cause, which have their limits."""
    names = [f"{'c' * 58}-{number:04}" for number in range(3000)]
    write(cloud, "waves/1.json", [item(name) for name in names])
    cloud.client("dynamodb")  # the table is empty: all of them are lost
    answer = judge(step, 1, max_failures=2999)
    assert "3000 clusters have failed" in answer["stopped"]
    assert names[9] in answer["stopped"]
    assert names[10] not in answer["stopped"]
    assert len(answer["stopped"]) < 1000


def test_outcomes_are_read_once_however_many_waves_there_were(cloud: Cloud, step: Step) -> None:
    record_all(cloud, *WAVES[1], *WAVES[2], *WAVES[4])
    judge(step, 4)
    assert len(called(cloud, "dynamodb:Query")) == 1
    assert len(called(cloud, "s3:GetObject")) == 3


@pytest.mark.parametrize("call", ["dynamodb:Query", "dynamodb:PutItem", "s3:GetObject"])
def test_when_aws_is_busy_the_state_machine_asks_again(cloud: Cloud, step: Step, call: str) -> None:
    cloud.faults = Faults([Fault(call=call, error="InternalError", status=500)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        judge(step, 1)
    assert judge(step, 1)["next"] == 0
