"""The tools' command line: `python -m tools watch` follows a rollout in AWS, `python -m tools docs` is `make docs`."""

from __future__ import annotations

import argparse
import datetime
import sys


def main() -> int:
    """Run the command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools", description=__doc__)
    commands = parser.add_subparsers(required=True)
    watching = commands.add_parser("watch", help="show a rollout of AWS until it has ended")
    watching.add_argument("execution", nargs="?", default="", help="name or ARN; the newest when left out")
    watching.add_argument("--stack", default="aurora-kerberos", help="of the account that starts rollouts")
    watching.add_argument("--profile", default="", help="of the AWS configuration")
    watching.add_argument("--region", default="", help="of the stack; the profile's when left out")
    watching.set_defaults(command=watch)
    documents = commands.add_parser("docs", help="write what of the documentation is made from the code")
    documents.set_defaults(command=write_docs)
    authorities = commands.add_parser("authorities", help="renew RDS's certificate authorities, which the layer ships")
    authorities.add_argument("sources", nargs="*", metavar="SOURCE", help="AWS's trust stores when left out")
    authorities.set_defaults(command=renew_authorities)
    arguments = parser.parse_args()
    status: int = arguments.command(arguments)
    return status


def watch(arguments: argparse.Namespace) -> int:
    """`watch [EXECUTION] [--stack STACK] [--profile PROFILE] [--region REGION]`."""
    from tools.watch.watch import watch as follow  # noqa: PLC0415  boto3 takes half a second

    return follow(arguments.execution, arguments.stack, arguments.profile, arguments.region)


def write_docs(_: argparse.Namespace) -> int:
    """`docs`."""
    from tools import statemachine  # noqa: PLC0415  moto takes a second, which `watch` does not need
    from tools.docs.documents import documents  # noqa: PLC0415

    statemachine.write()  # before the rest, some of which is made from it
    for path, content in documents().items():
        path.write_text(content)
    return 0


def renew_authorities(arguments: argparse.Namespace) -> int:
    """`authorities [SOURCE ...]`."""
    from tools.authorities import renew  # noqa: PLC0415  boto3 takes half a second

    print(renew(arguments.sources, datetime.datetime.now(datetime.UTC).date()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
