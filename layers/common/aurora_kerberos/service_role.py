"""The trust policy of the role that lets Aurora use a directory, and the STS endpoint that it needs (step 3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client, code, message
from aurora_kerberos.aws import region as own_region
from aurora_kerberos.errors import ServiceRoleInvalid, StsEndpointInactive

# Regions that are active in every account. All later ones are opt-in ("AWS Regions", Account Management guide).
ALWAYS_ON = {
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
}


def principals(region: str) -> list[str]:
    """The service principals that must be able to assume the role for clusters of the Region.

    Opt-in Regions need the regional principals as well ("Step 3", and "Supported Regions").
    """
    names = ["directoryservice.rds.amazonaws.com", "rds.amazonaws.com"]
    if region not in ALWAYS_ON and not region.startswith(("cn-", "us-gov-")):
        names += [f"directoryservice.rds.{region}.amazonaws.com", f"rds.{region}.amazonaws.com"]
    return names


def trust_policy(region: str) -> str:
    """The trust policy of a role made by this project, as JSON."""
    statement = {"Effect": "Allow", "Principal": {"Service": principals(region)}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def missing_principals(role: Mapping[str, Any], region: str) -> list[str]:
    """The service principals that cannot assume the role. `role` is as `iam:GetRole` describes it."""
    allowed: set[str] = set()
    for statement in _listed(role["AssumeRolePolicyDocument"].get("Statement", [])):
        principal = statement.get("Principal", {})
        services = _listed(principal.get("Service", [])) if isinstance(principal, Mapping) else []
        if statement.get("Effect") == "Allow" and {"sts:AssumeRole", "sts:*", "*"} & set(
            _listed(statement.get("Action", []))
        ):
            allowed.update(services)
    return [name for name in principals(region) if name not in allowed]


def find(name: str) -> dict[str, Any] | None:
    """The role (`iam:GetRole`), or None."""
    try:
        found: dict[str, Any] = client("iam").get_role(RoleName=name)["Role"]
    except ClientError as error:
        if code(error) != "NoSuchEntity":
            raise
        return None
    return found


def refuse_untrusting(role: Mapping[str, Any]) -> None:
    """Refuse a role that Aurora could not assume.

    Raises:
        ServiceRoleInvalid: naming the principals that its trust policy does not have.
    """
    if missing := missing_principals(role, own_region()):
        raise ServiceRoleInvalid(
            f"The trust policy of the role {role['RoleName']} does not let {' and '.join(missing)} assume it.",
            f"Add {' and '.join(missing)} as Principal.Service for sts:AssumeRole to the role's trust policy.",
        )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def sts_partition() -> str:
    """The partition, according to the Region's own STS endpoint (`sts:GetCallerIdentity`).

    Raises:
        StsEndpointInactive: the endpoint is deactivated for the account.
    """
    try:
        identity = client("sts").get_caller_identity()
    except ClientError as error:
        if code(error) != "RegionDisabledException":
            raise
        raise StsEndpointInactive(
            f"The AWS STS endpoint of {own_region()} is not active: {message(error)}",
            f"Activate it: IAM console, Account settings, Security Token Service, {own_region()}.",
        ) from error
    return Arn.parse(identity["Arn"]).partition
