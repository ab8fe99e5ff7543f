"""What AWS charges for a cluster's way through the workflow, from what the local run has recorded.

Counted is what is charged by use. What is charged by the month stands for itself: a directory, a secret, the VPC's way
to AWS Secrets Manager.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deploy import templates
from local.core.calls import Call
from local.core.executions import Execution
from local.scenario.format import read
from local.scenario.run import Result, rehearse
from tools.bench.page import Goal, Section

# USD in us-east-1, from the services' pages of prices; without free tiers.
PRICES = {
    "Step Functions: a transition of a standard workflow": 0.025 / 1_000,
    "Lambda: a request": 0.20 / 1_000_000,
    "Lambda: a GB-second on arm64": 0.0000133334,
    "DynamoDB: a write request unit (1 KB), on demand": 0.625 / 1_000_000,
    "DynamoDB: a read request unit (4 KB), on demand": 0.125 / 1_000_000,
    "SNS: a request": 0.50 / 1_000_000,
    "SNS: a mail": 2.00 / 100_000,
    "Secrets Manager: a request": 0.05 / 10_000,
    "KMS: a request": 0.03 / 10_000,
    "RDS Data API: a request": 0.35 / 1_000_000,
    "EventBridge: an event of one's own": 1.00 / 1_000_000,
    "CloudWatch Logs: a GB taken in": 0.50,
    "CloudWatch: a metric for an hour": 0.30 / 730,
    "X-Ray: a trace": 5.00 / 1_000_000,
}
# Not charged: calls of DS, EC2, IAM, RDS, STS, and of SSM for standard parameters; events of AWS's own services.

OF_A_CALL: Mapping[str, Mapping[str, int]] = {
    "events": {"EventBridge: an event of one's own": 1},
    "rds-data": {"RDS Data API: a request": 1},
    "secretsmanager": {"Secrets Manager: a request": 1, "KMS: a request": 1},
    "sns": {"SNS: a request": 1, "SNS: a mail": 1, "KMS: a request": 1},
}

SECONDS = 1.0  # assumed of an invocation, cold starts included
LOG_BYTES = 3_000  # assumed of an invocation, with the three lines that Lambda writes
EXISTING_DIRECTORY = "existing-directory"
DEAREST = 0.01  # USD, of a cluster on an existing directory


@dataclass(frozen=True)
class Case:
    """An execution of a scenario, from 0, and what it is to people."""

    name: str
    scenario: str
    execution: int = 0


CASES = (
    Case("from the tag to the login, with a new directory", "tag-to-login"),
    Case("on an existing directory", EXISTING_DIRECTORY),
    Case("run again, nothing to do", "run-twice", 1),
    Case("switched off by the tag", "disabled-by-tag", 1),
    Case("joined in the maintenance window", "apply-in-maintenance-window"),
)


@dataclass(frozen=True)
class Bill:
    """How much of each price an execution has used."""

    transitions: int
    invocations: int
    used: Mapping[str, float]

    @property
    def charges(self) -> dict[str, float]:
        """USD by service."""
        found = Counter[str]()
        for item, amount in self.used.items():
            found[item.partition(":")[0]] += amount * PRICES[item]  # type: ignore[assignment]  # a Counter of floats
        return dict(found)

    @property
    def total(self) -> float:
        """USD."""
        return sum(self.charges.values())


def sections() -> Iterator[Section]:
    """The bill of each case."""
    bills = {case: billed(case) for case in CASES}
    parts = ["Step Functions", "Lambda"]
    (existing,) = (bill for case, bill in bills.items() if case.scenario == EXISTING_DIRECTORY)
    yield Section(
        "Transitions and cost of a cluster",
        "USD in us-east-1, without free tiers; the prices stand in `tools/bench/cost.py`. Calls are those that the "
        f"local run has recorded. Of an invocation {SECONDS:g} s is assumed, at the memory that the template gives "
        f"the function, and {LOG_BYTES:,} bytes of logs. Everything else is the rest: DynamoDB, SNS (with one mail), "
        "Secrets Manager, KMS, EventBridge, CloudWatch and X-Ray, where each invocation is counted as a trace. Not "
        "counted is what is charged by the month, whoever uses it: a directory, secrets, a NAT gateway or endpoints.",
        ("a cluster", "transitions", "invocations", *parts, "the rest", "together"),
        [row(case, bill, parts) for case, bill in bills.items()],
        [Goal("USD for a cluster on an existing directory", existing.total, at_most=DEAREST, digits=4)],
    )


def row(case: Case, bill: Bill, parts: Iterable[str]) -> tuple[str, ...]:
    """A case's figures."""
    charged = [bill.charges.get(part, 0) for part in parts]
    shown = [*charged, bill.total - sum(charged), bill.total]
    return (case.name, str(bill.transitions), str(bill.invocations), *(f"{each:.4f}" for each in shown))


def billed(case: Case) -> Bill:
    """Rehearse a case, and count.

    Raises:
        AssertionError: the scenario did not end as it must.
    """
    result = rehearse(read(templates.ROOT / "scenarios" / f"{case.scenario}.yaml"))
    if failed := [check for check in result.checks if not check.passed]:
        raise AssertionError(failed)
    return bill_of(result, result.executions[case.execution])


def bill_of(result: Result, execution: Execution) -> Bill:
    """What one execution of a result has used."""
    functions = invoked(execution)
    transitions = len(execution.states) + len(execution.retries)
    used = Counter[str]()
    for call in result.calls:
        if call.function and call.execution == execution.name:
            used.update(of_call(call))
    memory = sum(memory_of(name) for name in functions) / 1024
    charged: dict[str, float] = {
        **used,
        "Step Functions: a transition of a standard workflow": transitions,
        "Lambda: a request": len(functions),
        "Lambda: a GB-second on arm64": memory * SECONDS,
        "CloudWatch Logs: a GB taken in": len(functions) * LOG_BYTES / 1e9,
        "CloudWatch: a metric for an hour": metrics_in(result.logs) / len(result.executions),
        "X-Ray: a trace": len(functions),
    }
    return Bill(transitions, len(functions), charged)


def invoked(execution: Execution) -> list[str]:
    """The functions that an execution has invoked, as often as it has."""
    tasks = {name for name, state in templates.definition()["States"].items() if state["Type"] == "Task"}
    again = [state for state in execution.states if state in tasks]
    return again + ["RecordOutcome"] * len(execution.retries)  # whichever it was: all have the same memory


def memory_of(function: str) -> int:
    """MB."""
    default: int = templates.source()["Globals"]["Function"]["MemorySize"]
    return int(templates.functions()[function].get("MemorySize", default))


def of_call(call: Call) -> Mapping[str, int]:
    """What one call uses of the prices."""
    if call.service != "dynamodb":
        return OF_A_CALL.get(call.service, {})
    if not call.changes:
        return {"DynamoDB: a read request unit (4 KB), on demand": 1}
    size = len(json.dumps(call.parameters, default=str))
    return {"DynamoDB: a write request unit (1 KB), on demand": 1 + size // 1024}


def metrics_in(logs: str) -> int:
    """The metrics that the functions' logs hold in CloudWatch's embedded format, the same one counted once."""
    found: set[tuple[Any, ...]] = set()
    for line in logs.splitlines():
        start = line.find('{"_aws"')
        if start < 0:
            continue
        try:
            content, _ = json.JSONDecoder().raw_decode(line[start:])
        except ValueError:
            continue
        for directive in content["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                values = tuple((name, content.get(name)) for name in names)
                found |= {(metric["Name"], values) for metric in directive["Metrics"]}
    return len(found)
