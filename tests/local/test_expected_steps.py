"""What a scenario says of the steps: `to EnsureNetwork` stands for exactly one list."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from deploy import templates
from local.scenario.expected_steps import expected
from local.scenario.format import ExpectedExecution

DEFINITION = templates.definition()
START = ["AcquireLease", "ValidateRequest", "EnsureDatabaseAccess", "CheckDatabase"]


def test_a_list_is_what_it_says() -> None:
    assert expected(["CheckDatabase", "Failed"], "SUCCEEDED", DEFINITION) == ["CheckDatabase", "Failed"]


@pytest.mark.parametrize(
    ("said", "status", "steps"),
    [
        ("to AcquireLease", "SUCCEEDED", ["AcquireLease", "RecordOutcome", "Succeeded"]),
        ("to CheckDatabase", "FAILED", [*START, "RecordOutcome", "Failed"]),
        ("to EnsureTrust", "FAILED", [*START, "EnsureDirectory", "EnsureTrust", "RecordOutcome", "Failed"]),
        ("to EnsureTrust", "ABORTED", [*START, "EnsureDirectory", "EnsureTrust"]),
        ("to RevokeDatabaseUsers", "ABORTED", [*START, "LeaveDomain", "RevokeDatabaseUsers"]),
    ],
)
def test_to_a_step_is_each_step_on_the_way_once_and_how_it_ends(said: str, status: str, steps: list[str]) -> None:
    assert expected(said, status, DEFINITION) == steps


def test_to_the_proof_is_every_step_that_enables() -> None:
    tasks = [name for name, state in DEFINITION["States"].items() if state["Type"] == "Task"]
    enabling = tasks[: tasks.index("VerifyLogin") + 1]
    assert expected("to VerifyLogin", "SUCCEEDED", DEFINITION) == [*enabling, "RecordOutcome", "Succeeded"]


def test_a_step_more_in_the_definition_is_expected_by_itself() -> None:
    states = DEFINITION["States"]
    longer = {
        **DEFINITION,
        "States": {
            **states,
            "DirectoryReady?": {"Type": "Choice", "Choices": [{"Condition": "$answer.ready", "Next": "CheckBackups"}]},
            "CheckBackups": {"Type": "Task", "Next": "EnsureTrust"},
        },
    }
    assert expected("to EnsureTrust", "", longer) == [*START, "EnsureDirectory", "CheckBackups", "EnsureTrust"]


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("EnsureTrust", "not of the form 'to EnsureNetwork'"),
        ("to EnsureTrsut", "EnsureTrsut is no step; the steps are AcquireLease, "),
        ("to RequestApproval", "RequestApproval is no step"),  # where the question comes, the scenario has to say
        ("to RecordOutcome", "RecordOutcome is no step"),
        ("to TrustReady?", "TrustReady\\? is no step"),
    ],
)
def test_what_is_no_step_is_refused_when_the_scenario_is_read(said: str, refused: str) -> None:
    with pytest.raises(ValidationError, match=refused):
        ExpectedExecution(steps=said)
