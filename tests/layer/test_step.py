"""The contract between a step and the state machine: what is answered, how long is waited, when it is given up."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from aurora_kerberos import aws
from aurora_kerberos.errors import AccessDenied, AwsRefused, AwsUnavailable, DatabaseUnreachable, StepTimedOut
from aurora_kerberos.step import (
    DAY,
    HOUR,
    LONGEST_EXECUTION,
    MOST_POLLS,
    Ready,
    Waiting,
    answer,
    logger,
    step,
    wait_seconds,
    waited_seconds,
)


@given(st.integers(0, 60))
def test_the_nth_wait_is_30_seconds_times_1_1_to_the_n_and_never_more_than_15_minutes(poll: int) -> None:
    wait = wait_seconds(waited_seconds(poll))
    assert wait == pytest.approx(min(900, 30 * 1.1**poll), abs=2 + poll / 10)  # waits are whole seconds
    assert wait <= 900


@given(st.integers(0, 300), st.integers(0, 3600))
def test_nobody_learns_later_than_30_seconds_and_a_tenth_of_the_time_waited(poll: int, at_least: int) -> None:
    waited = waited_seconds(poll, at_least)
    assert wait_seconds(waited, at_least) <= max(at_least, 30.5 + 0.1 * waited)


def test_a_step_that_knows_how_long_it_takes_is_asked_again_only_then() -> None:
    assert [wait_seconds(waited_seconds(poll, 600), 600) for poll in (0, 1, 2)] == [600, 90, 99]
    assert wait_seconds(0, at_least=5) == 30
    assert waited_seconds(2, at_least=600) == 690


def test_a_week_in_a_maintenance_window_stays_far_from_the_limit_of_the_history() -> None:
    polls = next(poll for poll in range(10_000) if waited_seconds(poll) >= 7 * DAY)
    assert polls * 9 < 7_000  # nine history events a poll; the limit is 25,000


def test_ready_carries_outputs_and_begins_the_counting_anew() -> None:
    assert answer(Ready({"id": "d-1"}), polls=7, waiting_for="x", waited=300) == {
        "ready": True,
        "reason": "",
        "wait_seconds": 0,
        "polls": 0,
        "waited": 300,
        "polled": 0,
        "outputs": {"id": "d-1"},
    }
    assert answer(Ready())["outputs"] == {}


def test_the_same_reason_is_waited_for_longer_each_time_and_another_reason_anew() -> None:
    first = answer(Waiting("Directory d-1 is Creating"))
    assert (first["ready"], first["wait_seconds"], first["polls"]) == (False, 30, 1)
    third = answer(Waiting("Directory d-1 is Creating"), polls=2, waiting_for="Directory d-1 is Creating")
    assert (third["wait_seconds"], third["polls"]) == (36, 3)
    other = answer(Waiting("Directory d-1 is Updating"), polls=20, waiting_for="Directory d-1 is Creating")
    assert (other["wait_seconds"], other["polls"]) == (30, 1)


@given(st.integers(0, 200), st.integers(60, 10 * DAY))
def test_waiting_ends_at_the_deadline(polls: int, deadline: int) -> None:
    waiting = Waiting("x", deadline=deadline)
    if waited_seconds(polls) < deadline:
        assert answer(waiting, polls, "x")["ready"] is False
    else:
        with pytest.raises(StepTimedOut, match="x"):
            answer(waiting, polls, "x")


@pytest.mark.parametrize("at_least", [0, 600])
def test_an_execution_that_waits_now_for_this_and_now_for_that_ends_as_well(at_least: int) -> None:
    """Its history would be full, or the state machine's own time-out end it without a record."""
    told: dict[str, Any] = {}
    for number in range(100_000):
        try:
            found = answer(Waiting(f"thing {number % 2}", at_least=at_least), **told)
        except StepTimedOut:
            break
        told = {"waiting_for": found["reason"], "waited": found["waited"], "polled": found["polled"]}
    assert told["polled"] <= MOST_POLLS
    assert told["waited"] <= LONGEST_EXECUTION
    assert told["polled"] == MOST_POLLS or told["waited"] == LONGEST_EXECUTION


def test_what_is_given_up_is_said_with_how_long_it_was_waited_for() -> None:
    minutes = waited_seconds(17) // 60
    assert 15 < minutes < 25
    with pytest.raises(StepTimedOut, match=f"Gave up after {minutes} minutes: x"):
        answer(Waiting("x", deadline=900), polls=17, waiting_for="x", waited=90_000)


