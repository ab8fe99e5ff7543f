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
from aurora_kerberos.principals import merged
from aurora_kerberos.request import (
    Listed,
    Principal,
    PrincipalGroup,
    Request,
    Settings,
    TagEvent,
    Trust,
    parse,
    parse_json,
)
from aurora_kerberos.service_role import missing_principals
from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`request`: the execution's input as it came, which may be anything that is JSON."""

    request: Any


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready with the plan; waiting while the cluster is being created or changed; or refused."""
    settings = Settings.read(os.environ, extra_settings())
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
    listed = wanted_principals(request, settings, tags, cluster["DBClusterIdentifier"])
    principals = [each for each in listed if isinstance(each, Principal)]
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
            "vpc_id": clusters.vpc(cluster),
        },
        "directory": directory,
        "trusts": [wanted_trust(trust, settings) for trust in settings.trusts],
        "directory_users": wanted_users(listed, settings, directory["dns_name"]),
        "network": {"mode": settings.network, "function_security_group": settings.function_security_group},
        "share_method": settings.directory_share_method,
        "service_role": settings.service_role_name,
        "principals": merged(
            {"principal": each.written(realm), "roles": each.roles, "groups": []} for each in [*principals, *checked]
        ),
        "check": {"principal": settings.check_principal.written(realm), "secret": settings.check_secret},
        "warnings": [
            *availability.warnings(region(), cluster["EngineVersion"]),
            *([] if listed else ["No principals are listed: nobody will be able to log in."]),
            *unknown_realms([*principals, *checked], realm, settings.trusts),
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
            ds = client("ds", settings.directory_account_role)
            described = ds.describe_directories(DirectoryIds=[settings.directory_id])
        except ClientError as error:
            if code(error) not in {"EntityDoesNotExistException", "InvalidParameterException"}:
                raise
            raise DirectoryNotFound(
                f"There is no directory {settings.directory_id} in this Region of the directory's account.",
                "Set the stack's parameter DirectoryId to an existing one, or leave it empty.",
            ) from error
        dns_name = described["DirectoryDescriptions"][0]["Name"]
    return {
        "id": settings.directory_id,
        "dns_name": dns_name.lower(),
        "edition": settings.directory_edition,
        "vpc_id": settings.vpc_id,
        "subnet_ids": settings.subnet_ids,
        "admin_secret": f"{settings.secret_prefix}/{dns_name.lower()}/admin",
        "role": settings.directory_account_role,
    }


def unknown_realms(principals: list[Principal], realm: str, trusts: list[Trust]) -> list[str]:
    """A warning for each principal of a realm that is neither the directory's nor that of a trusted domain.

    A forest trust reaches the domains below the trusted one as well.
    """
    trusted = [trust.domain.upper() for trust in trusts]
    return [
        f"The realm of {principal.written(realm)} is neither {realm} nor that of a configured trust: no login."
        for principal in principals
        if (own := (principal.realm or realm).upper()) != realm
        and not any(own == domain or own.endswith(f".{domain}") for domain in trusted)
    ]


def wanted_trust(trust: Trust, settings: Settings) -> dict[str, Any]:
    """One trust for `ensure_trust`."""
    return {
        "domain": trust.domain,
        "direction": trust.direction,
        "dns_ips": [str(address) for address in trust.dns_ips],
        "password_secret": trust.password_secret or f"{settings.secret_prefix}/{trust.domain}/trust",
    }


def wanted_users(listed: list[Listed], settings: Settings, dns_name: str) -> dict[str, Any]:
    """What `ensure_directory_users` is to create, and the groups it is to look up."""
    users = [
        {**user.model_dump(), "secret": f"{settings.secret_prefix}/{dns_name}/users/{user.name}"}
        for user in settings.users
    ]
    return {
        "users": users,
        "groups": [group.model_dump() for group in settings.groups],
        "principal_groups": [group.model_dump() for group in listed if isinstance(group, PrincipalGroup)],
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


def wanted_principals(request: Request, settings: Settings, tags: Mapping[str, str], cluster: str) -> list[Listed]:
    """From the input, else the parameter that the cluster's tag names, else the cluster's own, else the stack's."""
    if request.principals is not None:
        return request.principals
    named = tags.get(names.PRINCIPALS_TAG)
    found = principals_in(named or f"{settings.parameter_prefix}/principals/{cluster}")
    if named and found is None:
        raise InvalidRequest(
            f"The tag {names.PRINCIPALS_TAG} names the parameter {named}, which does not exist.",
            "Create the parameter, or take the tag off.",
        )
    return found if found is not None else principals_in(settings.default_principals) or []


def principals_in(name: str) -> list[Listed] | None:
    """The principals in an SSM parameter; None when there is no such parameter."""
    value = parameter(name)
    return None if value is None else parse_json(list[Listed], value, f"The parameter {name}")


def extra_settings() -> dict[str, Any]:
    """The JSON settings that do not fit a parameter of the stack; empty when there are none."""
    name = f"{os.environ['PARAMETER_PREFIX']}/settings"
    value = parameter(name)
    return {} if value is None else parse_json(dict[str, Any], value, f"The parameter {name}")


def parameter(name: str) -> str | None:
    """The text in an SSM parameter; None when there is no such parameter (`ssm:GetParameter`)."""
    try:
        return str(client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if code(error) != "ParameterNotFound":
            raise
        return None


def master_secret(request: Request, settings: Settings, tags: Mapping[str, str], cluster: Mapping[str, Any]) -> str:
    """Where the master user's password is: as asked for, else RDS's own secret, else the one of the usual name."""
    return (
        request.master_secret
        or tags.get(names.MASTER_SECRET_TAG, "")
        or cluster.get("MasterUserSecret", {}).get("SecretArn", "")
        or f"{settings.secret_prefix}/{cluster['DBClusterIdentifier']}/master"
    )
