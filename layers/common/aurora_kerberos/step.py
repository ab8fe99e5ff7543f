"""The contract between a step's Lambda and the state machine.

A step looks at the world, does the next missing thing and returns `Ready` or `Waiting`, or raises a `KerberosError`.
It keeps nothing and reads no clock: the state machine hands back the number of polls and what they were for, and from
these two alone it is computed here how long to wait and when to give up.
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

# An execution may wait as long and be asked as often as all the deadlines of its steps add up to. A history that is
# full, or the state machine's own time-out, would leave no record.
LONGEST_EXECUTION = 20 * DAY
MOST_POLLS = 2400

TOLD = ("polls", "waiting_for", "waited", "polled")  # by the state machine, of the answers before

logger = Logger(service=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "aurora-kerberos"))


@dataclass(frozen=True)
class Ready:
    """It is as it should be. `outputs` (JSON) is what later states may use."""

    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Waiting:
    """Somebody else is working; ask again.

    Attributes:
        reason: what is waited for. The same text as long as it is the same thing: a new text starts the waits anew.
        at_least: seconds AWS takes at the very least; the first wait is that long.
        deadline: seconds after which waiting for this very thing is given up.
        otherwise: the error to raise then; `StepTimedOut` when None.
        outputs: what the next poll must know of this one (JSON).
    """

    reason: str
    at_least: int = 0
    deadline: int = 3 * HOUR
    otherwise: KerberosError | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)


def unapproved(arguments: Mapping[str, Any], what: str, progress: Mapping[str, Any]) -> Waiting | None:
    """The question that the state machine is to ask a person, `what` being done to the cluster; None when it may be.

    `arguments` are a step's: `apply` of the plan, and whether somebody has `approved`.
    """
    if arguments["apply"] != "approval" or arguments["approved"]:
        return None
    return Waiting("Approval is needed", outputs={**progress, "approval": what})


def wait_seconds(waited: int, at_least: int = 0) -> int:
    """Seconds to wait for a thing that has been waited for `waited` seconds: 30 s plus a tenth of them, at most 900.

    The n-th wait is so 30 * 1.1 ** n; of a thing that takes `at_least` some time, the first is that long.
    """
    return max(FIRST_WAIT, at_least) if waited == 0 else min(LONGEST_WAIT, round(FIRST_WAIT + waited * GROWTH))


def waited_seconds(polls: int, at_least: int = 0) -> int:
    """Seconds waited for a thing that has been looked at `polls` times."""
    waited = 0
    for _ in range(polls):
        waited += wait_seconds(waited, at_least)
    return waited


def answer(
    result: Ready | Waiting, polls: int = 0, waiting_for: str = "", waited: int = 0, polled: int = 0
) -> dict[str, Any]:
    """What the state machine gets: ready, reason, wait_seconds, polls, waited, polled, outputs; always all seven.

    Args:
        result: what the step found.
        polls: how often `waiting_for` has been looked at already.
        waiting_for: the reason of the previous answer.
        waited: seconds that the execution has waited so far, for whatever it was.
        polled: how often it has waited so far.

    Raises:
        StepTimedOut: the deadline has passed (or what the step wants raised `otherwise`).
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
    """The identifier of the cluster that a step's arguments are about, for the log; empty when they name none."""
    planned = event.get("cluster") or event.get("plan", {}).get("cluster") or {}
    return str(planned.get("id", "")) or names.requested_cluster(event.get("request"), event.get("execution", ""))


def step(look: Callable[[Any], Ready | Waiting]) -> Callable[[Mapping[str, Any], object], dict[str, Any]]:
    """Make a Lambda handler of a step's function.

    The handler's event is the step's named arguments, beside `execution`, `step` (its name), `since` (what `waited` was
    when it was first asked) and `TOLD`, which are for this wrapper. AWS errors that the step did not expect are
    translated here, and everything is logged once.
    """

    @wraps(look)
    def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001  Lambda passes it
        name = event.get("step", "")
        logger.append_keys(execution=event.get("execution", ""), cluster=cluster_of(event), step=name)
        try:
            result = answer(look(event), **{name: event[name] for name in TOLD if name in event})
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
    """The metric `StepDuration`: the seconds that a step has been waited for, if at all.

    Who never waited has taken no time worth the price of a metric.
    """
    if seconds:
        duration: Any = {"unit": MetricUnit.Seconds, "value": seconds, "namespace": names.METRICS}
        with single_metric(name="StepDuration", **duration) as metric:
            metric.add_dimension(name="Step", value=name)
