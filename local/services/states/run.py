"""A run of an execution: how it waits, is stopped, goes on after a redrive, and gets the answer to a token."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from moto.stepfunctions.parser.api import (
    ExecutionAbortedEventDetails,
    ExecutionStatus,
    ExecutionTimedOutEventDetails,
    HistoryEventType,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackOutcome,
)

from local.core.current import running


@dataclass(frozen=True)
class Entry:
    """A state of the top level, with its input and the variables as they were when it was entered."""

    state: Any
    input: Any
    variables: Mapping[str, Any]


class MapRun(Protocol):
    """The children of a Distributed Map, as far as the run of their parent knows them."""

    def stop(self) -> None:
        """Abort those that run; the others never begin."""


class Run:
    """One run of an execution: from its start, or a redrive, to its end, which may come from outside.

    `entry` is the state entered last, `maps` are the map runs it has begun, `before` is the run that a redrive goes on
    with.
    """

    def __init__(self, worker: Any, before: Run | None = None) -> None:
        details = worker._evaluation_details.execution_details
        self.arn: str = details.arn
        self.before = before
        self.entry: Entry = before.entry if before else Entry(None, None, {})
        self.maps: list[MapRun] = []
        self.over = False
        self.begun = threading.Event()
        self._redriven = before.maps[-1] if before and before.maps else None
        self._worker = worker
        self._alarms: set[threading.Event] = set()

    @property
    def env(self) -> Any:
        """moto's environment of the run."""
        return self._worker.env

    @property
    def moto_execution(self) -> Any:
        """moto's execution."""
        return self._worker._execution_communication.execution

    def enter(self, entry: Entry) -> None:
        """A state of the top level has been entered."""
        self.entry = entry
        self.maps = []

    def take_redriven(self) -> Any:
        """The map run that the redriven state has to go on with, if any; a later one of the state begins anew."""
        redriven, self._redriven = self._redriven, None
        return redriven

    def sleep(self, seconds: float | None, alarm: threading.Event | None = None) -> None:
        """Wait virtual seconds, or until the alarm, or until the run is stopped."""
        bell = alarm or threading.Event()
        self._alarms.add(bell)
        if not self.over:
            running().clock.sleep(seconds, bell)
        self._alarms.discard(bell)

    def stop(self, error: str | None, cause: str | None) -> bool:
        """End as aborted, at once; whether it was not over yet.

        A Lambda that is running goes on, as in AWS, but nothing comes of it for the execution.
        """
        self.env.set_stop(stop_date=running().clock.time(), error=error, cause=cause)
        details = ExecutionAbortedEventDetails(error=error, cause=cause)
        return self._end(HistoryEventType.ExecutionAborted, executionAbortedEventDetails=details)

    def time_out(self) -> None:
        """End because the time of the whole state machine is up."""
        self.env.set_timed_out()
        self._end(HistoryEventType.ExecutionTimedOut, executionTimedOutEventDetails=ExecutionTimedOutEventDetails())

    def _end(self, event: HistoryEventType, **details: Any) -> bool:
        if self.over:
            return False
        self.env.event_manager.add_event(self.env.event_history_context, event, details)
        self._worker._execution_communication.terminated()
        for map_run in self.maps:
            map_run.stop()
        for alarm in list(self._alarms):
            running().clock.wake(alarm)
        return True


def redrive(execution: Any, count: int) -> None:
    """Let an execution of moto's go on with the state that was entered last, for the `count`-th time."""
    before = execution.exec_worker.run
    execution.exec_worker = worker = execution._get_start_execution_worker()
    execution.exec_status, execution.stop_date = ExecutionStatus.RUNNING, None
    execution.error = execution.cause = None
    worker.redrives = count
    worker.run = Run(worker, before)
    worker.start()


def answer_token(run: Run, token: str, answer: CallbackOutcome) -> bool | None:
    """Hand an answer to the task that waits for it: whether it does; None when the run has not had such a token."""
    while not (endpoint := run.env.callback_pool_manager.get(token)):
        if not run.before:
            return None
        run = run.before
    if run.over or endpoint.consumer_error or endpoint.get_outcome():
        return False
    endpoint._outcome = answer
    running().clock.wake(endpoint._notify_event)
    return True


def run_of(env: Any) -> Run:
    """The run that an environment of moto's belongs to."""
    run: Run = env.event_manager.run
    return run
