"""Turns a tag event or a person's input, the stack's settings and the live cluster into one plan, or refuses.

The only reader of settings and events. It changes nothing; each later step gets the parts of the plan its state names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import availability, clusters, names
from aurora_kerberos.aws import client, code, region
from aurora_kerberos.errors import (
    ClusterNotFound,
    ClusterUnfit,
    ClusterUnusable,
    DirectoryNotFound,
    InvalidRequest,
    ServiceRoleInvalid,
)
from aurora_kerberos.request import Principal, Request, Settings, TagEvent, parse, parse_json
from aurora_kerberos.service_role import missing_principals
from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`request`: the execution's input as it came, which may be anything that is JSON."""

    request: Any


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready with the plan; waiting while the cluster is being created or changed; or refused."""
    settings = parse(Settings, dict(os.environ), "The function's environment")
    given = arguments["request"]
    tagged = isinstance(given, Mapping) and given.get("detail-type") == names.TAG_EVENT
    request = requested(given, tagged)
    try:
        cluster = clusters.describe(request.cluster)
    except ClusterNotFound:
        if tagged:
            return superseded("the cluster no longer exists")
        raise
    tags = names.tags(cluster)
    if tagged and tags.get(names.TAG) != names.ENABLED:
        return superseded(f"the tag {names.TAG} is now {tags.get(names.TAG, 'gone')!r}")

    refuse_unfit(cluster)
    if cluster["Status"] not in clusters.AVAILABLE:
        return Waiting(f"Cluster {cluster['DBClusterIdentifier']} is {cluster['Status']}")
    directory = wanted_directory(settings)
    refuse_role(settings.service_role_name)
    principals = wanted_principals(request, settings, tags, cluster["DBClusterIdentifier"])
    checked = [settings.check_principal] if settings.check_secret else []
    realm = directory["dns_name"].upper()
    plan = {
        "cluster": {
            "id": cluster["DBClusterIdentifier"],
            "arn": cluster["DBClusterArn"],
            "endpoint": cluster["Endpoint"],
            "port": cluster["Port"],
            "database": request.database,
            "security_groups": [group["VpcSecurityGroupId"] for group in cluster.get("VpcSecurityGroups", [])],
            "master_secret": master_secret(request, settings, tags, cluster),
        },
        "directory": directory,
        "service_role": settings.service_role_name,
        "principals": merged([*principals, *checked], realm),
        "check": {"principal": settings.check_principal.written(realm), "secret": settings.check_secret},
        "warnings": [
            *availability.warnings(region(), cluster["EngineVersion"]),
            *([] if principals else ["No principals are listed: nobody will be able to log in."]),
        ],
    }
    return Ready({"superseded": "", "plan": plan})


def requested(value: Any, tagged: bool) -> Request:
    """The request behind the execution's input."""
    if not tagged:
        return parse(Request, value, "The input")
    event = parse(TagEvent, value, "The tag event")
    if (event.detail.service, event.detail.resource_type) != ("rds", "cluster"):
        raise InvalidRequest(
            f"The tag event is for {event.detail.service} {event.detail.resource_type}.",
            "The EventBridge rule must let only tags of RDS clusters through, as the template's does.",
        )
    return event.request()


def superseded(why: str) -> Ready:
    """The event is out of date: nothing is left to do, and that is no failure."""
    return Ready({"superseded": f"Nothing to do: {why}.", "plan": {}})


def refuse_unfit(cluster: Mapping[str, Any]) -> None:
    """Refuse what waiting does not help."""
    name = cluster["DBClusterIdentifier"]
    if cluster["Engine"] != "aurora-postgresql":
        raise ClusterUnfit(
            f"Cluster {name} runs {cluster['Engine']}, not aurora-postgresql.",
            f"Take the tag {names.TAG} off it: this workflow is for Aurora PostgreSQL.",
        )
    if not cluster.get("DBSubnetGroup") or not cluster.get("VpcSecurityGroups"):
        raise ClusterUnfit(f"Cluster {name} is not in a VPC.", "Restore it into a VPC; Kerberos needs one.")
    if cluster["Status"] in clusters.STUCK_CLUSTER:
        raise ClusterUnusable(f"Cluster {name} is {cluster['Status']}.", "Bring it to `available`, then start again.")
    if not cluster["DBClusterMembers"]:
        raise ClusterUnusable(f"Cluster {name} has no instances.", "Add an instance to it, then start again.")


