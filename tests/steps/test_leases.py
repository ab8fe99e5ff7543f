"""Leases: who has one, who is refused, who may take it over, and who gives it back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.cloud import Cloud
from local.core.faults import Fault, Faults
from tests.steps.conftest import Step, StepFailed

SHORT = {
    "StartAt": "Which",
    "TimeoutSeconds": 3600,
    "States": {
        "Which": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.ends", "StringEquals": "SUCCEEDED", "Next": "Succeed"},
                {"Variable": "$.ends", "StringEquals": "FAILED", "Next": "Fail"},
            ],
            "Default": "Wait",
        },
        "Succeed": {"Type": "Succeed"},
        "Fail": {"Type": "Fail", "Error": "Broken"},
        "Wait": {"Type": "Wait", "Seconds": 7200, "End": True},
    },
}
ENDS = ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"]
ME = "arn:aws:states:eu-central-1:123456789012:execution:aurora-kerberos-cluster:me"
CONDITION_FAILED = "ConditionalCheckFailedException"


@pytest.fixture
def machine(cloud: Cloud) -> str:
    """The cluster's state machine, so shortened that its executions end as they are told to, or wait for an hour."""
    cloud.client("stepfunctions").update_state_machine(
        stateMachineArn=cloud.state_machine, definition=json.dumps(SHORT)
    )
    return cloud.state_machine


def execution(cloud: Cloud, ends: str = "never") -> str:
    """The ARN of an execution that has ended so, or runs."""
    arn = cloud.executions[cloud.start({"ends": ends})].arn
    cloud.run(until=cloud.clock.now + (4000 if ends == "TIMED_OUT" else 1))
    if ends == "ABORTED":
        cloud.stop(arn.rpartition(":")[2])
        cloud.run(until=cloud.clock.now + 1)
    status = cloud.client("stepfunctions").describe_execution(executionArn=arn)["status"]
    assert status == (ends if ends in ENDS else "RUNNING")
    return arn


def acquire(step: Step, who: str = ME, **request: Any) -> dict[str, Any]:
    """The `end` that AcquireLease answers with: {} when the lease is taken."""
    answer = step("AcquireLease", request=request or {"cluster": "orders"}, execution=who)
    assert answer["ready"]
    end: dict[str, Any] = answer["outputs"]["end"]
    return end


def holder(cloud: Cloud, subject: str = "") -> str:
    """Who has the lease of the cluster, or of another subject."""
    key = {"arn": {"S": f"lease:{subject or cloud.cluster_arn('orders')}"}}
    found = cloud.client("dynamodb").get_item(TableName=cloud.outputs["Registry"], Key=key)
    return str(found.get("Item", {}).get("holder", {}).get("S", ""))


def called(cloud: Cloud, name: str) -> list[str]:
    """The errors (empty: none) that the functions' calls of this name were answered with."""
    return [call.error for call in cloud.calls if call.name == name and call.function]


def test_a_free_lease_is_taken_and_kept_by_the_same_execution(cloud: Cloud, step: Step) -> None:
    assert acquire(step) == {}
    assert holder(cloud) == ME
    assert acquire(step) == {}  # a retry, or a redrive from the start
    assert holder(cloud) == ME
    assert called(cloud, "stepfunctions:DescribeExecution") == []


@pytest.mark.usefixtures("machine")
def test_while_the_holder_runs_another_is_told_who_it_is(cloud: Cloud, step: Step) -> None:
    first, second = execution(cloud), execution(cloud)
    assert acquire(step, first) == {}
    end = acquire(step, second)
    assert end["outcome"] == "superseded"
    assert end["message"].startswith(f"Nothing to do: {first} is at work on orders.")
    assert holder(cloud) == first


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("ends", ENDS)
def test_of_an_execution_that_has_ended_it_is_taken_over(cloud: Cloud, step: Step, ends: str) -> None:
    gone = execution(cloud, ends)
    acquire(step, gone)
    assert acquire(step) == {}
    assert holder(cloud) == ME


