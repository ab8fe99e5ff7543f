"""The sweep: starts, every hour, what lost events would have started, and corrects drift.

The sweep looks at all Aurora PostgreSQL clusters of the account and Region that have the tag. It starts an execution
for each cluster whose membership, role, settings or principals differ from those of its last success. After a failure
it starts another one only when something about the cluster has changed, or a day has passed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from aws_lambda_powertools.metrics import MetricUnit, single_metric
from botocore.exceptions import ClientError

from aurora_kerberos import clusters, desired, items, leases, names, questions, registry
from aurora_kerberos.aws import ERRORS, client, code
from aurora_kerberos.environment import environment
from aurora_kerberos.errors import KerberosError, StackIncomplete
from aurora_kerberos.request import Settings
from aurora_kerberos.step import logger

BACK_OFF = timedelta(days=1)


class Schedule(TypedDict):
    """What EventBridge Scheduler sends: the `time` that the sweep was scheduled for, ISO 8601."""

    time: str


class Candidate(TypedDict):
    """A tagged cluster: its instances, the wanted `action`, a digest of what is `desired`, and the last outcome.

    `restart_due`: as `registry.restart_due`.
    """

    cluster: dict[str, Any]
    instances: list[dict[str, Any]]
    action: str
    desired: str
    last: Mapping[str, str]
    restart_due: str


def handler(event: Schedule, context: object) -> dict[str, list[str]]:  # noqa: ARG001  Lambda passes it
    """The names of the clusters that are not as desired, by what was done: started, running, waiting, refused."""
    now = datetime.fromisoformat(event["time"]).astimezone(UTC)
    settings, _ = desired.settings()  # whoever starts an execution gets the warnings
    done: dict[str, list[str]] = {"started": [], "running": [], "waiting": [], "refused": []}
    instances = instances_by_cluster()
    for cluster in tagged_clusters():
        name = cluster["DBClusterIdentifier"]
        try:
            what = start_if_needed(candidate(cluster, instances.get(name, []), settings), settings, now)
        except StackIncomplete:
            raise  # this is not about one cluster
        except (KerberosError, *ERRORS) as error:
            # An error of one cluster must not stop the sweep of the others.
            logger.warning(str(error), cluster=name, error=type(error).__name__)
            what = "refused"
        if what:
            done[what].append(name)
    logger.info("Swept", extra=done)
    for what, clusters_done in done.items():
        if clusters_done:
            count(f"Swept{what.capitalize()}", len(clusters_done), MetricUnit.Count)
    return done


def count(name: str, value: float, unit: MetricUnit) -> None:
    """Write a metric of the sweep: how many clusters there were, or for how long an execution has held the lease."""
    with single_metric(name=name, unit=unit, value=value, namespace=names.METRICS):
        pass


def tagged_clusters() -> Iterator[dict[str, Any]]:
    """The Aurora PostgreSQL clusters that have the tag, page by page (`rds:DescribeDBClusters`)."""
    pages = client("rds").get_paginator("describe_db_clusters")
    for page in pages.paginate(Filters=[{"Name": "engine", "Values": ["aurora-postgresql"]}]):
        yield from (cluster for cluster in page["DBClusters"] if names.TAG in names.tags(cluster))


def instances_by_cluster() -> dict[str, list[dict[str, Any]]]:
    """All instances of the account and Region, by their cluster (`rds:DescribeDBInstances`)."""
    found: dict[str, list[dict[str, Any]]] = {}
    for page in client("rds").get_paginator("describe_db_instances").paginate():
        for instance in page["DBInstances"]:
            found.setdefault(instance.get("DBClusterIdentifier", ""), []).append(instance)
    return found


def candidate(cluster: dict[str, Any], instances: list[dict[str, Any]], settings: Settings) -> Candidate:
    """Collect what is desired of a cluster and its last outcome (`ssm:GetParameter`, `dynamodb:GetItem`).

    Raises:
        InvalidRequest: the tag says neither enabled nor disabled.
    """
    tags, name = names.tags(cluster), cluster["DBClusterIdentifier"]
    action = desired.action(tags)
    try:
        listed = desired.principals(name, settings, tags) if action == "enable" else []
        wanted = desired.wanted(action, listed, settings, tags)
    except KerberosError as error:
        wanted = names.digest(error.message)  # the execution that is started raises it again, and records it
    last, due = items.read(cluster["DBClusterArn"]), registry.restart_due(cluster)
    return Candidate(cluster=cluster, instances=instances, action=action, desired=wanted, last=last, restart_due=due)


def start_if_needed(found: Candidate, settings: Settings, now: datetime) -> str:
    """Start an execution if one is needed. Return `started`, `running`, `waiting`, or empty if nothing is to do."""
    cluster, last = found["cluster"], found["last"]
    if is_as_wanted(found, settings):
        return ""
    arn = cluster["DBClusterArn"]
    holder = leases.holder_of(arn)
    if (
        holder
        and (since := leases.running_since(holder))
        and not questions.about_another(arn, holder, found["action"])  # else the execution that is started takes over
    ):
        count("LeaseDays", (now - since) / timedelta(days=1), MetricUnit.NoUnit)
        return "running"
    state = state_of(found, settings)
    if failed_alike(found, state, settings, now):
        return "waiting"
    # Two sweeps with the same result make the same name, and so only one execution.
    once = names.digest(state, last.get("recorded_at", ""), holder, now.date().isoformat())
    try:
        client("stepfunctions").start_execution(
            stateMachineArn=environment.state_machine,
            name=f"sweep-{cluster['DBClusterIdentifier'][:57]}-{once}",
            input=json.dumps({"cluster": arn, "action": found["action"], "swept": state}),
        )
    except ClientError as error:
        if code(error) != "ExecutionAlreadyExists":
            raise
        return "waiting"
    return "started"


def is_as_wanted(found: Candidate, settings: Settings) -> bool:
    """Whether the last execution succeeded with what is desired now, and nothing has changed since."""
    cluster, last = found["cluster"], found["last"]
    memberships = [clusters.membership(each) for each in [cluster, *found["instances"]]]
    told = names.tags(cluster).get(names.STATUS_TAG)  # a rollout removes this tag, and waits for a new one
    if found["action"] == "disable":
        return last.get("outcome") == told == names.DISABLED and not any(memberships)
    return (
        last.get("outcome") == told == names.ENABLED
        and last.get("desired") == found["desired"]
        and not found["restart_due"]
        and clusters.role_of(memberships[0] or {}) in ("", settings.service_role_name)
        and all(
            each and each["Status"] in clusters.ENABLED and each["Domain"] == last.get("domain") for each in memberships
        )
    )


def state_of(found: Candidate, settings: Settings) -> str:
    """A digest of everything that could make another attempt succeed, as far as RDS and the settings show it."""
    cluster = found["cluster"]
    ours = {names.STATUS_TAG, names.MESSAGE_TAG, names.REMEDY_TAG, names.RESTART_TAG}
    members = [
        (each, "Status") if each is cluster else (each, "DBInstanceStatus") for each in [cluster, *found["instances"]]
    ]
    return names.digest(
        found["desired"],
        found["restart_due"],
        settings.apply,
        settings.move,
        {key: value for key, value in names.tags(cluster).items() if key not in ours},
        [
            ("" if each[status] in clusters.AVAILABLE else each[status], clusters.membership(each))
            for each, status in members
        ],
        [
            cluster.get(key)
            for key in ("VpcSecurityGroups", "DBSubnetGroup", "DBClusterParameterGroup", "EngineVersion")
        ],
        [cluster.get(key) for key in ("Port", "HttpEndpointEnabled", "MasterUserSecret")],
    )


def failed_alike(found: Candidate, state: str, settings: Settings, now: datetime) -> bool:
    """Whether the last attempt failed in the same state. A refusal counts for as long as approval is needed."""
    last = found["last"]
    if last.get("error") == "ApprovalRefused" and last.get("desired") == found["desired"]:
        return desired.apply(names.tags(found["cluster"]), settings) == "approval"
    recently = last.get("recorded_at") and now - datetime.fromisoformat(last["recorded_at"]) < BACK_OFF
    return last.get("outcome") == "failed" and last.get("swept") == state and bool(recently)
