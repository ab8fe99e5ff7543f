"""A rollout over the accounts of an organization: where its parts find each other's work.

Work too large for a state's payload stands in the rollout's bucket, below the name of its execution. What has become of
each cluster stands in the rollout's table, below the rollout's id: a digest of what was asked for, so that a second
start with the same input goes on where the first one was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import errors
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client, code
from aurora_kerberos.environment import environment

# What a cluster is to a rollout, before anything is done: to be enrolled, or not, and why.
TODO, ALREADY, UNFIT, EXCLUDED = "to do", "already enabled", "unfit", "left out"
# What has become of it: at work, enabled; refused as it is; or failed because of the workflow, which counts.
ENROLLING, ENABLED, REFUSED, FAILED = "enrolling", "enabled", "refused", "failed"


class Found(TypedDict):
    """A cluster as `discover_clusters` has found it; `state` is TODO, ALREADY or UNFIT, `why` says more."""

    arn: str
    id: str
    account: str
    region: str
    tags: dict[str, str]
    state: str
    why: str


class Discovered(TypedDict):
    """One account and Region; `refused` is the reason why it could not be looked at, or empty."""

    account: str
    region: str
    refused: str
    clusters: list[Found]


class Wave(TypedDict):
    """A wave: its number, from 1, and how many clusters it enrolls."""

    number: int
    size: int


class Planned(Found):
    """A cluster of the plan; `wave` is 0 when it is in none."""

    wave: int


class Plan(TypedDict):
    """What `plan_waves` has made of it all; `began_at` is ISO 8601."""

    rollout: str
    execution: str
    began_at: str
    request: dict[str, Any]
    waves: list[Wave]
    clusters: list[Planned]
    refused: list[Discovered]


class Ending(TypedDict):
    """What has become of a cluster. Times are ISO 8601."""

    outcome: str
    error: str
    message: str
    remedy: str
    began_at: str
    recorded_at: str


class Outcome(Ending):
    """An item of the rollout's table: of which cluster (by its ARN) that has become; `wave` is a number."""

    rollout: str
    cluster: str
    account: str
    region: str
    wave: str


class Row(Planned, Ending):
    """A cluster in the report: what was planned for it, and what has become of it (empty while nothing has)."""


class Report(TypedDict):
    """The report of a rollout, finished or not. Times are ISO 8601.

    `counts` are clusters by what has become of them, or by what they are to the rollout where nothing has; `stopped`
    says why it has been, or is empty.
    """

    rollout: str
    execution: str
    began_at: str
    made_at: str
    dry_run: bool
    stopped: str
    request: dict[str, Any]
    waves: list[Wave]
    counts: dict[str, int]
    clusters: list[Row]
    refused: list[Discovered]


NOTHING_YET: Ending = {"outcome": "", "error": "", "message": "", "remedy": "", "began_at": "", "recorded_at": ""}


def kind_of(error: str) -> str:
    """REFUSED when a member's error says that the cluster cannot be as it is; FAILED when the workflow has failed."""
    known = getattr(errors, error, None)
    refusals = (errors.BadRequest, errors.ApprovalRefused)
    return REFUSED if isinstance(known, type) and issubclass(known, refusals) else FAILED


def name_of(execution: str) -> str:
    """The name of an execution, by its ARN: where the rollout's work stands in the bucket."""
    return Arn.parse(execution).name


def write(execution: str, name: str, value: Any) -> str:
    """Write JSON into the rollout's bucket; its key (`s3:PutObject`)."""
    key = f"{name_of(execution)}/{name}"
    body = json.dumps(value, separators=(",", ":")).encode()
    client("s3").put_object(Bucket=environment.rollout_bucket, Key=key, Body=body, ContentType="application/json")
    return key


def write_text(execution: str, name: str, text: str, content_type: str) -> str:
    """Write a text into the rollout's bucket; its key (`s3:PutObject`)."""
    key = f"{name_of(execution)}/{name}"
    client("s3").put_object(
        Bucket=environment.rollout_bucket, Key=key, Body=text.encode(), ContentType=f"{content_type}; charset=utf-8"
    )
    return key


def read(execution: str, name: str) -> Any:
    """JSON of the rollout's bucket; None when it is not there (`s3:GetObject`)."""
    try:
        found = client("s3").get_object(Bucket=environment.rollout_bucket, Key=f"{name_of(execution)}/{name}")
    except ClientError as error:
        if code(error) != "NoSuchKey":
            raise
        return None
    return json.loads(found["Body"].read())


