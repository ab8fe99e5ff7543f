"""AWS CloudTrail's event history: the calls of people and functions, shown some minutes later.

The shape of a record is that of "CloudTrail record contents"; the names of parameters begin with a small letter there.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from local.core.calls import Call, Parameters, fake
from local.core.clock import BEGINNING
from local.core.cloud import Cloud
from local.core.faults import READS, AwsError

KEPT = timedelta(days=90)
PAGE = 50
SOURCES = {"stepfunctions": "states"}
HIDDEN = {"input", "masterUserPassword", "newPassword", "password", "secretString", "trustPassword"}


@fake("cloudtrail", "LookupEvents")
def lookup_events(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """The newest first, at most 50; one attribute a call (API reference of LookupEvents)."""
    wanted = parameters.get("LookupAttributes", [])
    if len(wanted) > 1 or any(each["AttributeKey"] != "EventName" for each in wanted):
        raise AwsError("InvalidLookupAttributesException", "The local cloud looks up one event name at a time.")
    since, until = parameters.get("StartTime", BEGINNING), parameters.get("EndTime", cloud.clock.time())
    if since > until:
        raise AwsError("InvalidTimeRangeException", "Start time is after end time.")
    size = parameters.get("MaxResults", PAGE)
    if not 1 <= size <= PAGE:
        raise AwsError("InvalidMaxResultsException", f"The maximum is {PAGE}.")
    start = parameters.get("NextToken", "0")
    if not start.isdigit():
        raise AwsError("InvalidNextTokenException", "The token is none.")
    names = {each["AttributeValue"] for each in wanted}
    now = cloud.clock.time()
    shown = [
        (happened, call)
        for call in reversed(cloud.calls)
        if (call.account, call.region) == (cloud.account, cloud.region)
        if not names or call.operation in names
        if since <= (happened := BEGINNING + timedelta(seconds=call.at)) <= until
        if now - KEPT <= happened <= now - timedelta(seconds=cloud.takes.trail)
    ]
    page = shown[int(start) : int(start) + size]
    more = {"NextToken": str(int(start) + size)} if len(shown) > int(start) + size else {}
    return {"Events": [event(happened, call) for happened, call in page], **more}


def event(happened: Any, call: Call) -> Mapping[str, Any]:
    """One event, with its record as JSON."""
    source = f"{SOURCES.get(call.service, call.service)}.amazonaws.com"
    record = {
        "eventVersion": "1.08",
        "userIdentity": {"type": "AssumedRole" if ":" in call.principal else "IAMUser", "principalId": call.principal},
        "eventTime": happened.isoformat(),
        "eventSource": source,
        "eventName": call.operation,
        "awsRegion": call.region,
        **({"errorCode": call.error} if call.error else {}),
        "requestParameters": {
            name: "***OMITTED***" if name in HIDDEN else value for name, value in small(dict(call.parameters)).items()
        },
        "responseElements": response(call),
    }
    return {
        "EventId": str(uuid.uuid4()),
        "EventName": call.operation,
        "ReadOnly": str(call.operation.startswith(READS)).lower(),
        "EventTime": happened,
        "EventSource": source,
        "Username": call.principal.rpartition(":")[2],
        "Resources": [],
        "CloudTrailEvent": json.dumps(record, default=str),
    }


def response(call: Call) -> Mapping[str, Any] | None:
    """What the record has of the answer, as far as it is looked at."""
    if call.operation != "StartExecution" or call.error:
        return None
    machine, name = str(call.parameters["stateMachineArn"]), call.parameters["name"]
    return {"executionArn": f"{machine.replace(':stateMachine:', ':execution:')}:{name}"}


def small(value: Any) -> Any:
    """The parameters with names that begin with a small letter: `dBClusterIdentifier`."""
    match value:
        case dict():
            return {f"{name[:1].lower()}{name[1:]}": small(each) for name, each in value.items()}
        case list():
            return [small(each) for each in value]
    return value
