"""What must be true at the end of a scenario."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aurora_kerberos import items
from deploy import templates
from local.cloud import Cloud
from local.core import places
from local.core.calls import Call
from local.core.executions import Execution
from local.scenario import expected_steps
from local.scenario.format import Expected, ExpectedExecution, ExpectedLogin, ExpectedRollout
from local.scenario.login import Login
from local.services.rds.backend import cluster_of, members

RECORD = {"dynamodb"}  # the registry with its leases


@dataclass(frozen=True)
class Check:
    """One thing that had to be true, and what was."""

    check: str
    passed: bool
    got: str


def checks(cloud: Cloud, expect: Expected, logins: list[Login]) -> Iterator[Check]:
    """All that must be true, one by one."""
    executions = list(cloud.executions.values())
    if expect.executions is not None:
        yield same("number of executions", len(expect.executions), len(executions))
    for expected, execution in zip(expect.executions or [], executions, strict=False):
        yield from check_execution(expected, execution)
        if expected.changes is not None:
            made = changes(call for call in cloud.calls if call.execution == execution.name)
            yield same(f"{execution.name}: changes", expected.changes, made)
    for wanted_rollout, execution in zip(expect.rollouts, rollouts(executions), strict=True):
        yield from check_rollout(cloud, wanted_rollout, execution)
    for cluster, fields in expect.registry.items():
        item = registry_item(cloud, cluster)
        for name, text in fields.items():
            what, got = f"registry of {cluster}: {name}", item.get(name, "")
            yield contains(what, text, got) if text else same(what, text, got)
    for cluster, tags in expect.tags.items():
        with places.of(cluster) as identifier:
            found = {tag["Key"]: tag["Value"] for tag in cluster_of(cloud, identifier).get_tags()}
        yield from (same(f"tag {key} of {cluster}", value, found.get(key)) for key, value in tags.items())
    for cluster, status in expect.memberships.items():
        with places.of(cluster) as identifier:
            everyone = members(cluster_of(cloud, identifier))
        found_statuses = {each.domain_memberships[0].status if each.domain_memberships else "none" for each in everyone}
        yield same(f"membership of {cluster} and its instances", status, " ".join(sorted(found_statuses)))
    for wanted, done in zip(expect.logins, logins, strict=True):
        yield check_login(wanted, done)
    sent = [str(call.parameters["Message"]) for call in cloud.calls if call.name == "sns:Publish" and not call.error]
    if expect.notifications is not None:
        yield same("number of notifications", len(expect.notifications), len(sent))
        yield from (contains("notification", text, got) for text, got in zip(expect.notifications, sent, strict=False))
    if expect.unchanged:
        yield same("changes made in AWS", [], changes(cloud.calls))
    for name, times in expect.calls.items():
        count = sum(call.name == name and not call.error for call in cloud.calls if call.function)
        yield same(f"successful calls of {name}", times, count)


def check_execution(expected: ExpectedExecution, execution: Execution) -> Iterator[Check]:
    """What must be true of one execution."""
    name = execution.name
    yield same(f"{name}: status", expected.status, execution.status)
    yield same(f"{name}: error", expected.error, execution.error)
    text = execution.cause or json.dumps(execution.output)
    for part in filter(None, (expected.message, expected.remedy)):
        yield contains(f"{name}: outcome", part, text)
    if expected.steps is not None:
        steps = expected_steps.expected(expected.steps, expected.status, templates.definition())
        yield same(f"{name}: steps", steps, execution.steps)
    if expected.waits is not None:
        yield same(f"{name}: waits", expected.waits, [int(seconds) for _, seconds in execution.waits])
    if expected.retries is not None:
        yield same(f"{name}: retries", expected.retries, len(execution.retries))


def rollouts(executions: Iterable[Execution]) -> list[Execution]:
    """Those of the executions that are rollouts."""
    return [execution for execution in executions if ":aurora-kerberos-rollout:" in execution.arn]


def check_rollout(cloud: Cloud, expected: ExpectedRollout, execution: Execution) -> Iterator[Check]:
    """What must be true of one rollout, by its report."""
    name, bucket = execution.name, cloud.outputs["RolloutBucket"]
    yield same(f"rollout {name}: status", expected.status, execution.status)
    if expected.counts is None:
        return
    report = json.loads(cloud.client("s3").get_object(Bucket=bucket, Key=f"{name}/report.json")["Body"].read())
    yield same(f"rollout {name}: clusters", expected.counts, report["counts"])
    yield same(f"rollout {name}: waves", expected.waves, [wave["size"] for wave in report["waves"]])
    refused = [f"{each['account']}/{each['region']}" for each in report["refused"]]
    yield same(f"rollout {name}: not looked at", expected.refused, refused)
    yield contains(f"rollout {name}: stopped", expected.stopped, report["stopped"])


def check_login(expected: ExpectedLogin, done: Login) -> Check:
    """What must be true of one login."""
    what = f"{expected.principal} logs in to {expected.cluster}"
    if expected.refused:
        return contains(f"{what}: refused", expected.refused, done.error)
    passed = done.ok and done.gss_authenticated and done.principal == expected.principal
    return Check(what, passed, done.error or f"as {done.principal}, encrypted: {done.encrypted}")


def changes(calls: Iterable[Call]) -> list[str]:
    """The functions' calls that changed something in AWS, but for the record of the outcome."""
    return [
        f"{call.function} {call.name}"
        for call in calls
        if call.function
        and call.changes
        and not call.error
        and call.service not in RECORD
        and call.function != "RecordOutcome"
    ]


def registry_item(cloud: Cloud, cluster: str, kind: str = "") -> Mapping[str, str]:
    """The registry's item of a cluster, in its account and Region; empty when there is none.

    `kind` is what its key begins with, such as `registry.RESTART`; that of the last outcome begins with nothing.
    """
    place, _ = places.split(cluster)
    found = cloud.client("dynamodb", *place).get_item(
        TableName=cloud.deployed[place].outputs["Registry"], Key=items.key(f"{kind}{cloud.cluster_arn(cluster)}")
    )
    return items.texts(found.get("Item", {}))


def same(what: str, expected: Any, got: Any) -> Check:
    """The two must be equal."""
    return Check(f"{what} is {expected!r}", expected == got, repr(got))


def contains(what: str, part: str, text: str) -> Check:
    """The text must contain the part."""
    return Check(f"{what} says {part!r}", part in text, text)
