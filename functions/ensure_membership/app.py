"""Step 6: the cluster is a member of the directory's domain, by one of the four ways of the guide.

A cluster that is there is modified, and its instances restart once it has joined; when that may be, `apply` says. One
that is created, restored from a snapshot or restored to a point in time is made as a member.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import clusters, names, new_clusters
from aurora_kerberos.aws import client, code, message
from aurora_kerberos.errors import (
    AnotherDirectory,
    ClusterNotFound,
    ClusterUnusable,
    DirectoryNotFound,
    EnableKerberosFailed,
    InstanceUnusable,
    RestartDue,
    ServiceRoleInvalid,
)
from aurora_kerberos.plan import Cluster, Creation
from aurora_kerberos.step import DAY, MINUTE, Ready, Waiting, step, unapproved

FAILED = {"enable-kerberos-failed", "failed"}

EVENTS_KEPT = 14 * 24 * 60  # minutes


class Progress(TypedDict):
    """What this execution has done already; handed back by the state machine."""

    made: bool
    asked: bool
    reattempted: bool
    corrected: bool
    restarted: list[str]
    last_pending: str


NOTHING_DONE: Progress = {
    "made": False,
    "asked": False,
    "reattempted": False,
    "corrected": False,
    "restarted": [],
    "last_pending": "",
}


class Arguments(TypedDict):
    """`cluster`, `way`, `apply` and `move` of the plan; `directory`: an id; `role`: a name.

    `approved`: whether somebody has; `now`: ISO 8601; `progress`: {} at first.
    """

    cluster: Cluster
    way: Creation
    apply: str
    move: bool
    approved: bool
    directory: str
    role: str
    now: str
    progress: Progress | dict[str, Any]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when cluster and instances are `kerberos-enabled` and restarted where the guide says so."""
    told = arguments["progress"]
    progress: Progress = {key: told.get(key, value) for key, value in NOTHING_DONE.items()}  # type: ignore[assignment]  # the same keys
    cluster = find(arguments, progress)
    if cluster is None:
        return make_cluster(arguments, progress)
    if arguments["way"]["way"] != "modify":
        new_clusters.refuse_made_by_others(cluster, arguments["way"]["way"])
    instances = clusters.instances(cluster)
    there = {instance["DBInstanceIdentifier"] for instance in instances}
    missing = [each for each in arguments["way"]["instances"] if each["DBInstanceIdentifier"] not in there]
    clusters.refuse_stuck(cluster, instances)
    if not instances and not missing:
        raise ClusterUnusable(
            f"Cluster {cluster['DBClusterIdentifier']} has no instances.", "Add one, then start again."
        )
    if cluster["Status"] == "creating":
        return being_created(cluster["DBClusterIdentifier"], progress)
    if cluster["Status"] not in clusters.AVAILABLE:
        return Waiting(f"Cluster {cluster['DBClusterIdentifier']} is {cluster['Status']}", outputs=progress)
    if missing:
        return make_instances(missing, arguments, progress)
    if any(instance["DBInstanceStatus"] == "creating" for instance in instances):
        return instances_being_created(cluster["DBClusterIdentifier"], progress)
    return member(cluster, instances, arguments, progress)


def member(
    cluster: dict[str, Any], instances: list[dict[str, Any]], arguments: Arguments, progress: Progress
) -> Ready | Waiting:
    """The membership of a cluster that is there, with all its instances."""
    name = cluster["DBClusterIdentifier"]
    memberships = {each["DBInstanceIdentifier"]: clusters.membership(each) for each in instances}
    memberships = {name: clusters.membership(cluster), **memberships}
    elsewhere = in_another_domain(name, memberships, arguments)
    statuses = {who: found["Status"] if found and who not in elsewhere else "" for who, found in memberships.items()}
    if name in elsewhere or not any(statuses.values()):
        return join(cluster, instances, arguments, progress, progress)
    if failed := [who for who, status in statuses.items() if status in FAILED]:
        if progress["reattempted"]:
            raise join_failed(name, failed, statuses)
        return join(cluster, instances, arguments, progress, {**progress, "reattempted": True})
    if pending := [who for who, status in statuses.items() if status not in clusters.ENABLED]:
        return joining(cluster, pending[0], statuses[pending[0]], arguments, progress)
    # DomainIAMRoleName is the cluster's alone: an instance cannot be given another, whatever RDS shows for it.
    role = clusters.role_of(memberships[name] or {})
    if role not in {"", arguments["role"]}:
        if not progress["corrected"]:
            return join(cluster, instances, arguments, progress, {**progress, "corrected": True})
        return kept_role(name, role, progress)
    return restart(cluster, instances, arguments, progress)


