"""Turns a tag event or a person's input, the stack's settings and the live cluster into one plan, or refuses.

The only reader of settings and events. It changes nothing; each later step gets the parts of the plan its state names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import availability, clusters, names, new_clusters, service_role
from aurora_kerberos.aws import client, code, region
from aurora_kerberos.errors import (
    AnotherDirectory,
    ClusterNotFound,
    ClusterUnfit,
    ClusterUnusable,
    DirectoryNotFound,
    InstanceUnusable,
    InvalidRequest,
    SecretUnusable,
    ServiceRoleInvalid,
)
from aurora_kerberos.principals import Grant, merged
from aurora_kerberos.request import (
    Listed,
    NewCluster,
    Principal,
    PrincipalGroup,
    Request,
    Settings,
    TagEvent,
    Trust,
    parse,
    parse_json,
)
from aurora_kerberos.step import MINUTE, Ready, Waiting, step


class Arguments(TypedDict):
    """`request`: the execution's input as it came, which may be anything that is JSON; `execution`: its ARN."""

    request: Any
    execution: str


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready with the plan; waiting while the cluster is being created or changed; or refused."""
    settings = Settings.read(os.environ, extra_settings())
    given = arguments["request"]
    tagged = isinstance(given, Mapping) and given.get("detail-type") == names.TAG_EVENT
    request = requested(given, tagged)
    refuse_foreign(request, arguments["execution"])
    cluster = looked_up(request, tagged)
    tags = names.tags(cluster or {})
    if tagged and cluster is None:
        return superseded("the cluster no longer exists")
    if tagged and tags.get(names.TAG) != names.ENABLED:
        return superseded(f"the tag {names.TAG} is now {tags.get(names.TAG, 'gone')!r}")

    if cluster:
        refuse_unfit(cluster, request)
        if unfinished := being_made(cluster, request, tagged):
            return unfinished
    directory = wanted_directory(settings)
    service_role.sts_partition()
    refuse_role(settings.service_role_name)
    if cluster:
        refuse_another_domain(cluster, directory)
    listed = wanted_principals(request, settings, tags)
    principals = [each for each in listed if isinstance(each, Principal)]
    checked = [settings.check_principal] if settings.check_secret else []
    realm = directory["dns_name"].upper()
    way = wanted_way(request, cluster, tags)
    planned = existing(cluster, request, settings, tags) if cluster else to_be_made(way, request, settings)
    refuse_mapping(listed, planned["engine_version"])
    plan = {
        "cluster": planned,
        "way": way,
        "directory": directory,
        "trusts": [wanted_trust(trust, settings) for trust in settings.trusts],
        "service_role": settings.service_role_name,
        "directory_users": wanted_users(listed, settings, directory["dns_name"]),
        "principals": merged(
            Grant(principal=each.written(realm), roles=each.roles, named=True, groups=[])
            for each in [*principals, *checked]
        ),
        "network": {
            "mode": settings.network,
            "function_security_group": settings.function_security_group,
            "function_vpc_id": settings.vpc_id,
            "function_subnet_ids": settings.subnet_ids,
            "login": bool(settings.check_secret),
        },
        "client_parameters": f"{settings.parameter_prefix}/clients/{planned['id']}",
        "share_method": settings.directory_share_method,
        "check": {"principal": settings.check_principal.written(realm), "secret": settings.check_secret},
        "warnings": [
            *availability.warnings(region(), planned["engine_version"]),
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


def looked_up(request: Request, tagged: bool) -> dict[str, Any] | None:
    """The live cluster; None when it has yet to be made, or has gone since it was tagged."""
    try:
        return clusters.describe(request.cluster)
    except ClusterNotFound:
        if tagged or request.ways:
            return None
        raise


def refuse_unfit(cluster: Mapping[str, Any], request: Request) -> None:
    """Refuse what waiting does not help."""
    name = cluster["DBClusterIdentifier"]
    if cluster["Engine"] != "aurora-postgresql":
        raise ClusterUnfit(
            f"Cluster {name} runs {cluster['Engine']}, not aurora-postgresql.",
            f"Take the tag {names.TAG} off it: this workflow is for Aurora PostgreSQL.",
        )
    if request.ways:
        new_clusters.refuse_made_by_others(cluster, request.ways[0])
    if not cluster.get("DBSubnetGroup") or not cluster.get("VpcSecurityGroups"):
        raise ClusterUnfit(f"Cluster {name} is not in a VPC.", "Restore it into a VPC; Kerberos needs one.")
    if cluster["Status"] in clusters.STUCK_CLUSTER:
        raise ClusterUnusable(f"Cluster {name} is {cluster['Status']}.", "Bring it to `available`, then start again.")
    for instance in clusters.instances(dict(cluster)):
        if instance["DBInstanceStatus"] in clusters.STUCK_INSTANCE:
            raise InstanceUnusable(
                f"Instance {instance['DBInstanceIdentifier']} is {instance['DBInstanceStatus']}.",
                "Bring it to `available` or delete it, then start again.",
            )


def being_made(cluster: Mapping[str, Any], request: Request, tagged: bool) -> Waiting | None:
    """What has to be waited for before a plan can be made; None when nothing has.

    Raises:
        ClusterUnusable: the cluster has no instances, and none is on its way.
    """
    name = cluster["DBClusterIdentifier"]
    if cluster["Status"] not in clusters.AVAILABLE:
        return Waiting(f"Cluster {name} is {cluster['Status']}")
    instances = clusters.instances(dict(cluster))
    if any(instance["DBInstanceStatus"] == "creating" for instance in instances):
        return Waiting(f"The instances of {name} are being created")
    if instances or request.ways:
        return None
    empty = ClusterUnusable(f"Cluster {name} has no instances.", "Add an instance to it, then start again.")
    if not tagged:
        raise empty
    # CreateDBCluster makes an empty cluster, which may bear the tag already; its instances are made after it.
    return Waiting(f"Cluster {name} has no instances yet", deadline=30 * MINUTE, otherwise=empty)


def refuse_foreign(request: Request, execution: str) -> None:
    """Refuse a cluster of another account or Region, which this stack can neither see nor tag."""
    if request.cluster.startswith("arn:") and names.place(request.cluster) != names.place(execution):
        raise InvalidRequest(
            f"The cluster {request.cluster} is of another account or Region.",
            f"Start the execution there; this stack is for {' '.join(names.place(execution))}.",
        )


def refuse_another_domain(cluster: Mapping[str, Any], directory: Mapping[str, Any]) -> None:
    """Refuse a cluster that is in another directory's domain, before a directory is created for it.

    Whether it is the very directory that is asked for, step 6 knows; here the DNS name tells.
    """
    joined = clusters.membership(cluster)
    if not joined or joined["Status"] in clusters.LEAVING:
        return
    try:
        found = client("ds").describe_directories(DirectoryIds=[joined["Domain"]])["DirectoryDescriptions"]
    except ClientError as error:
        if code(error) not in {"EntityDoesNotExistException", "InvalidParameterException"}:
            raise
        found = []  # it may have been deleted, or no longer be shared with this account
    if found and found[0]["Name"].lower() != directory["dns_name"]:
        raise AnotherDirectory(
            f"Cluster {cluster['DBClusterIdentifier']} is in the domain of {joined['Domain']} ({found[0]['Name']}), "
            f"and {directory['dns_name']} is asked for.",
            f"Set the stack's DirectoryId to {joined['Domain']}, or let the cluster leave that domain first.",
        )


def existing(
    cluster: Mapping[str, Any], request: Request, settings: Settings, tags: Mapping[str, str]
) -> dict[str, Any]:
    """The plan's `cluster` for one that is there."""
    secondary = clusters.is_secondary(cluster)
    # The writer's name of a secondary cluster leads nowhere; without instances no name does.
    endpoint = cluster["ReaderEndpoint" if secondary else "Endpoint"] if cluster["DBClusterMembers"] else ""
    return {
        "id": cluster["DBClusterIdentifier"],
        "arn": cluster["DBClusterArn"],
        "endpoint": endpoint,
        "port": cluster["Port"],
        "database": request.database,
        **clusters.placed(cluster["DBSubnetGroup"]),
        "subnet_group": cluster["DBSubnetGroup"],
        "security_groups": [group["VpcSecurityGroupId"] for group in cluster["VpcSecurityGroups"]],
        "master_secret": (
            named_secret(request.master_secret, settings)
            or named_secret(tags.get(names.MASTER_SECRET_TAG, ""), settings)
            or cluster.get("MasterUserSecret", {}).get("SecretArn", "")
            or f"{settings.secret_prefix}/{cluster['DBClusterIdentifier']}/master"
        ),
        "http_endpoint": cluster.get("HttpEndpointEnabled", False),
        "secondary": secondary,
        "engine_version": cluster["EngineVersion"],
        "parameter_group": cluster["DBClusterParameterGroup"],
    }


