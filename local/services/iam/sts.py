"""AWS STS as far as moto is kinder: which roles can be assumed."""

from __future__ import annotations

from moto.iam.models import iam_backends
from moto.organizations.models import organizations_backends

from aurora_kerberos.arns import Arn
from local.core.calls import Parameters, calling, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.services.iam.policies import conditions_hold, statements
from local.services.iam.resources import listed
from local.services.organizations import Accounts


@fake("sts", "AssumeRole")
def assume_role(cloud: Cloud, parameters: Parameters) -> None:
    """A role that does not exist, does not trust who calls, or asks for another external id, is refused.

    So is every role of an account that has been closed.
    """
    arn = parameters["RoleArn"]
    account, name = Arn.parse(arn).account, arn.rpartition("/")[2]
    caller = getattr(calling, "role", "")  # of a function; a person is all of his account
    context = {
        "sts:ExternalId": str(parameters.get("ExternalId", "")),
        "aws:PrincipalArn": caller,
        "aws:PrincipalOrgID": organization_of(cloud),
    }
    organization = cloud.part(Accounts).organization
    closed = organization.suspended if organization else []
    roles = iam_backends[account]["aws"].roles.values()
    found = [role for role in roles if role.name == name and account not in closed]
    for statement in [each for role in found for each in statements(role.assume_role_policy_document)]:
        trusted = listed(statement["Principal"].get("AWS", []))
        callers = {f"arn:aws:iam::{cloud.account}:root", cloud.account, "*", caller}
        if callers & set(trusted) and conditions_hold(statement.get("Condition", {}), context):
            return
    raise AwsError("AccessDenied", f"User: {cloud.account} is not authorized to perform: sts:AssumeRole on {arn}", 403)


def organization_of(cloud: Cloud) -> str:
    """The id of the organization that the caller's account is in; empty when it is in none."""
    organization, members = cloud.part(Accounts).organization, organizations_backends.master_accounts
    if organization is None or cloud.account not in {organization.management, *members}:
        return ""
    return str(organizations_backends[organization.management]["aws"].org.id)