def outcomes(rollout: str) -> dict[str, Outcome]:
    """What has become of the rollout's clusters so far, by ARN (`dynamodb:Query`)."""
    pages = (
        client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=environment.rollout_table,
            KeyConditionExpression="rollout = :rollout",
            ExpressionAttributeValues={":rollout": {"S": rollout}},
            ConsistentRead=True,
        )
    )
    items = ({name: value["S"] for name, value in item.items()} for page in pages for item in page["Items"])
    return {item["cluster"]: item for item in items}  # type: ignore[misc]  # written as Outcome below


def outcome_of(rollout: str, item: Mapping[str, Any], ending: Ending) -> Outcome:
    """What has become of a cluster, an item of a wave, as the rollout's table has it."""
    return Outcome(
        rollout=rollout,
        cluster=item["arn"],
        account=item["account"],
        region=item["region"],
        wave=str(item["wave"]),
        **ending,
    )


def record(outcome: Outcome) -> None:
    """Write what has become of a cluster (`dynamodb:PutItem`)."""
    item = {name: {"S": value} for name, value in outcome.items()}
    client("dynamodb").put_item(TableName=environment.rollout_table, Item=item)


def report(execution: str, now: str, stopped: str) -> Report:
    """The report as far as the rollout has come: the plan, and what has become of its clusters."""
    plan = planned(execution)
    known = outcomes(plan["rollout"]) if plan else {}
    return reported(execution, plan, known, now, stopped)


def planned(execution: str) -> Plan | None:
    """The plan; None before it is made (`s3:GetObject`)."""
    plan: Plan | None = read(execution, "plan.json")
    return plan


def reported(execution: str, plan: Plan | None, known: Mapping[str, Outcome], now: str, stopped: str) -> Report:
    """The report of a plan and what is known of its clusters, by ARN."""
    plan = plan or Plan(rollout="", execution=execution, began_at=now, request={}, waves=[], clusters=[], refused=[])
    rows = [row_of(each, known.get(each["arn"]), plan["began_at"]) for each in plan["clusters"]]
    return Report(
        rollout=plan["rollout"],
        execution=execution,
        began_at=plan["began_at"],
        made_at=now,
        dry_run=plan["request"].get("dry_run", True),
        stopped=stopped,
        request=plan["request"],
        waves=plan["waves"],
        counts=dict(Counter(row["outcome"] or row["state"] for row in rows)),
        clusters=rows,
        refused=plan["refused"],
    )


def row_of(cluster: Planned, known: Outcome | None, began_at: str) -> Row:
    """A cluster in the report. What an earlier start has recorded of one that is now tried again is none of now."""
    earlier = known is not None and cluster["wave"] > 0 and known["recorded_at"] < began_at
    return Row(**{**NOTHING_YET, **({} if earlier else known or {}), **cluster})  # type: ignore[typeddict-item]  # the keys of both


def sentence(report: Report) -> str:
    """What has come of the rollout, or would, in one sentence."""
    if not report["rollout"]:
        return "No cluster has been looked at."
    counts = Counter(report["counts"])
    total = counted(len(report["clusters"]), "cluster")
    begin = f"{total}: "
    if report["dry_run"]:
        would, waves = sum(wave["size"] for wave in report["waves"]), counted(len(report["waves"]), "wave")
        begin = f"Dry run, nothing is changed: of {total}, {would} would be enrolled in {waves}: "
    parts = [f"{number} {what}" for what, number in sorted(counts.items()) if number]
    unseen = len(report["refused"])
    places = "1 account or Region" if unseen == 1 else f"{unseen} accounts or Regions"
    refused = f"; {places} could not be looked at" if unseen else ""
    return f"{begin}{', '.join(parts) or 'none'}{refused}."


def counted(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def said(failure: Mapping[str, str]) -> str:
    """The sentence about a step of the rollout that has failed; empty when none has."""
    if not failure:
        return ""
    cause = failure.get("Cause", "")
    try:
        text = str(json.loads(cause)["errorMessage"])
    except (ValueError, TypeError, KeyError):
        text = cause or "nothing more is known"
    return f"{failure['Step']}: {failure['Error']}: {text}"


def member_role(account: str, region: str, partition: str) -> str:
    """The ARN of the role that the member stack has made in an account for a Region."""
    return f"arn:{partition}:iam::{account}:role{environment.member_role}-{region}"


def member(cluster: Mapping[str, str]) -> tuple[str, str]:
    """Role and Region to reach a cluster (`arn`, `account`, `region`) with."""
    partition = Arn.parse(cluster["arn"]).partition
    return member_role(cluster["account"], cluster["region"], partition), cluster["region"]
