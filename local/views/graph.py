"""A state machine as a picture, made from its definition alone.

A step is a block of three states: a Task, the Choice that asks whether it is ready, and the Wait that leads back to the
Task. A block is one row of the picture; every other state is a row of its own.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any

Definition = Mapping[str, Any]

_WORKING = ("Task", "Map", "Parallel")


# What is in a definition


@dataclass(frozen=True)
class Edge:
    """A transition; `label` says when it is taken, `catch` that an error takes it."""

    source: str
    target: str
    label: str = ""
    catch: bool = False


@dataclass(frozen=True)
class Row:
    """The states that belong together: (task, choice, wait) of a block, or any other state alone."""

    states: tuple[str, ...]

    @property
    def name(self) -> str:
        """The state a row is known by: the block's task."""
        return self.states[0]

    @property
    def last(self) -> str:
        """The state from which a row is left."""
        return self.states[1] if self.is_block else self.states[0]

    @property
    def is_block(self) -> bool:
        """Whether the row is a task with its choice and its wait."""
        return len(self.states) == 3


def machines(definition: Definition, heading: str = "") -> Iterator[tuple[str, Definition]]:
    """The state machine and those inside its Map and Parallel states, each with a heading."""
    yield heading, definition
    for name, state in definition["States"].items():
        if processor := state.get("ItemProcessor") or state.get("Iterator"):
            yield from machines(processor, f"{name}, for each item")
        for number, branch in enumerate(state.get("Branches", ()), start=1):
            yield from machines(branch, f"{name}, branch {number}")


def edges(machine: Definition) -> list[Edge]:
    """Every transition of a machine, once for each pair of states and way of being taken."""
    labels: dict[tuple[str, str, bool], list[str]] = {}
    for name, state in machine["States"].items():
        for target, label, catch in _exits(state):
            seen = labels.setdefault((name, target, catch), [])
            if label and label not in seen:
                seen.append(label)
    return [Edge(source, target, " or ".join(seen), catch) for (source, target, catch), seen in labels.items()]


def _exits(state: Definition) -> Iterator[tuple[str, str, bool]]:
    for rule in state.get("Choices", ()):
        yield rule["Next"], _condition(rule), False
    if "Default" in state:
        yield state["Default"], "otherwise", False
    if "Next" in state:
        yield state["Next"], "", False
    for catcher in state.get("Catch", ()):
        yield catcher["Next"], ", ".join(catcher.get("ErrorEquals", ())), True


def _condition(rule: Definition) -> str:
    """What a choice rule says of itself, or its JSONata condition without the signs around the words."""
    words = str(rule.get("Comment") or rule.get("Condition") or "")
    return re.sub(r"\$(?=\w)", "", words.strip().removeprefix("{%").removesuffix("%}")).strip()


def rows(machine: Definition) -> list[Row]:
    """The rows from top to bottom, such that transitions lead downwards wherever there is no loop."""
    all_edges = edges(machine)
    blocks = _blocks(machine["States"], all_edges)
    row_of = {state: row for row in blocks for state in row.states}
    for name in machine["States"]:
        row_of.setdefault(name, Row((name,)))
    following: dict[Row, list[Row]] = {row: [] for row in row_of.values()}
    for edge in sorted(all_edges, key=lambda edge: edge.catch):  # what an error leads to comes last
        if edge.target in row_of:
            following[row_of[edge.source]].append(row_of[edge.target])

    finished: dict[Row, None] = {}
    begun: set[Row] = set()

    def visit(row: Row) -> None:
        if row not in begun:
            begun.add(row)
            for other in reversed(following[row]):
                visit(other)
            finished[row] = None

    visit(row_of[machine["StartAt"]])
    ordered = list(reversed(finished))
    leads_on = {after for before, after in pairwise(ordered) if _follows(before, after, all_edges)}
    ends = [row for row in ordered[1:] if not following[row] and row not in leads_on]
    unreachable = [row for row in following if row not in finished]
    return [row for row in ordered if row not in ends] + ends + unreachable


def _follows(before: Row, after: Row, all_edges: Sequence[Edge]) -> bool:
    return any(edge.source in before.states and edge.target in after.states and not edge.catch for edge in all_edges)


