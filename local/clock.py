"""Virtual time: it passes only while every execution waits, and then at once to the next thing that happens."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
STALLED = 120  # real seconds without an execution coming to a wait: something hangs


class Clock:
    """Seconds since `BEGINNING`, moved by `run` alone.

    Executions are threads of the state machine's interpreter: `join` when one starts, `leave` when it ends, `sleep`
    where it waits.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._running = 0
        self._changed = threading.Condition()

    def time(self) -> datetime:
        """The virtual date and time."""
        return BEGINNING + timedelta(seconds=self.now)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` happen in `seconds`, in the thread that runs the clock."""
        with self._changed:
            heapq.heappush(self._due, (self.now + max(0.0, seconds), next(self._order), action))

    def join(self) -> None:
        """One more execution is running."""
        with self._changed:
            self._running += 1

    def leave(self) -> None:
        """One execution has ended, or waits."""
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait `seconds` of virtual time in the thread of an execution."""
        woken = threading.Event()

        def wake() -> None:
            self.join()
            woken.set()

        self.call_later(seconds, wake)
        self.leave()
        woken.wait()

    def run(self, until: float | None = None) -> None:
        """Let things happen until nothing is left to happen, or to the moment `until` (virtual seconds).

        Raises:
            TimeoutError: an execution neither waits nor ends.
        """
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._running == 0, timeout=STALLED):
                    raise TimeoutError("An execution of the local run neither waits nor ends.")
                if not self._due or (until is not None and self._due[0][0] > until):
                    self.now = max(self.now, until or 0.0)
                    return
                due, _, action = heapq.heappop(self._due)
                self.now = max(self.now, due)
            action()
