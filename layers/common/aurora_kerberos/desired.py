"""What shall be: the settings, the tags and the list of principals of a cluster, and a digest of them all.

Read by `validate_request`, which makes a plan of it, and by `sweep_clusters`, which compares digests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from botocore.exceptions import ClientError

from aurora_kerberos import names
from aurora_kerberos.aws import client, code
from aurora_kerberos.environment import environment
from aurora_kerberos.errors import InvalidRequest, StackIncomplete
from aurora_kerberos.request import Apply, Group, Listed, PrincipalsList, Settings, Trust, User, parse, parse_json

NAME_OF_LIST = re.compile(r"[\w.-]+(/[\w.-]+)*")  # SSM takes what comes after a colon for a version or a label
CAREFULNESS: tuple[Apply, ...] = get_args(Apply)

# What people write, each list in a parameter of its own. All else is the stack's: it decides who has which power.
LISTS: dict[str, Any] = {"trusts": list[Trust], "users": list[User], "groups": list[Group]}


def settings() -> tuple[Settings, list[str]]:
    """The stack's parameters and the lists of people, with warnings about them (`ssm:GetParameters`).

    Raises:
        StackIncomplete: the stack's parameter with its settings is not there.
        InvalidRequest: naming every field that is wrong.
    """
    prefix, of_stack = environment.parameter_prefix, environment.stack_settings
    former = f"{prefix}/settings"  # held all three lists until 0.1.0, and any setting of the stack
    answer = client("ssm").get_parameters(Names=[of_stack, former, *(f"{prefix}/{field}" for field in LISTS)])
    found = {each["Name"]: str(each["Value"]) for each in answer["Parameters"]}
    if of_stack not in found:
        raise StackIncomplete(
            f"The parameter {of_stack}, in which the stack keeps its settings, does not exist.",
            "Deploy the stack again, which makes it.",
        )
    lists = lists_in(former, found[former]) if former in found else {}
    warnings = [
        f"The parameter {former} is not read by the next release: write its {field} into {prefix}/{field}."
        for field in lists
    ]
    for field, model in LISTS.items():
        if (name := f"{prefix}/{field}") in found:
            lists[field] = parse_json(model, found[name], f"The parameter {name}")
    return Settings.read(found[of_stack], lists), warnings


def lists_in(name: str, text: str) -> dict[str, Any]:
    """The lists in the parameter that once held them all.

    Raises:
        InvalidRequest: it has something else, which may only be a parameter of the stack.
    """
    lists = parse_json(dict[str, Any], text, f"The parameter {name}")
    if others := sorted(lists.keys() - LISTS.keys()):
        known = [field.title().replace("_", "") for field in others if field in Settings.model_fields]
        raise InvalidRequest(
            f"The parameter {name} holds {', '.join(others)}, and only {', '.join(LISTS)} can be written there.",
            f"Take {', '.join(others)} out of it"
            + (f", and set {', '.join(known)} among the parameters of the stack." if known else "."),
        )
    return lists


def action(tags: Mapping[str, str]) -> str:
    """`enable` or `disable`, as the tag says; empty without the tag.

    Raises:
        InvalidRequest: it says something else.
    """
    value = tags.get(names.TAG)
    if value is None:
        return ""
    if value not in names.ACTIONS:
        raise InvalidRequest(
            f"The tag {names.TAG} has the value {value!r}.", f"Set it to {' or '.join(names.ACTIONS)}, or take it off."
        )
    return names.ACTIONS[value]


def apply(tags: Mapping[str, str], of_stack: Settings, requested: Apply | None = None) -> Apply:
    """When to disturb the cluster: the most careful of what the stack, the cluster's tag and the input ask for.

    Raises:
        InvalidRequest: the tag has another value.
    """
    return max([of_stack.apply, *asked(tags, requested).values()], key=CAREFULNESS.index)


def too_careless(tags: Mapping[str, str], of_stack: Settings, requested: Apply | None) -> list[str]:
    """A warning for each of tag and input that asks for less care than is taken, and so is ignored."""
    taken = apply(tags, of_stack, requested)
    return [
        f"{who} asks for {value}, which is less careful than {taken}: it is ignored."
        for who, value in asked(tags, requested).items()
        if CAREFULNESS.index(value) < CAREFULNESS.index(taken)
    ]


def asked(tags: Mapping[str, str], requested: Apply | None) -> dict[str, Apply]:
    """What the cluster's tag and the input ask for, as far as they ask for anything."""
    by_tag = f"The tag {names.APPLY_TAG}"
    found: dict[str, Apply] = {}
    if (value := tags.get(names.APPLY_TAG)) is not None:
        found[by_tag] = parse(Apply, value, by_tag)  # type: ignore[arg-type]  # a Literal is no class
    if requested:
        found["The input's apply"] = requested
    return found


def principals(cluster: str, of_stack: Settings, tags: Mapping[str, str]) -> list[Listed]:
    """From the parameter that the cluster's tag names, else the cluster's own, else the stack's.

    Raises:
        InvalidRequest: the tag names no list, or one that is not for this cluster.
    """
    lists = f"{of_stack.parameter_prefix}/principals/"
    own, named = f"{lists}{cluster}", tags.get(names.PRINCIPALS_TAG, "")
    if named and not NAME_OF_LIST.fullmatch(named.removeprefix(lists) if named.startswith(lists) else ""):
        raise InvalidRequest(
            f"The tag {names.PRINCIPALS_TAG} names the parameter {named}, which is no list of principals here.",
            f"Name one of the form {lists}<name>, without a version or a label.",
        )
    found = principals_in(named or own, cluster, own)
    if named and found is None:
        raise InvalidRequest(
            f"The tag {names.PRINCIPALS_TAG} names the parameter {named}, which does not exist.",
            "Create the parameter, or take the tag off.",
        )
    if found is not None:
        return found
    return parse_json(list[Listed], parameter(of_stack.default_principals) or "[]", "The stack's DefaultPrincipals")


def principals_in(name: str, cluster: str, own: str) -> list[Listed] | None:
    """The principals in an SSM parameter, of which `own` is the cluster's; None when there is no such parameter.

    Raises:
        InvalidRequest: the list is not for the cluster.
    """
    value = parameter(name)
    if value is None:
        return None
    what = f"The parameter {name}"
    if not value.lstrip().startswith("{"):
        if name != own:
            raise InvalidRequest(
                f"{what} does not say for which clusters its list is, so it is not for {cluster}.",
                f'Write it as {{"clusters": ["{cluster}"], "principals": [...]}}.',
            )
        return parse_json(list[Listed], value, what)
    found = parse_json(PrincipalsList, value, what)
    if not found.is_for(cluster):
        raise InvalidRequest(
            f"{what} has a list that is not for the cluster {cluster}.",
            f"Add {cluster} to its `clusters`, or take the tag {names.PRINCIPALS_TAG} off the cluster.",
        )
    return found.principals


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