def _blocks(states: Definition, all_edges: Sequence[Edge]) -> list[Row]:
    arriving: dict[str, set[str]] = {name: set() for name in states}
    for edge in all_edges:
        arriving.setdefault(edge.target, set()).add(edge.source)
    found = []
    for task, state in states.items():
        choice = state.get("Next", "")
        if state["Type"] != "Task" or states.get(choice, {}).get("Type") != "Choice" or arriving[choice] != {task}:
            continue
        targets = [edge.target for edge in all_edges if edge.source == choice and edge.target in states]
        waits = [name for name in targets if states[name]["Type"] == "Wait" and states[name].get("Next") == task]
        if len(waits) == 1 and arriving[waits[0]] == {choice}:
            found.append(Row((task, choice, waits[0])))
    return found


def lanes(definition: Definition) -> dict[str, str]:
    """For every state the name of the step it belongs to."""
    return {state: row.name for _, machine in machines(definition) for row in rows(machine) for state in row.states}


def steps(definition: Definition) -> list[str]:
    """The names of all rows that do some work, from top to bottom."""
    return [
        row.name
        for _, machine in machines(definition)
        for row in rows(machine)
        if machine["States"][row.name]["Type"] in _WORKING
    ]


def main_path(definition: Definition) -> list[str]:
    """The steps of the longest way through the machine on which nothing fails."""
    states, ordered = definition["States"], rows(definition)
    place = {state: index for index, row in enumerate(ordered) for state in row.states}
    exits: list[list[str]] = [[] for _ in ordered]
    for index in reversed(range(len(ordered))):
        row = ordered[index]
        after = [place[e.target] for e in edges(definition) if e.source in row.states and not e.catch]
        exits[index] = max((exits[other] for other in after if other > index), key=len, default=[])
        if states[row.name]["Type"] in _WORKING:
            exits[index] = [row.name, *exits[index]]
    return exits[0]


# The picture

_FONT = "'Segoe UI', 'Helvetica Neue', Helvetica, Arial, sans-serif"
_INK, _MUTED, _LINE, _RED, _BLUE = "#1b2733", "#51606e", "#6b7a88", "#b3261e", "#2f5f9e"
_LOOKS = {  # fill, outline, corner
    "Task": ("#e8f0fb", _BLUE, 5),
    "Map": ("#e8f0fb", _BLUE, 5),
    "Parallel": ("#e8f0fb", _BLUE, 5),
    "Choice": ("#fff6db", "#94700f", 18),
    "Wait": ("#f3f4f6", _LINE, 5),
    "Pass": ("#ffffff", _LINE, 5),
    "Succeed": ("#e3f4e8", "#2b7a43", 18),
    "Fail": ("#fce8e6", _RED, 18),
}
_MARGIN, _GAP, _INNER_GAP, _HEIGHT, _LINE_HEIGHT, _LANE = 28, 40, 20, 40, 15, 14
_IN, _OUT = 11, 29  # how far below a box's top its side entrance and its first side exit are


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def centre(self) -> float:
        return self.x + self.width / 2


