"""Asks for approval by notification. The state machine waits until somebody approves or refuses.

The notification has both commands. Each sends a message to the queue of answers, and AWS says who has sent it. The
question's id in it is no power: to answer takes `sqs:SendMessage` on the queue. The task token stays in the registry.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from aurora_kerberos import names, questions
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client
from aurora_kerberos.environment import environment
from aurora_kerberos.plan import Cluster
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """`what` is going to be done to the `cluster` of the plan; `token` of the waiting task; `days` it waits.

    `action`: `enable` or `disable`, which a newer request is compared with.
    """

    execution: str
    cluster: Cluster
    what: str
    action: NotRequired[str]  # unknown to executions that began with an earlier definition
    token: str
    days: int


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when the question is kept (`dynamodb:PutItem`) and has been sent (`sns:Publish`)."""
    execution, name = arguments["execution"], arguments["cluster"]["id"]
    cluster = names.cluster_arn(name, execution)
    question = questions.ask(cluster, execution, arguments.get("action", ""), arguments["token"])
    place = f"--region {Arn.parse(execution).region} --queue-url {environment.answers_queue}"
    answer = f"aws sqs send-message {place} --message-body '{{}} {name} {question.id}{{}}'"
    lines = [
        arguments["what"],
        f"Within {arguments['days']} days, approve it:",
        answer.format("approve", ""),
        "or refuse it, saying why:",
        answer.format("refuse", " not now"),
        "In the console of Amazon SQS, the text between the quotation marks is the body of a message to that queue.",
        f"Execution: {names.execution_link(execution)}",
    ]
    client("sns").publish(
        TopicArn=environment.notification_topic,
        Subject=f"Kerberos needs your approval: {name}"[:100],
        Message="\n\n".join(lines),
    )
    return Ready()
