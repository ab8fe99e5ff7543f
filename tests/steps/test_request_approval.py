"""What people are asked before a cluster is disturbed: the commands of the message are run by a shell as they stand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from aurora_kerberos import questions
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.expectations import registry_item
from tests.steps.conftest import Step, StepFailed

TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAb2+x/9Yg=="
WHAT = "Cluster orders joins the domain of d-1234567890, then its instances restart: orders-2, orders-1."
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:aurora-kerberos-cluster:run"


def arguments(**changes: Any) -> dict[str, Any]:
    told = {"cluster": {"id": "orders"}, "what": WHAT, "token": TOKEN, "days": 7, "execution": EXECUTION}
    return {**told, **changes}


def sent(cloud: Cloud, step: Step, **changes: Any) -> Any:
    """The parameters of the last notification."""
    assert step("RequestApproval", **arguments(**changes))["ready"]
    (*_, call) = [call for call in cloud.calls if call.name == "sns:Publish"]
    return call.parameters


def question(cloud: Cloud) -> Mapping[str, str]:
    """What is kept of the question."""
    return registry_item(cloud, "orders", questions.PREFIX)


def as_run(message: str, word: str) -> dict[str, str]:
    """The options that a shell hands to `aws sqs send-message`."""
    (command,) = [line for line in message.splitlines() if f" '{word} " in line]
    script = f"aws() {{ printf '%s\\0' \"$@\"; }}\n{command}"
    run = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, check=True, text=True, timeout=60)
    service, operation, *words = run.stdout.split("\0")[:-1]
    assert (service, operation) == ("sqs", "send-message")
    return dict(zip(words[::2], words[1::2], strict=True))


def test_the_message_holds_the_commands_to_approve_and_to_refuse(cloud: Cloud, step: Step) -> None:
    message = sent(cloud, step)["Message"]
    id_ = question(cloud)["id"]
    place = {"--region": "eu-central-1", "--queue-url": cloud.outputs["Answers"]}
    assert as_run(message, "approve") == {**place, "--message-body": f"approve orders {id_}"}
    assert as_run(message, "refuse") == {**place, "--message-body": f"refuse orders {id_} not now"}


def test_the_token_is_kept_and_sent_to_nobody(cloud: Cloud, step: Step) -> None:
    told = sent(cloud, step, action="enable")
    kept = question(cloud)
    assert (kept["token"], kept["execution"], kept["action"], kept["answer"]) == (TOKEN, EXECUTION, "enable", "")
    assert TOKEN not in json.dumps(dict(told))


def test_asked_again_with_the_same_token_it_is_the_same_question(cloud: Cloud, step: Step) -> None:
    """Lambda may run a function twice: the first notification must not lose its id, nor the question its answer."""
    first = sent(cloud, step)["Message"]
    key = {"arn": {"S": f"approval:{cloud.cluster_arn('orders')}"}}
    cloud.client("dynamodb").update_item(
        TableName=cloud.outputs["Registry"],
        Key=key,
        UpdateExpression="SET answer = :answer",
        ExpressionAttributeValues={":answer": {"S": "refused"}},
    )
    assert sent(cloud, step)["Message"] == first
    assert question(cloud)["answer"] == "refused"


def test_another_token_is_another_question(cloud: Cloud, step: Step) -> None:
    sent(cloud, step)
    first = question(cloud)["id"]
    sent(cloud, step, token="another")
    assert question(cloud)["id"] != first


def test_an_execution_of_the_definition_before_asks_as_well(cloud: Cloud, step: Step) -> None:
    """It does not say what it is about."""
    sent(cloud, step)
    assert question(cloud)["action"] == ""


def test_the_message_says_what_is_asked_for_until_when_and_by_which_execution(cloud: Cloud, step: Step) -> None:
    told = sent(cloud, step)
    assert told["Subject"] == "Kerberos needs your approval: orders"
    assert told["TopicArn"] == cloud.outputs["Notifications"]
    assert told["Message"].splitlines()[0] == WHAT
    assert "Within 7 days" in told["Message"]
    assert told["Message"].endswith(f"/details/{EXECUTION}")


def test_the_longest_name_of_a_cluster_fits_the_subject(cloud: Cloud, step: Step) -> None:
    assert "x" * 63 in sent(cloud, step, cluster={"id": "x" * 63})["Subject"]


def test_who_reads_the_log_cannot_answer(cloud: Cloud, step: Step) -> None:
    sent(cloud, step)
    assert "Ready" in cloud.functions.logs()
    assert TOKEN not in cloud.functions.logs()


def test_when_it_cannot_be_sent_the_error_holds_no_token_either(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call="sns:Publish", error="InternalFailure", status=500)])
    with pytest.raises(StepFailed, match="AwsUnavailable: Publish") as failed:
        step("RequestApproval", **arguments())
    assert TOKEN not in failed.value.text + cloud.functions.logs()
