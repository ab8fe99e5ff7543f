"""What is known of an execution: read from its history, event by event."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.core import places
from local.core.moments import Kind

STATUS_BY_EVENT = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionTimedOut": "TIMED_OUT",
    "ExecutionAborted": "ABORTED",
}

FAILURES = {
    "TaskFailed": "taskFailedEventDetails",
    "TaskTimedOut": "taskTimedOutEventDetails",
    "MapRunFailed": "mapRunFailedEventDetails",
    "EvaluationFailed": "evaluationFailedEventDetails",
}


@dataclass
class Execution:
    """One execution; the lists are in the order of what happened. `waits` and `retries` are in seconds."""

    arn: str
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    output: Any = None
    redrives: int = 0
    states: list[str] = field(default_factory=list)
    waits: list[tuple[str, float]] = field(default_factory=list)
    retries: list[tuple[str, float]] = field(default_factory=list)
    answers: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    history: list[Mapping[str, Any]] = field(default_factory=list)
    _failure: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Its name, such as `run-1`; elsewhere than at home `account/region/run-1`."""
        return name_of(self.arn)

    @property
    def is_child(self) -> bool:
        """Whether it is one of a Distributed Map's: after its state machine's name comes the Map's label."""
        return "/" in self.arn

    @property
    def state(self) -> str:
        """The state entered last."""
        return self.states[-1] if self.states else ""

    @property
    def steps(self) -> list[str]:
        """The states entered, without repetitions and without what only waits or decides."""
        tasks = [s for s in self.states if not s.endswith("?") and not s.startswith("WaitFor") and s != "Begin"]
        return [state for index, state in enumerate(tasks) if index == 0 or tasks[index - 1] != state]

    def retried(self, seconds: float) -> str:
        """The failure that was seen last is not final; the error's name."""
        error = str((self._failure or {}).get("error", ""))
        self.retries.append((error, seconds))
        self._failure = None
        return error

    def add(self, event: Mapping[str, Any]) -> Iterator[tuple[Kind, str, str, bool]]:
        """Take the next event of the history; (kind, state, text, ready) of the moments it makes."""
        self.history.append(event)
        kind = str(event["type"].value)
        if kind == "ExecutionStarted":
            yield "started", "", event["executionStartedEventDetails"]["input"], False
        elif kind.endswith("StateEntered"):
            if self._failure:
                yield "failed", self.state, text_of(self._failure), False
                self._failure = None
            self.states.append(event["stateEnteredEventDetails"]["name"])
            yield "entered", self.state, "", False
        elif kind in FAILURES:
            self._failure = event.get(FAILURES[kind]) or {}
        elif kind == "TaskSucceeded":
            answer = step_answer(json.loads(event["taskSucceededEventDetails"]["output"]))
            if answer:
                self.answers.append((self.state, answer))
            yield "answered", self.state, answer.get("reason", ""), answer.get("ready", True)
        elif kind == "ExecutionRedriven":
            self.status, self.error, self.cause, self._failure = "RUNNING", "", "", None
            self.redrives += 1
        elif kind in STATUS_BY_EVENT:
            self.status = STATUS_BY_EVENT[kind]
            details = event.get("executionFailedEventDetails") or event.get("executionAbortedEventDetails") or {}
            self.error, self.cause = details.get("error") or "", details.get("cause") or ""
            if done := event.get("executionSucceededEventDetails"):
                self.output = json.loads(done["output"])
            yield "ended", self.state, self.status, False

    def as_dict(self) -> dict[str, Any]:
        """The execution in the result of a rehearsal."""
        return {
            "name": self.name,
            "status": self.status,
            "error": self.error,
            "cause": self.cause,
            "output": self.output,
            "states": self.states,
            "transitions": len(self.states),
            "events": len(self.history),
            "polls": len(self.answers),
            "waited": sum(seconds for _, seconds in self.waits),
            "retries": [{"error": error, "seconds": seconds} for error, seconds in self.retries],
        }


def name_of(arn: str) -> str:
    """The name of an execution for people, by which the cloud knows it."""
    name = arn.rpartition(":")[2]
    return places.written(name, places.of_arn(arn)) if arn.startswith("arn:") else name


def step_answer(output: Any) -> Mapping[str, Any]:
    """The answer of a step's function in a task's output; empty when the output is something else.

    A task that waited for its token has as its output whatever was sent with the token.
    """
    payload = output.get("Payload") if isinstance(output, Mapping) else None
    return payload if isinstance(payload, Mapping) and "ready" in payload else {}


def text_of(failure: Mapping[str, Any]) -> str:
    """Name and message of a failed task."""
    cause = str(failure.get("cause", ""))
    try:
        message = json.loads(cause)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        message = cause
    return f"{failure.get('error', '')}: {message}"
