"""What RDS says has happened: events, which are known a little later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from local.core.calls import Parameters, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.core.places import of_arn, present
from local.services.rds.backend import Aurora

EVENT_DELAY = 20

SHORT = {"db-cluster": "cluster", "db-instance": "db"}  # source types of events, as ARNs have them


def add_event(cloud: Cloud, source: str, kind: str, category: str, message: str) -> None:
    """An event, which DescribeEvents knows a little later."""
    event = {
        "SourceIdentifier": source,
        "SourceType": kind,
        "SourceArn": cloud.arn("rds", f"{SHORT[kind]}:{source}"),
        "Message": message,
        "EventCategories": [category],
        "Date": cloud.clock.time(),
    }
    cloud.clock.call_later(EVENT_DELAY, lambda: cloud.part(Aurora).events.append(event))


@fake("rds", "DescribeEvents")
def describe_events(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """The events of the last `Duration` minutes (60 when not said), in virtual time."""
    if "SourceIdentifier" in parameters and "SourceType" not in parameters:
        raise AwsError("InvalidParameterCombination", "SourceType is required with SourceIdentifier.")
    since = cloud.clock.time() - timedelta(minutes=parameters.get("Duration", 60))
    categories = set(parameters.get("EventCategories", []))
    found = [
        event
        for event in cloud.part(Aurora).events
        if ("SourceArn" not in event or of_arn(event["SourceArn"]) == present())
        and event["SourceIdentifier"] == parameters.get("SourceIdentifier", event["SourceIdentifier"])
        and event["SourceType"] == parameters.get("SourceType", event["SourceType"])
        and event["Date"] >= since
        and (not categories or categories & set(event["EventCategories"]))
    ]
    return {"Events": found}
