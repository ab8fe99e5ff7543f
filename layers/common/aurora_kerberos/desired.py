"""What shall be: the settings, the tags and the list of principals of a cluster, and a digest of them all.

Read by `validate_request`, which makes a plan of it, and by `sweep_clusters`, which compares digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos import names
from aurora_kerberos.aws import client, code
from aurora_kerberos.environment import environment
from aurora_kerberos.errors import InvalidRequest, StackIncomplete
from aurora_kerberos.request import Apply, Listed, Settings, parse, parse_json

ACTIONS = {names.ENABLED: "enable", names.DISABLED: "disable"}  # what the values of the tag stand for


def settings() -> Settings:
    """The stack's parameters, completed by the JSON settings that do not fit one (`ssm:GetParameters`).

    Raises:
        StackIncomplete: the stack's parameter with its settings is not there.
        InvalidRequest: naming every field that is wrong.
    """
    prefix = environment.parameter_prefix
    of_stack, of_people = f"{prefix}/stack", f"{prefix}/settings"
    answer = client("ssm").get_parameters(Names=[of_stack, of_people])
    found = {each["Name"]: str(each["Value"]) for each in answer["Parameters"]}
    if of_stack not in found:
        raise StackIncomplete(
            f"The parameter {of_stack}, in which the stack keeps its settings, does not exist.",
            "Deploy the stack again, which makes it.",
        )
    more = parse_json(dict[str, Any], found[of_people], f"The parameter {of_people}") if of_people in found else {}
    return Settings.read(found[of_stack], more)


def action(tags: Mapping[str, str]) -> str:
    """`enable` or `disable`, as the tag says; empty without the tag.

    Raises:
        InvalidRequest: it says something else.
    """
    value = tags.get(names.TAG)
    if value is None:
        return ""
    if value not in ACTIONS:
        raise InvalidRequest(
            f"The tag {names.TAG} has the value {value!r}.", f"Set it to {' or '.join(ACTIONS)}, or take it off."
        )
    return ACTIONS[value]


def apply(tags: Mapping[str, str], of_stack: Settings) -> Apply:
    """When to disturb the cluster: as its tag says, else as the stack's setting.

    Raises:
        InvalidRequest: the tag has another value.
    """
    value = tags.get(names.APPLY_TAG, of_stack.apply)
    return parse(Apply, value, f"The tag {names.APPLY_TAG}")  # type: ignore[arg-type]  # a Literal is no class


def principals(cluster: str, of_stack: Settings, tags: Mapping[str, str]) -> list[Listed]:
    """From the parameter that the cluster's tag names, else the cluster's own, else the stack's."""
    named = tags.get(names.PRINCIPALS_TAG)
    if named and not named.startswith(f"{of_stack.parameter_prefix}/"):
        raise InvalidRequest(
            f"The tag {names.PRINCIPALS_TAG} names the parameter {named}, which this stack may not read.",
            f"Name one that begins with {of_stack.parameter_prefix}/.",
        )
    found = principals_in(named or f"{of_stack.parameter_prefix}/principals/{cluster}")
    if named and found is None:
        raise InvalidRequest(
            f"The tag {names.PRINCIPALS_TAG} names the parameter {named}, which does not exist.",
            "Create the parameter, or take the tag off.",
        )
    return found if found is not None else principals_in(of_stack.default_principals) or []


def principals_in(name: str) -> list[Listed] | None:
    """The principals in an SSM parameter; None when there is no such parameter."""
    value = parameter(name)
    return None if value is None else parse_json(list[Listed], value, f"The parameter {name}")


def parameter(name: str) -> str | None:
    """The text in an SSM parameter; None when there is no such parameter (`ssm:GetParameter`)."""
    try:
        return str(client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if code(error) != "ParameterNotFound":
            raise
        return None


def wanted(wants: str, listed: list[Listed], of_stack: Settings, tags: Mapping[str, str]) -> str:
    """The digest of all that a cluster's state shall come from; of one that is to leave, only that."""
    if wants == "disable":
        return names.digest(wants)
    ours = {key: value for key, value in tags.items() if key in {names.MASTER_SECRET_TAG}}
    return names.digest(
        wants,
        [each.model_dump() for each in listed],
        of_stack.model_dump(mode="json", exclude={"apply", "creation", "move"}),
        ours,
    )
