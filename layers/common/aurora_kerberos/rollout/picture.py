"""A rollout's progress over time as a picture: how many clusters are enabled, refused and failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from aurora_kerberos.durations import spoken
from aurora_kerberos.rollout import figures
from aurora_kerberos.rollout.work import Report


def svg(report: Report) -> str:
    """The picture, whose looks are the page's; a sentence while there is nothing to draw; empty for a dry run."""
    picture = _Picture(report)
    if picture.rows:
        return picture.svg()
    return "" if report["dry_run"] else "<p>No cluster is enabled, refused or failed yet.</p>\n"


_LEFT, _PLOT, _RIGHT, _HEIGHT, _LABEL = 48, 860, 120, 220, 64  # pixels; a label of a wave is that wide
_TIMES = (60, 300, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 604_800)


class _Picture:
    """Time from left to right, clusters from bottom to top."""

    def __init__(self, report: Report) -> None:
        self.rows = [row for row in report["clusters"] if row["outcome"] in figures.FINAL]
        self.waves = [wave for wave in figures.waves(report) if wave.began]
        self.begin = datetime.fromisoformat(report["began_at"])
        ends = [report["made_at"], *(row["recorded_at"] for row in self.rows)]
        self.span = max(60.0, *(self._since(end) for end in ends))
        self.most = max(len(self.rows), sum(row["wave"] > 0 for row in report["clusters"]))
        self.top = 8.0

    def svg(self) -> str:
        marks = self._marks()
        counts = Counter(row["outcome"] for row in self.rows)
        said = ", ".join(f"{counts[end]} {end}" for end in figures.FINAL)
        width, height = _LEFT + _PLOT + _RIGHT, self.top + _HEIGHT + 28
        lines = "".join(self._line(end) for end in figures.FINAL if counts[end])
        return (
            f'<div class="scroll"><svg viewBox="0 0 {width} {height:g}" role="img" '
            f'aria-label="Clusters over time: {said} after {spoken(self.span)}">\n'
            f"{self._axes()}\n{marks}\n{lines}\n{self._labels(counts)}</svg></div>\n"
        )

    def _since(self, at: str) -> float:
        """Seconds from the beginning; what an earlier start has done stands at 0."""
        return max(0.0, (datetime.fromisoformat(at) - self.begin).total_seconds())

    def _x(self, seconds: float) -> int:
        return round(_LEFT + seconds / self.span * _PLOT)

    def _y(self, clusters: int) -> float:
        return round(self.top + _HEIGHT * (1 - clusters / self.most), 1)

    def _marks(self) -> str:
        """The waves' beginnings, their labels stacked where they would cover each other."""
        ends: list[int] = []
        placed = []
        for wave in self.waves:
            x = self._x(self._since(wave.began.isoformat() if wave.began else ""))
            level = next((level for level, end in enumerate(ends) if end < x), len(ends))
            ends[level : level + 1] = [x + _LABEL]
            placed.append((wave.number, x, level))
        self.top += len(ends) * 16
        return "".join(
            f'<path class="wave" d="M {x} {self.top - level * 16 - 14:g} V {self.top + _HEIGHT:g}"/>'
            f'<text x="{x + 4}" y="{self.top - level * 16 - 5:g}">wave {number}</text>'
            for number, x, level in placed
        )

    def _axes(self) -> str:
        step = next((step for step in _TIMES if self.span / step <= 8), 2_419_200)
        times = [(self._x(at), spoken(at) if at else "0") for at in range(0, int(self.span) + 1, step)]
        apart = next(size * 10**power for power in range(9) for size in (1, 2, 5) if size * 10**power * 5 >= self.most)
        bottom = self.top + _HEIGHT
        return "".join(
            f'<path class="grid" d="M {_LEFT} {self._y(count):g} h {_PLOT}"/>'
            f'<text x="{_LEFT - 8}" y="{self._y(count) + 4:g}" text-anchor="end">{count}</text>'
            for count in range(0, self.most + 1, apart)
        ) + "".join(
            f'<path class="grid" d="M {x} {bottom:g} v 5"/><text x="{x}" y="{bottom + 20:g}" '
            f'text-anchor="middle">{label}</text>'
            for x, label in times
        )

    def _line(self, outcome: str) -> str:
        """Cumulated clusters as a stair; of what falls on one pixel, the last count."""
        times = sorted(self._since(row["recorded_at"]) for row in self.rows if row["outcome"] == outcome)
        stairs = {self._x(at): count for count, at in enumerate(times, start=1)}
        path = "".join(f" H {x} V {self._y(count):g}" for x, count in stairs.items())
        return f'<path class="line {outcome}" d="M {_LEFT} {self._y(0):g}{path} H {_LEFT + _PLOT}"/>'

    def _labels(self, counts: Mapping[str, int]) -> str:
        """What each line is, at its end; from below, so far apart that they can be read."""
        parts, lowest = [], self.top + _HEIGHT + 20
        for end in sorted((end for end in figures.FINAL if counts.get(end)), key=lambda end: counts[end]):
            lowest = min(self._y(counts[end]) + 4, lowest - 16)
            parts.append(f'<text class="{end}" x="{_LEFT + _PLOT + 8}" y="{lowest:g}">{counts[end]} {end}</text>')
        return "".join(parts)
