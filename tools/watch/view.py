"""A rollout as it goes on: a live view where there is a terminal, else a line whenever something has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from aurora_kerberos.rollout import figures
from aurora_kerberos.rollout.work import ENABLED, ENROLLING, FAILED, REFUSED, Report, Row, counted, name_of, sentence
from local.views.durations import clock_face, spoken
from local.views.terminal import plain

STYLES = {ENABLED: "green", REFUSED: "yellow", FAILED: "bold red", ENROLLING: "cyan"}
STATUS_STYLES = {"RUNNING": "cyan", "SUCCEEDED": "green"}
MOST_FAILURES, MOST_ACCOUNTS, MOST_UNSEEN = 3, 6, 3  # a view is to fit a terminal


@dataclass(frozen=True)
class Snapshot:
    """A rollout at one moment.

    Attributes:
        report: as far as it has come; `stopped` says why it was, or is empty.
        status: of the execution, in the words of Step Functions.
        seconds: since its beginning, until it ended.
        link: where the report is; empty before it is written.
        trouble: why the last look was in vain; empty when it was not.
    """

    report: Report
    status: str
    seconds: float
    link: str = ""
    trouble: str = ""


class Screen:
    """The live view."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, snapshot: Snapshot) -> None:
        """Show the rollout as it is now."""
        self._live.update(view(snapshot), refresh=True)


class Log:
    """Lines, each once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: list[str] = []
        self._told: set[tuple[str, str]] = set()

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to do."""

    def __call__(self, snapshot: Snapshot) -> None:
        """Tell what is new."""
        for row in reversed(figures.troubles(snapshot.report)):
            if (row["arn"], row["recorded_at"]) not in self._told:
                self._told.add((row["arn"], row["recorded_at"]))
                self._line(snapshot, _trouble(row))
        now = list(_summary(snapshot))
        for line in now:
            if line not in self._last:
                self._line(snapshot, line)
        self._last = now

    def _line(self, snapshot: Snapshot, text: str) -> None:
        line = f"{clock_face(snapshot.seconds):>9}  {plain(text)}"
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


def view(snapshot: Snapshot) -> RenderableType:
    """All of the live view; what matters most stands above, as a small terminal shows no more."""
    return Group(*_parts(snapshot))


def _parts(snapshot: Snapshot) -> Iterator[RenderableType]:
    report = snapshot.report
    yield Text.assemble(
        ("Kerberos rollout ", "bold"),
        (plain(name_of(report["execution"])), "bold"),
        "  ",
        (snapshot.status, STATUS_STYLES.get(snapshot.status, "bold red")),
        f"  {spoken(snapshot.seconds)}",
    )
    yield Text(plain(_sentence(snapshot)))
    if report["stopped"]:
        yield Text(f"Stopped: {plain(report['stopped'])}", "bold red")
    if snapshot.link:
        yield Text.assemble("Report: ", (snapshot.link, Style(link=snapshot.link)), overflow="fold")
    if snapshot.trouble:
        yield Text(f"The last look was in vain, and is repeated: {plain(snapshot.trouble)}", "yellow")
    yield ""
    if report["waves"]:
        yield _waves(report)
    yield from _failures(report)
    yield from _unseen(report)
    if report["clusters"]:
        yield ""
        yield _accounts(report)


def _summary(snapshot: Snapshot) -> Iterator[str]:
    yield f"{snapshot.status}: {_wave(snapshot.report)}{_sentence(snapshot)}"
    for each in snapshot.report["refused"]:
        yield f"Could not be looked at: {each['account']}, {each['region']}: {each['refused']}"
    if snapshot.trouble:
        yield f"The last look was in vain, and is repeated: {snapshot.trouble}"
    if snapshot.report["stopped"]:
        yield f"Stopped: {snapshot.report['stopped']}"
    if snapshot.link:
        yield f"Report: {snapshot.link}"


def _sentence(snapshot: Snapshot) -> str:
    looking = snapshot.status == "RUNNING" and not snapshot.report["rollout"]
    return "Looking for clusters in accounts and Regions." if looking else sentence(snapshot.report)


def _wave(report: Report) -> str:
    """Where the wave stands that began last; empty before the first."""
    begun = [wave for wave in figures.waves(report) if wave.began]
    if not begun:
        return ""
    last = begun[-1]
    return f"wave {last.number} of {report['waves'][-1]['number']}, {last.ended} of {last.size} done. "


def _waves(report: Report) -> Table:
    table = _table("Wave", "", "Done", *figures.FINAL, ENROLLING, "lasted")
    for wave in figures.waves(report):
        table.add_row(
            str(wave.number),
            ProgressBar(total=wave.size, completed=wave.ended, width=12),
            f"{wave.ended}/{wave.size}",
            *_numbers(wave.counts, (*figures.FINAL, ENROLLING)),
            spoken(wave.seconds) if wave.began else "",
        )
    return table


def _accounts(report: Report) -> Table:
    """The accounts where most has failed or is at work."""
    kinds = figures.kinds(report)
    counts = figures.counts_by(report, "account")
    first = sorted(counts, key=lambda name: (-counts[name][FAILED], -counts[name][REFUSED], -counts[name][ENROLLING]))
    table = _table("Account", *kinds)
    for name in first[:MOST_ACCOUNTS]:
        table.add_row(plain(name), *_numbers(counts[name], kinds))
    if len(first) > MOST_ACCOUNTS:
        table.add_row(f"and {len(first) - MOST_ACCOUNTS} more")
    return table


def _failures(report: Report) -> Iterator[Text]:
    rows = figures.troubles(report)
    if rows:
        yield Text()
    for row in rows[:MOST_FAILURES]:
        yield Text(plain(_trouble(row)), STYLES[row["outcome"]])
    if len(rows) > MOST_FAILURES:
        yield Text(f"and {counted(len(rows) - MOST_FAILURES, 'cluster')} failed or refused before", "dim")


def _trouble(row: Row) -> str:
    remedy = f" What to do: {row['remedy']}" if row["remedy"] else ""
    return f"{row['id']} ({row['account']}, {row['region']}) {row['outcome']}: {row['error']}: {row['message']}{remedy}"


def _unseen(report: Report) -> Iterator[Text]:
    unseen = report["refused"]
    for each in unseen[:MOST_UNSEEN]:
        yield Text(plain(f"Could not be looked at: {each['account']}, {each['region']}: {each['refused']}"), "yellow")
    if len(unseen) > MOST_UNSEEN:
        yield Text(f"and {len(unseen) - MOST_UNSEEN} more could not be looked at", "dim")


def _table(first: str, *more: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first, no_wrap=True)
    for heading in more:
        table.add_column(heading.capitalize(), justify="right", style=STYLES.get(heading, ""), no_wrap=True)
    return table


def _numbers(counts: Counter[str], kinds: tuple[str, ...] | list[str]) -> list[str]:
    return [str(counts[kind] or "") for kind in kinds]
