"""AWS STS as far as moto is kinder: which roles can be assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.iam.models import iam_backends

from local.aws import Parameters, fake
from local.faults import AwsError
from local.iam import conditions_hold, listed, statements

if TYPE_CHECKING:
    from local.cloud import Cloud


@fake("sts", "AssumeRole")
def assume_role(cloud: Cloud, parameters: Parameters) -> None:
    """A role that does not exist, does not trust the caller's account, or asks for another external id, is refused."""
    arn = parameters["RoleArn"]
    account, name = arn.split(":")[4], arn.rpartition("/")[2]
    context = {"sts:ExternalId": str(parameters.get("ExternalId", ""))}
    found = [role for role in iam_backends[account]["aws"].roles.values() if role.name == name]
    for statement in [each for role in found for each in statements(role.assume_role_policy_document)]:
        trusted = listed(statement["Principal"].get("AWS", []))
        if f"arn:aws:iam::{cloud.account}:root" in trusted and conditions_hold(statement.get("Condition", {}), context):
            return
    raise AwsError("AccessDenied", f"User: {cloud.account} is not authorized to perform: sts:AssumeRole on {arn}", 403)
