"""What people are asked before a cluster is disturbed: the commands of the message are run by a shell as they stand."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from local.cloud import Cloud
from local.core.faults import Fault, Faults
from tests.steps.conftest import Step, StepFailed

TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAb2+x/9Yg=="
WHAT = "Cluster orders joins the domain of d-1234567890, then its instances restart: orders-2, orders-1."
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:aurora-kerberos-cluster:run"


def arguments(**changes: Any) -> dict[str, Any]:
    told = {"cluster": {"id": "orders"}, "what": WHAT, "token": TOKEN, "days": 7, "execution": EXECUTION}
    return {**told, **changes}


def sent(cloud: Cloud, step: Step, **changes: Any) -> Any:
    """The parameters of the one notification."""
    assert step("RequestApproval", **arguments(**changes))["ready"]
    (call,) = [call for call in cloud.calls if call.name == "sns:Publish"]
    return call.parameters


def as_run(message: str, operation: str) -> dict[str, str]:
    """The options that a shell hands to `aws stepfunctions <operation>`."""
    (command,) = [line for line in message.splitlines() if line.startswith(f"aws stepfunctions {operation} ")]
    script = f"aws() {{ printf '%s\\0' \"$@\"; }}\n{command}"
    run = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, check=True, text=True, timeout=60)
    words = run.stdout.split("\0")[2:-1]
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize("token", [TOKEN, 'it\'s $HOME; `id` & "more" #'])
def test_the_message_holds_the_commands_to_approve_and_to_refuse(cloud: Cloud, step: Step, token: str) -> None:
    message = sent(cloud, step, token=token)["Message"]
    named = {"--region": "eu-central-1", "--task-token": token}
    assert as_run(message, "send-task-success") == {**named, "--task-output": "{}"}
    assert as_run(message, "send-task-failure") == {**named, "--error": "ApprovalRefused", "--cause": "not now"}


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
