"""Executions of the local cloud end, go on and wait for answers as those of AWS do, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.clock import BEGINNING
from local.cloud import Cloud
from local.executions import Execution

States = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        yield running


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    """One cloud for all: a state machine and an execution of its own are all that a test needs."""
    shared_cloud.stop_at.clear()
    return shared_cloud


def task(cloud: Cloud, **fields: Any) -> dict[str, Any]:
    """A task that invokes a function, which answers an error: there is nothing in its input."""
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": cloud.functions.name("ValidateRequest"), "Payload": {}},
        "End": True,
        **fields,
    }


def start(cloud: Cloud, states: States, **fields: Any) -> Execution:
    """An execution of a state machine with these states, from the first to where it waits or ends."""
    created = cloud.client("stepfunctions").create_state_machine(
        name=f"machine-{len(cloud.executions)}",
        definition=json.dumps({"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **fields}),
        roleArn="arn:aws:iam::123456789012:role/machine",
    )
    execution = cloud.executions[cloud.start_execution(created["stateMachineArn"], {"number": 1})]
    cloud.run(until=cloud.clock.now)
    return execution


def described(cloud: Cloud, execution: Execution) -> dict[str, Any]:
    answer: dict[str, Any] = cloud.client("stepfunctions").describe_execution(executionArn=execution.arn)
    return answer


def history(cloud: Cloud, execution: Execution) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = cloud.client("stepfunctions").get_execution_history(executionArn=execution.arn)[
        "events"
    ]
    return events


def kinds(cloud: Cloud, execution: Execution) -> list[str]:
    return [event["type"] for event in history(cloud, execution)]


def refused(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    code: str = raised.value.response["Error"]["Code"]
    return code


WAITING: States = {
    "First": {"Type": "Wait", "Seconds": 1000, "Next": "Second"},
    "Second": {"Type": "Pass", "End": True},
}


def test_a_waiting_execution_is_stopped_at_once(cloud: Cloud) -> None:
    begun = cloud.clock.now
    execution = start(cloud, WAITING)
    cloud.run(until=begun + 100)
    stopped = cloud.client("stepfunctions").stop_execution(executionArn=execution.arn, error="Enough", cause="why")
    moment = BEGINNING + timedelta(seconds=begun + 100)
    assert stopped["stopDate"] == moment
    assert kinds(cloud, execution) == ["ExecutionStarted", "WaitStateEntered", "ExecutionAborted"]
    assert history(cloud, execution)[-1]["timestamp"] == moment
    answer = described(cloud, execution)
    assert (answer["status"], answer["error"], answer["cause"]) == ("ABORTED", "Enough", "why")
    assert answer["stopDate"] == moment
    assert (execution.status, execution.error, execution.cause) == ("ABORTED", "Enough", "why")
    cloud.run()
    assert cloud.clock.now == begun + 100  # nobody waits any more
    assert execution.states == ["First"]


def test_stopping_what_is_over_changes_nothing(cloud: Cloud) -> None:
    execution = start(cloud, {"Only": {"Type": "Pass", "End": True}})
    before = described(cloud, execution)
    cloud.run(until=cloud.clock.now + 10)
    cloud.stop(execution.name)
    assert {**described(cloud, execution), "ResponseMetadata": ""} == {**before, "ResponseMetadata": ""}
    assert before["status"] == "SUCCEEDED"
    unknown = cloud.executions[execution.name].arn + "0"
    assert refused(cloud.client("stepfunctions").stop_execution, executionArn=unknown) == "ExecutionDoesNotExist"


def test_an_execution_that_is_about_to_try_again_is_stopped_at_once(cloud: Cloud) -> None:
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 500, "MaxAttempts": 3}]
    execution = start(
        cloud,
        {
            "Only": task(cloud, Retry=retry, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "No"}]),
            "No": {"Type": "Fail"},
        },
    )
    assert len(execution.retries) == 1
    cloud.stop(execution.name)
    end = cloud.clock.now
    cloud.run()
    assert cloud.clock.now == end
    assert execution.status == "ABORTED"
    assert execution.states == ["Only"]
    assert kinds(cloud, execution)[-2:] == ["TaskFailed", "ExecutionAborted"]


def test_the_others_go_on(cloud: Cloud) -> None:
    stopped, other = start(cloud, WAITING), start(cloud, WAITING)
    cloud.stop(stopped.name)
    end = cloud.clock.now + 1000
    cloud.run()
    assert (stopped.status, other.status) == ("ABORTED", "SUCCEEDED")
    assert cloud.clock.now == end


def test_a_function_finishes_when_its_execution_is_stopped_but_nothing_comes_of_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke, invoked = cloud.functions.invoke, []

    def stopping(name: str, payload: bytes | str) -> tuple[bool, bytes]:
        cloud.stop(max(cloud.executions, key=lambda each: int(each.removeprefix("run-"))))
        answer = invoke(name, payload)
        invoked.append(answer)
        return answer

    monkeypatch.setattr(cloud.functions, "invoke", stopping)
    caught = task(cloud, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Second"}])
    execution = start(cloud, {"First": caught, "Second": {"Type": "Pass", "End": True}})
    cloud.run()
    assert len(invoked) == 1
    assert execution.states == ["First"]
    assert kinds(cloud, execution)[-2:] == ["TaskStarted", "ExecutionAborted"]
    assert described(cloud, execution)["status"] == "ABORTED"


@pytest.mark.parametrize("state", ["First", "Second"])
def test_an_execution_can_be_stopped_when_it_enters_a_state(cloud: Cloud, state: str) -> None:
    cloud.stop_at = {(f"run-{len(cloud.executions) + 1}", state)}
    execution = start(cloud, WAITING)
    cloud.run()
    assert execution.status == "ABORTED"
    assert execution.state == state
    assert kinds(cloud, execution)[-2].endswith("StateEntered")
    assert not cloud.stop_at


def test_the_time_of_a_whole_state_machine_is_virtual(cloud: Cloud) -> None:
    end = cloud.clock.now + 600
    execution = start(cloud, WAITING, TimeoutSeconds=600)
    cloud.run()
    assert execution.status == "TIMED_OUT"
    assert cloud.clock.now == end
    assert described(cloud, execution)["stopDate"] == BEGINNING + timedelta(seconds=end)
    in_time = start(cloud, WAITING, TimeoutSeconds=2000)
    cloud.run()
    assert in_time.status == "SUCCEEDED"
    assert cloud.clock.now == end + 1000
