"""What a scenario says of the steps of an execution: all of them in a list, or `to EnsureNetwork`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

Definition = Mapping[str, Any]

TO = "to "
RECORDED = {"SUCCEEDED": ["RecordOutcome", "Succeeded"], "FAILED": ["RecordOutcome", "Failed"]}


def expected(said: Sequence[str] | str, status: str, definition: Definition) -> list[str]:
    """The steps that an execution of that status must have visited.

    Raises:
        ValueError: `said` names no step of the definition.
    """
    if not isinstance(said, str):
        return list(said)
    return [*path_to(named(said), definition), *RECORDED.get(status, [])]


def named(said: str) -> str:
    """The step that a text is about: `to EnsureNetwork`.

    Raises:
        ValueError: it is about none.
    """
    if not said.startswith(TO):
        raise ValueError(f"'{said}' is not of the form '{TO}EnsureNetwork'")
    return said.removeprefix(TO)


def path_to(step: str, definition: Definition) -> list[str]:
    """The steps from the first to this one, each once, as they follow when each is ready.

    Raises:
        ValueError: there is no such way: it is no step.
    """
    states = definition["States"]
    paths = {definition["StartAt"]: [definition["StartAt"]]}
    waiting = deque(paths)
    while waiting:
        state = waiting.popleft()
        for target in followers(states[state]):
            if target not in paths:
                paths[target] = [*paths[state], target]
                waiting.append(target)
    steps = [name for name in paths if states[name]["Type"] == "Task" and name != "RecordOutcome"]
    if step not in steps:
        raise ValueError(f"{step} is no step; the steps are {', '.join(steps)}")
    return [name for name in paths[step] if name in steps]


def followers(state: Mapping[str, Any]) -> list[str]:
    """The states that may follow one, when nothing fails and nobody is asked for approval."""
    ready = [choice["Next"] for choice in state.get("Choices", []) if "$answer.ready" in choice["Condition"]]
    return [*ready, state["Next"]] if "Next" in state else ready
