"""What a state hands to its function is what the function's `Arguments` ask for: names, and what must be there."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NotRequired, get_origin, get_type_hints

import pytest

from aurora_kerberos import step
from deploy import templates
from local.services.lambda_functions import load

MACHINES = ("statemachine/cluster.asl.yaml", "statemachine/rollout.asl.yaml")
OF_THE_CONTRACT = {*step.HANDED_BACK, "step", "since"}  # what the wrapper of every step reads
ALSO_OF_THE_CONTRACT = {"execution"}  # which a step may read as well


def tasks(definition: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The states of a machine, and of those in its maps, that invoke a function: its logical id, and the payload."""
    for state in definition["States"].values():
        if "Payload" in state.get("Arguments", {}):
            yield state["Arguments"]["FunctionName"].strip("${}"), state["Arguments"]["Payload"]
        if "ItemProcessor" in state:
            yield from tasks(state["ItemProcessor"])


INVOKED = [pytest.param(*task, id=task[0]) for machine in MACHINES for task in tasks(templates.definition(machine))]


@cache
def arguments(function: str) -> tuple[frozenset[str], frozenset[str]]:
    """The fields of a function's `Arguments`: all of them, and those that must be there."""
    handler = load(templates.ROOT / templates.functions()[function]["CodeUri"])
    module = inspect.unwrap(handler).__globals__
    asked = get_type_hints(module["Arguments"], include_extras=True)
    return frozenset(asked), frozenset(name for name, kind in asked.items() if get_origin(kind) is not NotRequired)


def differences(function: str, payload: Mapping[str, Any]) -> list[str]:
    """Where a payload is not what the function asks for."""
    known, required = arguments(function)
    own = payload.keys() - OF_THE_CONTRACT
    return [
        *(f"{name} is not handed over" for name in sorted(required - own)),
        *(f"{name} is asked for by nobody" for name in sorted(own - known - ALSO_OF_THE_CONTRACT)),
    ]


@pytest.mark.parametrize(("function", "payload"), INVOKED)
def test_a_payload_is_what_the_function_asks_for(function: str, payload: Mapping[str, Any]) -> None:
    assert differences(function, payload) == []


def test_an_argument_that_is_renamed_on_one_side_is_noticed() -> None:
    (payload,) = [task.values[1] for task in INVOKED if task.id == "EnsureServiceRole"]
    assert isinstance(payload, Mapping)
    renamed = {"service_role" if name == "role" else name: value for name, value in payload.items()}
    assert differences("EnsureServiceRole", renamed) == [
        "role is not handed over",
        "service_role is asked for by nobody",
    ]
