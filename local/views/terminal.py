"""A run of the local cloud as it happens, in a terminal or in a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from local.core.moments import Moment
from local.views import graph
from local.views.durations import clock_face, spoken

_STATUS_STYLES = {"SUCCEEDED": "green", "RUNNING": "yellow"}


@dataclass
class _Visit:
    """What is known of a step between being entered and being ready."""

    since: float
    polls: int = 0
    reason: str = ""
    told: set[str] = field(default_factory=set)


@dataclass
class _Execution:
    """An execution's bar, the step it is in and the steps it has behind it."""

    bar: TaskID
    step: str = ""
    done: set[str] = field(default_factory=set)
    visits: dict[str, _Visit] = field(default_factory=dict)


class Terminal:
    """Prints every step's news once; a live bar for each execution where there is a terminal."""

    def __init__(self, definition: Mapping[str, Any], console: Console | None = None) -> None:
        self._console = console or Console()
        self._lanes = graph.lanes(definition)
        self._path = graph.main_path(definition)
        self._width = max((len(step) for step in self._path), default=0)
        self._executions: dict[str, _Execution] = {}
        self._progress = Progress(
            TextColumn("{task.fields[clock]:>8}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),  # names come from outside
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Terminal:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, moment: Moment) -> None:
        """Tells what is new in a moment and moves the bar."""
        if not moment.execution:
            self._line(moment, "", f"· {_safe(moment.text)}", style="cyan")
            return
        execution = self._execution(moment)
        step = self._lanes.get(moment.state, moment.state)
        if step and step != execution.step:
            self._leave(execution)
            execution.step = step
        visit = execution.visits.setdefault(step, _Visit(moment.at))
        match moment.kind:
            case "started":
                self._line(moment, "", "started", _safe(moment.text, 160), style="bold")
            case "answered":
                self._answered(moment, execution, step, visit)
            case "waiting":
                if visit.reason not in visit.told:
                    visit.told.add(visit.reason)
                    self._line(moment, step, f"waiting {spoken(moment.seconds)}", _safe(visit.reason))
            case "retrying":
                self._line(moment, step, f"retrying in {spoken(moment.seconds)}", _safe(moment.text), style="yellow")
            case "failed":
                del execution.visits[step]
                self._line(moment, step, "failed", _safe(moment.text), style="bold red")
            case "ended":
                self._ended(moment, execution)
        self._move(moment, execution, visit)

    def summary(self, result: Mapping[str, Any]) -> None:
        """The outcome of a rehearsal: executions, checks, logins and how long it took."""
        verdict = "[bold green]PASSED[/]" if result.get("passed") else "[bold red]FAILED[/]"
        virtual, real = result.get("virtual_seconds") or 0, result.get("real_seconds") or 0
        self._print("")
        self._print(f"{verdict} {_safe(result.get('scenario', ''))}: {spoken(virtual)} in {spoken(real)} of real time")
        for execution in result.get("executions") or []:
            self._print(_outcome(execution))
        for check in result.get("checks") or []:
            mark = "[green]pass[/]" if check.get("passed") else "[bold red]FAIL[/]"
            got = f" — got {_safe(check['got'])}" if check.get("got") and not check.get("passed") else ""
            self._print(f"  {mark}  {_safe(check.get('check', ''))}{got}")
        if logins := result.get("logins"):
            table = Table("cluster", "principal", "gss_authenticated", "encrypted", "login", title="pg_stat_gssapi")
            for column in table.columns:
                column.overflow = "fold"  # a principal must be readable to its end
            for login in logins:
                answer = "[green]ok[/]" if login.get("ok") else f"[bold red]failed[/] {_safe(login.get('error', ''))}"
                flags = ["t" if login.get(key) else "f" for key in ("gss_authenticated", "encrypted")]
                table.add_row(_safe(login.get("cluster", "")), _safe(login.get("principal", "")), *flags, answer)
            self._console.print(table)

    def _execution(self, moment: Moment) -> _Execution:
        if moment.execution not in self._executions:
            bar = self._progress.add_task(plain(moment.execution), total=len(self._path), clock=clock_face(moment.at))
            self._executions[moment.execution] = _Execution(bar)
        return self._executions[moment.execution]

    def _answered(self, moment: Moment, execution: _Execution, step: str, visit: _Visit) -> None:
        visit.polls += 1
        if not moment.ready:
            visit.reason = moment.text  # told with the wait that follows
            return
        took = ""
        if visit.polls > 1 or moment.at > visit.since:
            took = f" after {spoken(moment.at - visit.since)}" + (f", {visit.polls} polls" if visit.polls > 1 else "")
        self._line(moment, step, f"ready{took}", _safe(moment.text), style="green")
        execution.done.add(step)
        del execution.visits[step]

    def _leave(self, execution: _Execution) -> None:
        """A step that was left without failing or having to wait is done, also when its task answers nothing."""
        visit = execution.visits.get(execution.step)
        if visit and not visit.polls:
            execution.done.add(execution.step)
            del execution.visits[execution.step]

    def _ended(self, moment: Moment, execution: _Execution) -> None:
        if moment.text == "SUCCEEDED":
            execution.done.update(self._path)  # what was not needed is done too
        style = _STATUS_STYLES.get(moment.text, "red")
        self._line(moment, "", "ended", _safe(moment.text), style=f"bold {style}")

    def _move(self, moment: Moment, execution: _Execution, visit: _Visit) -> None:
        polls = f", {visit.polls} polls" if visit.polls > 1 else ""
        self._progress.update(
            execution.bar,
            completed=len(execution.done & set(self._path)),
            description=plain(f"{moment.execution}: {execution.step}{polls}"),
            clock=clock_face(moment.at),
            visible=moment.kind != "ended",
        )

    def _line(self, moment: Moment, step: str, what: str, text: str = "", style: str = "") -> None:
        """One line; `what` and `text` are escaped already."""
        news = f"{what} — {text}" if text else what
        styled = f"[{style}]{news}[/]" if style else news
        who = ""
        if len(self._executions) > 1:
            who = f"{_safe(moment.execution):<{max(map(len, self._executions))}}  "
        self._print(f"{clock_face(moment.at):>8}  {who}{_safe(step):<{self._width}}  {styled}")

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, emoji=False, soft_wrap=True)


def _outcome(execution: Mapping[str, Any]) -> str:
    status = str(execution.get("status", ""))
    style = _STATUS_STYLES.get(status, "red")
    figures = (
        f"waited {spoken(execution.get('waited') or 0)}, {execution.get('polls') or 0} polls, "
        f"{execution.get('transitions') or 0} transitions"
    )
    error = ": ".join(str(execution[key]) for key in ("error", "cause") if execution.get(key))
    line = f"  {_safe(execution.get('name', ''))}  [{style}]{_safe(status)}[/]  {figures}"
    return f"{line} — {_safe(error)}" if error else line


def plain(text: object) -> str:
    """One line without control characters: what came from outside must not steer a terminal."""
    printable = "".join(character if character.isprintable() else " " for character in str(text))
    return " ".join(printable.split())


def _safe(text: object, longest: int | None = None) -> str:
    line = plain(text)
    return escape(line if longest is None or len(line) <= longest else line[: longest - 1] + "…")
