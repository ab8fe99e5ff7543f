"""Asks for approval by notification. The state machine waits until somebody approves or refuses.

The notification has both commands, with the task token of this question. Everybody who may call SendTaskSuccess and
SendTaskFailure on the state machine can answer.
"""

from __future__ import annotations

import shlex
from typing import TypedDict

from aurora_kerberos import names
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client
from aurora_kerberos.environment import environment
from aurora_kerberos.plan import Cluster
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """`what` is going to be done to the `cluster` of the plan; `token` of the waiting task; `days` it waits."""

    execution: str
    cluster: Cluster
    what: str
    token: str
    days: int


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when the question has been sent (`sns:Publish`)."""
    region = Arn.parse(arguments["execution"]).region
    name, token = arguments["cluster"]["id"], shlex.quote(arguments["token"])
    answer = f"aws stepfunctions {{}} --region {region} --task-token {token}"
    lines = [
        arguments["what"],
        f"Within {arguments['days']} days, approve it:",
        answer.format("send-task-success") + " --task-output '{}'",
        "or refuse it, saying why:",
        answer.format("send-task-failure") + " --error ApprovalRefused --cause 'not now'",
        f"Execution: {names.execution_link(arguments['execution'])}",
    ]
    client("sns").publish(
        TopicArn=environment.notification_topic,
        Subject=f"Kerberos needs your approval: {name}"[:100],
        Message="\n\n".join(lines),
    )
    return Ready()
