"""What of the documentation is made from the code: `make docs` writes it, a test holds it equal."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from local import graph, stack, steps
from local.scenario import Scenario

DOCS = Path(__file__).parent.parent / "docs"

INTRODUCTION = """\
# Scenarios

A scenario is a YAML file: the cloud at the start, what happens, and what must be true at the end. `make demo`, the
workflow tests and your own rehearsal all run scenarios:

    .venv/bin/python -m local rehearse scenarios/tag-to-login.yaml
    .venv/bin/python -m local rehearse FILE --json
    .venv/bin/python -m local rehearse FILE --html PAGE

The exit status is 0 when all is true that must be, 1 when something is not, 2 when the file is not a scenario. Time is
virtual: a run of hours takes seconds. The folder `scenarios/` has one for every happy path and every refusal; copy the
one that is nearest. After the last happening the run goes on until nothing happens any more.

This page is made from `local/scenario.py` by `make docs`.
"""


def documents() -> dict[Path, str]:
    """Every made document with its content."""
    return {
        DOCS / "cluster.svg": graph.svg(stack.definition()),
        DOCS / "scenarios.md": scenarios(),
        DOCS / "steps.md": steps.document(),
    }


def scenarios() -> str:
    """The scenario format: every model once, in the order in which they are met."""
    described = [INTRODUCTION]
    for model in models(Scenario, []):
        name = "The file" if model is Scenario else model.__name__
        described.append(f"## {name}\n\n{inspect.getdoc(model)}\n\n{table(model)}")
    return "\n".join(described)


def table(model: type[BaseModel]) -> str:
    """The fields of a model."""
    lines = ["| field | is | when left out | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        lines.append(
            f"| `{field.alias or name}` | {worded(field.annotation)} | {default(field)} | {field.description or ''} |"
        )
    return "\n".join(lines) + "\n"


def models(model: type[BaseModel], met: list[type[BaseModel]]) -> list[type[BaseModel]]:
    """The model and all models that its fields are made of."""
    if model not in met:
        met.append(model)
        for field in model.model_fields.values():
            for part in parts(field.annotation):
                models(part, met)
    return met


def parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


def worded(annotation: Any) -> str:
    """A type annotation in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is list:
        return f"list of {worded(arguments[0])}"
    if origin is dict:
        return f"{worded(arguments[0])} → {worded(arguments[1])}"
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(worded(argument) for argument in arguments)
    words = {str: "text", int: "number", bool: "true or false", type(None): "nothing", Any: "anything"}
    return words.get(annotation) or f"[{annotation.__name__}](#{annotation.__name__.lower()})"


def default(field: FieldInfo) -> str:
    """What a field is when it is left out."""
    if field.is_required():
        return "must be there"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value in ("", None, [], {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