@dataclass
class _Canvas:
    """The SVG as it grows; lines lie under the boxes, words above both."""

    lines: list[str] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    right: float = 0

    def text(self, x: float, y: float, words: str) -> None:
        if words:
            self.words.append(f'<text x="{x:g}" y="{y:g}" font-size="11" fill="{_MUTED}">{escape(words)}</text>')

    def heading(self, y: float, words: str) -> float:
        """Writes a heading and returns where what it heads begins."""
        for line in textwrap.wrap(words, 76):
            self.words.append(
                f'<text x="{_MARGIN}" y="{y + 14:g}" font-size="14" font-weight="600" fill="{_INK}">'
                f"{escape(line)}</text>"
            )
            self.right = max(self.right, _MARGIN + len(line) * 8.6)
            y += 20
        return y + 14

    def edge(self, edge: Edge, points: Sequence[tuple[float, float]], *, dashed: bool = False) -> None:
        colour, arrow = (_RED, "graph-error") if edge.catch else (_LINE, "graph-next")
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.right = max(self.right, *(x for x, _ in points))
        self.lines.append(
            f'<path data-from="{escape(edge.source)}" data-to="{escape(edge.target)}" '
            f'data-kind="{"catch" if edge.catch else "next"}" d="{_rounded(points)}" fill="none" stroke="{colour}" '
            f'stroke-width="1.5"{dash} marker-end="url(#{arrow})"><title>{escape(_tooltip(edge))}</title></path>'
        )

    def state(self, name: str, state: Definition, box: _Box) -> None:
        fill, outline, corner = _LOOKS.get(state["Type"], _LOOKS["Pass"])
        comment = state.get("Comment", "")
        dash = ' stroke-dasharray="5 4"' if state["Type"] == "Wait" else ""
        self.right = max(self.right, box.right)
        captions = _caption(comment, box.width)
        baseline = box.y + (box.height - _LINE_HEIGHT * len(captions)) / 2 + 5
        lines = [
            f'<text x="{box.centre:g}" y="{baseline:g}" font-size="14" font-weight="600" '
            f'text-anchor="middle" fill="{_INK}">{escape(name)}</text>'
        ]
        lines += [
            f'<text x="{box.centre:g}" y="{baseline + _LINE_HEIGHT * number:g}" font-size="11" '
            f'text-anchor="middle" fill="{_MUTED}">{escape(line)}</text>'
            for number, line in enumerate(captions, start=1)
        ]
        self.boxes.append(
            f'<g data-state="{escape(name)}" data-type="{escape(state["Type"])}">'
            f"<title>{escape(': '.join(filter(None, (state['Type'], comment))))}</title>"
            f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="{corner}" '
            f'fill="{fill}" stroke="{outline}" stroke-width="1.3"{dash}/>{"".join(lines)}</g>'
        )
        if state["Type"] in ("Map", "Parallel"):  # a second outline: there is a machine inside
            self.boxes.append(
                f'<rect x="{box.x + 3:g}" y="{box.y + 3:g}" width="{box.width - 6:g}" height="{box.height - 6:g}" '
                f'rx="3" fill="none" stroke="{outline}" stroke-width="0.7"/>'
            )


def svg(definition: Definition) -> str:
    """The state machine as a self-contained SVG with an opaque, light background.

    Every state is a `<g data-state>`, every transition a `<path data-from data-to data-kind>`; errors run down a rail
    at the left, the waiting loops and what skips states are at the right. Machines inside Map and Parallel states
    follow below. The same definition always gives the same picture.
    """
    canvas = _Canvas()
    y: float = _MARGIN
    for heading, machine in machines(definition, str(definition.get("Comment", ""))):
        if heading:
            y = canvas.heading(y, heading)
        y = _draw(canvas, machine, y) + _GAP
    y = _legend(canvas, definition, y)
    width, height = canvas.right + _MARGIN, y + _MARGIN - 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="State machine" font-family="{_FONT}">'
        f"<defs>{_arrow('graph-next', _LINE)}{_arrow('graph-error', _RED)}</defs>"
        f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="8" fill="#ffffff" stroke="#d5dbe1"/>'
        + "\n".join(["", *canvas.lines, *canvas.boxes, *canvas.words])
        + "\n</svg>"
    )


def _draw(canvas: _Canvas, machine: Definition, top: float) -> float:
    """Draws one machine from `top` on and returns where it ends."""
    states, ordered, all_edges = machine["States"], rows(machine), edges(machine)
    place = {state: index for index, row in enumerate(ordered) for state in row.states}
    all_edges = [edge for edge in all_edges if edge.target in place]
    sideways = [edge for edge in all_edges if _is_sideways(edge, ordered, place)]
    caught = sorted({edge.target for edge in all_edges if edge.catch}, key=lambda name: place[name])
    left = _MARGIN + (_LANE * len(caught) + 16 if caught else 0)
    boxes, bottoms = _arrange(states, ordered, sideways, left, top + 34)

    first = boxes[machine["StartAt"]]
    canvas.lines.append(
        f'<circle cx="{first.centre:g}" cy="{top + 6:g}" r="6" fill="{_INK}"/><path d="M {first.centre:g} {top + 12:g} '
        f'V {first.y:g}" stroke="{_LINE}" stroke-width="1.5" marker-end="url(#graph-next)"/>'
    )
    for name, box in boxes.items():
        canvas.state(name, states[name], box)
        if states[name].get("End"):
            canvas.lines.append(
                f'<path d="M {box.centre:g} {box.bottom:g} v 10" stroke="{_LINE}" stroke-width="1.5"/>'
                f'<circle cx="{box.centre:g}" cy="{box.bottom + 15:g}" r="5" fill="none" stroke="{_INK}" '
                f'stroke-width="2"/>'
            )
    for edge in all_edges:
        source, target = boxes[edge.source], boxes[edge.target]
        if edge.catch:
            rail = left - 16 - _LANE * caught.index(edge.target)
            start, end = source.y + _IN, target.y + _OUT
            canvas.edge(edge, [(source.x, start), (rail, start), (rail, end), (target.x, end)])
        elif edge not in sideways:
            _short(canvas, edge, source, target)
    _skips(canvas, sideways, boxes, bottoms, place)
    return bottoms[-1] + (20 if states[ordered[-1].last].get("End") else 0)


