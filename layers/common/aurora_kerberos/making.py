"""Making a cluster as a member of the domain: created, restored from a snapshot, or restored to a point in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos import clusters, names, new_clusters, registry
from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import ClusterNotFound, InstanceUnusable
from aurora_kerberos.memberships import Arguments, Progress, waited_for
from aurora_kerberos.step import MINUTE, Waiting, unapproved


def find(arguments: Arguments, progress: Progress) -> dict[str, Any] | None:
    """The cluster; None when it has yet to be made.

    Raises:
        ClusterNotFound: it is not to be made, or has been and is gone.
    """
    try:
        return clusters.describe(arguments["cluster"]["id"])
    except ClusterNotFound:
        if arguments["way"]["way"] == "modify" or progress["made"]:
            raise
        return None


def refuse_foreign(cluster: Mapping[str, Any], arguments: Arguments, progress: Progress) -> None:
    """Refuse a cluster that this stack has not made, whatever its tags say; note one that it has."""
    item = registry.made(cluster["DBClusterArn"])
    # For one release: an execution that made its cluster before the registry knew of that remembers it itself.
    if not registry.is_ours(item, cluster) and (item or not progress["made"]):
        raise new_clusters.made_by_others(cluster, arguments["way"]["way"])
    if item.get("resource_id") != cluster["DbClusterResourceId"]:
        registry.note_made(cluster)


def make_cluster(arguments: Arguments, progress: Progress) -> Waiting:
    """Make the cluster as a member of the domain (`rds:CreateDBCluster`, `rds:RestoreDBCluster...`)."""
    creation, rds, name = arguments["way"], client("rds"), arguments["cluster"]["id"]
    if waiting := unapproved(arguments, new_clusters.description(creation), progress):
        return waiting
    # Before the call: whatever interrupts us, the cluster is known as ours, and no other is taken for it.
    mark = registry.begin_making(names.cluster_arn(name, arguments["execution"]), arguments["execution"])
    tags = [tag for tag in creation["parameters"].get("Tags", []) if tag["Key"] != names.MADE_BY_TAG]
    tags.append({"Key": names.MADE_BY_TAG, "Value": mark})
    # Said although RDS has a default: for a restored cluster its documentation has another one than that of the source.
    version = {} if creation["way"] == "restore_to_time" else {"EngineVersion": arguments["cluster"]["engine_version"]}
    parameters = {**version, **creation["parameters"], "Tags": tags, "Domain": arguments["directory"]}
    calls = {
        "create": rds.create_db_cluster,
        "restore": rds.restore_db_cluster_from_snapshot,
        "restore_to_time": rds.restore_db_cluster_to_point_in_time,
    }
    try:
        answer = calls[creation["way"]](**parameters, DomainIAMRoleName=arguments["role"])
    except ClientError as error:
        if code(error) != "DBClusterAlreadyExistsFault":
            return waited_for(error, arguments, progress)
    else:
        registry.note_made(answer["DBCluster"])
    return being_created(name, {**progress, "made": True})


def make_instances(missing: list[dict[str, Any]], arguments: Arguments, progress: Progress) -> Waiting:
    """Make the instances that are not there; the first of a cluster is its writer (`rds:CreateDBInstance`)."""
    cluster = arguments["cluster"]["id"]
    what = f"Cluster {cluster}, which was made here, gets the instances {new_clusters.listed(missing)}."
    if waiting := unapproved(arguments, what, progress):
        return waiting
    for instance in missing:
        try:
            client("rds").create_db_instance(**instance)
        except ClientError as error:
            if code(error) != "DBInstanceAlreadyExists":
                return waited_for(error, arguments, progress)
            refuse_instance_of_others(instance["DBInstanceIdentifier"], cluster)
    return instances_being_created(cluster, progress)


def refuse_instance_of_others(name: str, cluster: str) -> None:
    """Refuse to wait for an instance that is not of the cluster (`rds:DescribeDBInstances`)."""
    (found,) = client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    if found.get("DBClusterIdentifier") != cluster:
        raise InstanceUnusable(
            f"There is a DB instance {name} already, and it is not of cluster {cluster}.",
            "Give the instance another DBInstanceIdentifier, then start again.",
        )


def being_created(cluster: str, progress: Progress) -> Waiting:
    """RDS takes some minutes for a cluster."""
    return Waiting(f"Cluster {cluster} is being created", at_least=3 * MINUTE, outputs=progress)


def instances_being_created(cluster: str, progress: Progress) -> Waiting:
    """And it takes some minutes again for the instances, which it makes all at the same time."""
    return Waiting(f"The instances of {cluster} are being created", at_least=3 * MINUTE, outputs=progress)
