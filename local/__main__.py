"""The local run's command line: `python -m local rehearse FILE`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml
from pydantic import ValidationError
from rich.console import Console

from local import page, stack


def main() -> int:
    """Run the command; exit status 0 when all is true that must be, 1 when not, 2 for a scenario that is not valid."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True)
    rehearsal = commands.add_parser("rehearse", help="run a scenario")
    rehearsal.add_argument("file", type=Path)
    rehearsal.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
    rehearsal.add_argument("--html", type=Path, metavar="PAGE", help="write the run as a self-contained page")
    rehearsal.set_defaults(command=rehearse)
    documents = commands.add_parser("docs", help="write what of the documentation is made from the code")
    documents.set_defaults(command=write_docs)
    arguments = parser.parse_args()
    status: int = arguments.command(arguments)
    return status


def rehearse(arguments: argparse.Namespace) -> int:
    """`rehearse FILE [--json] [--html PAGE]`."""
    from local import scenario  # noqa: PLC0415  moto takes a second, which a mistyped path need not
    from local.terminal import Terminal  # noqa: PLC0415

    try:
        wanted = scenario.read(arguments.file)
    except (OSError, yaml.YAMLError, ValidationError, json.JSONDecodeError) as error:
        print(f"{arguments.file} is not a scenario: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        result = scenario.rehearse(wanted)
        print(json.dumps(result.as_dict(), indent=2))
    else:
        console = Console()
        console.print(f"[bold]{wanted.scenario}[/bold]", highlight=False)
        with Terminal(stack.definition(), console) as terminal:
            result = scenario.rehearse(wanted, terminal)
        terminal.summary(result.as_dict())
    if arguments.html:
        content = page.html(wanted.scenario, result.moments, stack.definition(), result.as_dict())
        arguments.html.write_text(content)
        if not arguments.json:
            print(f"The run as a picture: {arguments.html}")
    return 0 if result.passed else 1


def write_docs(_: argparse.Namespace) -> int:
    """`docs`."""
    from local.docs import documents  # noqa: PLC0415

    for path, content in documents().items():
        path.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
