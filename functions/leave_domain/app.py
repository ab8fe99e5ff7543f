"""Managing: makes the cluster leave its domain ("Managing an Aurora DB cluster in a domain")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import clusters, names, registry
from aurora_kerberos.aws import client, code
from aurora_kerberos.plan import Cluster
from aurora_kerberos.step import MINUTE, Ready, Waiting, step, unapproved


class Arguments(TypedDict):
    """`cluster` and `apply` of the plan; `approved`: whether somebody has; `progress`: {} at first."""

    cluster: Cluster
    apply: str
    approved: bool
    progress: Mapping[str, Any]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when neither the cluster nor an instance has a membership."""
    cluster = clusters.describe(arguments["cluster"]["id"])
    name = cluster["DBClusterIdentifier"]
    instances = clusters.instances(cluster)
    found = {each["DBInstanceIdentifier"]: clusters.membership(each) for each in instances}
    memberships = {who: each for who, each in {name: clusters.membership(cluster), **found}.items() if each}
    left = arguments["progress"].get("left", "") or next((each["Domain"] for each in memberships.values()), "")
    progress = {"left": left}
    if not memberships:
        since = registry.restart_due(cluster)
        if since or names.RESTART_TAG in names.tags(cluster):
            registry.forget_restart(cluster, since)
        return Ready(progress)
    clusters.refuse_stuck(cluster, instances)
    for who, membership in memberships.items():
        status = membership["Status"]
        if status in clusters.LEAVING or status in clusters.JOINING:
            return Waiting(f"Membership of {who} is {status}", deadline=clusters.patience(status), outputs=progress)
    if waiting := clusters.busy(cluster, instances):
        return Waiting(waiting, outputs=progress)
    what = f"Cluster {name} leaves the domain of {left}: nobody can log in with a ticket any more."
    return unapproved(arguments, what, progress) or leave(name, arguments["apply"], progress)


def leave(name: str, apply: str, progress: Mapping[str, Any]) -> Waiting:
    """Ask RDS to leave the domain (`rds:ModifyDBCluster`), now or in the maintenance window."""
    try:
        client("rds").modify_db_cluster(
            DBClusterIdentifier=name, Domain="none", ApplyImmediately=apply != "maintenance-window"
        )
    except ClientError as error:
        if code(error) not in {"InvalidDBClusterStateFault", "InvalidDBInstanceState"}:
            raise
        return Waiting(f"Cluster {name} is busy", outputs=progress)
    return Waiting(f"Cluster {name} has been asked to leave", at_least=MINUTE, outputs=progress)
