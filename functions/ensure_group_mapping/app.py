"""Before step 6: makes the cluster load the library pg_ad_mapping at its start, if groups are mapped to database roles.

The step appends the library to `shared_preload_libraries` of the cluster's own parameter group ("Setting up the
pg_ad_mapping extension"). The library needs a restart: the one that follows joining the domain.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

from aurora_kerberos import clusters, registry
from aurora_kerberos.aws import client
from aurora_kerberos.errors import GroupMappingUnavailable
from aurora_kerberos.plan import Cluster
from aurora_kerberos.principals import Mapped
from aurora_kerberos.step import Ready, Waiting, step, unapproved

LIBRARY = "pg_ad_mapping"
PARAMETER = "shared_preload_libraries"
# On instances made before this date, logins may fail and the engine may crash if the cluster joins before the library
# is loaded.
HARMLESS_SINCE = datetime(2025, 5, 1, tzinfo=UTC)


class Arguments(TypedDict):
    """`cluster` and `apply` of the plan; `approved`: whether somebody has; `mappings`: of `ensure_directory_users`."""

    cluster: Cluster
    apply: str
    approved: bool
    execution: str
    mappings: list[Mapped]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when the parameter group loads the library, or when no group is mapped."""
    if not arguments["mappings"]:
        return Ready({"parameter_group": "", "changed": False})
    group = arguments["cluster"]["parameter_group"]
    loaded = libraries(group)
    missing = LIBRARY not in loaded
    if missing:
        refuse_shared(group, arguments["cluster"]["id"])
        if arguments["cluster"]["endpoint"]:
            cluster = clusters.describe(arguments["cluster"]["id"])
            refuse_hazard(cluster)
            what = f"Cluster {arguments['cluster']['id']} joins the domain and restarts, and so loads {LIBRARY}."
            if waiting := unapproved(arguments, what, {}):
                return waiting
            # Before the change, so that the restart is not forgotten when the execution is interrupted.
            registry.note_restart(cluster, clusters.AFTER_JOINING, f"loads {LIBRARY}", arguments["execution"])
        value = {"ParameterName": PARAMETER, "ParameterValue": ",".join([*loaded, LIBRARY])}
        client("rds").modify_db_cluster_parameter_group(
            DBClusterParameterGroupName=group, Parameters=[{**value, "ApplyMethod": "pending-reboot"}]
        )
    return Ready({"parameter_group": group, "changed": missing})


def libraries(group: str) -> list[str]:
    """The libraries that the parameter group loads at the start (`rds:DescribeDBClusterParameters`)."""
    pages = client("rds").get_paginator("describe_db_cluster_parameters").paginate(DBClusterParameterGroupName=group)
    for page in pages:
        for parameter in page["Parameters"]:
            if parameter["ParameterName"] == PARAMETER:
                return [each.strip() for each in parameter.get("ParameterValue", "").split(",") if each.strip()]
    return []


def refuse_shared(group: str, cluster: str) -> None:
    """Refuse to change a parameter group that other clusters use as well.

    Raises:
        GroupMappingUnavailable: the group is a default of AWS, or another cluster has it too.
    """
    remedy = f"Give {cluster} a DB cluster parameter group of its own, or append {LIBRARY} to {PARAMETER} by hand."
    if group.startswith("default."):
        raise GroupMappingUnavailable(f"The cluster {cluster} has the parameter group {group}, which is AWS's.", remedy)
    pages = client("rds").get_paginator("describe_db_clusters").paginate()
    others = [
        other["DBClusterIdentifier"]
        for page in pages
        for other in page["DBClusters"]
        if other.get("DBClusterParameterGroup") == group and other["DBClusterIdentifier"] != cluster
    ]
    if others:
        raise GroupMappingUnavailable(
            f"The parameter group {group} of {cluster} is also that of {', '.join(others[:5])}, which would load "
            f"{LIBRARY} at their next start.",
            remedy,
        )


def refuse_hazard(cluster: dict[str, Any]) -> None:
    """Refuse a case that AWS warns of ("Prerequisites", Important).

    Raises:
        GroupMappingUnavailable: the cluster has joined already, and an instance was made before `HARMLESS_SINCE`.
    """
    joined = clusters.membership(cluster)
    old = [i["DBInstanceIdentifier"] for i in clusters.instances(cluster) if i["InstanceCreateTime"] < HARMLESS_SINCE]
    if joined and joined["Status"] in clusters.ENABLED and old:
        raise GroupMappingUnavailable(
            f"The instance {old[0]} was made before May 2025 and has joined the domain before {LIBRARY} was loaded: "
            "logins could fail and the engine could crash.",
            "Let the cluster leave the domain, then start again: it joins after the library is loaded. Or leave out "
            "map_to: the group's members become database users.",
        )
