"""`python -m tools.bench`: print the figures and write the page; with subjects, print theirs alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable

from rich.console import Console

from tools.bench import cost, imports, polling, rollouts, sizes, speed
from tools.bench.page import Section, document
from tools.docs.documents import DOCS

SUBJECTS: dict[str, Callable[[], Iterable[Section]]] = {
    "imports": imports.sections,
    "sizes": sizes.sections,
    "cost": cost.sections,
    "polling": polling.sections,
    "speed": speed.sections,
    "rollouts": rollouts.sections,
}


def main() -> int:
    """The exit status is 1 when something is not reached that is to be."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(SUBJECTS))
    wanted = parser.parse_args().subjects
    if unknown := set(wanted) - set(SUBJECTS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    console, made = Console(width=120), dict[str, list[Section]]()
    for subject in wanted or SUBJECTS:
        for section in SUBJECTS[subject]():
            made.setdefault(subject, []).append(section)
            console.print(section.table())
            for goal in section.goals:
                console.print(str(goal), highlight=False, style="" if goal.reached else "red")
    if not wanted:
        (DOCS / "benchmarks.md").write_text(document(made))
    return 0 if all(section.reached for found in made.values() for section in found) else 1


if __name__ == "__main__":
    sys.exit(main())
