"""Restarting the instances of a cluster that has joined by a modification, readers first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos import clusters, registry
from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import RestartDue
from aurora_kerberos.memberships import Arguments, Progress, busy, restart_due, undisturbed
from aurora_kerberos.plan import Cluster
from aurora_kerberos.step import DAY, MINUTE, Ready, Waiting


def restart(
    cluster: Mapping[str, Any], instances: list[dict[str, Any]], arguments: Arguments, progress: Progress
) -> Ready | Waiting:
    """Restart what has not restarted since joining: one instance at a time, readers first (`rds:RebootDBInstance`)."""
    since = restart_due(cluster, progress)
    if since == clusters.AFTER_JOINING:
        # What restarts in its maintenance window may do so before the membership shows.
        since = progress["last_pending"] or arguments["now"]
        registry.note_restart(cluster, since, "joined", arguments["execution"])
    if waiting := busy(cluster, instances, progress):
        return waiting
    # The event of a restart may come late: what this execution has restarted, it does not restart again.
    remaining = [
        instance["DBInstanceIdentifier"]
        for instance in (instances if since else [])
        if instance["DBInstanceIdentifier"] not in progress["restarted"]
        and not restarted(instance, datetime.fromisoformat(since))
    ]
    if remaining and arguments["apply"] == "maintenance-window" and arguments["way"]["way"] == "modify":
        return restart_by_others(remaining, progress)
    if remaining:
        return undisturbed(f"The instances restart: {', '.join(remaining)}.", arguments, progress) or reboot(
            remaining[0], progress
        )
    if since:
        registry.forget_restart(cluster, since)
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


def restart_by_others(remaining: list[str], progress: Progress) -> Waiting:
    """In a maintenance window nothing is restarted by us: RDS does it, or a person when it suits."""
    order = ", ".join(remaining)
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


def restarted(instance: Mapping[str, Any], since: datetime) -> bool:
    """Whether the instance was made or restarted (RDS-EVENT-0006) after `since`."""
    if instance["InstanceCreateTime"] > since:
        return True
    happened = clusters.events(instance["DBInstanceIdentifier"], "db-instance", "availability")
    return any(event["Date"] > since and "restarted" in event["Message"].lower() for event in happened)
