"""How long a function's cold start imports, and what."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy import templates
from local.services.iam import resources
from tools.bench.page import Goal, Section

RUNS = 3
BUDGET = 2  # times what boto3 and a function's clients take: a slow machine is slow with both
HEAVY = 20  # ms
BOTO3_NAMES = {service: name for name, service in resources.PREFIXES.items()}
BEHIND_ANOTHER_CALL = {"kms"}  # AWS decrypts: no client of ours asks it

TIMED = "import time; began = time.perf_counter()\n{}\nprint(time.perf_counter() - began)"
CLIENTS = """import boto3
session = boto3.Session(region_name='eu-central-1')
for service in {!r}:
    session.client(service)"""
LOOKED_AT = """import app, gc, json, sys
from botocore.client import BaseClient
clients = [type(each).__name__ for each in gc.get_objects() if isinstance(each, BaseClient)]
print(json.dumps([clients, [name for name in {!r} if name in sys.modules]]))"""
OPTIONAL = ("psycopg2", "pydantic")  # what not every function needs


@dataclass(frozen=True)
class Imported:
    """What stands there when a function has been imported: AWS clients, and packages that not all need."""

    clients: list[str]
    packages: list[str]


def sections() -> Iterator[Section]:
    """Each function beside its budget; the best of several fresh interpreters."""
    rows, over = [], []
    for name, properties in templates.functions().items():
        folder = templates.ROOT / properties["CodeUri"]
        budget = BUDGET * clients_take(services(name))
        took = best("import app", folder)
        rows.append((name, f"{took:.0f} ms", f"{budget:.0f} ms", ", ".join(heavy(folder))))
        over += [name] if took > budget else []
    without = [name for name in templates.functions() if imported(name) != Imported([], needed(name))]
    yield Section(
        "Cold import",
        f"`import app` in a fresh interpreter, the best of {RUNS}, with the function's folder and the layer's on the "
        f"path. The budget is {BUDGET} times what `import boto3` and the clients that the function's policy names take "
        "in the same run. No client is made before it is needed. The last column has the packages whose own modules "
        f"take more than {HEAVY} ms, botocore's own needs among them.",
        ("function", "import", "budget", f"packages over {HEAVY} ms"),
        rows,
        [
            Goal("functions over their budget", len(over), at_most=0, digits=0),
            Goal("functions that make a client or import what they do not need", len(without), at_most=0, digits=0),
        ],
    )


def services(name: str) -> list[str]:
    """The services that a function has clients of, by its policy, as boto3 names them."""
    policies = templates.policies(name)
    actions = {a for policy in policies for each in policy["Statement"] for a in resources.listed(each["Action"])}
    own = {action.partition(":")[0] for action in actions - resources.BEHIND_THE_CALLS.get(name, set())}
    return sorted(BOTO3_NAMES.get(service, service) for service in own - BEHIND_ANOTHER_CALL)


def needed(name: str) -> list[str]:
    """Which of the optional packages a function is built with."""
    properties = templates.functions()[name]
    requirements = templates.ROOT / properties["CodeUri"] / "requirements.txt"
    built_with = {
        "psycopg2": bool(properties.get("Layers")),
        "pydantic": requirements.exists() and "pydantic" in requirements.read_text(),
    }
    return [package for package in OPTIONAL if built_with[package]]


def imported(name: str) -> Imported:
    """What a function's import leaves behind."""
    folder = templates.ROOT / templates.functions()[name]["CodeUri"]
    return Imported(*json.loads(run(LOOKED_AT.format(OPTIONAL), folder).stdout))


@cache
def clients_of(wanted: tuple[str, ...]) -> float:
    """Milliseconds to import boto3 and to make the clients."""
    return best(CLIENTS.format(wanted), templates.ROOT)


def clients_take(wanted: list[str]) -> float:
    """Milliseconds to import boto3 and to make the clients, measured once for the same ones."""
    return clients_of(tuple(wanted))


def best(code: str, folder: Path) -> float:
    """Milliseconds that the code takes in the fastest of some interpreters."""
    return min(float(run(TIMED.format(code), folder).stdout) for _ in range(RUNS)) * 1000


def heavy(folder: Path) -> list[str]:
    """The packages whose own modules take long, by `-X importtime`."""
    taken = Counter[str]()
    for line in run("import app", folder, "-X", "importtime").stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            taken[name.strip().partition(".")[0]] += int(own)
    return [f"{name} {took / 1000:.0f}" for name, took in taken.most_common() if took > HEAVY * 1000]


def run(code: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, with a function's folder and the layer's on the path, as Lambda has them."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join([str(folder), str(templates.ROOT / "layers" / "common")]),
        "AWS_REGION": "eu-central-1",
    }
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
