"""Step 3: makes the IAM role that lets Aurora use the directory, and checks the regional AWS STS endpoint."""

from __future__ import annotations

from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import names
from aurora_kerberos.aws import client, code, region
from aurora_kerberos.environment import environment
from aurora_kerberos.service_role import find, refuse_untrusting, sts_partition, trust_policy
from aurora_kerberos.step import Ready, step

POLICY = "service-role/AmazonRDSDirectoryServiceAccess"


class Arguments(TypedDict):
    """`role`: its name."""

    role: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when the role trusts the right principals and has the policy, and STS answers in the Region."""
    partition = sts_partition()
    role = find(arguments["role"]) or create(arguments["role"])
    refuse_untrusting(role)
    policy = f"arn:{partition}:iam::aws:policy/{POLICY}"
    if policy not in attached(role["RoleName"]):
        client("iam").attach_role_policy(RoleName=role["RoleName"], PolicyArn=policy)
    return Ready({"name": role["RoleName"], "arn": role["Arn"]})


def attached(role: str) -> set[str]:
    """The ARNs of the managed policies the role has (`iam:ListAttachedRolePolicies`)."""
    pages = client("iam").get_paginator("list_attached_role_policies").paginate(RoleName=role)
    return {policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]}


def create(name: str) -> dict[str, Any]:
    """Create the role with the documented trust policy and the stack's permissions boundary (`iam:CreateRole`)."""
    boundary = environment.permissions_boundary
    try:
        role = client("iam").create_role(
            RoleName=name,
            AssumeRolePolicyDocument=trust_policy(region()),
            Description="Lets Amazon Aurora use the directory for Kerberos authentication",
            Tags=[names.MANAGED_BY],
            **({"PermissionsBoundary": boundary} if boundary else {}),
        )
    except ClientError as error:
        if code(error) != "EntityAlreadyExists":  # another execution was first
            raise
        role = client("iam").get_role(RoleName=name)
    return dict(role["Role"])
