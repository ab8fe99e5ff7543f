"""Whether a cluster is one that this workflow can serve, and whether it is ready to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos import clusters, names, new_clusters, owners
from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import ClusterUnfit, ClusterUnusable, CreationNotAllowed, DirectoryNotTrusted
from aurora_kerberos.plan import WantedDirectory
from aurora_kerberos.request import NewCluster, Request
from aurora_kerberos.step import MINUTE, Waiting


def refuse_not_allowed(request: Request, creation: str) -> None:
    """Refuse to make a cluster where the stack's parameter `Creation` does not allow it.

    Raises:
        CreationNotAllowed: it allows no cluster, or no public one.
    """
    for kind in request.creations:
        wanted: NewCluster = getattr(request, kind)
        if creation == "off":
            raise CreationNotAllowed(
                f"The input asks to make the cluster {request.cluster} (`{kind}`), and this stack makes none.",
                "Make the cluster by other means, then start with its identifier alone. Or set the stack's parameter "
                "Creation to private.",
            )
        if creation != "public" and any(
            each.get("PubliclyAccessible") for each in (wanted.parameters, *wanted.instances)
        ):
            raise CreationNotAllowed(
                f"`{kind}` holds PubliclyAccessible, and this stack makes no cluster with an address in the internet.",
                "Leave it out. Or set the stack's parameter Creation to public.",
            )


def refuse_unfit(cluster: Mapping[str, Any], request: Request) -> None:
    """Refuse what waiting does not help."""
    name = cluster["DBClusterIdentifier"]
    if cluster["Engine"] != "aurora-postgresql":
        raise ClusterUnfit(
            f"Cluster {name} runs {cluster['Engine']}, not aurora-postgresql.",
            f"Take the tag {names.TAG} off it: this workflow is for Aurora PostgreSQL.",
        )
    if request.creations:
        new_clusters.refuse_made_by_others(cluster, request.creations[0])
    if not cluster.get("DBSubnetGroup") or not cluster.get("VpcSecurityGroups"):
        raise ClusterUnfit(f"Cluster {name} is not in a VPC.", "Restore it into a VPC; Kerberos needs one.")
    clusters.refuse_stuck(cluster, clusters.instances(dict(cluster)))


def being_made(cluster: Mapping[str, Any], request: Request, by_tag: bool) -> Waiting | None:
    """What has to be waited for before a plan can be made; None when nothing has.

    Raises:
        ClusterUnusable: the cluster has no instances, and none is on its way.
    """
    name = cluster["DBClusterIdentifier"]
    if cluster["Status"] not in clusters.AVAILABLE:
        return Waiting(f"Cluster {name} is {cluster['Status']}")
    instances = clusters.instances(dict(cluster))
    if any(instance["DBInstanceStatus"] == "creating" for instance in instances):
        return Waiting(f"The instances of {name} are being created")
    if instances or request.creations:
        return None
    empty = ClusterUnusable(f"Cluster {name} has no instances.", "Add an instance to it, then start again.")
    if not by_tag:
        raise empty
    # CreateDBCluster makes an empty cluster, which may bear the tag already; its instances are made after it.
    return Waiting(f"Cluster {name} has no instances yet", deadline=30 * MINUTE, otherwise=empty)


def refuse_another_domain(cluster: Mapping[str, Any], directory: WantedDirectory) -> None:
    """Refuse a cluster that is in another directory's domain, before a directory is created for it.

    Whether it is the very directory that is asked for, step 6 knows; here the DNS name and the owner tell.
    """
    joined = clusters.membership(cluster)
    if not joined or joined["Status"] in clusters.LEAVING:
        return
    try:
        found = client("ds").describe_directories(DirectoryIds=[joined["Domain"]])["DirectoryDescriptions"]
    except ClientError as error:
        if code(error) not in {"EntityDoesNotExistException", "InvalidParameterException"}:
            raise
        found = []  # it may have been deleted, or no longer be shared with this account
    if not found or joined["Domain"] == directory["id"]:
        return
    wanted, own = directory["dns_name"], found[0]["Name"]
    if own.lower() != wanted:
        raise clusters.another_directory(cluster["DBClusterIdentifier"], joined["Domain"], wanted, own)
    if not owners.trusted(found[0], directory.get("owners", [])):
        owner = owners.owner_of(found[0]) or "that AWS does not name"
        raise DirectoryNotTrusted(
            f"Cluster {cluster['DBClusterIdentifier']} is in the domain of {joined['Domain']} ({own}), which the "
            f"account {owner} shares, and the stack does not name that account.",
            "If its directory is the right one, set the stack's parameter DirectoryOwnerAccounts to that account. "
            'If not, that account decides who logs in to the cluster: start it with "move": true, or with "action": '
            '"disable".',
        )