def test_past_the_deadline_the_step_s_own_error_is_raised() -> None:
    refused = DatabaseUnreachable("No connection.", "Open the port.")
    with pytest.raises(DatabaseUnreachable, match="Open the port"):
        answer(Waiting("x", deadline=300, otherwise=refused), polls=50, waiting_for="x")


def test_the_default_deadline_is_three_hours() -> None:
    assert Waiting("x").deadline == 3 * HOUR


def client_error(code: str, status: int = 400, message: str = "said") -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "ModifyDBCluster")


@pytest.mark.parametrize(
    ("error", "translated"),
    [
        (client_error("ThrottlingException"), AwsUnavailable),
        (client_error("SomethingNew", 503), AwsUnavailable),
        (client_error("SomethingNew", 429), AwsUnavailable),
        (EndpointConnectionError(endpoint_url="https://rds"), AwsUnavailable),
        (client_error("AccessDenied", 403), AccessDenied),
        (client_error("StorageQuotaExceeded"), AwsRefused),
    ],
)
def test_errors_of_aws_are_translated_in_one_place(error: Any, translated: type[Exception]) -> None:
    @step
    def handler(_: Any) -> Ready:
        raise error

    with pytest.raises(translated) as raised:
        handler({}, None)
    if isinstance(error, ClientError):
        assert "ModifyDBCluster" in str(raised.value)
        assert "said" in str(raised.value)


@pytest.mark.parametrize("unreachable", [EndpointConnectionError, ConnectTimeoutError])
def test_without_a_way_to_aws_the_remedy_names_the_two_there_are(unreachable: Any) -> None:
    translated = aws.translate(unreachable(endpoint_url="https://ds.eu-central-1.amazonaws.com"))
    assert isinstance(translated, AwsUnavailable)
    assert "https://ds.eu-central-1.amazonaws.com" in translated.message
    assert "a NAT gateway, or an interface endpoint" in translated.remedy


@pytest.mark.parametrize("about", [{"cluster": {"id": "orders"}}, {"request": {"cluster": "Orders"}}])
@pytest.mark.parametrize("fails", [True, False])
def test_the_log_tells_the_execution_and_the_cluster(about: dict[str, Any], fails: bool) -> None:
    execution = "arn:aws:states:eu-central-1:123456789012:execution:machine:run"

    @step
    def handler(_: Any) -> Ready:
        if fails:
            raise DatabaseUnreachable("No connection.", "Open the port.")
        return Ready()

    (output,) = logger.handlers
    before = output.setStream(log := io.StringIO())  # type: ignore[attr-defined]  # Powertools logs to a stream
    try:
        with contextlib.suppress(DatabaseUnreachable):
            handler({"execution": execution, **about}, None)
    finally:
        output.setStream(before)  # type: ignore[attr-defined]  # as above
    line = json.loads(log.getvalue())
    assert (line["execution"], line["cluster"]) == (execution, "orders")


def test_an_error_s_text_is_what_was_seen_and_what_to_do() -> None:
    assert str(DatabaseUnreachable("No connection.", "Open the port.")) == "No connection.\nRemedy: Open the port."


def test_the_code_of_what_is_no_answer_of_aws_is_empty() -> None:
    assert aws.code(ValueError("x")) == ""
    assert aws.code(client_error("X")) == "X"


# --- how long a step has taken ----------------------------------------------------------------------------------------


def measured(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, list[float]]]:
    """Step and seconds of each metric that has been written."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "StepDuration" in line]
    return [(line["Step"], line["StepDuration"]) for line in lines]


def test_how_long_a_step_was_waited_for_is_counted_when_it_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    """Three steps of one execution: the second is ready at once, and costs no metric."""
    results: list[Ready | Waiting] = []

    @step
    def handler(_: Any) -> Ready | Waiting:
        return results.pop(0)

    found: dict[str, Any] = {"reason": "", "polls": 0, "waited": 0, "polled": 0, "since": 0}
    for name, waits in {"EnsureDirectory": ["a", "a", "b"], "EnsureTrust": [], "EnsureMembership": ["c"]}.items():
        results += [*(Waiting(reason) for reason in waits), Ready()]
        while results:
            told = {key: found[key] for key in ("polls", "waited", "polled", "since")}
            found = handler({"step": name, "waiting_for": found["reason"], **told}, None)
    assert measured(capsys) == [("EnsureDirectory", [93.0]), ("EnsureMembership", [30.0])]


def test_who_is_not_told_when_it_began_counts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """An execution that goes on with the definition it began with."""

    @step
    def handler(_: Any) -> Ready:
        return Ready()

    assert handler({"waited": 3600, "polled": 9}, None)["since"] == 3600
    assert measured(capsys) == []
