"""Approval in the whole workflow: who holds the token only, and who comes at the same moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aurora_kerberos import questions
from local.cloud import Cloud
from local.core.cloud import person
from local.core.executions import Execution
from local.scenario.expectations import registry_item
from local.scenario.format import AtStart, Cluster, Directory, Role
from local.scenario.happenings import run_command
from local.scenario.prepare import prepare

ROLE = "aurora-kerberos-directory-access"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud({"Apply": "approval"}) as running:
        directory = Directory(dns_name="corp.example.com")
        # Without a database of its own, which nothing here comes to.
        cluster = Cluster(id="orders", secondary=True, instances=["orders-1"])
        prepare(running, AtStart(clusters=[cluster], directories=[directory], roles={ROLE: Role()}))
        yield running


@pytest.fixture
def asking(cloud: Cloud) -> Execution:
    """An execution that waits for approval, since an hour ago."""
    execution = cloud.executions[cloud.start({"cluster": "orders"})]
    cloud.run(until=3600)
    assert execution.steps[-1] == "RequestApproval"
    return execution


def token(cloud: Cloud) -> str:
    """The task token, as whoever may read the registry has it."""
    return registry_item(cloud, "orders", questions.PREFIX)["token"]


def changed(cloud: Cloud) -> bool:
    return any(call.name == "rds:ModifyDBCluster" and call.function for call in cloud.calls)


def test_who_holds_the_token_alone_approves_nothing(cloud: Cloud, asking: Execution) -> None:
    cloud.client("stepfunctions").send_task_success(taskToken=token(cloud), output='{"by": "the boss"}')
    cloud.run(until=cloud.clock.now + 60)
    assert (asking.status, asking.error) == ("FAILED", "ApprovalBypassed")
    item = registry_item(cloud, "orders")
    assert (item["error"], item["answered_by"]) == ("ApprovalBypassed", "")
    assert not changed(cloud)


def test_who_refuses_with_the_token_alone_is_named_by_nobody(cloud: Cloud, asking: Execution) -> None:
    cloud.client("stepfunctions").send_task_failure(
        taskToken=token(cloud), error="ApprovalRefused", cause="no (AIDABOB, today)"
    )
    cloud.run(until=cloud.clock.now + 60)
    assert asking.error == "ApprovalRefused"
    assert registry_item(cloud, "orders")["answered_by"] == ""


@pytest.mark.parametrize("first", ["answer", "disable"])
def test_of_an_answer_and_a_newer_request_at_the_same_moment_one_counts(
    cloud: Cloud, asking: Execution, first: str
) -> None:
    def approve() -> None:
        with cloud.acting(person("bob")):
            run_command(cloud, "approve")

    def disable() -> None:
        cloud.start({"cluster": "orders", "action": "disable"})

    for act in [approve, disable] if first == "answer" else [disable, approve]:
        act()
    cloud.run(until=cloud.clock.now + 60)
    *_, newer = cloud.executions.values()
    assert newer.steps[0] == "AcquireLease"
    gave_way = asking.status == "SUCCEEDED" and asking.output["outcome"] == "superseded"
    assert gave_way == ("ValidateRequest" in newer.steps)
    assert changed(cloud) != gave_way
    for execution in cloud.executions.values():
        if execution.status == "RUNNING":
            cloud.stop(execution.name)
    cloud.run(until=cloud.clock.now + 1)


def test_two_newer_requests_wait_for_the_lease_alike(cloud: Cloud, asking: Execution) -> None:
    names = [cloud.start({"cluster": "orders", "action": "disable"}) for _ in range(2)]
    cloud.run(until=cloud.clock.now + 120)
    assert asking.output["outcome"] == "superseded"
    assert {cloud.executions[name].status for name in names} == {"SUCCEEDED"}
    assert registry_item(cloud, "orders")["outcome"] == "disabled"


def test_who_supersedes_and_dies_leaves_it_to_the_next(cloud: Cloud, asking: Execution) -> None:
    """The answer is written, and the execution that waits was not woken."""
    key = {"arn": {"S": f"approval:{cloud.cluster_arn('orders')}"}}
    cloud.client("dynamodb").update_item(
        TableName=cloud.outputs["Registry"],
        Key=key,
        UpdateExpression="SET answer = :answer",
        ExpressionAttributeValues={":answer": {"S": "superseded"}},
    )
    name = cloud.start({"cluster": "orders", "action": "disable"})
    cloud.run(until=cloud.clock.now + 120)
    assert asking.output["outcome"] == "superseded"
    assert "ValidateRequest" in cloud.executions[name].steps