def wanted_directory(settings: Settings) -> dict[str, Any]:
    """What `ensure_directory` is to find or create; the DNS name is looked up when only the id is set."""
    dns_name = settings.directory_dns_name
    if settings.directory_id:
        try:
            described = client("ds").describe_directories(DirectoryIds=[settings.directory_id])
        except ClientError as error:
            if code(error) not in {"EntityDoesNotExistException", "InvalidParameterException"}:
                raise
            raise DirectoryNotFound(
                f"There is no directory {settings.directory_id} in this account and Region.",
                "Set the stack's parameter DirectoryId to an existing one, or leave it empty.",
            ) from error
        dns_name = described["DirectoryDescriptions"][0]["Name"]
    return {
        "id": settings.directory_id,
        "dns_name": dns_name.lower(),
        "edition": settings.directory_edition,
        "vpc_id": settings.vpc_id,
        "subnet_ids": settings.subnet_ids.split(","),
        "admin_secret": f"{settings.secret_prefix}/{dns_name.lower()}/admin",
    }


def refuse_role(name: str) -> None:
    """Refuse a role that Aurora could not assume now, before a directory is created for it."""
    try:
        role = client("iam").get_role(RoleName=name)["Role"]
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        return  # ensure_service_role creates it
    if missing := missing_principals(role, region()):
        raise ServiceRoleInvalid(
            f"The trust policy of the role {name} does not let {' and '.join(missing)} assume it.",
            f"Add {' and '.join(missing)} as Principal.Service for sts:AssumeRole to the role's trust policy.",
        )


def wanted_principals(request: Request, settings: Settings, tags: Mapping[str, str], cluster: str) -> list[Principal]:
    """From the input, else the parameter that the cluster's tag names, else the cluster's own, else the stack's."""
    if request.principals is not None:
        return request.principals
    named = tags.get(names.PRINCIPALS_TAG)
    found = parameter(named or f"{settings.parameter_prefix}/principals/{cluster}")
    if named and found is None:
        raise InvalidRequest(
            f"The tag {names.PRINCIPALS_TAG} names the parameter {named}, which does not exist.",
            "Create the parameter, or take the tag off.",
        )
    return found if found is not None else parameter(settings.default_principals) or []


def parameter(name: str) -> list[Principal] | None:
    """The principals in an SSM parameter; None when there is no such parameter."""
    try:
        value = client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    except ClientError as error:
        if code(error) != "ParameterNotFound":
            raise
        return None
    return parse_json(list[Principal], value, f"The parameter {name}")


def merged(principals: list[Principal], realm: str) -> list[dict[str, Any]]:
    """Each principal once, as PostgreSQL must know it, with all the roles it is listed with."""
    roles: dict[str, set[str]] = {}
    for principal in principals:
        roles.setdefault(principal.written(realm), set()).update(principal.roles)
    return [{"principal": principal, "roles": sorted(granted)} for principal, granted in sorted(roles.items())]


def master_secret(request: Request, settings: Settings, tags: Mapping[str, str], cluster: Mapping[str, Any]) -> str:
    """Where the master user's password is: as asked for, else RDS's own secret, else the one of the usual name."""
    return (
        request.master_secret
        or tags.get(names.MASTER_SECRET_TAG, "")
        or cluster.get("MasterUserSecret", {}).get("SecretArn", "")
        or f"{settings.secret_prefix}/{cluster['DBClusterIdentifier']}/master"
    )
