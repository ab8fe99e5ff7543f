"""Questions for approval: at most one for each cluster, kept in the registry's table until the next one.

A question is kept with the task token that wakes its execution, so that no notification has to hold it: whoever has a
token and `states:SendTaskSuccess`, which has no resource level, could answer in any name. The answer is written first,
once, by a conditional write; then the execution is woken, and believes only what is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple

from botocore.exceptions import ClientError

from aurora_kerberos import items, names
from aurora_kerberos.aws import client, code

PREFIX = "approval:"

Answer = Literal["approved", "refused", "superseded"]

APPROVED: Answer = "approved"
REFUSED: Answer = "refused"
SUPERSEDED: Answer = "superseded"

ERRORS: dict[str, str] = {REFUSED: "ApprovalRefused", SUPERSEDED: "ApprovalSuperseded"}

# Nobody waits any more: the time is up, the execution was stopped, or another has woken it.
GONE = {"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"}


class Question(NamedTuple):
    """A question, with its answer as far as there is one.

    Attributes:
        cluster: the cluster's ARN.
        id: what an answer names; it tells nothing of the token.
        execution: the ARN of the execution that waits.
        action: `enable` or `disable`; empty if the definition of the execution does not say it.
        token: of the waiting task.
        answer: empty while there is none.
        by: who has answered: the principal id that AWS gives, or the ARN of an execution with a newer request.
        at: when, ISO 8601.
        why: the reason of a refusal.
    """

    cluster: str
    id: str
    execution: str
    action: str
    token: str
    answer: str = ""
    by: str = ""
    at: str = ""
    why: str = ""


def ask(cluster: str, execution: str, action: str, token: str) -> Question:
    """Keep a question (`dynamodb:PutItem`). Doing it again with the same token changes nothing.

    Args:
        cluster: the cluster's ARN.
        execution: the ARN of the execution that waits.
        action: what is to become of the cluster.
        token: of the waiting task.
    """
    question = Question(cluster, names.digest(token), execution, action, token)
    put(question, "attribute_not_exists(id) OR id <> :id", {})
    return question


def find(cluster: str) -> Question | None:
    """The last question about a cluster (its ARN), be it answered or not (`dynamodb:GetItem`)."""
    item = items.read(f"{PREFIX}{cluster}")
    return Question(cluster, **{name: item[name] for name in Question._fields[1:]}) if item else None


def about_another(cluster: str, holder: str, action: str) -> Question | None:
    """The question that keeps the holder of the lease waiting, if it is about another `action` than the one wanted now.

    It is open, or superseded already. An `action` that is not known (empty) supersedes nothing.
    """
    question = find(cluster) if action else None
    if not question or question.execution != holder or question.answer not in ("", SUPERSEDED):
        return None
    return question if question.action != action else None


def settle(question: Question, answer: Answer, by: str, at: str, why: str = "") -> Question | None:
    """Write the answer, if there is none yet (`dynamodb:PutItem`); the question as it then stands.

    None when another question has taken its place. Of two answers at the same moment one is written.
    """
    settled = question._replace(answer=answer, by=by, at=at, why=why)
    if put(settled, "id = :id AND answer = :open", {":open": ""}):
        return settled
    now = find(question.cluster)
    return now if now and now.id == question.id else None


def wake(question: Question) -> None:
    """Let the execution go on with the answer (`states:SendTaskSuccess`, `states:SendTaskFailure`), if it still waits.

    What is sent is for executions of the definition before, which read nothing of what is written.
    """
    stepfunctions = client("stepfunctions")
    try:
        if question.answer == APPROVED:
            stepfunctions.send_task_success(taskToken=question.token, output=json.dumps({"by": question.by}))
        else:
            cause = f"{question.why or 'No reason was given.'} ({question.by}, {question.at})"
            stepfunctions.send_task_failure(taskToken=question.token, error=ERRORS[question.answer], cause=cause)
    except ClientError as error:
        if code(error) not in GONE:
            raise


def put(question: Question, condition: str, values: Mapping[str, str]) -> bool:
    """Write the question's item on a condition, which may name `:id`; whether it was written."""
    fields = {name: value for name, value in question._asdict().items() if name != "cluster"}
    return items.put(f"{PREFIX}{question.cluster}", fields, condition, {":id": question.id, **values})
