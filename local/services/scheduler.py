"""EventBridge Scheduler: it invokes functions of the template at intervals of virtual time."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from deploy.templates import SCHEDULE
from local.core.cloud import Cloud
from local.services.lambda_functions import Functions

SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
AGAIN = (60, 120)  # seconds until Lambda tries a function again that has failed, when nobody waits for its answer


@dataclass(frozen=True)
class Schedule:
    """A function (its logical id) is invoked every `seconds`, with the JSON `event` or with AWS's own (empty)."""

    name: str
    function: str
    seconds: int
    event: str = ""


def schedules(template: Mapping[str, Any], parameters: Mapping[str, str]) -> Iterator[Schedule]:
    """The enabled schedules of a template in plain CloudFormation; `parameters` are those that do not have the default.

    Raises:
        ValueError: one is no rate.
    """
    values = {name: each.get("Default") for name, each in template.get("Parameters", {}).items()} | dict(parameters)
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == SCHEDULE and properties.get("State", "ENABLED") == "ENABLED":
            target = properties["Target"]
            expression = properties["ScheduleExpression"]
            seconds = rate(values[expression["Ref"]] if isinstance(expression, dict) else expression)
            yield Schedule(name, target["Arn"]["Fn::GetAtt"][0], seconds, target.get("Input", ""))


def rate(expression: str) -> int:
    """The seconds of `rate(1 hour)`.

    Raises:
        ValueError: it is no rate.
    """
    found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if not found:
        raise ValueError(f"The local cloud knows schedules at a rate alone, not {expression}.")
    return int(found[1]) * SECONDS[found[2]]


def begin(cloud: Cloud, wanted: Iterator[Schedule]) -> None:
    """From now on the schedules run, in the background: none keeps time going."""
    for schedule in wanted:
        cloud.clock.every(schedule.seconds, partial(invoke, cloud, schedule))


def invoke(cloud: Cloud, schedule: Schedule) -> None:
    """Invoke the function; when it fails, more than once."""
    event = schedule.event or json.dumps(own_event(cloud, schedule))
    attempt(cloud, schedule, event.replace("<aws.scheduler.scheduled-time>", time_of(cloud)), AGAIN)


def attempt(cloud: Cloud, schedule: Schedule, event: str, again: tuple[int, ...]) -> None:
    """Invoke the function, and when it fails once more after each of the seconds `again`."""
    error = ""
    try:
        answer = cloud.client("lambda").invoke(
            FunctionName=cloud.part(Functions).name(schedule.function), Payload=event
        )
        if "FunctionError" in answer:
            error = json.load(answer["Payload"])["errorType"]
    except ClientError as refusal:
        error = refusal.response["Error"]["Code"]
    cloud.happened(f"the schedule {schedule.name} invokes {schedule.function}" + (f": {error}" if error else ""))
    if error and again:
        cloud.clock.call_later(again[0], partial(attempt, cloud, schedule, event, again[1:]), background=True)


def own_event(cloud: Cloud, schedule: Schedule) -> Mapping[str, Any]:
    """The event that Scheduler makes when a schedule has no input."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": cloud.account,
        "time": time_of(cloud),
        "region": cloud.region,
        "resources": [cloud.arn("scheduler", f"schedule/default/{schedule.name}")],
        "detail": "{}",
    }


def time_of(cloud: Cloud) -> str:
    """The present as Scheduler writes it."""
    return cloud.clock.time().strftime("%Y-%m-%dT%H:%M:%SZ")
