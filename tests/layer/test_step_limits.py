"""Where a wait ends, to the second, and what is handed back from poll to poll."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from aurora_kerberos import step as steps
from aurora_kerberos.errors import DatabaseUnreachable, StepTimedOut
from aurora_kerberos.step import Ready, Waiting, answer, cluster_of, step, unapproved, wait_seconds, waited_seconds


def test_the_limits_are_those_of_the_documentation() -> None:
    assert (steps.HOUR, steps.DAY) == (3600, 86_400)
    assert (steps.LONGEST_EXECUTION, steps.MOST_POLLS) == (20 * 86_400, 2400)


@pytest.mark.parametrize(("waited", "polled", "ends"), [(1_727_999, 0, False), (1_728_000, 0, True)])
def test_an_execution_waits_twenty_days_and_not_a_second_longer(waited: int, polled: int, ends: bool) -> None:
    assert gives_up(waited=waited, polled=polled) is ends


@pytest.mark.parametrize(("polled", "ends"), [(2399, False), (2400, True)])
def test_an_execution_polls_2400_times_and_not_once_more(polled: int, ends: bool) -> None:
    assert gives_up(polled=polled) is ends


@pytest.mark.parametrize(("deadline", "ends"), [(waited_seconds(5) + 1, False), (waited_seconds(5), True)])
def test_a_deadline_has_passed_when_it_is_there(deadline: int, ends: bool) -> None:
    assert gives_up(Waiting("x", deadline=deadline), polls=5, waiting_for="x") is ends


def gives_up(waiting: Waiting | None = None, **handed_back: Any) -> bool:
    try:
        answer(waiting or Waiting("x"), **handed_back)
    except StepTimedOut:
        return True
    return False


def test_at_the_deadline_the_message_has_the_minutes_of_this_wait() -> None:
    """Not those of the whole execution, which has waited for other things before."""
    deadline = waited_seconds(5)
    with pytest.raises(StepTimedOut, match=f"Gave up after {deadline // 60} minutes: x"):
        answer(Waiting("x", deadline=deadline), polls=5, waiting_for="x", waited=90_000)


def test_at_the_end_of_the_execution_the_message_has_the_minutes_of_the_execution() -> None:
    with pytest.raises(StepTimedOut, match=r"Gave up after 28800 minutes: x"):
        answer(Waiting("x"), polls=1, waiting_for="x", waited=1_728_000)


def test_each_wait_adds_to_what_the_execution_has_waited_and_polled() -> None:
    found = answer(Waiting("x"), polls=2, waiting_for="x", waited=1000, polled=7)
    assert (found["waited"], found["polled"], found["polls"]) == (1036, 8, 3)
    first = answer(Waiting("x"))
    assert (first["waited"], first["polled"], first["polls"]) == (30, 1, 1)


def test_a_handler_takes_back_all_that_the_state_machine_hands_back() -> None:
    handler = step(lambda _: Waiting("x"))
    found = handler({"polls": 2, "waiting_for": "x", "waited": 1000, "polled": 7}, None)
    assert (found["waited"], found["polled"], found["polls"], found["wait_seconds"]) == (1036, 8, 3, 36)


def test_the_shortest_time_that_aws_takes_is_none_where_a_step_names_none() -> None:
    assert Waiting("x").at_least == 0
    assert (wait_seconds(0), waited_seconds(1)) == (30, 30)
    assert wait_seconds(0, at_least=31) == 31
    assert wait_seconds(1) == 30  # a wait has begun: at_least is over
    assert wait_seconds(100_000) == 900


@pytest.mark.parametrize(
    ("apply", "approved", "asks"), [("approval", False, True), ("approval", True, False), ("now", False, False)]
)
def test_approval_is_asked_for_where_it_is_needed_and_not_there(apply: str, approved: bool, asks: bool) -> None:
    found = unapproved({"apply": apply, "approved": approved}, "a restart", {"since": "now"})
    if asks:
        assert found == Waiting("Approval is needed", outputs={"since": "now", "approval": "a restart"})
    else:
        assert found is None


@pytest.mark.parametrize(
    ("event", "cluster"),
    [
        ({"cluster": {"id": "orders"}, "request": {"cluster": "sales"}}, "orders"),
        ({"plan": {"cluster": {"id": "orders"}}}, "orders"),
        ({"plan": {"cluster": None}, "request": {"cluster": "sales"}}, "sales"),
        ({}, ""),
    ],
)
def test_the_log_s_cluster_is_the_planned_one_before_the_requested(event: dict[str, Any], cluster: str) -> None:
    assert cluster_of(event) == cluster


def test_the_log_says_why_it_waits_and_an_error_s_remedy() -> None:
    lines = logged(lambda _: Waiting("Directory d-1 is Creating"))
    assert [(line["message"], line["ready"], line["wait_seconds"]) for line in lines] == [
        ("Directory d-1 is Creating", False, 30)
    ]
    assert [line["message"] for line in logged(lambda _: Ready())] == ["Ready"]
    (line,) = logged(refused)
    assert (line["message"], line["error"], line["remedy"]) == ("No connection.", "DatabaseUnreachable", "Open it.")


def refused(_: Any) -> Ready:
    raise DatabaseUnreachable("No connection.", "Open it.")


def test_an_error_of_aws_is_logged_once_as_what_it_becomes() -> None:
    from botocore.exceptions import ClientError  # noqa: PLC0415  only here

    def fails(_: Any) -> Ready:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ModifyDBCluster")

    (line,) = logged(fails)
    assert (line["message"], line["error"]) == ("ModifyDBCluster: AccessDenied: no", "AccessDenied")


def logged(look: Any) -> list[dict[str, Any]]:
    """The lines that a handler logs, be it that it raises."""
    (output,) = steps.logger.handlers
    before = output.setStream(log := io.StringIO())  # type: ignore[attr-defined]  # Powertools logs to a stream
    try:
        step(look)({"step": "EnsureDirectory"}, None)
    except Exception:  # noqa: BLE001, S110  whatever it raises has been logged
        pass
    finally:
        output.setStream(before)  # type: ignore[attr-defined]  # as above
    return [json.loads(line) for line in log.getvalue().splitlines()]
