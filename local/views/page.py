"""A run of the local cloud as one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import shorten
from typing import Any

from local.core.moments import Moment
from local.views import graph
from local.views.durations import clock_face, spoken

Fields = Mapping[str, Any]


def html(title: str, moments: Sequence[Moment], definition: Fields, result: Fields) -> str:
    """The run as a page: outcome, timeline, logins, checks, the state machine, every moment.

    `result` is the result of a rehearsal; what it lacks is left out. The page loads nothing from elsewhere.
    """
    happened = [moment for moment in moments if moment.kind == "happened"]
    runs = _runs(moments)
    sections = [
        _section("Timeline", _Timeline(happened, runs, definition).svg() + _legend() if moments else ""),
        _section("What happened around it", _happened(happened)),
        _section("Executions", _executions(result.get("executions") or [], runs)),
        _section("Logins, as pg_stat_gssapi saw them", _logins(result.get("logins") or [])),
        _section("Checks", _checks(result.get("checks") or [])),
        _section("The state machine", f'<div class="graph">{graph.svg(definition)}</div>'),
        _section("Every moment", _moments(moments, several=len(runs) > 1)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{_header(title, result)}\n{''.join(sections)}</main>\n</body>\n</html>\n"
    )


# One execution's moments


@dataclass(frozen=True)
class _Run:
    name: str
    moments: Sequence[Moment]

    @property
    def begin(self) -> float:
        return self.moments[0].at

    @property
    def ended(self) -> Moment | None:
        return next((moment for moment in reversed(self.moments) if moment.kind == "ended"), None)

    @property
    def end(self) -> float:
        return self.ended.at if self.ended else max(moment.at + moment.seconds for moment in self.moments)


def _runs(moments: Iterable[Moment]) -> list[_Run]:
    by_execution: dict[str, list[Moment]] = {}
    for moment in moments:
        if moment.execution:
            by_execution.setdefault(moment.execution, []).append(moment)
    return [_Run(name, own) for name, own in by_execution.items()]


# The timeline

_PLOT, _LANE, _TOTALS = 730, 30, 220
_AXIS_STEPS = (60, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800)


class _Timeline:
    """Virtual time from left to right, a lane for each step of each execution."""

    def __init__(self, happened: Sequence[Moment], runs: Sequence[_Run], definition: Fields) -> None:
        self.happened = happened
        self.runs = runs
        self.lane_of = graph.lanes(definition)
        self.steps = graph.steps(definition)
        self.main_path = graph.main_path(definition)
        self.span = max([60.0, *(run.end for run in runs), *(moment.at for moment in happened)])
        names = [self._lane(moment) for run in runs for moment in run.moments]
        self.left = max([120, *(len(name) * 8 + 20 for name in names)])
        self.parts: list[str] = []

    def svg(self) -> str:
        top = self._marks()
        y = top + 30
        for run in self.runs:
            y = self._run(run, y)
        width, height = self.left + _PLOT + _TOTALS, y + 4
        return (
            f'<div class="scroll"><svg class="timeline" viewBox="0 0 {width} {height:g}" width="{width}" '
            f'height="{height:g}" role="group" aria-label="Timeline in virtual time">\n'
            f"{self._axis(top, height)}\n" + "\n".join(self.parts) + "\n</svg></div>\n"
        )

    def _x(self, at: float) -> float:
        return round(self.left + at / self.span * _PLOT, 1)

    def _lane(self, moment: Moment) -> str:
        return self.lane_of.get(moment.state, moment.state)

    def _marks(self) -> float:
        """Numbered marks for what happened, stacked where they would cover each other; returns where they end."""
        ends: list[float] = []
        placed = []
        for number, moment in enumerate(self.happened, start=1):
            x = self._x(moment.at)
            level = next((level for level, end in enumerate(ends) if end < x), len(ends))
            ends[level : level + 1] = [x + 22]
            placed.append((number, moment, x, level))
        bottom = len(ends) * 22 + 6
        for number, moment, x, level in placed:
            y = bottom - 14 - level * 22
            self.parts.append(
                f'<g class="mark" role="img"><title>{clock_face(moment.at)} {escape(moment.text)}</title>'
                f'<path d="M {x} {y + 9:g} V {bottom}"/><circle cx="{x}" cy="{y:g}" r="9"/>'
                f'<text x="{x}" y="{y + 4:g}" text-anchor="middle">{number}</text></g>'
            )
        return bottom

    def _axis(self, top: float, bottom: float) -> str:
        step = next((step for step in _AXIS_STEPS if self.span / step <= 10), 604_800)
        parts = []
        for at in range(0, int(self.span) + 1, step):
            label = spoken(at) if step >= 86_400 else clock_face(at)[:-3]
            parts.append(
                f'<path class="grid" d="M {self._x(at)} {top} V {bottom:g}"/>'
                f'<text class="hour" x="{self._x(at) + 4:g}" y="{top + 14:g}">{label}</text>'
            )
        return "".join(parts)

    def _run(self, run: _Run, y: float) -> float:
        by_lane: dict[str, list[Moment]] = {}
        for moment in run.moments:
            lane = self._lane(moment)
            if lane and (lane in self.steps or moment.kind != "entered"):
                by_lane.setdefault(lane, []).append(moment)
        status = run.ended.text if run.ended else "still running"
        words = f"{run.name}: {status} after {spoken(run.end - run.begin)}"
        missing = [] if status == "SUCCEEDED" else [step for step in self.main_path if step not in by_lane]
        if missing:
            words += "; not reached: " + (", ".join(missing) if len(missing) < 5 else f"{len(missing)} steps")
        self.parts.append(f'<text class="run" x="0" y="{y + 18:g}">{escape(words)}</text>')
        y += 28
        for lane in sorted(by_lane, key=lambda lane: self.steps.index(lane) if lane in self.steps else len(self.steps)):
            self._draw_lane(lane, by_lane[lane], run, y)
            y += _LANE
        return y + 12

    def _draw_lane(self, lane: str, moments: Sequence[Moment], run: _Run, y: float) -> None:
        middle = y + _LANE / 2
        bars, marks = [], []
        reason = ""
        for moment in moments:
            x, tooltip = self._x(moment.at), f"<title>{escape(_said(moment, reason))}</title>"
            if moment.kind in ("waiting", "retrying"):
                half = 6 if moment.kind == "waiting" else 3
                width = max(1, self._x(min(moment.at + moment.seconds, run.end)) - x)
                bars.append(
                    f'<rect class="{moment.kind}" x="{x}" y="{middle - half:g}" width="{width:g}" '
                    f'height="{2 * half}" rx="1.5">{tooltip}</rect>'
                )
            if shape := _shape(moment, x, middle):
                marks.append(f'<path class="{_look(moment)}" d="{shape}">{tooltip}</path>')
            if moment.kind == "answered":
                reason = moment.text
        self.parts.append(
            f'<g role="group" aria-label="{escape(lane)}">'
            f'<path class="lane" d="M {self.left} {middle:g} h {_PLOT}"/>'
            f'<text class="step" x="{self.left - 12}" y="{middle + 4:g}" text-anchor="end">{escape(lane)}</text>'
            f"{''.join(bars)}{''.join(marks)}{self._totals(moments, run, middle)}</g>"
        )

    def _totals(self, moments: Sequence[Moment], run: _Run, middle: float) -> str:
        answers = [moment for moment in moments if moment.kind == "answered"]
        again = sum(moment.kind == "retrying" for moment in moments)
        failed = any(moment.kind == "failed" for moment in moments)
        last = min(max(moment.at + moment.seconds for moment in moments), run.end)
        words = [] if last == moments[0].at else [spoken(last - moments[0].at)]
        words += [_counted(len(answers), "poll")] if answers else []
        words += [f"tried again {_counted(again, 'time')}"] if again else []
        words += ["failed"] if failed else []
        return (
            f'<text class="{"total bad" if failed else "total"}" x="{self.left + _PLOT + 12}" y="{middle + 4:g}">'
            f"{', '.join(words)}</text>"
        )


def _said(moment: Moment, reason: str) -> str:
    """A moment in words; `reason` is what the step had last answered."""
    lines = {
        "answered": f"{moment.state} is ready" if moment.ready else f"{moment.state} is not ready",
        "waiting": f"{moment.state} waits {spoken(moment.seconds)}",
        "retrying": f"{moment.state} is tried again in {spoken(moment.seconds)}",
        "failed": f"{moment.state} failed",
    }
    text = reason if moment.kind == "waiting" else moment.text
    return f"{clock_face(moment.at)} {lines.get(moment.kind, moment.kind)}" + (f": {text}" if text else "")


def _shape(moment: Moment, x: float, y: float) -> str:
    """Each kind has its own shape, so that nothing depends on colours."""
    if moment.kind == "answered" and moment.ready:
        return f"M {x} {y - 7:g} l 6 7 l -6 7 l -6 -7 z"
    if moment.kind == "answered":
        return f"M {x} {y - 9:g} v 18"
    if moment.kind == "retrying":
        return f"M {x} {y - 15:g} l 5 8 h -10 z"  # above the lane: the next try is often at once
    if moment.kind == "failed":
        return f"M {x - 6:g} {y - 6:g} l 12 12 m 0 -12 l -12 12"
    return ""


def _look(moment: Moment) -> str:
    if moment.kind == "answered":
        return "ready" if moment.ready else "asked"
    return "again" if moment.kind == "retrying" else moment.kind


def _legend() -> str:
    shapes = []
    for words, moment in (
        ("asked, not ready", Moment(0, "answered")),
        ("ready", Moment(0, "answered", ready=True)),
        ("tried again after an error", Moment(0, "retrying")),
        ("failed", Moment(0, "failed")),
    ):
        shapes.append(
            (
                words,
                f'<path class="{_look(moment)}" d="{_shape(moment, 10, 21 if moment.kind == "retrying" else 10)}"/>',
            )
        )
    shapes.insert(1, ("waiting", '<rect class="waiting" y="4" width="20" height="12"/>'))
    entries = "".join(
        f'<span><svg class="timeline" width="20" height="20" aria-hidden="true">{shape}</svg>{words}</span>'
        for words, shape in shapes
    )
    return f'<p class="legend">{entries}</p>\n'


# The words around it


def _header(title: str, result: Fields) -> str:
    executions = result.get("executions") or []
    figures = [
        ("virtual time", spoken(result.get("virtual_seconds") or 0)),
        ("real time", spoken(result.get("real_seconds") or 0)),
        ("waited", spoken(_sum(executions, "waited"))),
        ("polls", f"{_sum(executions, 'polls'):g}"),
        ("transitions", f"{_sum(executions, 'transitions'):g}"),
        ("history events", f"{_sum(executions, 'events'):g}"),
    ]
    tiles = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
    scenario = result.get("scenario", "")
    return (
        f"<header><h1>{escape(title)}</h1>\n"
        f'<p class="outcome">{_verdict(result.get("passed"))} {escape(str(scenario))}</p>\n<dl>{tiles}</dl></header>'
    )


def _checks(checks: Sequence[Fields]) -> str:
    def seen(check: Fields) -> str:
        got = str(check.get("got") or "")
        return shorten(got, 120, placeholder=" …") if check.get("passed") else got

    rows = [(_verdict(check.get("passed")), _text(check.get("check")), _text(seen(check))) for check in checks]
    return _table(("", "Check", "Seen"), rows)


def _happened(happened: Sequence[Moment]) -> str:
    entries = [f"<li><time>{clock_face(moment.at)}</time> {escape(moment.text)}</li>" for moment in happened]
    return f"<ol>{''.join(entries)}</ol>\n" if entries else ""


def _executions(executions: Sequence[Fields], runs: Sequence[_Run]) -> str:
    lasted = {run.name: spoken(run.end - run.begin) for run in runs}
    rows = []
    for execution in executions:
        name = str(execution.get("name", ""))
        error = ": ".join(str(execution[key]) for key in ("error", "cause") if execution.get(key))
        output = json.dumps(execution.get("output"), indent=2, ensure_ascii=False, default=str)
        details = f"<details><summary>output</summary><pre>{escape(output)}</pre></details>"
        rows.append(
            (
                escape(name),
                _status(str(execution.get("status", ""))),
                lasted.get(name, ""),
                spoken(execution.get("waited") or 0),
                _text(execution.get("polls")),
                _text(execution.get("transitions")),
                f'<span class="bad">{escape(error)}</span>' + (details if execution.get("output") else ""),
            )
        )
    return _table(("Execution", "Status", "Lasted", "Waited", "Polls", "Transitions", "Error, output"), rows)


def _logins(logins: Sequence[Fields]) -> str:
    rows = [
        (
            _verdict(login.get("ok")),
            _text(login.get("cluster")),
            _text(login.get("principal")),
            _yes(login.get("gss_authenticated")),
            _yes(login.get("encrypted")),
            _text(login.get("error")),
        )
        for login in logins
    ]
    return _table(("", "Cluster", "principal", "gss_authenticated", "encrypted", "Error"), rows)


def _moments(moments: Sequence[Moment], *, several: bool) -> str:
    rows = []
    for moment in moments:
        text = escape(moment.text)
        if moment.kind == "answered":
            text = ("ready" if moment.ready else "not ready") + (f": {text}" if text else "")
        elif moment.kind in ("waiting", "retrying"):
            text = f"for {spoken(moment.seconds)}" + (f" after {text}" if text else "")
        kind = f'<b class="bad">{moment.kind}</b>' if moment.kind == "failed" else escape(moment.kind)
        own = (escape(moment.execution),) if several else ()
        rows.append((f"<time>{clock_face(moment.at)}</time>", *own, kind, escape(moment.state), text))
    headings = ("At", *(("Execution",) if several else ()), "What", "State", "")
    table = _table(headings, rows)
    return f"<details><summary>{_counted(len(rows), 'moment')}</summary>{table}</details>\n" if rows else ""


def _section(heading: str, body: str) -> str:
    return f"<section>\n<h2>{heading}</h2>\n{body}</section>\n" if body else ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already; nothing when it has no rows."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{heading}</th>' if heading else "<td></td>" for heading in headings)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'


def _text(value: object) -> str:
    return "" if value is None else escape(str(value))


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _verdict(passed: object) -> str:
    return '<b class="good">✓ passed</b>' if passed else '<b class="bad">✗ failed</b>'


def _status(status: str) -> str:
    look = {"SUCCEEDED": "good", "RUNNING": "open"}.get(status, "bad")
    return f'<b class="{look}">{escape(status)}</b>'


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _sum(executions: Sequence[Fields], key: str) -> float:
    return sum(execution.get(key) or 0 for execution in executions)


_STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --panel: #f5f7f9; --ink: #1b2733; --muted: #566573;
  --line: #d5dbe1; --blue: #2f6bb3; --wait: #a9c4e6; --good: #1f7a3d; --bad: #b3261e; --again: #a15c00; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14191f; --panel: #1d242c; --ink: #e4e9ee; --muted: #9fadba; --line: #36414c; --blue: #7fb2f0;
    --wait: #3f6187; --good: #6ccb8b; --bad: #ff8a80; --again: #f0b45a; }
  .graph svg { filter: invert(0.9) hue-rotate(180deg); }
}
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Helvetica, Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 1.6rem; font-weight: 600; margin: 0; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 40px 0 12px; }
.outcome { margin: 6px 0 20px; font-size: 1.05rem; }
dl { display: flex; flex-wrap: wrap; gap: 12px; margin: 0; }
dl div { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 8px 16px; }
dt { color: var(--muted); font-size: 0.8rem; }
dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
th { color: var(--muted); font-weight: 500; white-space: nowrap; }
td:first-child, td b { white-space: nowrap; }
pre { margin: 6px 0; font-size: 0.8rem; white-space: pre-wrap; }
time, ol { font-variant-numeric: tabular-nums; }
ol { padding-left: 2em; margin: 0; }
li time { color: var(--muted); margin-right: 0.6em; }
summary { cursor: pointer; color: var(--blue); }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--again); }
.legend { display: flex; flex-wrap: wrap; gap: 6px 22px; color: var(--muted); font-size: 0.85rem; margin: 10px 0 0; }
.legend span { display: inline-flex; align-items: center; gap: 7px; }
.graph { overflow-x: auto; }
.timeline { display: block; font-size: 12.5px; fill: var(--ink); }
.timeline .grid, .timeline .lane { stroke: var(--line); stroke-width: 1; fill: none; }
.timeline .lane { stroke-dasharray: 1 4; }
.timeline .hour { fill: var(--muted); font-size: 11.5px; }
.timeline .run { font-weight: 600; }
.timeline .total { fill: var(--muted); } .timeline .total.bad { fill: var(--bad); font-weight: 600; }
.timeline .waiting { fill: var(--wait); }
.timeline .retrying { fill: var(--again); opacity: 0.55; }
.timeline .asked { stroke: var(--blue); stroke-width: 1.6; fill: none; }
.timeline .ready { fill: var(--good); stroke: var(--ground); stroke-width: 1; }
.timeline .again { fill: var(--again); stroke: var(--ground); stroke-width: 1; }
.timeline .failed { stroke: var(--bad); stroke-width: 3; stroke-linecap: round; fill: none; }
.timeline .mark path { stroke: var(--muted); fill: none; } .timeline .mark circle { fill: var(--muted); }
.timeline .mark text { fill: var(--ground); font-size: 10.5px; font-weight: 600; }
"""
