"""Every scenario, on the real state machine with the real handlers, and what is true of every execution."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aurora_kerberos.step import LONGEST_WAIT
from local.core.executions import Execution
from local.scenario.format import read
from local.scenario.run import Result, rehearse
from tools import policies

FILES = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))

# All tests of one scenario in one process: it is rehearsed once.
PARAMETERS = [pytest.param(path, id=path.stem, marks=pytest.mark.xdist_group(path.stem)) for path in FILES]


@pytest.fixture(scope="module", params=PARAMETERS)
def result(request: pytest.FixtureRequest) -> Result:
    done = rehearse(read(request.param))
    policies.write(request.param, done.calls)
    return done


def test_all_is_true_that_must_be(result: Result) -> None:
    assert not [f"{check.check}, but is {check.got}" for check in result.checks if not check.passed]


def test_every_path_ends_in_the_recorded_outcome(result: Result) -> None:
    for execution in result.executions:
        if execution.status == "ABORTED":  # somebody has stopped it
            continue
        recorded, end = execution.steps[-2:]
        assert recorded == ("ReportRollout" if execution.steps[0] == "ListAccounts" else "RecordOutcome")
        assert end == ("Succeeded" if execution.status == "SUCCEEDED" else "Failed")


def test_waits_are_those_of_the_policy(result: Result) -> None:
    for execution in result.executions:
        if execution.redrives:  # then the wait in which it was stopped has begun anew
            continue
        assert [seconds for _, seconds in execution.waits] == [seconds for _, seconds in policy_waits(execution)]


def policy_waits(execution: Execution) -> list[tuple[str, float]]:
    """The waits as the design has them: 30 s and a tenth of the time waited for the same thing, at most 15 minutes."""
    waits: list[tuple[str, float]] = []
    waited, waiting_for = 0, ""
    for state, answer in execution.answers:
        if answer["ready"] or "approval" in answer["outputs"]:  # then a person is waited for
            waited, waiting_for = 0, answer["reason"]
            continue
        if answer["reason"] != waiting_for:
            waited, waiting_for = 0, answer["reason"]
        seconds = min(LONGEST_WAIT, round(30 + waited / 10))
        if waited == 0:
            # A step may know that AWS takes longer: twenty minutes, three, one.
            assert answer["wait_seconds"] in {seconds, 1200, 180, 60}
            seconds = answer["wait_seconds"]
        waits.append((state, seconds))
        waited += seconds
    # After the last wait the step may have given up.
    return waits


def test_no_secret_is_written_anywhere(result: Result) -> None:
    assert not result.leaked


def test_errors_have_a_name_of_ours_and_a_remedy(result: Result) -> None:
    for execution in result.executions:
        if execution.status == "FAILED":
            assert "Remedy: " in execution.cause
            assert len(execution.cause.partition("Remedy: ")[2]) > 20


def test_the_result_is_json(result: Result) -> None:
    shown = json.loads(json.dumps(result.as_dict()))
    assert shown["passed"] is result.passed
    assert len(shown["executions"]) == len(result.executions)
