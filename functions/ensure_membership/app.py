"""Step 6: the cluster is a member of the directory's domain, by one of the four ways of the guide.

A cluster that is there is modified, and its instances restart once it has joined; when that may be, `apply` says. One
that is created, restored from a snapshot or restored to a point in time is made as a member.
"""

from __future__ import annotations

from typing import Any

from aurora_kerberos import clusters
from aurora_kerberos.errors import ClusterUnusable
from aurora_kerberos.joining import FAILED, decided, in_another_domain, join, join_failed, joining, kept_role
from aurora_kerberos.making import (
    being_created,
    find,
    instances_being_created,
    make_cluster,
    make_instances,
    refuse_foreign,
)
from aurora_kerberos.memberships import NOTHING_DONE, Arguments, Progress
from aurora_kerberos.restarting import restart
from aurora_kerberos.step import Ready, Waiting, step


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when cluster and instances are `kerberos-enabled` and restarted where the guide says so."""
    told = arguments["progress"]
    progress: Progress = {key: told.get(key, value) for key, value in NOTHING_DONE.items()}  # type: ignore[assignment]  # the same keys
    cluster = find(arguments, progress)
    if cluster is None:
        return make_cluster(arguments, progress)
    if arguments["way"]["way"] != "modify":
        refuse_foreign(cluster, arguments, progress)
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
    # DomainIAMRoleName is the cluster's alone: an instance cannot be given another, whatever RDS shows for it.
    role = clusters.role_of(memberships[name] or {})
    then = decided(name, statuses, name in elsewhere, role not in {"", arguments["role"]}, progress)
    match then.what:
        case "join":
            return join(cluster, instances, arguments, progress)
        case "reattempt":
            return join(cluster, instances, arguments, progress, "reattempted")
        case "correct":
            return join(cluster, instances, arguments, progress, "corrected")
        case "fail":
            raise join_failed(name, [who for who in statuses if statuses[who] in FAILED], statuses)
        case "wait":
            return joining(cluster, then.who, statuses[then.who], arguments, progress)
        case "keep":
            return kept_role(name, role, progress)
        case "restart":
            return restart(cluster, instances, arguments, progress)
