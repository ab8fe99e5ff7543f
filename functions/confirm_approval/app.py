"""Confirms that the answer that woke the execution stands in the registry, with who gave it.

A task token alone approves nothing: whoever has it and `states:SendTaskSuccess` can wake the execution, but not write
an answer.
"""

from __future__ import annotations

from typing import TypedDict

from aurora_kerberos import names, questions
from aurora_kerberos.errors import ApprovalBypassed, ApprovalRefused, ApprovalSuperseded
from aurora_kerberos.plan import Cluster
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """The `cluster` of the plan; `execution`: the ARN of the execution that has asked."""

    execution: str
    cluster: Cluster


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when the registry says who has approved what this execution has asked."""
    execution = arguments["execution"]
    question = questions.find(names.cluster_arn(arguments["cluster"]["id"], execution))
    if not question or question.execution != execution or not question.answer:
        raise ApprovalBypassed(
            "The execution was woken by its task token, and nobody's answer is written.",
            "Find out in CloudTrail who has called SendTaskSuccess. Start the execution again: it asks again.",
        )
    if question.answer == questions.REFUSED:
        raise ApprovalRefused(f"{question.by} has refused it: {question.why}")
    if question.answer == questions.SUPERSEDED:
        raise ApprovalSuperseded(f"{question.by} has a newer request.")
    return Ready({"by": question.by, "at": question.at})
