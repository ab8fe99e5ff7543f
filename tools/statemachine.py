"""The state machine of one cluster: `statemachine/cluster.asl.yaml` is made of `statemachine/cluster.steps.yaml`.

In the source a step is one entry; in the definition it is a Task, a Choice and a Wait, with what all steps have in
common. `make docs` writes the definition, a test holds it equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

FOLDER = Path(__file__).parent.parent / "statemachine"
SOURCE = FOLDER / "cluster.steps.yaml"
DEFINITION = FOLDER / "cluster.asl.yaml"
WIDTH = 120

HEADER = """\
# One cluster, from the request to the recorded outcome. Made from cluster.steps.yaml by `make docs`: change it there.
#
# Every step is the same three states: a Task that looks and does the next missing thing, a Choice, a Wait. They are
# written in full here because CloudFormation takes no YAML aliases, and because AWS SAM, the console and editors want
# the definition itself. The answer of a step's function is {ready, reason, wait_seconds, polls, waited, polled, since,
# outputs}; `reason`, `polls`, `waited`, `polled` and `since` are handed back to it. A step that needs a person's
# approval says so in `outputs.approval`, and is asked again when it is there.
"""

State = dict[str, Any]  # as the Amazon States Language has it


class Part(BaseModel):
    """A part of the source; unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Step(Part):
    """A step; the first lines of the source say what the fields are."""

    comment: str
    choice: str
    wait: str
    arguments: dict[str, Any] = {}
    keeps: str = ""
    next: str = ""
    ready: State = {}
    first: list[State] = []
    otherwise: list[State] = []


class EveryStep(Part):
    """What the Tasks of all steps have in common."""

    Resource: str
    TimeoutSeconds: int
    arguments: dict[str, Any]
    Assign: dict[str, Any]
    Retry: list[State]
    Catch: list[State]


class Source(Part):
    """The whole source."""

    Comment: str
    TimeoutSeconds: int
    begin: State
    every_step: EveryStep
    steps: dict[str, Step]
    others: dict[str, State]


def source() -> Source:
    """The source as it is written."""
    return Source.model_validate(yaml.safe_load(SOURCE.read_text()))


def definition(of: Source) -> dict[str, Any]:
    """The definition in the Amazon States Language."""
    names = list(of.steps)
    kept = [step.keeps for step in of.steps.values() if step.keeps]
    variables = {**of.begin["Assign"], **{variable: {} for variable in kept}}
    states: dict[str, State] = {"Begin": {**of.begin, "Assign": variables, "Next": names[0]}}
    for name, below in pairwise([*names, ""]):
        states |= step_states(name, of.steps[name], below, of.every_step)
    states |= of.others
    outcome = states["RecordOutcome"]
    outputs = {variable: f"{{% ${variable} %}}" for variable in kept}
    payload = {**outcome["Arguments"]["Payload"], "steps": outputs}
    states["RecordOutcome"] = {**outcome, "Arguments": {**outcome["Arguments"], "Payload": payload}}
    return {
        "Comment": of.Comment,
        "QueryLanguage": "JSONata",
        "StartAt": "Begin",
        "TimeoutSeconds": of.TimeoutSeconds,
        "States": states,
    }


def step_states(name: str, step: Step, below: str, every: EveryStep) -> dict[str, State]:
    """The three states of a step; it goes on to the step `below` it when it does not say where."""
    choice: State = {"Condition": "{% $answer.ready %}", **step.ready, "Next": step.next or below}
    if step.keeps:
        choice["Assign"] = {step.keeps: "{% $answer.outputs %}"}
    return {
        name: {
            "Type": "Task",
            "Comment": step.comment,
            "Resource": every.Resource,
            "TimeoutSeconds": every.TimeoutSeconds,
            "Arguments": {"FunctionName": f"${{{name}}}", "Payload": {**step.arguments, **every.arguments}},
            "Assign": every.Assign,
            "Retry": every.Retry,
            "Catch": every.Catch,
            "Next": step.choice,
        },
        step.choice: {
            "Type": "Choice",
            "Choices": [*step.first, in_order(choice), *step.otherwise],
            "Default": step.wait,
        },
        step.wait: {"Type": "Wait", "Seconds": "{% $answer.wait_seconds %}", "Next": name},
    }


def in_order(choice: State) -> State:
    """A choice as people read it."""
    return {key: choice[key] for key in ("Comment", "Condition", "Assign", "Next") if key in choice}


def document() -> str:
    """The text of `cluster.asl.yaml`: an empty line before each Task."""
    made = definition(source())
    head = {key: value for key, value in made.items() if key != "States"}
    lines = [HEADER + written(head) + "States:"]
    for name, state in made["States"].items():
        if state["Type"] == "Task":
            lines.append("")
        lines += [f"  {line}" for line in written({name: state}).splitlines()]
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write the definition, of which pages are made as well."""
    DEFINITION.write_text(document())


# --- YAML as people write it ------------------------------------------------------------------------------------------


def written(value: Mapping[str, Any]) -> str:
    """A mapping as YAML: what is small on one line, expressions in double quotes, no aliases."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  PyYAML asks of each value
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  lists are indented
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    quoted = value == "" or value.startswith("{%")
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if quoted else None)


def _mapping(dumper: yaml.SafeDumper, value: dict[str, Any]) -> yaml.Node:
    """On one line when it is small, and only variables and their values."""
    node = dumper.represent_mapping("tag:yaml.org,2002:map", value.items())
    names = set(value) == {"Error", "Cause", "Step"} or all(key.islower() for key in value)
    node.flow_style = names and len(str(value)) < WIDTH
    return node


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    node = dumper.represent_sequence("tag:yaml.org,2002:seq", value)
    node.flow_style = len(value) == 1 and isinstance(value[0], str)
    return node


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _list)
