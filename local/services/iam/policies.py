"""IAM as the local run has it: a function may call what the policies of its own role in `template.yaml` allow.

Only what those policies use is understood; anything else is an error of the local run, never a silent allow.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.iam.models import iam_backends

from local.core.calls import Call
from local.core.cloud import Cloud
from local.core.faults import AwsError, Unmodelled
from local.services.iam.keys import Context
from local.services.iam.resources import UNAUTHORIZED, listed, required


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
    """Whether all conditions of a statement hold; names of keys are alike in upper and lower case.

    Raises:
        Unmodelled: an operator that is not modelled here.
    """
    known = {key.lower(): listed(value) for key, value in context.items()}
    return all(
        holds(operator, listed(wanted), known.get(key.lower(), []))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def holds(operator: str, wanted: list[str], values: list[str]) -> bool:
    """Whether a condition holds for the values of its key, of which there are none when the call has no such key.

    Without a value, what is negated holds, and so does ForAllValues; nothing else does ("IAM JSON policy elements:
    Condition operators" and "Set operators for multivalued context keys", IAM user guide).

    Raises:
        Unmodelled: an operator that is not modelled here.
    """
    name = operator.removeprefix("ForAllValues:")
    alike = OPERATORS.get(name.replace("Not", ""))
    if alike is None:
        raise Unmodelled(f"The local IAM does not know the condition operator {operator}. Add it to {__name__}.")
    found = [any(alike(each, value) for each in wanted) for value in values]
    if "Not" in name:
        return not any(found)
    return all(found) and (bool(found) or name != operator)


def same_arn(pattern: str, value: str) -> bool:
    """Each part of an ARN by itself; ArnEquals knows wildcards as ArnLike does."""
    parts = pattern.split(":", 5), value.split(":", 5)
    return len(parts[0]) == len(parts[1]) and all(matches(*pair) for pair in zip(*parts, strict=True))


def same_but_for_case(wanted: str, value: str) -> bool:
    """As people write names."""
    return wanted.lower() == value.lower()


def matches(pattern: str, value: str) -> bool:
    """IAM's wildcards: only `*` and `?` are special."""
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))


OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "ArnEquals": same_arn,
    "ArnLike": same_arn,
    "Bool": same_but_for_case,
    "StringEquals": str.__eq__,
    "StringEqualsIgnoreCase": same_but_for_case,
    "StringLike": matches,
}