def _is_sideways(edge: Edge, ordered: Sequence[Row], place: Mapping[str, int]) -> bool:
    """Whether a transition neither stays in its row nor leads to the next one, and so goes around at the right."""
    if edge.catch:
        return False
    here, there = place[edge.source], place[edge.target]
    inside = here == there and ordered[here].is_block
    return not inside and there != here + 1


def _arrange(
    states: Definition, ordered: Sequence[Row], sideways: Sequence[Edge], left: float, top: float
) -> tuple[dict[str, _Box], list[float]]:
    """Where every state goes, and where every row ends."""
    waits = {row.states[2] for row in ordered if row.is_block}
    width = _widest([name for name in states if name not in waits], 250)
    waits_width = _widest(waits, 150)
    boxes: dict[str, _Box] = {}
    bottoms = []
    y = top
    for row in ordered:
        exits = sum(edge.source == row.name for edge in sideways)
        height = _height(states[row.name], width) + _LANE * max(0, exits - 1)
        box = boxes[row.name] = _Box(left, y, width, height)
        bottom = box.bottom
        if row.is_block:
            _, choice, wait = row.states
            narrow, y = width - 40, bottom + _INNER_GAP
            boxes[choice] = _Box(left + 20, y, narrow, _height(states[choice], narrow))
            boxes[wait] = _Box(left + width + 72, y, waits_width, _height(states[wait], waits_width))
            bottom = max(boxes[choice].bottom, boxes[wait].bottom)
        bottoms.append(bottom)
        y = bottom + _GAP
    return boxes, bottoms


def _short(canvas: _Canvas, edge: Edge, source: _Box, target: _Box) -> None:
    """Within a row, or straight down to the next one."""
    if target.x > source.right:  # choice → wait
        y = source.y + _HEIGHT / 2
        canvas.edge(edge, [(source.right, y), (target.x, y)])
        canvas.text(source.right + 8, y - 6, _short_label(edge.label, 12))
    elif source.x > target.right:  # wait → task
        y = target.bottom - 11
        canvas.edge(edge, [(source.centre, source.y), (source.centre, y), (target.right, y)], dashed=True)
    else:
        canvas.edge(edge, [(source.centre, source.bottom), (source.centre, target.y)])
        canvas.text(source.centre + 9, source.bottom + 22, _short_label(edge.label))


def _skips(
    canvas: _Canvas,
    sideways: Sequence[Edge],
    boxes: Mapping[str, _Box],
    bottoms: Sequence[float],
    place: Mapping[str, int],
) -> None:
    """Transitions around other rows, one line for each target, the short ones inside."""
    reach = [max(box.right for name, box in boxes.items() if place[name] == index) for index in range(len(bottoms))]
    bundles: dict[str, list[Edge]] = {}
    for edge in sideways:
        bundles.setdefault(edge.target, []).append(edge)
    spans = {}
    for target, bundle in bundles.items():
        touched = [place[target], *(place[edge.source] for edge in bundle)]
        spans[target] = range(min(touched), max(touched) + 1)
    used: dict[str, int] = {}
    for target in sorted(spans, key=lambda name: (len(spans[name]), spans[name].start)):
        room = max(len(_short_label(edge.label)) * 6 for edge in bundles[target])
        lane = max(reach[index] for index in spans[target])
        lane = max(lane + 20, *(boxes[edge.source].right + room + 20 for edge in bundles[target]))
        for index in spans[target]:
            reach[index] = lane
        into = boxes[target]
        end = [(lane, into.y + _IN), (into.right, into.y + _IN)]
        for edge in bundles[target]:
            source, row = boxes[edge.source], place[edge.source]
            number = used[edge.source] = used.get(edge.source, -1) + 1
            if any(place[name] == row and box.x > source.right for name, box in boxes.items()):  # a wait is in the way
                x, y = source.right - 24 - 10 * number, bottoms[row] + 8 + 6 * number
                canvas.edge(edge, [(x, source.bottom), (x, y), (lane, y), *end])
                canvas.text(source.right + 8, y + 12, _short_label(edge.label))
            else:
                y = source.y + _OUT + _LANE * number
                canvas.edge(edge, [(source.right, y), (lane, y), *end])
                canvas.text(source.right + 8, y - 4, _short_label(edge.label))