def wanted_way(request: Request, cluster: Mapping[str, Any] | None, tags: Mapping[str, str]) -> dict[str, Any]:
    """How step 6 is to be taken: what is made, and the instances that restart, in this order."""
    if request.ways:
        (way,) = request.ways
        wanted: NewCluster = getattr(request, way)
        new_clusters.refuse_malformed(way, wanted.parameters, wanted.instances)
        parameters = new_clusters.parameters(way, request.cluster, wanted.parameters)
        instances = new_clusters.instances(request.cluster, wanted.instances)
        new_clusters.refuse_names(request.cluster, instances)
        return {"way": way, "parameters": parameters, "instances": instances, "restarts": []}
    joined = clusters.membership(cluster or {})
    due = not joined or joined["Status"] not in clusters.ENABLED or names.RESTART_TAG in tags
    restarts = [instance["DBInstanceIdentifier"] for instance in clusters.instances(dict(cluster or {}))] if due else []
    return {"way": "modify", "parameters": {}, "instances": [], "restarts": restarts}


def to_be_made(way: Mapping[str, Any], request: Request, settings: Settings) -> dict[str, Any]:
    """The plan's `cluster` for one that step 6 makes; refused when its parameters cannot work here."""
    made, name = way["parameters"], request.cluster
    version = new_clusters.refuse_impossible(way["way"], made, way["instances"])
    secret = named_secret(request.master_secret, settings) or (
        "" if way["way"] == "create" else f"{settings.secret_prefix}/{name}/master"
    )
    if secret:
        refuse_missing_secret(secret)
    return {
        "id": name,
        "arn": "",
        "endpoint": "",
        "port": made.get("Port", 5432),
        "database": request.database,
        **clusters.placed(made["DBSubnetGroupName"]),
        "subnet_group": made["DBSubnetGroupName"],
        "security_groups": made["VpcSecurityGroupIds"],
        "master_secret": secret,
        "http_endpoint": made.get("EnableHttpEndpoint", False),
        "secondary": False,
        "engine_version": version,
        "parameter_group": made.get("DBClusterParameterGroupName", f"default.aurora-postgresql{version.split('.')[0]}"),
    }


