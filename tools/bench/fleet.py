"""A fleet of thousands of clusters in hundreds of accounts: a rollout's own functions are real, all else is stubbed.

Shows that payloads, histories, rates and memory stay within AWS's quotas. Time is virtual; an event queue stands in for
the interpreter of the state machine, whose events are counted as AWS writes them.
"""

from __future__ import annotations

import heapq
import io
import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos import aws, step
from aurora_kerberos.arns import Arn
from local.core.clock import BEGINNING
from local.services.lambda_functions import ROOT, load

ACCOUNTS, CLUSTERS, REGIONS = 500, 10_000, ("eu-central-1", "eu-west-1")
AT_ONCE = 500
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:aurora-kerberos-rollout:fleet"
ENVIRONMENT = {
    "AWS_REGION": "eu-central-1",
    "ROLLOUT_BUCKET": "bucket",
    "ROLLOUT_TABLE": "rollouts",
    "MEMBER_ROLE": "/member",
    "NOTIFICATION_TOPIC": "topic",
}
PAGE = 100  # clusters in an answer of DescribeDBClusters

# Quotas ("Quotas for AWS Step Functions"), and what the issue grants this simulation.
PAYLOAD, HISTORY, OPEN_CHILDREN, STARTS = 256 * 1024, 25_000, 10_000, 800
SECONDS, BYTES = 60, 1 << 30
# Events in a child's history: its start, the state Item, Recorded and its end; and those of each look at the cluster.
EVENTS_OF_A_CHILD, EVENTS_OF_A_LOOK, EVENTS_OF_A_WAIT = 1 + 2 + 2 + 1, 5 + 2, 2


@dataclass
class Figures:
    """What is measured."""

    largest_input: int = 0
    largest_output: int = 0
    largest_map_output: int = 0
    looks: int = 0
    most_looks: int = 0
    most_at_once: int = 0
    starts: Counter[int] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)
    virtual_seconds: float = 0


