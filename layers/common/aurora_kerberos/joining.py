"""Joining the domain: what is next for a membership, and the call that joins, re-attempts, moves or corrects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from botocore.exceptions import ClientError

from aurora_kerberos import clusters, registry
from aurora_kerberos.aws import client
from aurora_kerberos.errors import EnableKerberosFailed, ServiceRoleInvalid
from aurora_kerberos.memberships import Arguments, Progress, busy, refusal, restart_due, undisturbed
from aurora_kerberos.step import MINUTE, Waiting

FAILED = {"enable-kerberos-failed", "failed"}


class Next(NamedTuple):
    """What is next for a membership, and the member (cluster or instance) that it is so for.

    - `join`: nobody is a member, or the cluster is to move.
    - `reattempt` and `fail`: the membership has failed once, and once more.
    - `wait`: RDS is at work on it.
    - `correct` and `keep`: the cluster has another role than the wanted one, and has kept it.
    - `restart`: all are members.
    """

    what: Literal["join", "reattempt", "fail", "wait", "correct", "keep", "restart"]
    who: str = ""


def decided(
    name: str, statuses: Mapping[str, str], cluster_is_elsewhere: bool, wrong_role: bool, progress: Progress
) -> Next:
    """What is next.

    Args:
        name: the cluster's.
        statuses: of the memberships of the cluster and its instances; empty for who has none in the wanted domain.
        cluster_is_elsewhere: whether the cluster is in another directory's domain, which it may leave.
        wrong_role: whether the cluster's membership has another role than the wanted one.
        progress: what this execution has done already.
    """
    if cluster_is_elsewhere or not any(statuses.values()):
        return Next("join", name)
    if failed := [who for who, status in statuses.items() if status in FAILED]:
        return Next("fail" if progress["reattempted"] else "reattempt", failed[0])
    if pending := [who for who, status in statuses.items() if status not in clusters.ENABLED]:
        return Next("wait", pending[0])
    if wrong_role:
        return Next("keep" if progress["corrected"] else "correct", name)
    return Next("restart", name)


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
            raise clusters.another_directory(name, domain, arguments["directory"])
    return set(elsewhere)


def joining(cluster: Mapping[str, Any], member: str, status: str, arguments: Arguments, progress: Progress) -> Waiting:
    """RDS is at work on the membership, or will be in the maintenance window."""
    if progress["asked"] and status in clusters.JOINING:
        return asked_to_join(cluster["DBClusterIdentifier"], progress)
    if arguments["way"]["way"] == "modify" and not restart_due(cluster, progress):  # somebody else has asked for it
        registry.note_restart(cluster, clusters.AFTER_JOINING, "joined by others", arguments["execution"])
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


def join(
    cluster: Mapping[str, Any],
    instances: list[dict[str, Any]],
    arguments: Arguments,
    progress: Progress,
    again: Literal["", "reattempted", "corrected"] = "",
) -> Waiting:
    """Ask RDS to join the domain (`rds:ModifyDBCluster`), now or in the maintenance window.

    The same call re-attempts a failed membership, moves to another directory and corrects the role. `again` is noted
    in the progress once RDS has taken it.

    Raises:
        DirectoryNotFound: RDS does not know the directory.
        ClientError: all that waiting does not help.
    """
    name = cluster["DBClusterIdentifier"]
    order = ", ".join(instance["DBInstanceIdentifier"] for instance in instances)
    what = f"Cluster {name} joins the domain of {arguments['directory']}, then its instances restart: {order}."
    if waiting := busy(cluster, instances, progress) or undisturbed(what, arguments, progress):
        return waiting
    # Before the call: whatever interrupts us, the restart is not forgotten.
    due = restart_due(cluster, progress)
    registry.note_restart(cluster, clusters.AFTER_JOINING, "joined", arguments["execution"])
    try:
        client("rds").modify_db_cluster(
            DBClusterIdentifier=name,
            Domain=arguments["directory"],
            DomainIAMRoleName=arguments["role"],
            ApplyImmediately=arguments["apply"] != "maintenance-window",
        )
    except ClientError as error:
        refused = refusal(error, arguments, progress)
        if isinstance(refused, Waiting):
            return refused
        if not due:
            registry.forget_restart(cluster, clusters.AFTER_JOINING)  # it does not join: nothing to restart for
        raise refused from (None if refused is error else error)
    return asked_to_join(name, noted(progress, again))


def noted(progress: Progress, again: Literal["", "reattempted", "corrected"]) -> Progress:
    """The progress once RDS has been asked to join."""
    return {
        **progress,
        "asked": True,
        "reattempted": progress["reattempted"] or again == "reattempted",
        "corrected": progress["corrected"] or again == "corrected",
    }


def asked_to_join(name: str, progress: Progress) -> Waiting:
    """One thing to wait for, whatever the statuses on the way are called."""
    again = " again" if progress["reattempted"] or progress["corrected"] else ""
    return Waiting(f"Cluster {name} is joining the domain{again}", at_least=3 * MINUTE, outputs=progress)


def join_failed(name: str, failed: list[str], statuses: Mapping[str, str]) -> EnableKerberosFailed:
    """The error for a second failure, with what RDS's events say about it."""
    said = [
        event["Message"]
        for event in clusters.events(name, "db-cluster")
        if any(word in event["Message"].lower() for word in ("kerberos", "domain", "directory"))
    ]
    reason = f"RDS says: {said[-1]}" if said else "RDS gives no reason in its events."
    return EnableKerberosFailed(
        f"Membership of {' and '.join(failed)} is {statuses[failed[0]]} after a second attempt. {reason}",
        "The guide names two causes: the network between cluster and directory (security groups on both sides, routes, "
        "network ACLs) and the IAM role. Mend it, then start again.",
    )
