"""What the workflow believes of a cluster: that a restart is due, and that this stack has made it.

Tags of the cluster say the same, as hints to people. Whoever may tag a cluster can write or remove them, so they decide
nothing: each belief is an item of the registry's table. An item is of one cluster, known by its DbClusterResourceId; an
identifier, and with it an ARN, may be used again for another cluster.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from aurora_kerberos import clusters, items, names
from aurora_kerberos.aws import client
from aurora_kerberos.environment import environment

RESTART = "restart:"
MADE = "made:"


def restart_due(cluster: Mapping[str, Any]) -> str:
    """Since when a restart of the instances is due: ISO 8601, or `clusters.AFTER_JOINING`. Empty when none is."""
    item = items.read(f"{RESTART}{cluster['DBClusterArn']}")
    return item.get("since", "") if item.get("resource_id") == cluster["DbClusterResourceId"] else ""


def note_restart(cluster: Mapping[str, Any], since: str, reason: str, execution: str) -> None:
    """Note that a restart is due, before it is; tell people by the tag as well (`dynamodb:PutItem`).

    What another execution has noted a moment ago stays: a restart is due as well.

    Args:
        cluster: as RDS describes it.
        since: ISO 8601, or `clusters.AFTER_JOINING`.
        reason: what the restart is for.
        execution: the ARN of the one that makes it due.
    """
    resource, before = cluster["DbClusterResourceId"], restart_due(cluster)
    items.put(
        f"{RESTART}{cluster['DBClusterArn']}",
        {"resource_id": resource, "since": since, "reason": reason, "execution": execution},
        "attribute_not_exists(arn) OR resource_id <> :resource OR since = :before",
        {":resource": resource, ":before": before},
    )
    clusters.tag_restart(cluster, since)


def forget_restart(cluster: Mapping[str, Any], since: str) -> None:
    """The restart that was due `since` is so no more; the tag goes as well, and first (`dynamodb:DeleteItem`)."""
    clusters.untag_restart(cluster)
    items.delete(
        f"{RESTART}{cluster['DBClusterArn']}",
        "resource_id = :resource AND since = :since",
        {":resource": cluster["DbClusterResourceId"], ":since": since},
    )


def made(arn: str) -> Mapping[str, str]:
    """What the registry knows of the cluster with this ARN that this stack has made, or is making (`dynamodb:GetItem`).

    Returns:
        `resource_id`: the DbClusterResourceId of the last one. `mark`: the tag of one whose call has had no answer yet.
    """
    return items.read(f"{MADE}{arn}")


def is_ours(item: Mapping[str, str], cluster: Mapping[str, Any]) -> bool:
    """Whether this stack has made the cluster: the registry knows it, or it bears the mark that nobody else knew."""
    mark = names.tags(cluster).get(names.MADE_BY_TAG)
    return item.get("resource_id") == cluster["DbClusterResourceId"] or (bool(mark) and item.get("mark") == mark)


def begin_making(arn: str, execution: str) -> str:
    """Note, before the call, that a cluster is going to be made; the mark that it is to bear (`dynamodb:UpdateItem`).

    Nobody else knows the mark until the cluster is there. So if the call's answer is lost, the cluster with the mark is
    ours, and no other can be. Another attempt has the same mark.
    """
    answer = client("dynamodb").update_item(
        TableName=environment.registry_table,
        Key=items.key(f"{MADE}{arn}"),
        UpdateExpression="SET mark = if_not_exists(mark, :mark), execution = :execution",
        ExpressionAttributeValues=items.written(
            {":mark": f"aurora-kerberos-{secrets.token_hex(16)}", ":execution": execution}
        ),
        ReturnValues="ALL_NEW",
    )
    return items.texts(answer["Attributes"])["mark"]


def note_made(cluster: Mapping[str, Any]) -> None:
    """Note that this stack has made the cluster (`dynamodb:UpdateItem`)."""
    client("dynamodb").update_item(
        TableName=environment.registry_table,
        Key=items.key(f"{MADE}{cluster['DBClusterArn']}"),
        UpdateExpression="SET resource_id = :resource REMOVE mark",
        ExpressionAttributeValues=items.written({":resource": cluster["DbClusterResourceId"]}),
    )