class Fleet:
    """The organization's accounts with their clusters, the rollout's bucket and table: all that is stubbed."""

    def __init__(self, accounts: int = ACCOUNTS, clusters: int = CLUSTERS) -> None:
        luck = random.Random(11)  # noqa: S311  nobody's secrets are at stake
        self.now = 0.0
        self.figures = Figures()
        self.objects: dict[str, bytes] = {}
        self.table: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.names: dict[tuple[str, str], list[str]] = {}
        self.takes: dict[str, float] = {}
        self.asked: dict[str, float] = {}
        self.ends: dict[str, str] = {}
        self.accounts = [f"{100_000_000_000 + number}" for number in range(accounts)]
        for number in range(clusters):
            account, region = self.accounts[number % accounts], REGIONS[number // accounts % len(REGIONS)]
            name = f"cluster-{number:05}"
            arn = f"arn:aws:rds:{region}:{account}:cluster:{name}"
            self.names.setdefault((account, region), []).append(name)
            self.tags[arn] = {"team": f"team-{number % 40}"}
            self.takes[arn] = luck.uniform(14 * 60, 40 * 60)
            self.ends[arn] = luck.choices(["enabled", "PrincipalUsesIam", "NetworkBlocked"], [98.5, 1, 0.5])[0]

    def time(self) -> str:
        """The virtual time, ISO 8601."""
        return (BEGINNING + timedelta(seconds=self.now)).isoformat()

    def described(self, account: str, region: str, name: str) -> dict[str, Any]:
        """A cluster as RDS describes it; its workflow has ended when it has had its time."""
        arn = f"arn:aws:rds:{region}:{account}:cluster:{name}"
        tags = self.tags[arn]
        if arn in self.asked and self.now >= self.asked[arn] + self.takes[arn]:
            tags["kerberos-status"], tags["kerberos-message"] = self.ends[arn], "It is as it is " * 12
        joined = [{"Domain": "d-1234567890", "Status": "kerberos-enabled"}] if "kerberos-status" in tags else []
        return {
            "DBClusterArn": arn,
            "DBClusterIdentifier": name,
            "Engine": "aurora-postgresql",
            "Status": "available",
            "DBSubnetGroup": "group",
            "VpcSecurityGroups": [{}],
            "TagList": [{"Key": key, "Value": value} for key, value in tags.items()],
            "DomainMemberships": joined,
        }

    def session(self, role: str) -> Any:
        """What takes the place of a boto3 session of a role."""
        account = Arn.parse(role).account
        clients = {"s3": self.s3, "dynamodb": self.dynamodb, "organizations": self.organizations, "sns": self.sns}
        return SimpleNamespace(
            client=lambda service, region_name, **_: (
                clients[service]() if service in clients else self.rds(account, region_name)
            )
        )

    def s3(self) -> Any:
        """The bucket."""

        def put_object(Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803  boto3's names
            self.objects[Key] = Body

        def get_object(Key: str, **_: Any) -> Any:  # noqa: N803  boto3's names
            if Key not in self.objects:
                raise ClientError({"Error": {"Code": "NoSuchKey", "Message": Key}}, "GetObject")
            return {"Body": io.BytesIO(self.objects[Key])}

        return SimpleNamespace(put_object=put_object, get_object=get_object)

    def dynamodb(self) -> Any:
        """The table of outcomes."""

        def put_item(Item: dict[str, Any], **_: Any) -> None:  # noqa: N803  boto3's names
            self.table[Item["cluster"]["S"]] = Item

        return SimpleNamespace(
            put_item=put_item, get_paginator=lambda _: pages(lambda **__: [{"Items": list(self.table.values())}])
        )

    def organizations(self) -> Any:
        """The accounts, in pages of 20 as AWS gives them."""
        listed = [{"Id": account, "State": "ACTIVE"} for account in self.accounts]
        return SimpleNamespace(
            get_paginator=lambda _: pages(
                lambda **__: [{"Accounts": listed[at : at + 20]} for at in range(0, len(listed), 20)]
            )
        )

    def sns(self) -> Any:
        """Nobody listens."""
        return SimpleNamespace(publish=lambda **_: None)

    def rds(self, account: str, region: str) -> Any:
        """RDS of an account and Region."""

        def listed(**_: Any) -> Iterator[dict[str, Any]]:
            there = self.names.get((account, region), [])
            for at in range(0, len(there), PAGE):
                yield {"DBClusters": [self.described(account, region, name) for name in there[at : at + PAGE]]}

        def describe_db_clusters(DBClusterIdentifier: str) -> dict[str, Any]:  # noqa: N803  boto3's names
            return {"DBClusters": [self.described(account, region, DBClusterIdentifier)]}

        def remove_tags_from_resource(ResourceName: str, TagKeys: list[str]) -> None:  # noqa: N803  boto3's names
            for key in TagKeys:
                self.tags[ResourceName].pop(key, None)

        def add_tags_to_resource(ResourceName: str, Tags: list[Mapping[str, str]]) -> None:  # noqa: N803  boto3's names
            self.tags[ResourceName].update({tag["Key"]: tag["Value"] for tag in Tags})
            self.asked[ResourceName] = self.now

        return SimpleNamespace(
            get_paginator=lambda _: pages(listed),
            describe_db_clusters=describe_db_clusters,
            remove_tags_from_resource=remove_tags_from_resource,
            add_tags_to_resource=add_tags_to_resource,
        )


def pages(listed: Any) -> Any:
    """A paginator."""
    return SimpleNamespace(paginate=listed)


class Machine:
    """The state machine's way through the functions, as `rollout.asl.yaml` has it."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        names = ("list_accounts", "discover_clusters", "plan_waves", "enroll_cluster", "judge_wave", "report_rollout")
        self.handlers = {name: load(ROOT / "functions" / name) for name in names}

    def invoke(self, name: str, **payload: Any) -> dict[str, Any]:
        """A function's answer; input and output are measured."""
        figures = self.fleet.figures
        figures.largest_input = max(figures.largest_input, len(json.dumps(payload)))
        answer: dict[str, Any] = self.handlers[name](payload, None)
        figures.largest_output = max(figures.largest_output, len(json.dumps(answer)))
        return answer

    def items(self, key: str) -> list[Any]:
        """What a map reads from the bucket."""
        found: list[Any] = json.loads(self.fleet.objects[key])
        figures = self.fleet.figures
        figures.largest_map_output = max(figures.largest_map_output, len(json.dumps([{}] * len(found))))
        return found

    def run(self, **request: Any) -> None:
        """A rollout from its input to its report."""
        fleet, execution = self.fleet, {"execution": EXECUTION}
        listed = self.invoke("list_accounts", request=request, **execution)["outputs"]
        for target in self.items(listed["targets"]):
            self.invoke("discover_clusters", target=target, parent=EXECUTION)
        asked = {"rollout": listed["rollout"], "request": listed["request"]}
        plan = self.invoke("plan_waves", **asked, **execution, now=fleet.time())["outputs"]
        wave = 0 if listed["request"]["dry_run"] else plan["first"]
        stopped = ""
        while wave:
            self.enroll(self.items(f"fleet/waves/{wave}.json"), listed)
            at = {"began_at": plan["began_at"], "now": fleet.time()}
            judged = self.invoke("judge_wave", **asked, waves=plan["waves"], wave=wave, **execution, **at)["outputs"]
            wave, stopped = judged["next"], judged["stopped"]
        done = self.invoke("report_rollout", **execution, now=fleet.time(), stopped=stopped, failure={})["outputs"]
        fleet.figures.counts, fleet.figures.virtual_seconds = done["counts"], fleet.now

    def enroll(self, items: list[Any], listed: Mapping[str, Any]) -> None:
        """A wave: as many children at once as asked for, each asked again when its wait is over."""
        figures, fleet = self.fleet.figures, self.fleet
        waiting: list[tuple[float, int, dict[str, Any], int]] = []
        remaining = list(reversed(list(enumerate(items))))
        told: dict[str, Any] = {}
        while remaining or waiting:
            while remaining and len(waiting) < listed["request"]["at_once"]:
                number, _ = remaining.pop()
                figures.starts[int(fleet.now)] += 1
                heapq.heappush(waiting, (fleet.now, number, told, 1))
            figures.most_at_once = max(figures.most_at_once, len(waiting))
            at, number, told_child, looks = heapq.heappop(waiting)
            fleet.now = max(fleet.now, at)
            answer = self.invoke(
                "enroll_cluster",
                cluster=items[number],
                rollout=listed["rollout"],
                parent=EXECUTION,
                now=fleet.time(),
                **{"progress": {}, **told_child},
            )
            figures.looks += 1
            figures.most_looks = max(figures.most_looks, looks)
            if not answer["ready"]:
                again = {name: answer[name] for name in ("polls", "waited", "polled")}
                again |= {"progress": answer["outputs"], "waiting_for": answer["reason"]}
                heapq.heappush(waiting, (fleet.now + answer["wait_seconds"], number, again, looks + 1))


def simulated(fleet: Fleet) -> tuple[Figures, float]:
    """The rollout over a fleet; its figures, and the real seconds it took."""
    began = time.monotonic()
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    session, aws.session = aws.session, fleet.session  # type: ignore[assignment]  # all that is called of it
    aws.client.cache_clear()
    step.logger.setLevel("ERROR")
    try:
        Machine(fleet).run(dry_run=False, at_once=AT_ONCE, regions=list(REGIONS), max_failures=len(fleet.tags))
    finally:
        os.environ.clear()
        os.environ.update(before)
        aws.session = session
        aws.client.cache_clear()
        step.logger.setLevel("INFO")
    return fleet.figures, time.monotonic() - began


def events_of_a_child(looks: int) -> int:
    """Events in the history of a child that has looked so often."""
    return EVENTS_OF_A_CHILD + looks * EVENTS_OF_A_LOOK + (looks - 1) * EVENTS_OF_A_WAIT


def measured() -> list[tuple[str, float, float, str]]:
    """(what, figure, at most, unit), for `make bench`.

    Raises:
        AssertionError: the rollout has not come to its end.
    """
    figures, seconds = simulated(Fleet())
    children_per_second = max(figures.starts.values())
    if figures.counts.get("enabled", 0) < CLUSTERS * 0.97 or sum(figures.counts.values()) != CLUSTERS:
        raise AssertionError(figures.counts)
    return [
        ("largest input of a function", figures.largest_input, PAYLOAD, "bytes"),
        ("largest output of a function", figures.largest_output, PAYLOAD, "bytes"),
        ("largest output of a map", figures.largest_map_output, PAYLOAD, "bytes"),
        ("longest history of a child", events_of_a_child(figures.most_looks), HISTORY, "events"),
        ("children open at the same time", figures.most_at_once, OPEN_CHILDREN, "executions"),
        ("children started in one second", children_per_second, STARTS, "executions"),
        ("real time", seconds, SECONDS, "s"),
        ("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, BYTES, "bytes"),
    ]


if __name__ == "__main__":
    print(json.dumps(measured()))
    sys.exit(0)
