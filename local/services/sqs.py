"""Amazon SQS: a message goes to the function that reads the queue, and comes back when the function fails.

moto would hand it to the function at once and once. Who has sent it is in its `SenderId` ("ReceiveMessage").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from moto.sqs.models import Queue, sqs_backends

from local.core.calls import Parameters, aftermath
from local.core.cloud import Cloud
from local.services.lambda_functions import Functions


class Readers:
    """The functions that read queues: the queue's ARN → the function's logical id."""

    def __init__(self, cloud: Cloud) -> None:  # noqa: ARG002  as all parts
        self.by_queue: dict[str, str] = {}


@aftermath("sqs", "SendMessage")
def deliver(cloud: Cloud, parameters: Parameters, answer: Mapping[str, Any]) -> None:
    """Hand the message to the function that reads the queue, if there is one."""
    queue = sqs_backends[cloud.account][cloud.region].get_queue(parameters["QueueUrl"].rpartition("/")[2])
    if queue.queue_arn not in cloud.part(Readers).by_queue:
        return
    record = {
        "messageId": answer["MessageId"],
        "receiptHandle": "AQEB",
        "body": parameters["MessageBody"],
        "attributes": {
            "SenderId": cloud.person,
            "SentTimestamp": str(int(cloud.clock.time().timestamp() * 1000)),
        },
        "messageAttributes": {},
        "md5OfBody": answer["MD5OfMessageBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.queue_arn,
        "awsRegion": cloud.region,
    }
    cloud.clock.call_later(0, partial(receive, cloud, queue, record, 1))


def receive(cloud: Cloud, queue: Queue, record: Mapping[str, Any], count: int) -> None:
    """Invoke the function; when it fails the message shows again after its time-out, then is a dead letter."""
    attributes = {**record["attributes"], "ApproximateReceiveCount": str(count)}
    function = cloud.part(Functions).name(cloud.part(Readers).by_queue[queue.queue_arn])
    event = json.dumps({"Records": [{**record, "attributes": attributes}]})
    failed = "FunctionError" in cloud.client("lambda").invoke(FunctionName=function, Payload=event)
    if not failed:
        queue._messages = [each for each in queue._messages if each.id != record["messageId"]]
    elif count < (queue.redrive_policy or {}).get("maxReceiveCount", 1000):
        cloud.clock.call_later(int(queue.visibility_timeout), partial(receive, cloud, queue, record, count + 1))
    elif queue.dead_letter_queue:
        gone = [each for each in queue._messages if each.id == record["messageId"]]
        queue._messages = [each for each in queue._messages if each not in gone]
        queue.dead_letter_queue._messages.extend(gone)
