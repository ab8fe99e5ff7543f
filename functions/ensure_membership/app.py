"""Step 6: the cluster is a member of the directory's domain, and its instances have restarted since it joined."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import clusters, names
from aurora_kerberos.aws import client, code, message
from aurora_kerberos.errors import (
    AnotherDirectory,
    ClusterUnusable,
    DirectoryNotFound,
    EnableKerberosFailed,
    InstanceUnusable,
    ServiceRoleInvalid,
)
from aurora_kerberos.step import DAY, MINUTE, Ready, Waiting, step

# "Understanding domain membership" (guide) and the API reference of DomainMembership.
ENABLED = {"kerberos-enabled", "joined"}
FAILED = {"enable-kerberos-failed", "failed"}
LEAVING = {"pending-disable-kerberos", "pending-maintenance-disable-kerberos", "disabling-kerberos"}

AFTER_JOINING = "after joining"
EVENTS_KEPT = 14 * 24 * 60  # minutes


class Progress(TypedDict):
    """What this execution has done already; handed back by the state machine."""

    reattempted: bool
    restarted: list[str]


class Arguments(TypedDict):
    """`cluster` of the plan, `directory` (id), `role` (name), `now` (ISO 8601) and `progress` (empty at first)."""

    cluster: Mapping[str, Any]
    directory: str
    role: str
    now: str
    progress: Progress | dict[str, Any]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when cluster and instances are `kerberos-enabled` and restarted where the guide says so."""
    progress: Progress = {"reattempted": False, "restarted": [], **arguments["progress"]}  # type: ignore[typeddict-item]  # the same keys
    cluster = clusters.describe(arguments["cluster"]["id"])
    instances = clusters.instances(cluster)
    name = cluster["DBClusterIdentifier"]
    refuse_stuck(cluster, instances)
    if cluster["Status"] not in clusters.AVAILABLE:
        return Waiting(f"Cluster {name} is {cluster['Status']}", outputs=progress)

    memberships = {name: membership(cluster), **{i["DBInstanceIdentifier"]: membership(i) for i in instances}}
    for member in memberships.values():
        if member and member["Domain"] != arguments["directory"] and member["Status"] not in LEAVING:
            raise AnotherDirectory(
                f"Cluster {name} is in the domain of {member['Domain']}, and {arguments['directory']} is asked for.",
                f"Set the stack's DirectoryId to {member['Domain']}, or let the cluster leave that domain first.",
            )
    statuses = {who: member["Status"] if member else "" for who, member in memberships.items()}
    if not any(statuses.values()):
        return join(cluster, arguments, progress)
    if failed := [who for who, status in statuses.items() if status in FAILED]:
        if progress["reattempted"]:
            raise join_failed(name, failed, statuses)
        return join(cluster, arguments, progress, again=True)
    if pending := [who for who, status in statuses.items() if status not in ENABLED]:
        status = statuses[pending[0]] or "not listed yet"
        deadline = 8 * DAY if status.startswith("pending-maintenance-") else Waiting.deadline
        if names.RESTART_TAG not in names.tags(cluster):
            tag_restart(cluster, AFTER_JOINING)  # somebody else has asked for it
        return Waiting(f"Membership of {pending[0]} is {status}", deadline=deadline, outputs=progress)
    return restart(cluster, instances, arguments, progress)


def membership(resource: Mapping[str, Any]) -> dict[str, Any] | None:
    """The domain membership of a cluster or an instance."""
    listed = [member for member in resource.get("DomainMemberships", []) if member.get("Domain", "none") != "none"]
    return listed[0] if listed else None


def refuse_stuck(cluster: Mapping[str, Any], instances: list[dict[str, Any]]) -> None:
    """Refuse what waiting does not help; it may have come about since the request was looked at."""
    name = cluster["DBClusterIdentifier"]
    if cluster["Status"] in clusters.STUCK_CLUSTER or not instances:
        what = f"is {cluster['Status']}" if instances else "has no instances"
        raise ClusterUnusable(f"Cluster {name} {what}.", "Bring it to `available` with an instance, then start again.")
    for instance in instances:
        if instance["DBInstanceStatus"] in clusters.STUCK_INSTANCE:
            raise InstanceUnusable(
                f"Instance {instance['DBInstanceIdentifier']} is {instance['DBInstanceStatus']}.",
                "Bring it to `available` or delete it, then start again.",
            )


