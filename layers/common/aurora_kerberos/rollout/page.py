"""The report of a rollout as a self-contained page: it loads nothing, and runs no script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from textwrap import shorten

from aurora_kerberos.durations import spoken
from aurora_kerberos.rollout import figures, picture
from aurora_kerberos.rollout.work import FAILED, Report, Row, counted, name_of, sentence

LONGEST_MESSAGE = 600  # characters; report.json has all
FEW = 12  # clusters that are listed without being asked for


class Html(str):
    """Markup; any other text is escaped where it becomes part of the page."""


Cells = Sequence[str | int]


def html(report: Report) -> str:
    """The page: waves, progress over time, each failure with its remedy, accounts and Regions, every cluster."""
    title = f"Kerberos rollout {name_of(report['execution'])}"
    sections = [
        _section("Waves", _waves(report)),
        _section("Progress", picture.svg(report)),
        _section("Failed and refused", _troubles(report)),
        _section("Could not be looked at", _not_looked_at(report)),
        _section("Not in a wave", _unchanged(report)),
        _section("Regions", _counts("Region", figures.counts_by(report, "region"), figures.kinds(report))),
        _section("Accounts", _counts("Account", figures.counts_by(report, "account"), figures.kinds(report))),
        _section("Clusters", _clusters(report)),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{_header(title, report)}{''.join(sections)}</main>\n</body>\n</html>\n"
    )


# The words and tables


def _header(title: str, report: Report) -> str:
    began, made = datetime.fromisoformat(report["began_at"]), datetime.fromisoformat(report["made_at"])
    facts = [
        ("began (UTC)", _moment(report["began_at"])),
        ("report of (UTC)", _moment(report["made_at"])),
        ("lasted", spoken((made - began).total_seconds())),
        *((kind, str(report["counts"][kind])) for kind in figures.kinds(report)),
    ]
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    why = f'<p class="stopped"><b>Stopped.</b> {escape(report["stopped"])}</p>\n' if report["stopped"] else ""
    return (
        f"<header>\n<h1>{escape(title)}</h1>\n<p>{escape(sentence(report))}</p>\n{why}<dl>{tiles}</dl>\n"
        f'<p class="muted">Execution {escape(report["execution"])}</p>\n</header>\n'
    )


def _waves(report: Report) -> str:
    rows: list[Cells] = [
        (
            str(wave.number),
            wave.size,
            *(wave.counts[end] for end in figures.FINAL),
            wave.size - wave.ended,
            _moment(wave.began.isoformat()) if wave.began else "not begun",
            spoken(wave.seconds) if wave.began else "",
        )
        for wave in figures.waves(report)
    ]
    return _table(("Wave", "Clusters", *figures.FINAL, "open", "Began (UTC)", "Lasted"), rows)


def _counts(what: str, counts: Mapping[str, Counter[str]], kinds: Sequence[str]) -> str:
    rows: list[Cells] = [(name, each.total(), *(each[kind] for kind in kinds)) for name, each in counts.items()]
    return _table((what, "Clusters", *kinds), rows)


def _troubles(report: Report) -> str:
    """A block for each error and remedy: failures first, then those with the most clusters."""
    blocks = _grouped(figures.troubles(report), "outcome", "error", "remedy")
    return "".join(_trouble(rows) for rows in sorted(blocks, key=_weight))


def _weight(rows: Sequence[Row]) -> tuple[bool, int]:
    return rows[0]["outcome"] != FAILED, -len(rows)


def _trouble(rows: Sequence[Row]) -> str:
    first = rows[0]
    seen = [
        (shorten(same[0]["message"], LONGEST_MESSAGE, placeholder=" …"), _named(same))
        for same in _grouped(rows, "message")
    ]
    remedy = f"<p><b>What to do:</b> {escape(first['remedy'])}</p>\n" if first["remedy"] else ""
    heading = f'<span class="{first["outcome"]}">{escape(first["error"] or "Without an error")}</span>'
    return (
        f"<h3>{heading}: {counted(len(rows), 'cluster')} {escape(first['outcome'])}</h3>\n"
        f"{remedy}{_table(('Seen', 'Clusters'), seen, named=False)}"
    )


def _coloured(kind: str) -> Html | str:
    return Html(f'<span class="{kind}">{kind}</span>') if kind in figures.FINAL else kind


def _named(rows: Sequence[Row]) -> Html:
    text = ", ".join(f"{escape(row['id'])} ({escape(row['account'])}, {escape(row['region'])})" for row in rows)
    return Html(text if len(rows) <= FEW else _details(f"{len(rows)} clusters", text))


def _not_looked_at(report: Report) -> str:
    rows = [(f"{each['account']}, {each['region']}", each["refused"]) for each in report["refused"]]
    return _table(("Account, Region", "Reason"), rows)


def _unchanged(report: Report) -> str:
    kept = [row for row in report["clusters"] if not row["wave"]]
    rows = [(same[0]["state"], same[0]["why"], len(same)) for same in _grouped(kept, "state", "why")]
    return _table(("What they are", "Why", "Clusters"), sorted(rows))


def _clusters(report: Report) -> str:
    head = ("Cluster", "Region", "Wave", "Now", "Error, message or why", "Began (UTC)", "Last heard of")
    parts = []
    for own in _grouped(report["clusters"], "account"):
        rows = [
            (
                row["id"],
                row["region"],
                row["wave"] or "",
                _coloured(figures.now_is(row)),
                row["error"] or row["message"] or row["why"],
                _moment(row["began_at"]),
                _moment(row["recorded_at"]),
            )
            for row in own
        ]
        counts = Counter(figures.now_is(row) for row in own)
        words = ", ".join(f"{counts[kind]} {kind}" for kind in figures.IN_ORDER if counts[kind])
        parts.append(_details(f"{own[0]['account']}: {words}", _table(head, rows)))
    return "\n".join(parts)


def _grouped(rows: Iterable[Row], *fields: str) -> list[list[Row]]:
    """The rows by what stands in the fields."""

    def key(row: Row) -> tuple[str, ...]:
        return tuple(str(row[field]) for field in fields)  # type: ignore[literal-required]  # fields of a Row

    return [list(same) for _, same in groupby(sorted(rows, key=key), key=key)]


def _section(heading: str, body: str) -> str:
    return f"<section>\n<h2>{heading}</h2>\n{body}</section>\n" if body else ""


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def _table(headings: Sequence[str], rows: Sequence[Cells], *, named: bool = True) -> str:
    """A table whose rows have their name in the first cell, if `named`; nothing without rows."""
    if not rows:
        return ""
    numbers = [any(isinstance(cell, int) for cell in column) for column in zip(*rows, strict=True)]
    head = "".join(
        f'<th scope="col"{_NUMBER if number else ""}>{escape(heading[:1].upper() + heading[1:])}</th>'
        for heading, number in zip(headings, numbers, strict=True)
    )
    body = "\n".join(f"<tr>{_first(row[0], named)}{''.join(map(_cell, row[1:]))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n'


def _first(value: str | int, named: bool) -> str:
    return f'<th scope="row">{escape(str(value))}</th>' if named else _cell(value)


def _cell(value: str | int) -> str:
    if isinstance(value, Html):
        return f"<td>{value}</td>"
    return f"<td{_NUMBER}>{value}</td>" if isinstance(value, int) else f"<td>{escape(value)}</td>"


def _moment(text: str) -> str:
    """ISO 8601 as people read it, in UTC; empty for nothing."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}" if text else ""


