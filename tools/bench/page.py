"""A section of the page of figures, on the terminal and in Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

INFINITE = float("inf")
COMMAND = ".venv/bin/python -m tools.bench"
INTRODUCTION = """\
# Figures

What it takes: to begin, to deploy, to run, and in money. `make bench` measures all of it, writes this page, and fails
when something is not reached that is to be; the command of each section makes its figures alone. Times were taken on a
machine with {cores} cores and Python {python}: they are for comparison with each other.
"""


@dataclass(frozen=True)
class Goal:
    """A figure that is to be reached."""

    what: str
    got: float
    at_least: float = 0
    at_most: float = INFINITE
    digits: int = 1

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.at_least <= self.got <= self.at_most

    def __str__(self) -> str:
        limit = f"at most {self.at_most:g}" if self.at_most < INFINITE else f"at least {self.at_least:g}"
        got = f"{self.got:,.{self.digits}f}"
        return f"{self.what}: {got}, to reach {limit}: {'reached' if self.reached else 'MISSED'}"


@dataclass(frozen=True)
class Section:
    """A table of figures, what it shows, and what of it is to be reached. The first column is text."""

    title: str
    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    goals: Sequence[Goal] = ()

    @property
    def reached(self) -> bool:
        """Whether all is that is to be."""
        return all(goal.reached for goal in self.goals)

    def table(self) -> Table:
        """For the terminal."""
        table = Table(title=self.title, title_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self, subject: str) -> str:
        """For the page; `subject` is the argument of the command that makes it."""
        lines = [
            f"## {self.title}",
            f"`{COMMAND} {subject}`",
            self.about,
            "\n".join(
                f"| {' | '.join(cells)} |"
                for cells in [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
            ),
            "\n".join(f"- {goal}" for goal in self.goals),
        ]
        return "\n\n".join(filter(None, lines)) + "\n"


def document(sections: Mapping[str, Sequence[Section]]) -> str:
    """The page, of the sections by subject."""
    introduction = INTRODUCTION.format(cores=os.cpu_count(), python=platform.python_version())
    made = [section.markdown(subject) for subject, found in sections.items() for section in found]
    return "\n".join([introduction, *made])
