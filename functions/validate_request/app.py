"""Turns a tag event or a person's input, the stack's settings and the live cluster into one plan, or refuses.

The only reader of events and inputs. It changes nothing; each later step gets the parts of the plan its state names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import availability, clusters, desired, names, new_clusters, service_role
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client, code, region
from aurora_kerberos.errors import (
    AnotherDirectory,
    ClusterNotFound,
    ClusterUnfit,
    ClusterUnusable,
    DirectoryNotFound,
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
)
from aurora_kerberos.step import MINUTE, Ready, Waiting, step

SUPERSEDED, UNCHANGED = "superseded", "unchanged"


class Arguments(TypedDict):
    """`request`: the execution's input as it came, which may be anything that is JSON; `execution`: its ARN."""

    request: Any
    execution: str


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready with the plan; waiting while the cluster is being created or changed; or refused."""
    settings = desired.settings()
    given = arguments["request"]
    tagged = isinstance(given, Mapping) and given.get("detail-type") == names.TAG_EVENT
    request = requested(given, tagged)
    refuse_foreign(request, arguments["execution"])
    by_tag = tagged or bool(request.swept)
    cluster = looked_up(request, by_tag)
    tags = names.tags(cluster or {})
    if by_tag and cluster is None:
        return end(SUPERSEDED, "Nothing to do: the cluster no longer exists.")
    value = tags.get(names.TAG)
    out_of_date = value != given["detail"].get("tags", {}).get(names.TAG) if tagged else value is None
    if by_tag and out_of_date:
        return end(SUPERSEDED, f"Nothing to do: the tag {names.TAG} is now {value or 'gone'!r}.")
    action = desired.action(tags) if by_tag else request.action
    if not action:
        return end(UNCHANGED, untagged(cluster or {}))

    if cluster:
        refuse_unfit(cluster, request)
        if unfinished := being_made(cluster, request, by_tag):
            return unfinished
    service_role.sts_partition()
    plan = (
        to_leave(cluster, request, settings, tags)
        if action == "disable" and cluster
        else to_join(cluster, request, settings, tags)
    )
    return Ready({"end": {}, "plan": plan})


def end(outcome: str, message: str) -> Ready:
    """Nothing is left to do, and that is no failure."""
    return Ready({"end": {"outcome": outcome, "message": message}, "plan": {}})


def untagged(cluster: Mapping[str, Any]) -> str:
    """What is said when somebody has taken the tag off."""
    joined = clusters.membership(cluster)
    where = f"The cluster stays in the domain of {joined['Domain']}" if joined else "The cluster is in no domain"
    return (
        f"The tag {names.TAG} has been taken off, which changes nothing. {where}, and is not looked after any more. "
        f"To let it leave its domain, set the tag to {names.DISABLED}."
    )


def to_join(
    cluster: dict[str, Any] | None, request: Request, settings: Settings, tags: Mapping[str, str]
) -> dict[str, Any]:
    """The plan for a cluster that is to be a member of the domain."""
    directory = wanted_directory(settings)
    refuse_role(settings.service_role_name)
    move = request.move or settings.move
    if cluster and not move:
        refuse_another_domain(cluster, directory)
    name = request.cluster.rpartition(":")[2]
    listed = request.principals if request.principals is not None else desired.principals(name, settings, tags)
    principals = [each for each in listed if isinstance(each, Principal)]
    checked = [settings.check_principal] if settings.check_secret else []
    realm = directory["dns_name"].upper()
    way = wanted_way(request, cluster, directory["id"], settings.service_role_name)
    planned = existing(cluster, request, settings, tags) if cluster else to_be_made(way, request, settings)
    refuse_mapping(listed, planned["engine_version"])
    return {
        "action": "enable",
        "desired": desired.wanted("enable", listed, settings, tags),
        "apply": request.apply or desired.apply(tags, settings),
        "move": move,
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
        "network": wanted_network(settings),
        "client_parameters": f"{settings.parameter_prefix}/clients/{planned['id']}",
        "share_method": settings.directory_share_method,
        "check": {"principal": settings.check_principal.written(realm), "secret": settings.check_secret},
        "warnings": [
            *availability.warnings(region(), planned["engine_version"]),
            *([] if listed else ["No principals are listed: nobody will be able to log in."]),
            *unknown_realms([*principals, *checked], realm, settings.trusts),
            *contradicted(request.action, tags),
        ],
    }


def to_leave(cluster: dict[str, Any], request: Request, settings: Settings, tags: Mapping[str, str]) -> dict[str, Any]:
    """The plan for a cluster that is to be in no domain."""
    planned = existing(cluster, request, settings, tags)
    return {
        "action": "disable",
        "desired": desired.wanted("disable", [], settings, tags),
        "apply": request.apply or desired.apply(tags, settings),
        "cluster": planned,
        "principals": [],
        "network": wanted_network(settings),
        "client_parameters": f"{settings.parameter_prefix}/clients/{planned['id']}",
        "warnings": contradicted("disable", tags),
    }


def wanted_network(settings: Settings) -> dict[str, Any]:
    """What the functions that log in to databases have of a network, and whether more of it may be made."""
    return {
        "mode": settings.network,
        "function_security_group": settings.function_security_group,
        "function_vpc_id": settings.vpc_id,
        "function_subnet_ids": settings.subnet_ids,
        "login": bool(settings.check_secret),
    }


def contradicted(action: str, tags: Mapping[str, str]) -> list[str]:
    """A warning when the cluster's tag asks for the opposite, which the sweep will see to."""
    by_tag = desired.ACTIONS.get(tags.get(names.TAG, ""), action)
    return [] if by_tag == action else [f"The tag {names.TAG} is {tags[names.TAG]}: the next sweep will undo this."]


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


def looked_up(request: Request, by_tag: bool) -> dict[str, Any] | None:
    """The live cluster; None when it has yet to be made, or has gone since it was tagged."""
    try:
        return clusters.describe(request.cluster)
    except ClusterNotFound:
        if by_tag or request.ways:
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
    clusters.refuse_stuck(cluster, clusters.instances(dict(cluster)))


def being_made(cluster: Mapping[str, Any], request: Request, by_tag: bool) -> Waiting | None:
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
    if not by_tag:
        raise empty
    # CreateDBCluster makes an empty cluster, which may bear the tag already; its instances are made after it.
    return Waiting(f"Cluster {name} has no instances yet", deadline=30 * MINUTE, otherwise=empty)


def refuse_foreign(request: Request, execution: str) -> None:
    """Refuse a cluster of another account or Region, which this stack can neither see nor tag."""
    if request.cluster.startswith("arn:") and not names.same_place(request.cluster, execution):
        raise InvalidRequest(
            f"The cluster {request.cluster} is of another account or Region.",
            f"Start the execution there; this stack is for {' '.join(Arn.parse(execution).place)}.",
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
            f'Start it with "move": true, or set the stack\'s DirectoryId to {joined["Domain"]}.',
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


def wanted_way(request: Request, cluster: Mapping[str, Any] | None, directory: str, role: str) -> dict[str, Any]:
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
    as_asked = joined and joined["Status"] in clusters.ENABLED and clusters.role_of(joined) in ("", role)
    moves = joined and directory not in ("", joined["Domain"])
    due = not as_asked or moves or names.RESTART_TAG in names.tags(cluster or {})
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