def _legend(canvas: _Canvas, definition: Definition, y: float) -> float:
    """What the shapes and lines mean; only those that are in the picture."""
    types = {state["Type"] for _, machine in machines(definition) for state in machine["States"].values()}
    entries = [(name, "box") for name in _LOOKS if name in types]
    entries.append(("next", "next"))
    if any(edge.catch for _, machine in machines(definition) for edge in edges(machine)):
        entries.append(("on an error", "catch"))
    x: float = _MARGIN
    for name, kind in entries:
        needed = 36 + len(name) * 6.3
        if x > _MARGIN and x + needed > max(canvas.right, 420):
            x, y = _MARGIN, y + 20
        if kind == "box":
            fill, outline, corner = _LOOKS[name]
            dash = ' stroke-dasharray="3 2"' if name == "Wait" else ""
            mark = f'<rect x="{x:g}" y="{y - 9:g}" width="20" height="12" rx="{min(corner, 6)}" fill="{fill}" '
            canvas.boxes.append(f'{mark}stroke="{outline}"{dash}/>')
        else:
            colour, arrow = (_RED, "graph-error") if kind == "catch" else (_LINE, "graph-next")
            mark = f'<path d="M {x:g} {y - 3:g} h 20" stroke="{colour}" stroke-width="1.5" '
            canvas.boxes.append(f'{mark}marker-end="url(#{arrow})"/>')
        canvas.text(x + 26, y + 1, name)
        x += needed
        canvas.right = max(canvas.right, x - 10)
    return y


def _rounded(points: Sequence[tuple[float, float]], radius: float = 6) -> str:
    """A path along right angles with rounded corners."""
    parts = [f"M {points[0][0]:g} {points[0][1]:g}"]
    for (x0, y0), (x, y), (x1, y1) in zip(points, points[1:], points[2:], strict=False):
        before, after = abs(x - x0) + abs(y - y0), abs(x1 - x) + abs(y1 - y)
        bend = min(radius, before / 2, after / 2)
        ax, ay = x + _sign(x0 - x) * bend, y + _sign(y0 - y) * bend
        bx, by = x + _sign(x1 - x) * bend, y + _sign(y1 - y) * bend
        parts.append(f"L {ax:g} {ay:g} Q {x:g} {y:g} {bx:g} {by:g}")
    parts.append(f"L {points[-1][0]:g} {points[-1][1]:g}")
    return " ".join(parts)


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _arrow(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        f'<path d="M 0 0 L 8 4 L 0 8 z" fill="{colour}"/></marker>'
    )


def _widest(names: Sequence[str] | set[str], at_least: float) -> float:
    """Wide enough for the longest name in the boldest of the fonts a viewer may have."""
    return max([at_least, *(len(name) * 9 + 28 for name in names)])


def _caption(comment: str, width: float) -> list[str]:
    """A comment as at most three lines that fit; the whole of it is in the tooltip."""
    return textwrap.wrap(comment, int((width - 16) / 6.2), max_lines=3, placeholder=" …")


def _height(state: Definition, width: float) -> float:
    lines = len(_caption(state.get("Comment", ""), width))
    return _HEIGHT + _LINE_HEIGHT * lines - (6 if lines else 0)


def _short_label(label: str, longest: int = 40) -> str:
    return label if len(label) <= longest else label[: longest - 1] + "…"


def _tooltip(edge: Edge) -> str:
    return f"{edge.source} → {edge.target}" + (f": {edge.label}" if edge.label else "")
