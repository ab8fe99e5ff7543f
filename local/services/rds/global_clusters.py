"""Aurora's global databases, as far as a secondary cluster shows that it is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.core.calls import Parameters, fake
from local.core.cloud import Cloud
from local.core.places import present, split
from local.services.rds.backend import Aurora

PRIMARIES = "eu-west-1"  # the Region of the primaries of global databases


@fake("rds", "DescribeGlobalClusters")
def describe_global_clusters(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001  as all fakes
    """A global cluster for each secondary one; its primary is in another Region."""
    secondaries = [name for place, name in map(split, sorted(cloud.part(Aurora).secondaries)) if place == present()]
    return {
        "GlobalClusters": [
            {
                "GlobalClusterIdentifier": f"global-{name}",
                "GlobalClusterMembers": [
                    {"DBClusterArn": f"arn:aws:rds:{PRIMARIES}:{cloud.account}:cluster:{name}", "IsWriter": True},
                    {"DBClusterArn": cloud.arn("rds", f"cluster:{name}"), "IsWriter": False},
                ],
            }
            for name in secondaries
        ]
    }