def in_another_domain(name: str, memberships: Mapping[str, Mapping[str, Any] | None], arguments: Arguments) -> set[str]:
    """The members, of the cluster and its instances, that are to move from another directory's domain.

    Raises:
        AnotherDirectory: they are in one, and may not move.
    """
    elsewhere = {
        who: found["Domain"]
        for who, found in memberships.items()
        if found and found["Domain"] != arguments["directory"] and found["Status"] not in clusters.LEAVING
    }
    for domain in elsewhere.values():
        if not arguments["move"]:
            raise AnotherDirectory(
                f"Cluster {name} is in the domain of {domain}, and {arguments['directory']} is asked for.",
                f'Start it with "move": true, or set the stack\'s DirectoryId to {domain}.',
            )
    return set(elsewhere)


def joining(cluster: Mapping[str, Any], member: str, status: str, arguments: Arguments, progress: Progress) -> Waiting:
    """RDS is at work on the membership, or will be in the maintenance window."""
    if progress["asked"] and status in clusters.ON_THE_WAY:
        return asked_to_join(cluster["DBClusterIdentifier"], progress)
    if arguments["way"]["way"] == "modify" and names.RESTART_TAG not in names.tags(cluster):
        clusters.tag_restart(cluster, clusters.AFTER_JOINING)  # somebody else has asked for it
    later = status.startswith("pending-maintenance-")
    seen: Progress = {**progress, "last_pending": arguments["now"] if later else progress["last_pending"]}
    status = status or "not listed yet"
    return Waiting(f"Membership of {member} is {status}", deadline=clusters.patience(status), outputs=seen)


def kept_role(name: str, role: str, progress: Progress) -> Waiting:
    """RDS still shows the role that it was asked to replace."""
    refused = ServiceRoleInvalid(
        f"Cluster {name} keeps the role {role}.", "Let it leave the domain (kerberos=disabled), then enable it again."
    )
    return Waiting(
        f"Cluster {name} has the role {role} still", deadline=30 * MINUTE, otherwise=refused, outputs=progress
    )


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


def make_cluster(arguments: Arguments, progress: Progress) -> Waiting:
    """Make the cluster as a member of the domain (`rds:CreateDBCluster`, `rds:RestoreDBCluster...`)."""
    way, rds = arguments["way"], client("rds")
    # Said although RDS has a default: for a restored cluster its documentation has another one than that of the source.
    version = {} if way["way"] == "restore_to_time" else {"EngineVersion": arguments["cluster"]["engine_version"]}
    parameters = {**version, **way["parameters"], "Domain": arguments["directory"]}
    calls = {
        "create": rds.create_db_cluster,
        "restore": rds.restore_db_cluster_from_snapshot,
        "restore_to_time": rds.restore_db_cluster_to_point_in_time,
    }
    try:
        calls[way["way"]](**parameters, DomainIAMRoleName=arguments["role"])
    except ClientError as error:
        if code(error) != "DBClusterAlreadyExistsFault":
            return not_yet(error, arguments, progress)
    return being_created(arguments["cluster"]["id"], {**progress, "made": True})


def make_instances(missing: list[dict[str, Any]], arguments: Arguments, progress: Progress) -> Waiting:
    """Make the instances that are not there; the first of a cluster is its writer (`rds:CreateDBInstance`)."""
    cluster = arguments["cluster"]["id"]
    for instance in missing:
        try:
            client("rds").create_db_instance(**instance)
        except ClientError as error:
            if code(error) != "DBInstanceAlreadyExists":
                return not_yet(error, arguments, progress)
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


def busy(cluster: Mapping[str, Any], instances: list[dict[str, Any]], progress: Progress) -> Waiting | None:
    """What has to be waited for before the cluster is changed; None when all is available."""
    reason = clusters.busy(cluster, instances)
    restarts = reason.endswith(" is rebooting")
    return Waiting(reason, at_least=MINUTE if restarts else 0, outputs=progress) if reason else None


def undisturbed(what: str, arguments: Arguments, progress: Progress) -> Waiting | None:
    """The question for approval; None when it may be done, as to a cluster that is made here."""
    return unapproved(arguments, what, progress) if arguments["way"]["way"] == "modify" else None


