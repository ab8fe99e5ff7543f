"""What happens during a run of the local cloud, told as it happens: the one thing that views and reports read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["happened", "started", "entered", "answered", "waiting", "retrying", "failed", "ended"]


@dataclass(frozen=True)
class Moment:
    """One thing that happened.

    `at` is virtual seconds since the beginning of the scenario. The kinds:

    - `happened`: somebody or AWS did something (`text` says what); `execution` and `state` are empty.
    - `started`: an execution began (`text`: its input as JSON).
    - `entered`: it entered the state `state`.
    - `answered`: a step's Lambda answered in `state`; `text` is its reason, `ready` tells Ready from Waiting.
    - `waiting`: a Wait state began and will take `seconds`.
    - `retrying`: a failed task will be tried again in `seconds`; `text` is the error's name.
    - `failed`: the task `state` failed for good; `text` is error name and message.
    - `ended`: the execution ended; `text` is SUCCEEDED, FAILED, TIMED_OUT or ABORTED.
    """

    at: float
    kind: Kind
    text: str = ""
    execution: str = ""
    state: str = ""
    seconds: float = 0
    ready: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The moment as JSON-able fields."""
        return asdict(self)


Listener = Callable[[Moment], None]
