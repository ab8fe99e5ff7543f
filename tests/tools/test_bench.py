"""The bench: what it takes for a thing that was waited for, what is charged, what is imported, and its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from aurora_kerberos import step
from local.core.calls import Call
from local.core.moments import Moment
from tools.bench import cost, imports, sizes
from tools.bench import polling as bench
from tools.bench.imports import Imported
from tools.bench.page import Goal, Section
from tools.bench.polling import Thing


def answered(at: float, ready: bool) -> Moment:
    return Moment(at, "answered", "", "run-1", "EnsureDirectory", 0, ready)


def happened(at: float, text: str) -> Moment:
    return Moment(at, "happened", text)


def test_a_thing_is_there_with_what_aws_did_last_before_the_answer() -> None:
    moments = [
        happened(0, "somebody tags orders"),
        answered(10, ready=False),
        answered(40, ready=False),
        happened(45, "the user is seen"),
        happened(50, "the group is seen"),
        answered(70, ready=False),  # notices, and waits for the next thing
        happened(100, "the cluster joined"),
        answered(130, ready=True),
        happened(140, "somebody restarts it"),
        answered(150, ready=True),
    ]
    assert list(bench.things(moments)) == [
        Thing("the group is seen", took=40, lag=20),
        Thing("the cluster joined", took=30, lag=30),
    ]


def test_what_was_noticed_is_the_beginning_of_the_next_wait() -> None:
    moments = [answered(0, ready=False), happened(5, "a"), answered(30, ready=False), happened(60, "b")]
    assert list(bench.things([*moments, answered(90, ready=True)])) == [Thing("a", 5, 25), Thing("b", 30, 30)]


def test_another_policy_is_for_the_bench_alone() -> None:
    ours = step.wait_seconds
    with bench.polling(bench.every(20)):
        assert step.answer(step.Waiting("x", at_least=600), polls=9, waiting_for="x")["wait_seconds"] == 20
    assert step.wait_seconds is ours


def test_a_cluster_on_an_existing_directory_costs_less_than_a_cent() -> None:
    (case,) = [each for each in cost.CASES if each.scenario == cost.EXISTING_DIRECTORY]
    bill = cost.billed(case)
    assert bill.total < cost.DEAREST
    assert {"Step Functions", "Lambda", "DynamoDB", "SNS", "Secrets Manager", "CloudWatch"} <= set(bill.charges)
    assert bill.charges["Step Functions"] == pytest.approx(bill.transitions * 0.025 / 1000)
    assert bill.transitions < 100


def test_a_write_is_charged_by_its_size() -> None:
    (item,) = cost.of_call(
        Call("RecordOutcome", "dynamodb", "PutItem", {"Item": {"message": {"S": "x" * 1500}}})
    ).items()
    assert item == ("DynamoDB: a write request unit (1 KB), on demand", 2)
    (item,) = cost.of_call(Call("RecordOutcome", "dynamodb", "GetItem", {})).items()
    assert item == ("DynamoDB: a read request unit (4 KB), on demand", 1)
    assert not cost.of_call(Call("EnsureMembership", "rds", "ModifyDBCluster", {}))


@pytest.mark.parametrize("name", ["EnrollCluster", "EnsureDatabaseUsers", "ValidateRequest"])
def test_a_function_imports_what_it_needs_and_makes_no_client(name: str) -> None:
    assert imports.imported(name) == Imported([], imports.needed(name))


def test_the_budget_is_for_the_services_of_the_policy() -> None:
    assert imports.services("CheckDatabase") == ["rds-data", "secretsmanager"]
    assert imports.services("SweepClusters") == ["dynamodb", "rds", "ssm", "stepfunctions"]


def test_a_layer_that_is_too_large_is_missed(tmp_path: Path) -> None:
    for name in ("CommonLayer", "PostgresLayer"):
        (tmp_path / name).mkdir()
    (tmp_path / "PostgresLayer" / "large").write_bytes(bytes(30_000_001))
    section = sizes.section(tmp_path, tmp_path)
    assert [goal.reached for goal in section.goals] == [True, False]
    assert not section.reached


def test_the_page_has_each_section_s_command() -> None:
    section = Section("Title", "About.", ("what", "much"), [("a", "1")], [Goal("a thing", 2, at_most=1)])
    text = section.markdown("cost")
    assert "`.venv/bin/python -m tools.bench cost`" in text
    assert "| a | 1 |" in text
    assert "a thing: 2.0, to reach at most 1: MISSED" in text
