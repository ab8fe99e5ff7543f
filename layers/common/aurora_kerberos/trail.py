"""Who has started an execution, according to AWS CloudTrail's event history.

It has the management events of the last 90 days in each account, without a trail. An event shows some minutes after its
call ("Working with CloudTrail event history", "How CloudTrail works").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from aurora_kerberos import leases, names
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client
from aurora_kerberos.errors import AwsUnavailable

KEPT = timedelta(days=89)  # 90, less what the clocks may differ
AROUND = timedelta(minutes=5)
TAGGING = (
    "AddTagsToResource",
    "CreateDBCluster",
    "RestoreDBClusterFromSnapshot",
    "RestoreDBClusterToPointInTime",
)


def starters(execution: str, cluster: str) -> set[str]:
    """The principal ids of those who have started an execution.

    That is the caller of `StartExecution`. Where a tag event or the sweep has called, those who have set a tag of the
    workflow on the cluster (its ARN) in the last 90 days are meant as well: they have asked for it.

    Raises:
        AwsUnavailable: CloudTrail does not show the start, or who has tagged, as it will in some minutes.
    """
    described = leases.described(execution)
    if not described:
        return set()
    began: datetime = described["startDate"]
    found = {
        caller(event)
        for event in events("StartExecution", began - AROUND, began + AROUND)
        if (event.get("responseElements") or {}).get("executionArn") == execution
    }
    if not found:
        raise AwsUnavailable(f"CloudTrail does not show yet who has started {execution}.")
    request = json.loads(described["input"])
    if request.get("detail-type") == names.TAG_EVENT or "swept" in request:
        tagged_by = {
            caller(event)
            for name in TAGGING
            for event in events(name, began - KEPT, began + AROUND)
            if tags(event, cluster)
        }
        if not tagged_by and "swept" not in request:
            raise AwsUnavailable(f"CloudTrail does not show yet who has tagged {cluster}.")
        found |= tagged_by
    return found


def events(name: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
    """The events of calls of this name, page by page (`cloudtrail:LookupEvents`, at most two calls a second)."""
    pages = (
        client("cloudtrail")
        .get_paginator("lookup_events")
        .paginate(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}], StartTime=since, EndTime=until
        )
    )
    for page in pages:
        yield from (json.loads(event["CloudTrailEvent"]) for event in page["Events"])


def caller(event: Mapping[str, Any]) -> str:
    """Who has called: the principal id, of an assumed role with the session's name."""
    return str(event["userIdentity"].get("principalId", ""))


def tags(event: Mapping[str, Any], cluster: str) -> bool:
    """Whether a call of RDS has set a tag of the workflow on the cluster, which it names by ARN or identifier."""
    parameters = event.get("requestParameters") or {}
    named = {parameters.get("resourceName"), parameters.get("dBClusterIdentifier")}
    if event.get("errorCode") or not named & {cluster, Arn.parse(cluster).name}:
        return False
    return f'"{names.TAG}' in json.dumps(parameters.get("tags", ""))