def named_secret(name: str, settings: Settings) -> str:
    """The name or ARN of a master secret that a person has named; refused when this stack may not read it."""
    plain = name.rpartition(":secret:")[2]
    ours = plain.startswith(f"{settings.secret_prefix}/") and re.search(r"/master(-\w{6})?$", plain)
    if name and not ours and not plain.startswith("rds!cluster-"):
        raise InvalidRequest(
            f"The master secret {name} is one that this stack may not read.",
            f"Name one of the form {settings.secret_prefix}/<anything>/master, or one that RDS manages.",
        )
    return name


def refuse_missing_secret(name: str) -> None:
    """Refuse to restore a cluster whose master password nobody has stored (`secretsmanager:DescribeSecret`)."""
    try:
        gone = "DeletedDate" in client("secretsmanager").describe_secret(SecretId=name)
    except ClientError as error:
        if code(error) != "ResourceNotFoundException":
            raise
        gone = True
    if gone:
        raise SecretUnusable(
            f"There is no secret {name}: a restored cluster has the master password of its source.",
            "Store `username` and `password` in it as JSON, or name another secret as `master_secret`.",
        )


def refuse_mapping(listed: list[Listed], version: str) -> None:
    """Refuse to map groups where the engine cannot ("Using AD security groups")."""
    major, _, minor = version.partition(".")
    able = (int(major), int(minor.partition(".")[0] or 0)) if major.isdecimal() else (99, 0)
    mapped = [each.group for each in listed if isinstance(each, PrincipalGroup) and each.map_to]
    if mapped and (able < (14, 10) or (15, 0) <= able < (15, 5)):
        raise InvalidRequest(
            f"Aurora PostgreSQL {version} cannot map the group {mapped[0]}: pg_ad_mapping is in 14.10, 15.5 and later.",
            "Leave out map_to: the group's members become database users.",
        )


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
    if missing := service_role.missing_principals(role, region()):
        raise ServiceRoleInvalid(
            f"The trust policy of the role {name} does not let {' and '.join(missing)} assume it.",
            f"Add {' and '.join(missing)} as Principal.Service for sts:AssumeRole to the role's trust policy.",
        )


def wanted_principals(request: Request, settings: Settings, tags: Mapping[str, str]) -> list[Listed]:
    """From the input, else the parameter that the cluster's tag names, else the cluster's own, else the stack's."""
    if request.principals is not None:
        return request.principals
    named = tags.get(names.PRINCIPALS_TAG)
    if named and not named.startswith(f"{settings.parameter_prefix}/"):
        raise InvalidRequest(
            f"The tag {names.PRINCIPALS_TAG} names the parameter {named}, which this stack may not read.",
            f"Name one that begins with {settings.parameter_prefix}/.",
        )
    found = principals_in(named or f"{settings.parameter_prefix}/principals/{request.cluster.rpartition(':')[2]}")
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
