"""The figures of a rollout's report, as the page and the live view show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from aurora_kerberos.rollout.work import (
    ALREADY,
    ENABLED,
    ENROLLING,
    EXCLUDED,
    FAILED,
    REFUSED,
    TODO,
    UNFIT,
    Report,
    Row,
)

# In which order they are shown; what needs a person stands at the end of what has been done.
IN_ORDER = (TODO, ENROLLING, ENABLED, REFUSED, FAILED, ALREADY, UNFIT, EXCLUDED)
FINAL = (ENABLED, REFUSED, FAILED)


def now_is(row: Row) -> str:
    """What has become of a cluster, or what it is to the rollout while nothing has."""
    return row["outcome"] or row["state"]


def kinds(report: Report) -> list[str]:
    """What has become of clusters at all, in the order in which it is shown."""
    return [kind for kind in IN_ORDER if report["counts"].get(kind)]


def counts_by(report: Report, field: Literal["account", "region"]) -> dict[str, Counter[str]]:
    """How many clusters of each account, or Region, have become what."""
    found: dict[str, Counter[str]] = {}
    for row in report["clusters"]:
        found.setdefault(row[field], Counter())[now_is(row)] += 1
    return dict(sorted(found.items()))


def troubles(report: Report) -> list[Row]:
    """The clusters that have failed or were refused, the newest first."""
    found = [row for row in report["clusters"] if row["outcome"] in {REFUSED, FAILED}]
    return sorted(found, key=lambda row: row["recorded_at"], reverse=True)


@dataclass(frozen=True)
class WaveFigures:
    """A wave: how many clusters it has, what has become of them, and from when to when; None before it has begun."""

    number: int
    size: int
    counts: Counter[str]
    began: datetime | None
    last: datetime | None

    @property
    def ended(self) -> int:
        """Clusters that nothing more is done about."""
        return sum(self.counts[end] for end in FINAL)

    @property
    def seconds(self) -> float:
        """From its beginning to what was last heard of it."""
        return (self.last - self.began).total_seconds() if self.last and self.began else 0


def waves(report: Report) -> list[WaveFigures]:
    """The waves of the plan, as far as they have come."""
    rows: dict[int, list[Row]] = {wave["number"]: [] for wave in report["waves"]}
    for row in report["clusters"]:
        if row["wave"] in rows:
            rows[row["wave"]].append(row)
    return [_wave(wave["number"], wave["size"], rows[wave["number"]]) for wave in report["waves"]]


def _wave(number: int, size: int, rows: Iterable[Row]) -> WaveFigures:
    begun = [row for row in rows if row["outcome"]]
    return WaveFigures(
        number=number,
        size=size,
        counts=Counter(row["outcome"] for row in begun),
        began=min((datetime.fromisoformat(row["began_at"]) for row in begun), default=None),
        last=max((datetime.fromisoformat(row["recorded_at"]) for row in begun), default=None),
    )
