"""Tags of clusters, and the events that EventBridge has of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.core.calls import Parameters, aftermath, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.services.event_bridge import DefaultBus
from local.services.rds.backend import cluster_of


@aftermath("rds", "AddTagsToResource")
def tagged(cloud: Cloud, parameters: Parameters, _: Mapping[str, Any]) -> None:
    """EventBridge hears of the tags a moment later."""
    tag_event(cloud, parameters["ResourceName"], [tag["Key"] for tag in parameters["Tags"]])


@aftermath("rds", "RemoveTagsFromResource")
def untagged(cloud: Cloud, parameters: Parameters, _: Mapping[str, Any]) -> None:
    """EventBridge hears of it a moment later."""
    tag_event(cloud, parameters["ResourceName"], list(parameters["TagKeys"]))


@fake("rds", "AddTagsToResource")
def check_tags(cloud: Cloud, parameters: Parameters) -> None:
    """What moto lets pass: a resource that is not there, and characters that RDS does not take in a tag."""
    if ":cluster:" in parameters["ResourceName"]:
        cluster_of(cloud, parameters["ResourceName"])
    for tag in parameters["Tags"]:
        text = f"{tag['Key']}{tag.get('Value', '')}"
        if len(tag.get("Value", "")) > 256 or not all(each.isalnum() or each in " _.:/=+-@" for each in text):
            raise AwsError("InvalidParameterValue", f"The tag {tag['Key']} holds characters that are not allowed.")


def tag_event(cloud: Cloud, arn: str, changed: list[str]) -> None:
    """EventBridge's `Tag Change on Resource`, to every rule it matches."""
    if ":cluster:" not in arn:
        return
    tags = {tag["Key"]: tag["Value"] for tag in cluster_of(cloud, arn).get_tags()}
    event = {
        "version": "0",
        "id": f"local-{len(cloud.calls)}",
        "detail-type": "Tag Change on Resource",
        "source": "aws.tag",
        "account": cloud.account,
        "time": cloud.clock.time().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": cloud.region,
        "resources": [arn],
        "detail": {
            "changed-tag-keys": changed,
            "service": "rds",
            "resource-type": "cluster",
            "version": 1,
            "tags": tags,
        },
    }
    cloud.clock.call_later(cloud.takes.event, lambda: cloud.part(DefaultBus).deliver(event))
