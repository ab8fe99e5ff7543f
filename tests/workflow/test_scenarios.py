"""Every scenario, on the real state machine with the real handlers, and what is true of every execution."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from aurora_kerberos.step import LONGEST_WAIT
from local import iam, scenario, stack
from local.executions import Execution
from local.scenario import Result

FILES = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))

needed: dict[str, set[str]] = defaultdict(set)
rehearsed: set[Path] = set()


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def result(request: pytest.FixtureRequest) -> Result:
    done = scenario.rehearse(scenario.read(request.param))
    rehearsed.add(request.param)
    for call in done.calls:
        needed[call.role or call.function].update(call.needs)
    return done


def test_all_is_true_that_must_be(result: Result) -> None:
    assert not [f"{check.check}, but is {check.got}" for check in result.checks if not check.passed]


def test_every_path_ends_in_the_recorded_outcome(result: Result) -> None:
    for execution in result.executions:
        recorded, end = execution.steps[-2:]
        assert recorded == "RecordOutcome"
        assert end == ("Succeeded" if execution.status == "SUCCEEDED" else "Failed")


def test_waits_are_those_of_the_policy(result: Result) -> None:
    for execution in result.executions:
        assert [seconds for _, seconds in execution.waits] == [seconds for _, seconds in policy_waits(execution)]


def policy_waits(execution: Execution) -> list[tuple[str, float]]:
    """The waits as the design has them: 30 s and a tenth of the time waited for the same thing, at most 15 minutes."""
    waits: list[tuple[str, float]] = []
    waited, waiting_for = 0, ""
    for state, answer in execution.answers:
        if answer["ready"]:
            waited, waiting_for = 0, ""
            continue
        if answer["reason"] != waiting_for:
            waited, waiting_for = 0, answer["reason"]
        seconds = min(LONGEST_WAIT, round(30 + waited / 10))
        if waited == 0:
            # A step may know that AWS takes longer.
            assert answer["wait_seconds"] >= seconds
            seconds = answer["wait_seconds"]
        waits.append((state, seconds))
        waited += seconds
    # After the last wait the step may have given up.
    return waits


def test_no_secret_is_written_anywhere(result: Result) -> None:
    assert not [secret for secret in result.secrets if secret in result.written]


def test_errors_have_a_name_of_ours_and_a_remedy(result: Result) -> None:
    for execution in result.executions:
        if execution.status == "FAILED":
            assert "Remedy: " in execution.cause
            assert len(execution.cause.partition("Remedy: ")[2]) > 20


def test_the_result_is_json(result: Result) -> None:
    shown = json.loads(json.dumps(result.as_dict()))
    assert shown["passed"] is result.passed
    assert len(shown["executions"]) == len(result.executions)


def test_no_policy_allows_what_no_scenario_needed() -> None:
    """The other direction, that everything called is allowed, holds by itself: the local cloud refuses the rest."""
    if rehearsed != set(FILES):
        pytest.skip("only some scenarios have been run, so what they need says nothing of all policies")
    policies = {
        name: [policy["Statement"] for policy in properties.get("Policies", [])]
        for name, properties in stack.functions().items()
    }
    policies[stack.DIRECTORY_ACCOUNT_ROLE] = [
        policy["PolicyDocument"]["Statement"]
        for policy in stack.directory_account()["Resources"]["Role"]["Properties"]["Policies"]
    ]
    allowed = {
        name: {action for statements in found for each in statements for action in iam.listed(each["Action"])}
        for name, found in policies.items()
    }
    for name, actions in iam.BEHIND_THE_CALLS.items():
        assert actions <= allowed[name]
        allowed[name] -= actions - needed[name]
    assert allowed == {name: needed[name] - iam.UNAUTHORIZED for name in allowed}
