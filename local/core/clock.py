"""Virtual time: it passes only while every execution waits, and then at once to the next thing that happens."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

BEGINNING = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
STALLED = 120  # real seconds without an execution coming to a wait: something hangs


@dataclass(order=True)
class Due:
    """Something that will happen at `at` (virtual seconds since the beginning), in the order of being asked for.

    What is in the background is nothing to wait for: it happens when time goes on anyway.
    """

    at: float
    order: int
    action: Callable[[], None] = field(compare=False)
    background: bool = field(compare=False)
    cancelled: bool = field(default=False, compare=False)


class Clock:
    """Seconds since `BEGINNING`, moved by `run` alone.

    Executions are threads of the state machine's interpreter: `join` when one starts, `leave` when it ends, `sleep`
    where it waits.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[Due] = []
        self._order = itertools.count()
        self._running = 0
        self._asleep: dict[threading.Event, Due | None] = {}
        self._changed = threading.Condition()

    def time(self) -> datetime:
        """The virtual date and time."""
        return BEGINNING + timedelta(seconds=self.now)

    def call_later(self, seconds: float, action: Callable[[], None], background: bool = False) -> Due:
        """Have `action` happen in `seconds`, in the thread that runs the clock, and in the place of who asks for it."""
        with self._changed:
            placed = partial(copy_context().run, action)
            due = Due(self.now + max(0.0, seconds), next(self._order), placed, background)
            heapq.heappush(self._due, due)
            return due

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` happen in the background again and again."""

        def again() -> None:
            self.every(seconds, action)
            action()

        self.call_later(seconds, again, background=True)

    def cancel(self, due: Due) -> None:
        """Let it not happen after all; nothing when it has happened."""
        with self._changed:
            due.cancelled = True  # and stays among the others until its time: to look for it takes longer

    def join(self) -> None:
        """One more execution is running."""
        with self._changed:
            self._running += 1

    def leave(self) -> None:
        """One execution has ended, or waits."""
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def sleep(self, seconds: float | None, alarm: threading.Event | None = None) -> None:
        """Wait `seconds` of virtual time (None: for ever) in the thread of an execution, or until `wake(alarm)`."""
        bell = alarm or threading.Event()
        with self._changed:
            if bell.is_set():
                return
            self._asleep[bell] = None if seconds is None else self.call_later(seconds, lambda: self.wake(bell))
            self.leave()
        bell.wait()

    def wake(self, alarm: threading.Event) -> None:
        """End the sleep with this alarm; one that has not begun will not begin."""
        with self._changed:
            if alarm in self._asleep:
                if due := self._asleep.pop(alarm):
                    self.cancel(due)
                self.join()
            alarm.set()

    def run(self, until: float | None = None) -> None:
        """Let things happen until nothing is left but the background, or to the moment `until` (virtual seconds).

        Raises:
            TimeoutError: an execution neither waits nor ends.
        """
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._running == 0, timeout=STALLED):
                    raise TimeoutError("An execution of the local run neither waits nor ends.")
                if self._is_over(until):
                    self.now = max(self.now, until or 0.0)
                    return
                due = heapq.heappop(self._due)
                self.now = max(self.now, due.at)
            due.action()

    def _is_over(self, until: float | None) -> bool:
        while self._due and self._due[0].cancelled:
            heapq.heappop(self._due)
        if until is None:
            return all(due.background or due.cancelled for due in self._due)
        return not self._due or self._due[0].at > until
