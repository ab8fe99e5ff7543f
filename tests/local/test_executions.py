"""Executions of the local cloud end, go on and wait for answers as those of AWS do, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.core.clock import BEGINNING
from local.core.executions import Execution
from local.scenario.format import Scenario
from local.scenario.run import rehearse

SCENARIOS = Path(__file__).parents[2] / "scenarios"

States = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        yield running


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


COUNTING: States = {
    "First": {"Type": "Pass", "Assign": {"count": 1}, "Output": {"from": "First"}, "Next": "Task"},
    "Task": {"Type": "Pass", "Next": "Last"},  # in its place: what a test needs
    "Last": {"Type": "Pass", "Output": "{% [$count, $states.input] %}", "End": True},
}
RETRY = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 100, "MaxAttempts": 1}]


def answers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, *errors: str) -> list[Any]:
    """Functions answer with these errors, one by one, and then well; the inputs that they get."""
    left, inputs = list(errors), []

    def invoke(_: str, payload: bytes | str) -> tuple[bool, bytes]:
        inputs.append(json.loads(payload))
        if left:
            return True, json.dumps({"errorType": left.pop(0), "errorMessage": "no"}).encode()
        return False, b"{}"

    monkeypatch.setattr(cloud.functions, "invoke", invoke)
    return inputs


def test_a_failed_execution_goes_on_with_the_task_that_failed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = answers(cloud, monkeypatch, "Bad", "Bad", "Bad")
    payload = {"count": "{% $count %}", "input": "{% $states.input %}"}
    function = task(cloud, Retry=RETRY, Assign={"count": 7}, Output="{% $states.input %}", Next="Last")
    function["Arguments"]["Payload"] = payload
    del function["End"]
    execution = start(cloud, {**COUNTING, "Task": function})
    cloud.run()
    assert (execution.status, len(inputs)) == ("FAILED", 2)
    failed = described(cloud, execution)
    assert (failed["redriveStatus"], failed["redriveCount"]) == ("REDRIVABLE", 0)
    before = history(cloud, execution)

    cloud.run(until=cloud.clock.now + 3600)
    redriven = cloud.client("stepfunctions").redrive_execution(executionArn=execution.arn)
    assert redriven["redriveDate"] == cloud.clock.time()
    assert described(cloud, execution)["status"] == "RUNNING"
    cloud.run()
    assert (execution.status, execution.cause, execution.redrives) == ("SUCCEEDED", "", 1)
    assert len(inputs) == 4  # its attempts are counted anew: the third failed as well
    assert all(each == {"count": 1, "input": {"from": "First"}} for each in inputs)
    assert execution.output == [7, {"from": "First"}]
    assert execution.states == ["First", "Task", "Last"]

    after = history(cloud, execution)
    assert after[: len(before)] == before
    assert [event["id"] for event in after] == list(range(1, len(after) + 1))
    appended = [event["type"] for event in after[len(before) :]]
    assert appended[:4] == ["ExecutionRedriven", "TaskScheduled", "TaskStarted", "TaskFailed"]
    assert after[len(before)]["executionRedrivenEventDetails"] == {"redriveCount": 1}
    answer = described(cloud, execution)
    assert (answer["redriveCount"], answer["redriveDate"]) == (1, redriven["redriveDate"])
    assert answer["redriveStatusReason"] == "Execution is SUCCEEDED and cannot be redriven"
    assert "error" not in answer


def test_an_aborted_wait_waits_anew(cloud: Cloud) -> None:
    wait = {"Type": "Wait", "Seconds": "{% $count * 1000 %}", "Next": "Last"}
    execution = start(cloud, {**COUNTING, "Task": wait})
    cloud.run(until=cloud.clock.now + 900)
    cloud.stop(execution.name)
    cloud.redrive(execution.name)
    end = cloud.clock.now + 1000
    cloud.run()
    assert (execution.status, cloud.clock.now) == ("SUCCEEDED", end)
    assert execution.output == [1, {"from": "First"}]
    assert kinds(cloud, execution)[-6:-3] == ["ExecutionAborted", "ExecutionRedriven", "WaitStateExited"]


def test_what_timed_out_has_its_whole_time_again(cloud: Cloud) -> None:
    states = {"First": {"Type": "Wait", "Seconds": 1000, "End": True}}
    execution = start(cloud, states, TimeoutSeconds=600)
    for count in (1, 2):
        cloud.run()
        assert execution.status == "TIMED_OUT"
        end = cloud.clock.now + 600
        cloud.redrive(execution.name)
        cloud.run()
        assert (execution.redrives, cloud.clock.now) == (count, end)


def test_a_fail_state_fails_again(cloud: Cloud) -> None:
    execution = start(cloud, {"Only": {"Type": "Fail", "Error": "Bad"}})
    cloud.redrive(execution.name)
    cloud.run()
    assert (execution.status, execution.error) == ("FAILED", "Bad")
    assert kinds(cloud, execution)[-3:] == ["ExecutionRedriven", "FailStateEntered", "ExecutionFailed"]


@pytest.mark.parametrize("state", ["First", "Task", "Last"])
def test_an_execution_stopped_in_any_state_comes_to_the_same_end(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    answers(cloud, monkeypatch)
    cloud.stop_at = {(f"run-{len(cloud.executions) + 1}", state)}
    execution = start(cloud, COUNTING)
    assert execution.status == "ABORTED"
    cloud.redrive(execution.name)
    cloud.run()
    assert execution.output == [1, {"from": "First"}]
    assert execution.states == ["First", "Task", "Last"]


def test_other_executions_of_a_redriven_one_s_definition_begin_at_its_beginning(cloud: Cloud) -> None:
    cloud.stop_at = {("run-1", "Last")}
    redriven = start(cloud, COUNTING)
    cloud.redrive(redriven.name)
    assert start(cloud, COUNTING).states == ["First", "Task", "Last"]


def test_a_redrive_is_refused_as_aws_refuses_it(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    redrive = cloud.client("stepfunctions").redrive_execution
    waiting = start(cloud, WAITING)
    assert refused(redrive, executionArn=waiting.arn) == "ExecutionNotRedrivable"
    assert refused(redrive, executionArn=waiting.arn + "0") == "ExecutionDoesNotExist"
    cloud.run()
    assert refused(redrive, executionArn=waiting.arn) == "ExecutionNotRedrivable"
    failed = start(cloud, {"Only": {"Type": "Fail"}})
    with monkeypatch.context() as patched:
        patched.setattr(failed, "history", [{}] * 24_999)
        assert refused(redrive, executionArn=failed.arn) == "ExecutionNotRedrivable"
    cloud.run(until=cloud.clock.now + 14 * 86_400)
    assert described(cloud, failed)["redriveStatus"] == "REDRIVABLE"
    cloud.run(until=cloud.clock.now + 1)
    assert described(cloud, failed)["redriveStatusReason"] == "Execution redrivable period exceeded"
    assert refused(redrive, executionArn=failed.arn) == "ExecutionNotRedrivable"


def asking(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> tuple[Execution, str]:
    """An execution that waits for the answer to a token, and the token."""
    inputs = answers(cloud, monkeypatch)
    ask = task(cloud, Resource="arn:aws:states:::lambda:invoke.waitForTaskToken", **fields)
    ask["Arguments"]["Payload"] = {"token": "{% $states.context.Task.Token %}"}
    execution = start(cloud, {"Ask": ask, "Late": {"Type": "Pass", "Output": "late", "End": True}})
    assert execution.status == "RUNNING"
    assert kinds(cloud, execution)[-1] == "TaskSubmitted"
    return execution, inputs[-1]["token"]


LATE = [{"ErrorEquals": ["States.Timeout"], "Next": "Late"}]


def test_the_answer_to_a_token_ends_the_wait_at_its_moment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    execution, token = asking(cloud, monkeypatch, TimeoutSeconds=3600)
    send = cloud.client("stepfunctions").send_task_success
    cloud.run(until=1800)
    assert execution.status == "RUNNING"
    assert refused(send, taskToken=token, output="{") == "InvalidOutput"
    send(taskToken=token, output=json.dumps({"yes": True}))
    cloud.run()
    assert (execution.status, execution.output) == ("SUCCEEDED", {"yes": True})
    assert cloud.clock.now == 1800
    assert kinds(cloud, execution)[-4:-1] == ["TaskSubmitted", "TaskSucceeded", "TaskStateExited"]
    assert refused(send, taskToken=token, output="{}") == "TaskTimedOut"


def test_the_answer_to_a_token_may_be_a_failure(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    execution, token = asking(cloud, monkeypatch)
    cloud.run()
    assert (execution.status, cloud.clock.now) == ("RUNNING", 0)  # without a time-out nothing is due
    cloud.client("stepfunctions").send_task_failure(taskToken=token, error="No", cause="why")
    cloud.run()
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "No", "why")
    assert kinds(cloud, execution)[-2:] == ["TaskFailed", "ExecutionFailed"]


def test_a_token_times_out_in_virtual_time(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    execution, token = asking(cloud, monkeypatch, TimeoutSeconds=3600, Catch=LATE)
    cloud.run()
    assert (execution.output, cloud.clock.now) == ("late", 3600)
    assert "TaskTimedOut" in kinds(cloud, execution)
    assert refused(cloud.client("stepfunctions").send_task_failure, taskToken=token) == "TaskTimedOut"


def test_a_stopped_execution_waits_for_no_answer(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    send = cloud.client("stepfunctions").send_task_success
    execution, token = asking(cloud, monkeypatch, TimeoutSeconds=3600)
    cloud.run(until=1800)
    cloud.stop(execution.name)
    assert refused(send, taskToken=token, output="{}") == "TaskTimedOut"
    cloud.redrive(execution.name)
    assert refused(send, taskToken=token, output="{}") == "TaskTimedOut"  # the task has a new one
    cloud.run()
    assert (execution.status, execution.error, cloud.clock.now) == ("FAILED", "States.Timeout", 1800 + 3600)


def test_an_answer_may_come_before_the_function_has_ended(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def invoke(_: str, payload: bytes | str) -> tuple[bool, bytes]:
        cloud.client("stepfunctions").send_task_success(taskToken=json.loads(payload), output="1")
        return False, b"{}"

    monkeypatch.setattr(cloud.functions, "invoke", invoke)
    ask = task(cloud, Resource="arn:aws:states:::lambda:invoke.waitForTaskToken", TimeoutSeconds=60)
    ask["Arguments"]["Payload"] = "{% $states.context.Task.Token %}"
    execution = start(cloud, {"Ask": ask})
    cloud.run()
    assert (execution.output, cloud.clock.now) == (1, 0)


def test_a_token_that_never_was_is_refused(cloud: Cloud) -> None:
    send = cloud.client("stepfunctions").send_task_success
    assert refused(send, taskToken="x", output="{}") == "InvalidToken"
    unknown = "00000000-0000-4000-8000-000000000000"
    assert refused(send, taskToken=unknown, output="{}") == "TaskDoesNotExist"


def test_a_scenario_can_stop_and_redrive() -> None:
    wanted = yaml.safe_load((SCENARIOS / "existing-directory.yaml").read_text())
    wanted["happens"] += [{"wait": 200}, {"stop": 1}, {"wait": "quiet"}, {"redrive": 1}]
    result = rehearse(Scenario.model_validate(wanted))
    assert not [check for check in result.checks if not check.passed]
    met = [event["type"].value for event in result.executions[0].history]
    assert met.index("ExecutionAborted") + 1 == met.index("ExecutionRedriven")
