"""The parts of a plan, made of the request, the stack's settings, the tags and the live cluster.

Nothing is changed here; what cannot work is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos import clusters, names, new_clusters, registry
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import DirectoryNotFound, InvalidRequest, SecretUnusable
from aurora_kerberos.plan import Cluster, Creation, DirectoryUsers, Network, WantedDirectory
from aurora_kerberos.plan import Trust as WantedTrust
from aurora_kerberos.principals import is_reserved, role_reserved
from aurora_kerberos.request import Listed, NewCluster, Principal, PrincipalGroup, Request, Settings, Trust


def existing(cluster: Mapping[str, Any], request: Request, settings: Settings, tags: Mapping[str, str]) -> Cluster:
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


def wanted_creation(request: Request, cluster: Mapping[str, Any] | None, directory: str, role: str) -> Creation:
    """How step 6 is to be taken: what is made, and the instances that restart, in this order."""
    if request.creations:
        (kind,) = request.creations
        wanted: NewCluster = getattr(request, kind)
        new_clusters.refuse_malformed(kind, wanted.parameters, wanted.instances)
        parameters = new_clusters.parameters(kind, request.cluster, wanted.parameters)
        instances = new_clusters.instances(request.cluster, wanted.instances)
        new_clusters.refuse_names(request.cluster, instances)
        return {"way": kind, "parameters": parameters, "instances": instances, "restarts": []}
    joined = clusters.membership(cluster or {})
    as_wanted = joined and joined["Status"] in clusters.ENABLED and clusters.role_of(joined) in ("", role)
    moves = joined and directory not in ("", joined["Domain"])
    due = not as_wanted or moves or (cluster and registry.restart_due(cluster))
    restarts = [instance["DBInstanceIdentifier"] for instance in clusters.instances(dict(cluster or {}))] if due else []
    return {"way": "modify", "parameters": {}, "instances": [], "restarts": restarts}


def to_be_made(creation: Creation, request: Request, settings: Settings) -> Cluster:
    """The plan's `cluster` for one that step 6 makes; refused when its parameters cannot work here."""
    made, name = creation["parameters"], request.cluster
    version = new_clusters.refuse_impossible(creation["way"], made, creation["instances"])
    secret = named_secret(request.master_secret, settings) or (
        "" if creation["way"] == "create" else f"{settings.secret_prefix}/{name}/master"
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


def wanted_directory(settings: Settings) -> WantedDirectory:
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
        "owners": owners(settings),
    }


def owners(settings: Settings) -> list[str]:
    """The accounts whose directories are trusted: that of the role, or those that the stack names."""
    role = settings.directory_account_role
    return [Arn.parse(role).account] if role else settings.directory_owner_accounts


def wanted_trust(trust: Trust, settings: Settings) -> WantedTrust:
    """One trust for `ensure_trust`; refused when it would be made with the password of another one."""
    secret = f"{settings.secret_prefix}/{trust.domain}/trust"
    if trust.password_secret not in {"", secret}:
        raise InvalidRequest(
            f"The trust with {trust.domain} names the secret {trust.password_secret}.",
            f"Store its password in the secret {secret}, and take password_secret out of the list of trusts.",
        )
    return {
        "domain": trust.domain,
        "direction": trust.direction,
        "dns_ips": [str(address) for address in trust.dns_ips],
        "password_secret": secret,
    }


def wanted_users(listed: list[Listed], settings: Settings, dns_name: str) -> DirectoryUsers:
    """What `ensure_directory_users` is to create, and the groups it is to look up."""
    users = [
        {**user.model_dump(), "secret": f"{settings.secret_prefix}/{dns_name}/users/{user.name}"}
        for user in settings.users
    ]
    allowed = {name.lower() for name in settings.allowed_groups}
    return {
        "users": users,
        "groups": [{**group.model_dump(), "allowed": group.name.lower() in allowed} for group in settings.groups],
        "principal_groups": [group.model_dump() for group in listed if isinstance(group, PrincipalGroup)],
    }


def wanted_network(settings: Settings) -> Network:
    """What the functions that log in to databases have of a network, and whether more of it may be made."""
    return {
        "mode": settings.network,
        "function_security_group": settings.function_security_group,
        "function_vpc_id": settings.vpc_id,
        "function_subnet_ids": settings.subnet_ids,
        "login": bool(settings.check_secret),
    }


def refuse_reserved(listed: list[Listed], settings: Settings) -> None:
    """Refuse roles whose names alone say that they are not to be granted.

    Raises:
        RoleReserved: naming the first.
    """
    for each in listed:
        mapped = [each.map_to] if isinstance(each, PrincipalGroup) and each.map_to else []
        for role in [*mapped, *each.roles]:
            if is_reserved(role) and role not in settings.allowed_roles:
                who = each.group if isinstance(each, PrincipalGroup) else each.name
                raise role_reserved(role, [role], who)


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


def refuse_contradicted(action: str, tags: Mapping[str, str]) -> None:
    """Refuse to go against the cluster's tag; the policies of the steps have no permission for it either."""
    if names.ACTIONS.get(tags.get(names.TAG, ""), action) != action:
        wanted = names.ENABLED if action == "enable" else names.DISABLED
        raise InvalidRequest(
            f"The tag {names.TAG} of the cluster is {tags[names.TAG]}, and the request is to {action}.",
            f"Set the tag to {wanted} instead, which is all that is needed, or take it off and start again.",
        )


def unknown_restart(cluster: Mapping[str, Any] | None) -> list[str]:
    """A warning when the tag says that a restart is due, and the registry knows of none: a tag restarts nothing."""
    if not cluster or names.RESTART_TAG not in names.tags(cluster) or registry.restart_due(cluster):
        return []
    return [
        f"The tag {names.RESTART_TAG} says that a restart is due, of which this stack knows nothing: nothing restarts. "
        "Restart the instances when it suits, if it is so, and take the tag off."
    ]