def test_of_an_execution_that_aws_has_forgotten_it_is_taken_over(cloud: Cloud, step: Step) -> None:
    """Step Functions keeps executions for 90 days."""
    acquire(step, f"{ME}-long-ago")
    cloud.run(until=cloud.clock.now + 600)
    assert acquire(step) == {}
    assert holder(cloud) == ME


def test_an_execution_that_aws_does_not_know_yet_keeps_a_young_lease(cloud: Cloud, step: Step) -> None:
    """DescribeExecution is eventually consistent: of two that begin at the same moment, one may not see the other."""
    acquire(step, f"{ME}-a-moment-ago")
    cloud.run(until=cloud.clock.now + 599)
    assert acquire(step)["outcome"] == "superseded"
    assert holder(cloud) == f"{ME}-a-moment-ago"


@pytest.mark.usefixtures("machine")
def test_an_execution_that_was_redriven_has_lost_it_to_the_one_that_took_it_over(cloud: Cloud, step: Step) -> None:
    first, second = execution(cloud, "ABORTED"), execution(cloud)
    acquire(step, first)
    acquire(step, second)
    cloud.redrive(first.rpartition(":")[2])
    assert acquire(step, first)["outcome"] == "superseded"
    assert holder(cloud) == second


@pytest.mark.usefixtures("machine")
def test_leases_of_two_clusters_have_nothing_to_do_with_each_other(cloud: Cloud, step: Step) -> None:
    first, second = execution(cloud), execution(cloud)
    assert acquire(step, first) == {}
    assert acquire(step, second, cluster="sales") == {}


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    "request_",
    [
        {"cluster": "ORDERS"},
        {"cluster": "arn:aws:rds:eu-central-1:123456789012:cluster:orders"},
        {"resources": ["arn:aws:rds:eu-central-1:123456789012:cluster:orders"], "detail": {}},
    ],
)
def test_however_the_cluster_is_named_it_is_one_lease(cloud: Cloud, step: Step, request_: dict[str, Any]) -> None:
    acquire(step, execution(cloud))
    assert acquire(step, **request_)["outcome"] == "superseded"


@pytest.mark.parametrize(
    "request_",
    [
        {},
        [],
        "orders",
        None,
        {"cluster": 7},
        {"cluster": "not a name"},
        {"resources": []},
        {"resources": "orders"},
        {"cluster": "arn:aws:rds:eu-central-1:999999999999:cluster:orders"},
        {"cluster": "arn:aws:rds:eu-west-1:123456789012:cluster:orders"},
    ],
)
def test_an_input_that_names_no_cluster_of_here_takes_nothing(cloud: Cloud, step: Step, request_: Any) -> None:
    answer = step("AcquireLease", request=request_, execution=ME)
    assert (answer["ready"], answer["outputs"]) == (True, {"end": {}})
    assert called(cloud, "dynamodb:PutItem") == []


