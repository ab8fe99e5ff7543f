"""A Distributed Map of the local cloud: each item is an execution of its own, in virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.core.executions import Execution

Fields = Mapping[str, Any]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        yield running


def wave(*states: tuple[str, Fields], **fields: Any) -> dict[str, Any]:
    """A Distributed Map over the field `items` of the input, with these states for each item."""
    return {
        "Type": "Map",
        "Label": "Wave",
        "Items": "{% $states.input.items %}",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": states[0][0],
            "States": dict(states),
        },
        "End": True,
        **fields,
    }


def start(cloud: Cloud, request: Any, **states: Any) -> Execution:
    """An execution of a state machine with these states, the first being the first, to where it waits or ends."""
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
    created = cloud.client("stepfunctions").create_state_machine(
        name=f"machine-{len(cloud.executions)}",
        definition=json.dumps(definition),
        roleArn="arn:aws:iam::123456789012:role/machine",
    )
    execution = cloud.executions[cloud.start_execution(created["stateMachineArn"], request)]
    cloud.run(until=cloud.clock.now)
    return execution


def kinds(execution: Execution) -> list[str]:
    return [event["type"].value for event in execution.history]


def statuses(cloud: Cloud) -> list[str]:
    return [child.status for child in cloud.children.values()]


def numbers(count: int) -> dict[str, Any]:
    return {"items": list(range(count))}


WAIT = ("Wait", {"Type": "Wait", "Seconds": 100, "End": True})
# A child waits as many seconds as its number, and fails when it is odd.
ODD = (
    ("Wait", {"Type": "Wait", "Seconds": "{% $states.input %}", "Next": "Odd?"}),
    (
        "Odd?",
        {"Type": "Choice", "Choices": [{"Condition": "{% $states.input % 2 = 1 %}", "Next": "No"}], "Default": "Yes"},
    ),
    ("No", {"Type": "Fail", "Error": "Odd", "Cause": "odd"}),
    ("Yes", {"Type": "Pass", "Output": "even", "End": True}),
)


@pytest.mark.parametrize(("limit", "seconds"), [(5, 400), (0, 100), (20, 100), ("{% $states.input.at_once %}", 1000)])
def test_children_wait_in_virtual_time_so_many_at_once_as_may(cloud: Cloud, limit: Any, seconds: int) -> None:
    begun = cloud.clock.now
    execution = start(cloud, numbers(20) | {"at_once": 2}, Map=wave(WAIT, MaxConcurrency=limit))
    cloud.run()
    assert execution.status == "SUCCEEDED"
    assert cloud.clock.now == begun + seconds
    assert execution.output == list(range(20))
    assert kinds(execution) == [
        "ExecutionStarted",
        "MapStateEntered",
        "MapStateStarted",
        "MapRunStarted",
        "MapRunSucceeded",
        "MapStateSucceeded",
        "MapStateExited",
        "ExecutionSucceeded",
    ]


def test_another_execution_goes_on_meanwhile(cloud: Cloud) -> None:
    start(cloud, numbers(3), Map=wave(WAIT, MaxConcurrency=1))
    other = start(cloud, {}, Wait={"Type": "Wait", "Seconds": 150, "End": True})
    begun = cloud.clock.now
    cloud.run(until=begun + 150)
    assert (statuses(cloud), other.status) == (["SUCCEEDED", "RUNNING"], "SUCCEEDED")


def test_without_items_there_is_nothing_to_do(cloud: Cloud) -> None:
    assert start(cloud, numbers(0), Map=wave(WAIT)).output == []


def test_a_child_is_an_execution_of_its_own(cloud: Cloud) -> None:
    step = {"Type": "Pass", "Output": "{% $states.context %}", "Next": "Wait"}
    last = {**WAIT[1], "Output": "{% $states.input %}"}
    parent = start(cloud, numbers(2), Map=wave(("Step", step), ("Wait", last)))
    assert list(cloud.executions.values()) == [parent]
    child, other = cloud.children.values()
    machine = parent.arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
    assert child.arn == f"{parent.arn.rpartition(':')[0]}/Wave:{child.name}"
    assert child.arn != other.arn
    cloud.run()
    assert child.states == ["Step", "Wait"]
    assert child.waits == [("Wait", 100)]
    assert (kinds(child)[0], kinds(child)[-1]) == ("ExecutionStarted", "ExecutionSucceeded")
    context = parent.output[0]
    assert context == child.output
    assert context["Execution"]["Id"] == child.arn
    assert context["Execution"]["Name"] == child.name
    assert context["StateMachine"] == {"Id": f"{machine}/Wave", "Name": f"{machine.rpartition(':')[2]}/Wave"}
    assert "Map" not in context

    client = cloud.client("stepfunctions")
    described = client.describe_execution(executionArn=child.arn)
    assert (described["name"], described["status"], described["input"]) == (child.name, "SUCCEEDED", "0")
    (map_run,) = client.list_map_runs(executionArn=parent.arn)["mapRuns"]
    assert described["mapRunArn"] == map_run["mapRunArn"]
    assert len(client.get_execution_history(executionArn=child.arn)["events"]) == len(child.history)
    counts = client.describe_map_run(mapRunArn=map_run["mapRunArn"])["executionCounts"]
    assert (counts["total"], counts["succeeded"], counts["pending"]) == (2, 2, 0)


def test_variables_of_the_parent_are_seen_by_the_selector_but_not_by_the_child(cloud: Cloud) -> None:
    selector = {
        "number": "{% $states.context.Map.Item.Value %}",
        "index": "{% $states.context.Map.Item.Index %}",
        "given": "{% $secret & $states.input.more %}",
    }
    first = {"Type": "Pass", "Assign": {"secret": "s"}, "Next": "Map"}
    seen = ("Seen", {"Type": "Pass", "Output": "{% $states.input %}", "End": True})
    unseen = ("Unseen", {"Type": "Pass", "Output": "{% $secret %}", "End": True})
    request = {"items": [7], "more": "t"}
    good = start(cloud, request, First=first, Map=wave(seen, ItemSelector=selector))
    assert good.output == [{"number": 7, "index": 0, "given": "st"}]
    start(cloud, request, First=first, Map=wave(unseen))
    assert list(cloud.children.values())[-1].error == "States.QueryEvaluationError"


def test_what_a_child_assigns_is_its_own(cloud: Cloud) -> None:
    counting = (
        ("Count", {"Type": "Pass", "Assign": {"count": "{% $states.input %}"}, "Next": "Wait"}),
        ("Wait", {"Type": "Wait", "Seconds": 10, "Next": "Told"}),
        ("Told", {"Type": "Pass", "Output": "{% $count %}", "End": True}),
    )
    execution = start(cloud, numbers(3), Map=wave(*counting))
    cloud.run()
    assert execution.output == [0, 1, 2]


def test_one_failure_fails_the_map_and_aborts_the_other_children(cloud: Cloud) -> None:
    begun = cloud.clock.now
    execution = start(cloud, numbers(5), Map=wave(*ODD, MaxConcurrency=3))
    cloud.run()
    assert cloud.clock.now == begun + 1
    assert (execution.status, execution.error) == ("FAILED", "States.ExceedToleratedFailureThreshold")
    assert execution.cause == "The specified tolerated failure threshold was exceeded"
    assert kinds(execution)[-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]
    assert statuses(cloud) == ["SUCCEEDED", "FAILED", "ABORTED", "ABORTED"]


@pytest.mark.parametrize(
    ("tolerated", "status"),
    [
        ({"ToleratedFailureCount": 2}, "SUCCEEDED"),
        ({"ToleratedFailureCount": 1}, "FAILED"),
        ({"ToleratedFailureCount": "{% 2 %}"}, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 40}, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 39.9}, "FAILED"),
        ({"ToleratedFailurePercentage": 100}, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": "{% 30 + 9 %}"}, "FAILED"),
        ({"ToleratedFailureCount": 1, "ToleratedFailurePercentage": 100}, "FAILED"),
    ],
)
def test_failures_are_tolerated(cloud: Cloud, tolerated: Fields, status: str) -> None:
    execution = start(cloud, numbers(5), Map=wave(*ODD, **tolerated))
    cloud.run()
    assert execution.status == status


def test_the_result_tells_of_children_that_failed(cloud: Cloud) -> None:
    execution = start(cloud, numbers(3), Map=wave(*ODD, ToleratedFailurePercentage=100))
    cloud.run()
    first, failed, last = execution.output
    child = list(cloud.children.values())[1]
    assert (first, last) == ("even", "even")
    assert (failed["Status"], failed["Error"], failed["Cause"], failed["Input"]) == ("FAILED", "Odd", "odd", "1")
    assert failed["ExecutionArn"] == child.arn


def test_a_failed_map_can_be_caught(cloud: Cloud) -> None:
    catch = [
        {
            "ErrorEquals": ["States.ExceedToleratedFailureThreshold"],
            "Assign": {"failure": "{% $states.errorOutput %}"},
            "Next": "Caught",
        }
    ]
    caught = {"Type": "Pass", "Output": "{% $failure.Error %}", "End": True}
    execution = start(cloud, numbers(2), Map=wave(*ODD, Catch=catch), Caught=caught)
    cloud.run()
    assert execution.output == "States.ExceedToleratedFailureThreshold"


@pytest.fixture
def bucket(cloud: Cloud) -> str:
    cloud.client("s3").create_bucket(Bucket="rollouts", CreateBucketConfiguration={"LocationConstraint": cloud.region})
    return "rollouts"


def reader(**config: Any) -> dict[str, Any]:
    return {
        "Items": None,
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": config,
            "Arguments": {"Bucket": "{% $states.input.bucket %}", "Key": "{% 'wave-' & $states.input.wave %}"},
        },
    }


def reading(*states: tuple[str, Fields], config: Fields, **fields: Any) -> dict[str, Any]:
    state = wave(*states, **reader(**config), **fields)
    del state["Items"]
    return state


@pytest.mark.parametrize(
    ("config", "body"),
    [
        ({"InputType": "JSON"}, '[{"id": "a"}, {"id": "b"}, {"id": "c"}]'),
        ({"InputType": "JSONL"}, '{"id": "a"}\n{"id": "b"}\n{"id": "c"}\n'),
    ],
)
def test_items_are_read_from_s3(cloud: Cloud, bucket: str, config: Fields, body: str) -> None:
    cloud.client("s3").put_object(Bucket=bucket, Key="wave-1", Body=body.encode())
    step = ("Step", {"Type": "Pass", "Output": "{% $states.input.cluster.id %}", "End": True})
    selector = {"cluster": "{% $states.context.Map.Item.Value %}"}
    request = {"bucket": bucket, "wave": 1}
    execution = start(cloud, request, Map=reading(step, config=config, ItemSelector=selector))
    assert execution.output == ["a", "b", "c"]
    few = start(cloud, request, Map=reading(step, config={**config, "MaxItems": 2}, ItemSelector=selector))
    assert few.output == ["a", "b"]


@pytest.mark.parametrize("body", ["", '{"no": "array"}', "["])
def test_what_cannot_be_read_is_an_error_of_its_own(cloud: Cloud, bucket: str, body: str) -> None:
    if body:
        cloud.client("s3").put_object(Bucket=bucket, Key="wave-1", Body=body.encode())
    execution = start(cloud, {"bucket": bucket, "wave": 1}, Map=reading(WAIT, config={"InputType": "JSON"}))
    assert (execution.status, execution.error) == ("FAILED", "States.ItemReaderFailed")
    assert kinds(execution)[-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]


def test_a_stopped_parent_stops_its_children_at_once(cloud: Cloud) -> None:
    parent = start(cloud, numbers(3), Map=wave(WAIT, MaxConcurrency=2))
    begun = cloud.clock.now
    cloud.run(until=begun + 50)
    cloud.stop(parent.name)
    assert parent.status == "ABORTED"
    assert statuses(cloud) == ["ABORTED", "ABORTED"]
    cloud.run()
    assert cloud.clock.now == begun + 50
    assert len(cloud.children) == 2
    assert kinds(parent)[-1] == "ExecutionAborted"


def test_one_child_can_be_stopped(cloud: Cloud) -> None:
    parent = start(cloud, numbers(2), Map=wave(WAIT))
    cloud.stop(next(iter(cloud.children)))
    assert statuses(cloud) == ["ABORTED", "RUNNING"]
    cloud.run()
    assert parent.status == "SUCCEEDED"
    assert parent.output[0]["Status"] == "ABORTED"


def test_a_parent_that_times_out_stops_its_children(cloud: Cloud) -> None:
    definition = {"QueryLanguage": "JSONata", "StartAt": "Map", "TimeoutSeconds": 60, "States": {"Map": wave(WAIT)}}
    created = cloud.client("stepfunctions").create_state_machine(
        name="in-time", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/machine"
    )
    parent = cloud.executions[cloud.start_execution(created["stateMachineArn"], numbers(2))]
    cloud.run()
    assert (parent.status, statuses(cloud), cloud.clock.now) == ("TIMED_OUT", ["ABORTED", "ABORTED"], 60)


def test_a_redrive_repeats_what_did_not_succeed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {1, 3}

    def invoke(_: str, payload: bytes | str) -> tuple[bool, bytes]:
        number = json.loads(payload)
        if number in bad:
            return True, json.dumps({"errorType": "Bad", "errorMessage": "no"}).encode()
        return False, json.dumps(number * 10).encode()

    monkeypatch.setattr(cloud.functions, "invoke", invoke)
    arguments = {"FunctionName": cloud.functions.name("ValidateRequest"), "Payload": "{% $states.input %}"}
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": arguments,
        "Output": "{% $states.result.Payload %}",
        "End": True,
    }
    wait = {"Type": "Wait", "Seconds": 10, "Next": "Task"}
    states = wave(("Wait", wait), ("Task", task), MaxConcurrency=2, ToleratedFailureCount=1)
    parent = start(cloud, numbers(6), Map=states)
    cloud.run()
    assert parent.status == "FAILED"
    assert statuses(cloud) == ["SUCCEEDED", "FAILED", "SUCCEEDED", "FAILED"]
    failed = list(cloud.children.values())[1]
    client = cloud.client("stepfunctions")
    assert client.describe_execution(executionArn=failed.arn)["redriveStatus"] == "REDRIVABLE_BY_MAP_RUN"
    with pytest.raises(ClientError, match="ExecutionNotRedrivable"):
        cloud.client("stepfunctions").redrive_execution(executionArn=failed.arn)

    bad.clear()
    begun = cloud.clock.now
    cloud.redrive(parent.name)
    cloud.run()
    assert (parent.status, parent.output) == ("SUCCEEDED", [0, 10, 20, 30, 40, 50])
    assert cloud.clock.now == begun + 10  # the failed ones go on with the task, the others begin at the beginning
    children = list(cloud.children.values())
    assert [child.redrives for child in children] == [0, 1, 0, 1, 0, 0]
    assert failed.states == ["Wait", "Task"]
    assert "MapRunRedriven" in kinds(parent)
    assert kinds(parent).count("MapRunStarted") == 1
    assert len(client.list_map_runs(executionArn=parent.arn)["mapRuns"]) == 1


def test_a_redrive_after_a_stop_goes_on_with_the_children(cloud: Cloud) -> None:
    parent = start(cloud, numbers(3), Map=wave(WAIT, MaxConcurrency=1))
    cloud.run(until=cloud.clock.now + 150)
    cloud.stop(parent.name)
    cloud.redrive(parent.name)
    begun = cloud.clock.now
    cloud.run()
    assert (parent.status, parent.output) == ("SUCCEEDED", [0, 1, 2])
    assert cloud.clock.now == begun + 200
    assert [child.redrives for child in cloud.children.values()] == [0, 1, 0]


def test_a_map_that_is_tried_again_begins_anew(cloud: Cloud) -> None:
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 5, "MaxAttempts": 1}]
    parent = start(cloud, numbers(2), Map=wave(*ODD, Retry=retry))
    cloud.run()
    assert parent.error == "States.ExceedToleratedFailureThreshold"
    assert statuses(cloud) == ["SUCCEEDED", "FAILED"] * 2


def test_results_are_written_to_s3(cloud: Cloud, bucket: str) -> None:
    writer = {
        "Resource": "arn:aws:states:::s3:putObject",
        "Arguments": {"Bucket": "{% $states.input.bucket %}", "Prefix": "results"},
    }
    request = numbers(3) | {"bucket": bucket}
    execution = start(cloud, request, Map=wave(*ODD, ToleratedFailurePercentage=100, ResultWriter=writer))
    cloud.run()
    arn = execution.output["MapRunArn"]
    folder = f"results/{arn.rpartition(':')[2]}"
    assert ":mapRun:machine-0/Wave:" in arn
    assert execution.output["ResultWriterDetails"] == {"Bucket": bucket, "Key": f"{folder}/manifest.json"}

    def content(key: str) -> Any:
        return json.loads(cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())

    manifest = content(f"{folder}/manifest.json")
    files = manifest["ResultFiles"]
    assert (manifest["DestinationBucket"], manifest["MapRunArn"], files["PENDING"]) == (bucket, arn, [])
    succeeded, failed = content(files["SUCCEEDED"][0]["Key"]), content(files["FAILED"][0]["Key"])
    assert [each["Output"] for each in succeeded] == ['"even"', '"even"']
    assert [(each["Input"], each["Error"]) for each in failed] == [("1", "Odd")]


LARGE = "{% $pad('', 200000, 'x') %}"


@pytest.mark.parametrize(
    ("output", "selector"),
    [
        ("{% $pad('', 262144, 'x') %}", {}),  # of a child, which fails
        (LARGE, {}),  # of all children
        ("small", {"a": LARGE, "b": LARGE}),  # of an item
    ],
)
def test_what_is_too_large_is_refused(cloud: Cloud, output: str, selector: Fields) -> None:
    step = ("Step", {"Type": "Pass", "Output": output, "End": True})
    fields = {"ItemSelector": selector} if selector else {}
    execution = start(cloud, numbers(2), Map=wave(step, **fields))
    errors = {each.error for each in (execution, *cloud.children.values())}
    assert execution.status == "FAILED"
    assert "States.DataLimitExceeded" in errors


def test_a_state_machine_may_have_wave_after_wave(cloud: Cloud) -> None:
    first = {**wave(WAIT), "Output": {"items": [1]}, "Next": "Again"}
    del first["End"]
    execution = start(cloud, numbers(2), Map=first, Again=wave(WAIT))
    cloud.run()
    assert (execution.output, len(cloud.children)) == ([1], 3)


def test_an_expression_is_given_what_it_names(cloud: Cloud) -> None:
    """A division looks like a regular expression, and a path may lead into an array."""
    output = {
        "whole": "{% $states.input %}",
        "halved": "{% $states.input.a / $states.input.b / 2 %}",
        "ids": "{% $states.input.items.id %}",
        "found": "{% $lookup($states.input, 'b') %}",
        "renamed": "{% ($all := $states; $all.input.a) %}",
        "none": "{% $exists($states.input.nobody.there) %}",
    }
    request = {"a": 12, "b": 3, "items": [{"id": 1}, {"id": 2}]}
    execution = start(cloud, request, Step={"Type": "Pass", "Output": output, "End": True})
    assert execution.output == {
        "whole": request,
        "halved": 2,
        "ids": [1, 2],
        "found": 3,
        "renamed": 12,
        "none": False,
    }
