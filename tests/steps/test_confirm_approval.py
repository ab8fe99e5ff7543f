"""What is believed of an answer: what is written, and by whom; a task token that came back proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from local.cloud import Cloud
from tests.steps.conftest import Step, StepFailed

EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:aurora-kerberos-cluster:run"


def keep(cloud: Cloud, **fields: str) -> None:
    """Keep a question of the execution, with what a test says otherwise."""
    question = {
        "id": "0" * 16,
        "execution": EXECUTION,
        "action": "enable",
        "token": "token",
        "answer": "",
        "by": "",
        "at": "",
        "why": "",
        **fields,
    }
    item = {"arn": f"approval:{cloud.cluster_arn('orders')}", **question}
    cloud.client("dynamodb").put_item(
        TableName=cloud.outputs["Registry"], Item={name: {"S": value} for name, value in item.items()}
    )


def confirm(step: Step) -> dict[str, Any]:
    return step("ConfirmApproval", execution=EXECUTION, cluster={"id": "orders"})


def test_who_has_approved_is_named(cloud: Cloud, step: Step) -> None:
    keep(cloud, answer="approved", by="AIDABOB", at="2026-01-05T09:00:00+00:00")
    answer = confirm(step)
    assert (answer["ready"], answer["outputs"]) == (True, {"by": "AIDABOB", "at": "2026-01-05T09:00:00+00:00"})


@pytest.mark.parametrize("other", [{}, {"execution": f"{EXECUTION}-2", "answer": "approved", "by": "AIDABOB"}])
def test_a_token_alone_approves_nothing(cloud: Cloud, step: Step, other: dict[str, str]) -> None:
    """Neither without an answer, nor with that to another execution's question."""
    keep(cloud, **other)
    with pytest.raises(StepFailed, match="ApprovalBypassed: The execution was woken by its task token"):
        confirm(step)


def test_without_a_question_nothing_is_approved(step: Step) -> None:
    with pytest.raises(StepFailed, match="ApprovalBypassed"):
        confirm(step)


@pytest.mark.parametrize(
    ("answer", "error"),
    [("refused", "ApprovalRefused: AIDABOB has refused it: not now"), ("superseded", "ApprovalSuperseded: AIDABOB")],
)
def test_what_is_written_counts_and_not_what_was_sent_with_the_token(
    cloud: Cloud, step: Step, answer: str, error: str
) -> None:
    keep(cloud, answer=answer, by="AIDABOB", why="not now")
    with pytest.raises(StepFailed, match=error):
        confirm(step)
