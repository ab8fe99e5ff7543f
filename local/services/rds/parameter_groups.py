"""DB cluster parameter groups: what they ask for is loaded when an instance starts, and not before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.core.calls import Parameters, aftermath, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.servers.databases import Databases
from local.services.rds.backend import moto_rds

PARAMETER = "shared_preload_libraries"
BY_DEFAULT = "pg_stat_statements"


def libraries(cloud: Cloud, group: str) -> str:
    """The libraries that a parameter group has loaded at the start."""
    found = moto_rds(cloud).db_cluster_parameter_groups.get(group)
    return found.parameters[PARAMETER].get("ParameterValue", BY_DEFAULT) if found else BY_DEFAULT


def started(cloud: Cloud, instance: Any) -> None:
    """An instance has started with what its cluster's parameter group asks for."""
    cluster = moto_rds(cloud).clusters[instance.db_cluster_identifier]
    instance.loaded = libraries(cloud, cluster.parameter_group)
    if instance.is_cluster_writer:
        cloud.part(Databases).preload(cluster.resource_id, "pg_ad_mapping" in instance.loaded)


@aftermath("rds", "DescribeDBClusters")
def show_pending(cloud: Cloud, _: Parameters, answer: Mapping[str, Any]) -> None:
    """Whether a member runs with what its parameter group asks for."""
    for cluster in answer["DBClusters"]:
        asked = libraries(cloud, cluster["DBClusterParameterGroup"])
        for member in cluster["DBClusterMembers"]:
            instance = moto_rds(cloud).databases[member["DBInstanceIdentifier"]]
            same = getattr(instance, "loaded", asked) == asked
            member["DBClusterParameterGroupStatus"] = "in-sync" if same else "pending-reboot"


@fake("rds", "DescribeDBClusterParameters")
def describe(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any] | None:  # noqa: ARG001  as all fakes
    """AWS's own groups, which moto does not have."""
    if not parameters["DBClusterParameterGroupName"].startswith("default."):
        return None
    return {"Parameters": [{"ParameterName": PARAMETER, "ParameterValue": BY_DEFAULT}]}


@fake("rds", "ModifyDBClusterParameterGroup")
def check_group(cloud: Cloud, parameters: Parameters) -> None:
    """What moto lets pass: AWS's own groups, and a static parameter that shall apply at once."""
    if parameters["DBClusterParameterGroupName"].startswith("default."):
        raise AwsError("InvalidDBParameterGroupState", "Cannot modify a default parameter group.")
    if any(
        each["ParameterName"] == PARAMETER and each["ApplyMethod"] != "pending-reboot"
        for each in parameters["Parameters"]
    ):
        raise AwsError("InvalidParameterCombination", f"{PARAMETER} is a static parameter.")
    for instance in moto_rds(cloud).databases.values():
        cluster = moto_rds(cloud).clusters.get(instance.db_cluster_identifier)
        if cluster and not hasattr(instance, "loaded"):
            instance.loaded = libraries(cloud, cluster.parameter_group)
