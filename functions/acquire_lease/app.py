"""Before anything else: makes sure that no other execution is at work on this cluster.

An execution that only waits for an answer is not at work. If it asks about something else than what is requested now,
its question is superseded: it ends, and has changed nothing.
"""

from __future__ import annotations

from typing import Any, TypedDict

from aurora_kerberos import leases, names, questions
from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`request`: the execution's input as it came; `execution`: its ARN; `now`: ISO 8601."""

    request: Any
    execution: str
    now: str


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when it is known who holds the lease of the cluster. If another execution holds it, `end` names it.

    An input that names no cluster is ready as well: `validate_request` refuses it.
    """
    execution = arguments["execution"]
    cluster = names.requested_cluster(arguments["request"], execution)
    arn = names.cluster_arn(cluster, execution)
    holder = leases.take(arn, execution, arguments["now"]) if cluster else execution
    if holder == execution:
        return Ready({"end": {}})
    if superseded(arn, holder, arguments):
        return Waiting(f"{holder} is giving up its question")
    message = (
        f"Nothing to do: {holder} is at work on {cluster}. What the tags ask for beyond it, the next sweep sees to; "
        "any other input has to be started again when it has ended."
    )
    return Ready({"end": {"outcome": "superseded", "message": message}})


def superseded(arn: str, holder: str, arguments: Arguments) -> bool:
    """Whether the holder's question is superseded by this request; then the holder is woken, and ends."""
    question = questions.about_another(arn, holder, names.requested_action(arguments["request"]))
    if question and not question.answer:
        why = f"A newer request does not ask to {question.action or 'go on'}, which makes the question idle."
        question = questions.settle(question, questions.SUPERSEDED, arguments["execution"], arguments["now"], why)
    if not question or question.answer != questions.SUPERSEDED:
        return False  # somebody has answered at the same moment
    questions.wake(question)
    return True