def join(
    cluster: Mapping[str, Any],
    instances: list[dict[str, Any]],
    arguments: Arguments,
    progress: Progress,
    asked: Progress,
) -> Waiting:
    """Ask RDS to join the domain (`rds:ModifyDBCluster`), now or in the maintenance window.

    The same call re-attempts a failed membership, moves to another directory and corrects the role. `asked` is the
    progress when it has been made.
    """
    name = cluster["DBClusterIdentifier"]
    order = ", ".join(instance["DBInstanceIdentifier"] for instance in instances)
    what = f"Cluster {name} joins the domain of {arguments['directory']}, then its instances restart: {order}."
    if waiting := busy(cluster, instances, progress) or undisturbed(what, arguments, progress):
        return waiting
    # Before the call: whatever interrupts us, the restart is not forgotten.
    due = names.RESTART_TAG in names.tags(cluster)
    clusters.tag_restart(cluster, clusters.AFTER_JOINING)
    try:
        client("rds").modify_db_cluster(
            DBClusterIdentifier=name,
            Domain=arguments["directory"],
            DomainIAMRoleName=arguments["role"],
            ApplyImmediately=arguments["apply"] != "maintenance-window",
        )
    except ClientError as error:
        try:
            return not_yet(error, arguments, progress)
        except Exception:
            if not due:
                clusters.untag_restart(cluster)  # it does not join, so there is nothing to restart for
            raise
    return asked_to_join(name, {**asked, "asked": True})


def asked_to_join(name: str, progress: Progress) -> Waiting:
    """One thing to wait for, whatever the statuses on the way are called."""
    again = " again" if progress["reattempted"] or progress["corrected"] else ""
    return Waiting(f"Cluster {name} is joining the domain{again}", at_least=3 * MINUTE, outputs=progress)


def not_yet(error: ClientError, arguments: Arguments, progress: Progress) -> Waiting:
    """What RDS may accept later.

    Raises:
        DirectoryNotFound: RDS does not know the directory.
        ClientError: all that waiting does not help.
    """
    name = arguments["cluster"]["id"]
    if code(error) in {"InvalidDBClusterStateFault", "InvalidDBInstanceState"}:
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
    raise error


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
    if since is not None and not is_time(since):
        # What restarts in its maintenance window may do so before the membership shows.
        clusters.tag_restart(cluster, since := progress["last_pending"] or arguments["now"])
    if waiting := busy(cluster, instances, progress):
        return waiting
    # The event of a restart may come late: what this execution has restarted, it does not restart again.
    left = [
        instance["DBInstanceIdentifier"]
        for instance in (instances if since else [])
        if instance["DBInstanceIdentifier"] not in progress["restarted"]
        and not restarted(instance, datetime.fromisoformat(str(since)))
    ]
    if left and arguments["apply"] == "maintenance-window" and arguments["way"]["way"] == "modify":
        return restart_by_others(left, progress)
    if left:
        return undisturbed(f"The instances restart: {', '.join(left)}.", arguments, progress) or reboot(
            left[0], progress
        )
    if since:
        clusters.untag_restart(cluster)
    return Ready({"cluster": joined(cluster, arguments["cluster"]), "restarted": progress["restarted"]})


def reboot(name: str, progress: Progress) -> Waiting:
    """Restart one instance (`rds:RebootDBInstance`)."""
    try:
        client("rds").reboot_db_instance(DBInstanceIdentifier=name)
    except ClientError as error:
        if code(error) != "InvalidDBInstanceState":
            raise
        return Waiting(f"Instance {name} is busy", outputs=progress)
    done: Progress = {**progress, "restarted": [*progress["restarted"], name]}
    return Waiting(f"Instance {name} is rebooting", at_least=MINUTE, outputs=done)


def restart_by_others(left: list[str], progress: Progress) -> Waiting:
    """In a maintenance window nothing is restarted by us: RDS does it, or a person when it suits."""
    order = ", ".join(left)
    due = RestartDue(
        f"The cluster has joined the domain, and its instances have not restarted since: {order}.",
        "Restart them, readers first, when it suits; then start the execution again.",
    )
    return Waiting(f"{order} must restart, by RDS or a person", deadline=8 * DAY, otherwise=due, outputs=progress)


def joined(cluster: Mapping[str, Any], planned: Cluster) -> Cluster:
    """The plan's `cluster` with what is known of one that has been made meanwhile."""
    if planned["endpoint"]:
        return planned
    managed = cluster.get("MasterUserSecret", {}).get("SecretArn", "")
    return {
        **planned,
        "arn": cluster["DBClusterArn"],
        "endpoint": cluster["Endpoint"],
        "port": cluster["Port"],
        "master_secret": planned["master_secret"] or managed,
    }


def is_time(text: str) -> bool:
    """Whether the tag tells since when a restart is due; what it may hold else counts as from now on."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


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