def join(cluster: Mapping[str, Any], arguments: Arguments, progress: Progress, again: bool = False) -> Waiting:
    """Ask RDS to join the domain, now (`rds:ModifyDBCluster`); the same call re-attempts a failed membership."""
    name = cluster["DBClusterIdentifier"]
    # Before the call: whatever interrupts us, the restart is not forgotten.
    tag_restart(cluster, AFTER_JOINING)
    try:
        client("rds").modify_db_cluster(
            DBClusterIdentifier=name,
            Domain=arguments["directory"],
            DomainIAMRoleName=arguments["role"],
            ApplyImmediately=True,
        )
    except ClientError as error:
        if code(error) == "InvalidDBClusterStateFault":
            return Waiting(f"Cluster {name} is busy", outputs=progress)
        if code(error) == "DomainNotFoundFault":
            raise DirectoryNotFound(
                f"RDS does not know the directory {arguments['directory']}: {message(error)}",
                "It must be in this Region and account, or shared with it and accepted.",
            ) from error
        if code(error) == "InvalidParameterCombination" and "IAM role" in message(error):
            # A role that is seconds old is refused in these words as well.
            refused = ServiceRoleInvalid(
                f"RDS refuses the role {arguments['role']}: {message(error)}",
                "Compare its trust policy and path with step 3 of the guide.",
            )
            return Waiting("RDS does not accept the role yet", deadline=5 * MINUTE, otherwise=refused, outputs=progress)
        raise
    asked: Progress = {**progress, "reattempted": progress["reattempted"] or again}
    return Waiting(
        f"Cluster {name} has been asked{' again' if again else ''} to join", at_least=2 * MINUTE, outputs=asked
    )


def join_failed(name: str, failed: list[str], statuses: Mapping[str, str]) -> EnableKerberosFailed:
    """The error for a second failure, with what RDS's events say about it."""
    said = [
        event["Message"]
        for event in events(name, "db-cluster")
        if any(word in event["Message"].lower() for word in ("kerberos", "domain", "directory"))
    ]
    reason = f"RDS says: {said[-1]}" if said else "RDS gives no reason in its events."
    return EnableKerberosFailed(
        f"Membership of {' and '.join(failed)} is {statuses[failed[0]]} after a second attempt. {reason}",
        "The guide names two causes: the network between cluster and directory (security groups on both sides, routes, "
        "network ACLs) and the IAM role. Mend it, then start again.",
    )


def restart(
    cluster: Mapping[str, Any], instances: list[dict[str, Any]], arguments: Arguments, progress: Progress
) -> Ready | Waiting:
    """Restart what has not restarted since joining: one instance at a time, readers first (`rds:RebootDBInstance`)."""
    since = names.tags(cluster).get(names.RESTART_TAG)
    if since == AFTER_JOINING:
        tag_restart(cluster, since := arguments["now"])
    for instance in instances:
        name, status = instance["DBInstanceIdentifier"], instance["DBInstanceStatus"]
        if status not in clusters.AVAILABLE:
            return Waiting(f"Instance {name} is {status}", outputs=progress)
    for instance in instances if since else []:
        name = instance["DBInstanceIdentifier"]
        # The event of a restart may come late: what this execution has restarted, it does not restart again.
        if name in progress["restarted"] or restarted(instance, datetime.fromisoformat(str(since))):
            continue
        try:
            client("rds").reboot_db_instance(DBInstanceIdentifier=name)
        except ClientError as error:
            if code(error) != "InvalidDBInstanceState":
                raise
            return Waiting(f"Instance {name} is busy", outputs=progress)
        done: Progress = {**progress, "restarted": [*progress["restarted"], name]}
        return Waiting(f"Instance {name} is rebooting", outputs=done)
    if since:
        client("rds").remove_tags_from_resource(ResourceName=cluster["DBClusterArn"], TagKeys=[names.RESTART_TAG])
    joined = {**arguments["cluster"], "endpoint": cluster["Endpoint"], "port": cluster["Port"]}
    return Ready({"cluster": joined, "restarted": progress["restarted"]})


def restarted(instance: Mapping[str, Any], since: datetime) -> bool:
    """Whether the instance was made or restarted (RDS-EVENT-0006) after `since`."""
    if instance["InstanceCreateTime"] > since:
        return True
    happened = events(instance["DBInstanceIdentifier"], "db-instance", "availability")
    return any(event["Date"] > since and "restarted" in event["Message"].lower() for event in happened)


def events(source: str, kind: str, *categories: str) -> list[dict[str, Any]]:
    """The events RDS still has of a cluster or an instance, oldest first (`rds:DescribeEvents`)."""
    pages = (
        client("rds")
        .get_paginator("describe_events")
        .paginate(SourceIdentifier=source, SourceType=kind, Duration=EVENTS_KEPT, EventCategories=list(categories))
    )
    return sorted((event for page in pages for event in page["Events"]), key=lambda event: event["Date"])


def tag_restart(cluster: Mapping[str, Any], value: str) -> None:
    """Note on the cluster that, and since when, a restart is due (`rds:AddTagsToResource`)."""
    client("rds").add_tags_to_resource(
        ResourceName=cluster["DBClusterArn"], Tags=[{"Key": names.RESTART_TAG, "Value": value}]
    )
