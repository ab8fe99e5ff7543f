"""Where a thing is: in an account, and in a Region of it.

A call is answered in one place, and what comes of it later happens there: the clock and the threads of the interpreter
take the place along. The home place, where the first stack is, is the present one when nobody has said another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from threading import Thread
from typing import Any, NamedTuple

from botocore.utils import ArnParser


class Place(NamedTuple):
    """An account and a Region."""

    account: str
    region: str


HOME = Place("123456789012", "eu-central-1")  # moto's account for who has no credentials
ELSEWHERE = re.compile(r"(\d{12})/([a-z]+(?:-[a-z]+)+-\d)/(.+)")

_present: ContextVar[Place] = ContextVar("place", default=HOME)


def present() -> Place:
    """The place of the call that is being answered, or of what is happening."""
    return _present.get()


@contextmanager
def at(place: Place) -> Iterator[Place]:
    """Let what follows happen in that place."""
    token = _present.set(place)
    try:
        yield place
    finally:
        _present.reset(token)


def of_arn(arn: str) -> Place:
    """The place that an ARN names; where it leaves something open, it is the present one's."""
    parts = ArnParser().parse_arn(arn)
    return Place(parts["account"] or present().account, parts["region"] or present().region)


def written(name: str, place: Place | None = None) -> str:
    """The name of a thing for people: `account/region/name`, of what is at home `name` alone.

    The thing is in the present place when no other is said. A name that is so written already stays as it is.
    """
    place = place or present()
    return name if place == HOME or ELSEWHERE.fullmatch(name) else f"{place.account}/{place.region}/{name}"


def written_of_account(name: str) -> str:
    """The name of a thing that an account has once for all Regions, as an IAM role; at home `name`."""
    return name if present().account == HOME.account else f"{present().account}/{name}"


def split(name: str) -> tuple[Place, str]:
    """Place and name of what `written` has written."""
    if found := ELSEWHERE.fullmatch(name):
        return Place(found[1], found[2]), found[3]
    return HOME, name


@contextmanager
def of(name: str) -> Iterator[str]:
    """Let what follows happen in the place of what is so written; the name alone."""
    place, alone = split(name)
    with at(place):
        yield alone


class PlacedThread(Thread):
    """A thread that goes on in the place where it was made."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._context = copy_context()

    def run(self) -> None:
        """As any thread."""
        self._context.run(super().run)
