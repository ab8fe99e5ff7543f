"""DB clusters and their instances as RDS describes them.

The statuses are those of "Viewing DB cluster status" and "Viewing DB instance status" in the Aurora user guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import names
from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import AnotherDirectory, ClusterNotFound, ClusterUnusable, InstanceUnusable
from aurora_kerberos.step import DAY, Waiting

# "Understanding domain membership" (guide) and the API reference of DomainMembership.
ENABLED = {"kerberos-enabled", "joined"}
LEAVING = {"pending-disable-kerberos", "pending-maintenance-disable-kerberos", "disabling-kerberos"}
JOINING = {"enabling-kerberos", "pending-enable-kerberos", "pending-join"}  # RDS leaves these by itself
AFTER_JOINING = "after joining"  # the restart tag's value until the restart begins

AVAILABLE = {"available", "backing-up", "storage-optimization", "storage-config-upgrade"}
# A cluster leaves these only with the help of a person. AWS leaves all other statuses by itself.
STUCK_CLUSTER = {
    "cloning-failed",
    "deleting",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "incompatible-parameters",
    "migration-failed",
    "stopped",
    "stopping",
}
STUCK_INSTANCE = {
    "delete-precheck",
    "deleting",
    "failed",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "incompatible-credentials",
    "incompatible-create",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "insufficient-capacity",
    "restore-error",
    "stopped",
    "stopping",
    "storage-full",
}

EVENTS_KEPT = 14 * 24 * 60  # minutes


def describe(cluster: str) -> dict[str, Any]:
    """One cluster, by identifier or ARN (`rds:DescribeDBClusters`).

    Raises:
        ClusterNotFound: there is none in this account and Region.
    """
    try:
        found = client("rds").describe_db_clusters(DBClusterIdentifier=cluster)["DBClusters"]
    except ClientError as error:
        if code(error) != "DBClusterNotFoundFault":
            raise
        found = []
    if not found:
        raise ClusterNotFound(
            f"There is no DB cluster {cluster!r} in this account and Region.",
            "Check the identifier, and that the execution runs in the cluster's account and Region.",
        )
    return dict(found[0])


def instances(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    """The cluster's instances, readers first, the writer last (`rds:DescribeDBInstances`)."""
    pages = client("rds").get_paginator("describe_db_instances")
    found = pages.paginate(Filters=[{"Name": "db-cluster-id", "Values": [cluster["DBClusterIdentifier"]]}])
    writers = {member["DBInstanceIdentifier"] for member in cluster["DBClusterMembers"] if member["IsClusterWriter"]}
    return sorted(
        (instance for page in found for instance in page["DBInstances"]),
        key=lambda instance: (instance["DBInstanceIdentifier"] in writers, instance["DBInstanceIdentifier"]),
    )


def refuse_stuck(cluster: Mapping[str, Any], instances: list[dict[str, Any]]) -> None:
    """Refuse a cluster that would wait in vain.

    Raises:
        ClusterUnusable: the cluster is in a status that it does not leave by itself.
        InstanceUnusable: an instance is in such a status.
    """
    if cluster["Status"] in STUCK_CLUSTER:
        raise ClusterUnusable(
            f"Cluster {cluster['DBClusterIdentifier']} is {cluster['Status']}.",
            "Bring it to `available`, then start again.",
        )
    for instance in instances:
        if instance["DBInstanceStatus"] in STUCK_INSTANCE:
            raise InstanceUnusable(
                f"Instance {instance['DBInstanceIdentifier']} is {instance['DBInstanceStatus']}.",
                "Bring it to `available` or delete it, then start again.",
            )


def busy(cluster: Mapping[str, Any], instances: list[dict[str, Any]]) -> str:
    """The reason to wait before the cluster is changed; empty when cluster and instances are available."""
    if cluster["Status"] not in AVAILABLE:
        return f"Cluster {cluster['DBClusterIdentifier']} is {cluster['Status']}"
    for instance in instances:
        if instance["DBInstanceStatus"] not in AVAILABLE:
            return f"Instance {instance['DBInstanceIdentifier']} is {instance['DBInstanceStatus']}"
    return ""


def patience(status: str) -> int:
    """Seconds that a membership may stay in a status. A maintenance window comes once a week."""
    return 8 * DAY if status.startswith("pending-maintenance-") else Waiting.deadline


class Placed(TypedDict):
    """A VPC, and subnets of it."""

    vpc_id: str
    subnet_ids: list[str]


def placed(subnet_group: str) -> Placed:
    """The VPC and the subnets of a DB subnet group, where its instances may be (`rds:DescribeDBSubnetGroups`)."""
    (group,) = client("rds").describe_db_subnet_groups(DBSubnetGroupName=subnet_group)["DBSubnetGroups"]
    return {"vpc_id": group["VpcId"], "subnet_ids": [subnet["SubnetIdentifier"] for subnet in group["Subnets"]]}


def membership(resource: Mapping[str, Any]) -> dict[str, Any] | None:
    """The domain membership of a cluster or an instance."""
    listed = [member for member in resource.get("DomainMemberships", []) if member.get("Domain", "none") != "none"]
    return listed[0] if listed else None


def role_of(membership: Mapping[str, Any]) -> str:
    """The name of the membership's role; empty when RDS does not say."""
    return str(membership.get("IAMRoleName", "")).rpartition("/")[2]


def is_secondary(cluster: Mapping[str, Any]) -> bool:
    """Whether the cluster is a secondary one of a global database (`rds:DescribeGlobalClusters`)."""
    return any(
        member["DBClusterArn"] == cluster["DBClusterArn"] and not member["IsWriter"]
        for page in client("rds").get_paginator("describe_global_clusters").paginate()
        for group in page["GlobalClusters"]
        for member in group["GlobalClusterMembers"]
    )


def untag_restart(cluster: Mapping[str, Any]) -> None:
    """Remove the restart tag: no restart is due any more (`rds:RemoveTagsFromResource`)."""
    client("rds").remove_tags_from_resource(ResourceName=cluster["DBClusterArn"], TagKeys=[names.RESTART_TAG])


def tag_restart(cluster: Mapping[str, Any], value: str) -> None:
    """Tag the cluster with the fact that a restart is due, and since when (`rds:AddTagsToResource`)."""
    client("rds").add_tags_to_resource(
        ResourceName=cluster["DBClusterArn"], Tags=[{"Key": names.RESTART_TAG, "Value": value}]
    )


def events(source: str, kind: str, *categories: str) -> list[dict[str, Any]]:
    """The events RDS still has of a cluster or an instance, oldest first (`rds:DescribeEvents`)."""
    pages = (
        client("rds")
        .get_paginator("describe_events")
        .paginate(SourceIdentifier=source, SourceType=kind, Duration=EVENTS_KEPT, EventCategories=list(categories))
    )
    return sorted((event for page in pages for event in page["Events"]), key=lambda event: event["Date"])


def another_directory(cluster: str, domain: str, wanted: str, dns_name: str = "") -> AnotherDirectory:
    """The error for a cluster that is a member of another directory's domain, and may not leave it.

    Args:
        cluster: its identifier.
        domain: the id of the directory that it is a member of.
        wanted: id or DNS name of the one that is asked for.
        dns_name: of the directory that it is a member of, where it is known.
    """
    known = f" ({dns_name})" if dns_name else ""
    return AnotherDirectory(
        f"Cluster {cluster} is in the domain of {domain}{known}, and {wanted} is asked for.",
        f'Start it with "move": true, or set the stack\'s DirectoryId to {domain}.',
    )
