"""The bench: what it takes for a thing that was waited for, and that it leaves the policy as it was."""

from __future__ import annotations

from aurora_kerberos import step
from local import bench
from local.bench import Thing
from local.moments import Moment


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
