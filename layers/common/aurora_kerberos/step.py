"""The contract between a step's Lambda and the state machine.

A step looks at the world, does the next missing thing and returns `Ready` or `Waiting`, or raises a `KerberosError`.
It keeps nothing and reads no clock. The state machine hands back the number of polls and the reason for them. This
module computes from these two how long to wait, and when to give up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from aurora_kerberos import aws, names
from aurora_kerberos.errors import KerberosError, StepTimedOut

FIRST_WAIT = 30
GROWTH = 0.1
LONGEST_WAIT = 900

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# Limits for all waits and polls of an execution together. They are reached before the history is full and before the
# state machine's own time-out, either of which would leave no record.
LONGEST_EXECUTION = 20 * DAY
MOST_POLLS = 2400

HANDED_BACK = ("polls", "waiting_for", "waited", "polled")  # what the state machine hands back of earlier answers

logger = Logger(service=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "aurora-kerberos"))


@dataclass(frozen=True)
class Ready:
    """What the step is for is done. Later states may use the `outputs` (JSON)."""

    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Waiting:
    """Somebody else is still working; the state machine polls again.

    Attributes:
        reason: what the step waits for. It stays the same for the same thing, since a new text starts the waits anew.
        at_least: the shortest time in seconds that AWS takes. The first wait is that long.
        deadline: seconds after which the step gives up.
        otherwise: the error to raise then; `StepTimedOut` when None.
        outputs: what the next poll must know about this one (JSON).
    """

    reason: str
    at_least: int = 0
    deadline: int = 3 * HOUR
    otherwise: KerberosError | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)


def unapproved(arguments: Mapping[str, Any], what: str, progress: Mapping[str, Any]) -> Waiting | None:
    """The answer that makes the state machine ask for approval; None when no approval is needed, or it is there.

    Args:
        arguments: those of the step: `apply` of the plan, and whether somebody has `approved`.
        what: what is going to be done to the cluster, for the notification.
        progress: outputs that the next poll must know.
    """
    if arguments["apply"] != "approval" or arguments["approved"]:
        return None
    return Waiting("Approval is needed", outputs={**progress, "approval": what})


def wait_seconds(waited: int, at_least: int = 0) -> int:
    """Seconds to wait now, after `waited` seconds for the same thing: 30 s plus a tenth of them, at most 900.

    So the n-th wait is 30 * 1.1 ** n. If the thing takes `at_least` some time, the first wait is that long.
    """
    return max(FIRST_WAIT, at_least) if waited == 0 else min(LONGEST_WAIT, round(FIRST_WAIT + waited * GROWTH))


def waited_seconds(polls: int, at_least: int = 0) -> int:
    """Seconds that the state machine has waited for a thing after so many polls."""
    waited = 0
    for _ in range(polls):
        waited += wait_seconds(waited, at_least)
    return waited


def answer(
    result: Ready | Waiting, polls: int = 0, waiting_for: str = "", waited: int = 0, polled: int = 0
) -> dict[str, Any]:
    """The answer for the state machine: ready, reason, wait_seconds, polls, waited, polled, outputs; always all.

    Args:
        result: what the step returned.
        polls: how often the step has waited for `waiting_for` already.
        waiting_for: the reason of the previous answer.
        waited: seconds that the execution has waited so far, for all reasons.
        polled: how often it has waited so far.

    Raises:
        StepTimedOut: the deadline has passed, and the step names no other error as `otherwise`.
    """
    if isinstance(result, Ready):
        return {
            "ready": True,
            "reason": "",
            "wait_seconds": 0,
            "polls": 0,
            "waited": waited,
            "polled": polled,
            "outputs": dict(result.outputs),
        }
    poll = polls if result.reason == waiting_for else 0
    waited_for_this = waited_seconds(poll, result.at_least)
    if waited_for_this >= result.deadline or waited >= LONGEST_EXECUTION or polled >= MOST_POLLS:
        minutes = (waited_for_this if waited_for_this >= result.deadline else waited) // MINUTE
        raise result.otherwise or StepTimedOut(
            f"Gave up after {minutes} minutes: {result.reason}.",
            "Find out in the AWS console what keeps it, then start the execution again: it goes on where it is.",
        )
    seconds = wait_seconds(waited_for_this, result.at_least)
    return {
        "ready": False,
        "reason": result.reason,
        "wait_seconds": seconds,
        "polls": poll + 1,
        "waited": waited + seconds,
        "polled": polled + 1,
        "outputs": dict(result.outputs),
    }


def cluster_of(event: Mapping[str, Any]) -> str:
    """The identifier of the cluster in a step's arguments, for the log; empty when they name none."""
    planned = event.get("cluster") or event.get("plan", {}).get("cluster") or {}
    return str(planned.get("id", "")) or names.requested_cluster(event.get("request"), event.get("execution", ""))


def step(look: Callable[[Any], Ready | Waiting]) -> Callable[[Mapping[str, Any], object], dict[str, Any]]:
    """Make a Lambda handler of a step's function.

    The handler's event has the step's named arguments. It also has `execution`, `step` (its name), `since` (the value
    of `waited` at its first poll) and `HANDED_BACK`, which this wrapper reads. The wrapper translates errors of AWS
    that the step did not expect, and logs everything once.
    """

    @wraps(look)
    def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001  Lambda passes it
        name = event.get("step", "")
        logger.append_keys(execution=event.get("execution", ""), cluster=cluster_of(event), step=name)
        try:
            result = answer(look(event), **{name: event[name] for name in HANDED_BACK if name in event})
        except KerberosError as error:
            logger.error(error.message, error=type(error).__name__, remedy=error.remedy)
            raise
        except aws.ERRORS as error:
            translated = aws.translate(error)
            logger.error(translated.message, error=type(translated).__name__)
            raise translated from error
        logger.info(result["reason"] or "Ready", ready=result["ready"], wait_seconds=result["wait_seconds"])
        since = event.get("since", result["waited"])
        if result["ready"]:
            measure(name, result["waited"] - since)
        return {**result, "since": result["waited"] if result["ready"] else since}

    return handler


def measure(name: str, seconds: int) -> None:
    """Write the metric `StepDuration`: the seconds that the state machine has waited for a step.

    Without a wait there is no metric, which would cost more than it tells.
    """
    if seconds:
        duration: Any = {"unit": MetricUnit.Seconds, "value": seconds, "namespace": names.METRICS}
        with single_metric(name="StepDuration", **duration) as metric:
            metric.add_dimension(name="Step", value=name)
