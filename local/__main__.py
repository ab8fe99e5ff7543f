"""The command line of the local run: `python -m local rehearse FILE`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml
from pydantic import ValidationError
from rich.console import Console

from deploy import templates
from local.scenario import run
from local.scenario.format import read
from local.views import page
from local.views.terminal import Terminal

MOVED = {"watch": "python -m tools watch", "docs": "make docs"}  # said for one release


def main() -> int:
    """Run the command; exit status 0 when all went well, 1 when not, 2 when it could not be begun."""
    if moved := MOVED.get(next(iter(sys.argv[1:]), "")):
        print(f"`python -m local {sys.argv[1]}` is now `{moved}`.", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True)
    rehearsal = commands.add_parser("rehearse", help="run a scenario")
    rehearsal.add_argument("file", type=Path)
    rehearsal.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
    rehearsal.add_argument("--html", type=Path, metavar="PAGE", help="write the run as a self-contained page")
    rehearsal.set_defaults(command=rehearse)
    arguments = parser.parse_args()
    status: int = arguments.command(arguments)
    return status


def rehearse(arguments: argparse.Namespace) -> int:
    """`rehearse FILE [--json] [--html PAGE]`."""
    try:
        wanted = read(arguments.file)
    except (OSError, yaml.YAMLError, ValidationError, json.JSONDecodeError) as error:
        print(f"{arguments.file} is not a scenario: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        result = run.rehearse(wanted)
        print(json.dumps(result.as_dict(), indent=2))
    else:
        console = Console()
        console.print(f"[bold]{wanted.scenario}[/bold]", highlight=False)
        with Terminal(templates.definition(), console) as terminal:
            result = run.rehearse(wanted, terminal)
        terminal.summary(result.as_dict())
    if arguments.html:
        content = page.html(wanted.scenario, result.moments, templates.definition(), result.as_dict())
        arguments.html.write_text(content)
        if not arguments.json:
            print(f"The run as a picture: {arguments.html}")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