def test_who_loses_two_races_in_a_row_takes_it_at_the_third(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking at the holder and taking over from it, another that has ended as well has been faster."""
    acquire(step, f"{ME}-0")
    rivals = [f"{ME}-1", f"{ME}-2"]
    race(cloud, monkeypatch, rivals[:1])
    assert acquire(step) == {}
    assert holder(cloud) == ME
    refused = [error for error in called(cloud, "dynamodb:PutItem") if error]
    assert refused == [CONDITION_FAILED, CONDITION_FAILED]


def test_a_lease_that_changes_hands_again_and_again_is_left_to_a_retry(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire(step, f"{ME}-0")
    race(cloud, monkeypatch, [f"{ME}-1", f"{ME}-2", f"{ME}-3"])
    with pytest.raises(StepFailed, match=r"AwsUnavailable: The lease of arn:\S+:orders changes hands too quickly"):
        acquire(step)
    assert holder(cloud) == f"{ME}-3"


def race(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, rivals: list[str]) -> None:
    """Whenever somebody looks whether the holder runs, the next of the rivals takes the lease."""
    from aurora_kerberos import leases  # noqa: PLC0415  what is patched stands beside the patch

    look, left = leases.runs, list(rivals)

    def overtaken(found: str, _taken_at: str, now: str) -> bool:
        if left:
            item = {"arn": {"S": f"lease:{cloud.cluster_arn('orders')}"}, "holder": {"S": left.pop(0)}}
            cloud.client("dynamodb").put_item(TableName=cloud.outputs["Registry"], Item=item)
        return look(found, "", now)

    monkeypatch.setattr(leases, "runs", overtaken)


@pytest.mark.parametrize("call", ["dynamodb:PutItem", "stepfunctions:DescribeExecution"])
def test_when_aws_is_away_nobody_gets_it(cloud: Cloud, step: Step, call: str) -> None:
    acquire(step, f"{ME}-0")
    cloud.faults = Faults([Fault(call=call, error="ThrottlingException")])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        acquire(step)
    assert holder(cloud) == f"{ME}-0"


# --- given back, by record_outcome ------------------------------------------------------------------------------------


def give_back(step: Step, who: str) -> None:
    end = {"outcome": "superseded", "message": "Nothing to do."}
    request = {"cluster": "orders"}
    arguments = {"plan": {}, "steps": {}, "failure": {}, "now": "2026-01-05T09:00:00Z"}
    assert step("RecordOutcome", execution=who, request=request, end=end, **arguments)["ready"]


def test_only_its_holder_gives_it_back(cloud: Cloud, step: Step) -> None:
    acquire(step)
    give_back(step, f"{ME}-2")
    assert holder(cloud) == ME
    give_back(step, ME)
    assert holder(cloud) == ""
    give_back(step, ME)  # once more does no harm
    assert acquire(step, f"{ME}-2") == {}


# --- the lease of a directory that is to be created -------------------------------------------------------------------

DOMAIN = "new.example.com"


def ensure_directory(cloud: Cloud, step: Step, who: str = ME) -> str:
    """The reason that EnsureDirectory waits for."""
    directory = {
        "id": "",
        "dns_name": DOMAIN,
        "edition": "Standard",
        "vpc_id": cloud.vpc,
        "subnet_ids": cloud.subnets,
        "admin_secret": f"aurora-kerberos/{DOMAIN}/admin",
        "role": "",
    }
    return str(step("EnsureDirectory", directory=directory, execution=who)["reason"])


def directories(cloud: Cloud) -> list[str]:
    return [each.directory_id for each in cloud.directories.all() if each.name == DOMAIN]


def lease_directory(cloud: Cloud, who: str) -> None:
    item = {"arn": {"S": f"lease:directory:{DOMAIN}"}, "holder": {"S": who}}
    cloud.client("dynamodb").put_item(TableName=cloud.outputs["Registry"], Item=item)


@pytest.mark.usefixtures("machine")
def test_while_another_creates_the_directory_it_is_waited_for(cloud: Cloud, step: Step) -> None:
    other = execution(cloud)
    lease_directory(cloud, other)
    assert ensure_directory(cloud, step) == f"{other} is creating the directory {DOMAIN}"
    assert directories(cloud) == []
    assert ensure_directory(cloud, step, other).endswith("is being created")
    assert ensure_directory(cloud, step) == f"Directory {directories(cloud)[0]} is being created"
    assert len(directories(cloud)) == 1


@pytest.mark.usefixtures("machine")
def test_whose_creator_has_ended_another_creates_the_directory(cloud: Cloud, step: Step) -> None:
    lease_directory(cloud, execution(cloud, "FAILED"))
    assert ensure_directory(cloud, step) == f"Directory {directories(cloud)[0]} is being created"
    assert holder(cloud, f"directory:{DOMAIN}") == ME


@pytest.mark.usefixtures("machine")
def test_what_the_last_holder_has_created_is_not_created_again(cloud: Cloud, step: Step) -> None:
    """It was not there when this execution looked first; the lease was taken over after that."""
    first = execution(cloud, "SUCCEEDED")
    ensure_directory(cloud, step, first)
    cloud.faults = Faults([Fault(call="ds:DescribeDirectories", kind="forget", function="EnsureDirectory")])
    assert ensure_directory(cloud, step) == f"Directory {directories(cloud)[0]} is being created"
    assert len(directories(cloud)) == 1