_NUMBER = ' class="number"'
_STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --panel: #f5f7f9; --ink: #1b2733; --muted: #566573;
  --line: #d5dbe1; --blue: #2f6bb3; --good: #1f7a3d; --bad: #b3261e; --refused: #8f5200; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ground: #14191f; --panel: #1d242c; --ink: #e4e9ee; --muted: #9fadba; --line: #36414c; --blue: #7fb2f0;
    --good: #6ccb8b; --bad: #ff8a80; --refused: #f0b45a; }
}
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Helvetica, Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 1.6rem; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 40px 0 12px; }
h3 { font-size: 1rem; font-weight: 600; margin: 24px 0 4px; }
header p { margin: 6px 0 16px; overflow-wrap: anywhere; } section > p { margin: 4px 0; }
.stopped { border-left: 4px solid var(--bad); background: var(--panel); padding: 8px 14px; }
.muted { color: var(--muted); font-size: 0.85rem; }
dl { display: flex; flex-wrap: wrap; gap: 12px; margin: 0; }
dl div { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 8px 16px; }
dt { color: var(--muted); font-size: 0.8rem; }
dd { margin: 0; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 6px 20px 6px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; }
th { font-weight: 500; white-space: nowrap; } thead th { color: var(--muted); }
details td:nth-child(2), details td:nth-child(n + 6) { white-space: nowrap; }
.number { text-align: right; }
summary { cursor: pointer; color: var(--blue); padding: 3px 0; }
.enabled { color: var(--good); } .failed { color: var(--bad); } .refused { color: var(--refused); }
svg { display: block; width: 100%; min-width: 640px; font-size: 12.5px; fill: var(--ink); }
svg text { fill: currentColor; } svg .grid { stroke: var(--line); }
svg .wave { stroke: var(--muted); stroke-dasharray: 2 4; }
svg .line { fill: none; stroke: currentColor; stroke-width: 2.2; }
svg .line.refused { stroke-dasharray: 8 4; } svg .line.failed { stroke-dasharray: 2.5 3; }
@media print { main { padding: 0; } tr, dl, svg, h2, h3 { break-inside: avoid; } h2, h3 { break-after: avoid; } }
"""
