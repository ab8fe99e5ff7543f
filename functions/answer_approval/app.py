"""Takes the answers to questions for approval from the queue `Answers`, and wakes the executions that wait.

Who has answered is AWS's word: the `SenderId` of the message, which a sender cannot choose ("ReceiveMessage", Amazon
SQS API reference). It is the principal id that CloudTrail has as `userIdentity.principalId`.

With the parameter `SecondPerson`, whoever has started the execution cannot approve it. CloudTrail says who that was,
some minutes later. As long as it does not, the function fails, and SQS brings the message again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TypedDict

from aurora_kerberos import names, questions, trail
from aurora_kerberos.aws import ERRORS, client
from aurora_kerberos.environment import environment
from aurora_kerberos.errors import KerberosError
from aurora_kerberos.questions import Question
from aurora_kerberos.step import logger

ANSWER = re.compile(r"\s*(approve|refuse)\s+([A-Za-z][A-Za-z0-9-]{0,62})\s+([0-9a-f]{16})\b\s*(.*)", re.DOTALL)
LONGEST_REASON = 200


class Message(TypedDict):
    """A message of the queue, as Lambda hands it over ("Using Lambda with Amazon SQS")."""

    body: str
    attributes: Mapping[str, str]
    eventSourceARN: str


class Event(TypedDict):
    """What Lambda hands over: one message, as the template has it."""

    Records: list[Message]


def handler(event: Event, context: object) -> None:  # noqa: ARG001  Lambda passes it
    """Take each answer. What cannot be taken is said in a notification, once.

    Raises:
        AwsUnavailable: CloudTrail does not know yet who has started the execution; SQS brings the message again.
    """
    for message in event["Records"]:
        sender = message["attributes"]["SenderId"]
        try:
            for problem in problems(message, sender):
                logger.warning(problem, sender=sender)
                tell(problem, sender)
        except (KerberosError, *ERRORS) as error:
            logger.warning(str(error), sender=sender, error=type(error).__name__)
            raise


def problems(message: Message, sender: str) -> Iterator[str]:
    """Take one answer; why it cannot be taken, if it cannot."""
    said = ANSWER.fullmatch(message["body"])
    if not said:
        yield "The message is no answer. Send the text that the notification with the question has."
        return
    word, cluster, id_, why = said.groups()
    question = questions.find(names.cluster_arn(cluster.lower(), message["eventSourceARN"]))
    if not question or question.id != id_:
        yield f"There is no question {id_} about {cluster} any more. The newest notification has the newest question."
        return
    if word == "approve" and not question.answer and is_starter(sender, question):
        yield (
            f"Whoever has started {question.execution} cannot approve it, and {sender} has. Somebody else may, for the "
            "stack's parameter SecondPerson is true. The question stays open."
        )
        return
    yield from settled(question, word, sender, sent_at(message), why)


def is_starter(sender: str, question: Question) -> bool:
    """Whether the sender has started the execution, where that matters."""
    return environment.second_person == "true" and sender in trail.starters(question.execution, question.cluster)


def settled(question: Question, word: str, sender: str, at: str, why: str) -> Iterator[str]:
    """Write the answer and wake the execution; why not, if another was first."""
    answer = questions.APPROVED if word == "approve" else questions.REFUSED
    reason = names.plain(why)[:LONGEST_REASON] if answer == questions.REFUSED else ""
    stands = questions.settle(question, answer, sender, at, reason)
    if not stands or (stands.answer, stands.by) != (answer, sender):
        yield f"The question {question.id} has been answered before, or is superseded."
        return
    questions.wake(stands)
    logger.info("Answered", execution=question.execution, answer=answer, by=sender)


def sent_at(message: Message) -> str:
    """When the message was sent, ISO 8601."""
    milliseconds = int(message["attributes"]["SentTimestamp"])
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def tell(problem: str, sender: str) -> None:
    """Send a notification about an answer that was not taken (`sns:Publish`)."""
    client("sns").publish(
        TopicArn=environment.notification_topic,
        Subject="Kerberos: an answer was not taken",
        Message=f"{problem}\n\nAWS names as the sender: {sender}",
    )
