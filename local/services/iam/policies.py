"""IAM as the local run has it: a function may call what the policies of its own role in `template.yaml` allow.

Only what those policies use is understood; anything else is an error of the local run, never a silent allow.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from typing import Any

from moto.iam.models import iam_backends

from local.core.calls import Call
from local.core.cloud import Cloud
from local.core.faults import AwsError, Unmodelled
from local.services.iam.resources import UNAUTHORIZED, Context, listed, required


def authorize(cloud: Cloud, call: Call, role: str) -> None:
    """Refuse a function's call, as AWS does, when the role it is made with does not allow it.

    Raises:
        AwsError: AccessDenied (or the service's own code for it).
        Unmodelled: the operation is not in `RESOURCES` yet.
    """
    who = f"{call.function} as {call.role}" if call.role else call.function
    policies = list(statements_of(call.account, role))
    for action, resource, context in required(cloud, call.service, call.operation, call.parameters):
        if action not in UNAUTHORIZED and not allows(policies, action, resource, context):
            code = "AccessDenied" if call.service in {"iam", "rds", "sns", "sts"} else "AccessDeniedException"
            code = "UnauthorizedOperation" if call.service == "ec2" else code
            details = {"Reason": "IAM_AUTH"} if call.service == "ds-data" else {}
            message = f"User: {who} is not authorized to perform: {action} on resource: {resource}"
            raise AwsError(code, message, status=403, **details)


def statements_of(account: str, role: str) -> Iterator[Mapping[str, Any]]:
    """The statements of the inline policies of a role, as deployed."""
    for document in iam_backends[account]["aws"].get_role(role).policies.values():
        yield from statements(document)


def statements(document: str | Mapping[str, Any]) -> list[Any]:
    """The statements of a policy document; moto keeps some as text."""
    read = json.loads(document) if isinstance(document, str) else document
    return listed(read["Statement"])


def allows(policies: list[Mapping[str, Any]], action: str, resource: str, context: Context | None = None) -> bool:
    """Whether the statements allow an action on a resource under the context keys; a Deny wins."""
    effects = {
        statement["Effect"]
        for statement in policies
        if any(matches(pattern.lower(), action.lower()) for pattern in listed(statement["Action"]))
        and any(matches(pattern, resource) for pattern in listed(statement["Resource"]))
        and conditions_hold(statement.get("Condition", {}), context or {})
    }
    return effects == {"Allow"}


def conditions_hold(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Whether all conditions of a statement hold; ForAllValues for each value of its key, be there none.

    Raises:
        Unmodelled: an operator that is not modelled here.
    """
    for operator, keys in conditions.items():
        if operator.removeprefix("ForAllValues:") not in {"StringEquals", "StringLike", "ArnEquals", "ArnLike"}:
            raise Unmodelled(f"The local IAM does not know the condition operator {operator}. Add it to {__name__}.")
        alike = matches if operator.endswith("Like") else str.__eq__
        for key, wanted in keys.items():
            if not all(any(alike(each, value) for each in listed(wanted)) for value in listed(context.get(key, ""))):
                return False
    return True


def matches(pattern: str, value: str) -> bool:
    """IAM's wildcards: only `*` and `?` are special."""
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))
