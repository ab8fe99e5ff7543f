"""The command line: `python -m local rehearse FILE` on this machine, `python -m local watch` for a rollout in AWS."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml
from pydantic import ValidationError
from rich.console import Console


def main() -> int:
    """Run the command; exit status 0 when all went well, 1 when not, 2 when it could not be begun."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(required=True)
    rehearsal = commands.add_parser("rehearse", help="run a scenario")
    rehearsal.add_argument("file", type=Path)
    rehearsal.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
    rehearsal.add_argument("--html", type=Path, metavar="PAGE", help="write the run as a self-contained page")
    rehearsal.set_defaults(command=rehearse)
    watching = commands.add_parser("watch", help="show a rollout of AWS until it has ended")
    watching.add_argument("execution", nargs="?", default="", help="name or ARN; the newest when left out")
    watching.add_argument("--stack", default="aurora-kerberos", help="of the account that starts rollouts")
    watching.add_argument("--profile", default="", help="of the AWS configuration")
    watching.add_argument("--region", default="", help="of the stack; the profile's when left out")
    watching.set_defaults(command=watch)
    documents = commands.add_parser("docs", help="write what of the documentation is made from the code")
    documents.set_defaults(command=write_docs)
    arguments = parser.parse_args()
    status: int = arguments.command(arguments)
    return status


def rehearse(arguments: argparse.Namespace) -> int:
    """`rehearse FILE [--json] [--html PAGE]`."""
    from local import page, scenario, stack  # noqa: PLC0415  moto takes a second, which no other command needs
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


def watch(arguments: argparse.Namespace) -> int:
    """`watch [EXECUTION] [--stack STACK] [--profile PROFILE] [--region REGION]`."""
    from local.watch import watch as follow  # noqa: PLC0415  boto3 takes half a second

    return follow(arguments.execution, arguments.stack, arguments.profile, arguments.region)


def write_docs(_: argparse.Namespace) -> int:
    """`docs`."""
    from local.docs import documents  # noqa: PLC0415
    from tools import statemachine  # noqa: PLC0415

    statemachine.write()  # before the rest, some of which is made from it
    for path, content in documents().items():
        path.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
