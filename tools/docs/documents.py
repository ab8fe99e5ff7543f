"""What of the documentation is made from the code: `make docs` writes it, a test holds it equal."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, IPvAnyAddress
from pydantic.fields import FieldInfo

from aurora_kerberos import request
from deploy import templates
from deploy.templates import ROOT
from local.scenario.format import Scenario
from local.views import graph
from tools import statemachine
from tools.docs import errors, steps

DOCS = ROOT / "docs"

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

This page is made from `local/scenario/format.py` by `make docs`.
"""


SETTINGS = """\
# What people write

These say what shall be: the input of an execution, the list of who may log in, and other lists. All are JSON,
and whatever does not have the form described here is refused with the name of what is wrong.

- **The input** of an execution is a [request](#request). The least is `{"cluster": "orders"}`.
- **Who may log in** to a cluster is a list of [principals](#principal) and [groups](#principalgroup); a bare name
  stands for a principal without further roles: `["alice", {"name": "bob", "roles": ["app_read"]}, {"group": "dba"}]`.
  The list is taken from the input, else from the SSM parameter that the cluster's tag `kerberos-principals` names, else
  from `<ParameterPrefix>/principals/<cluster>`, else from the stack's parameter `DefaultPrincipals`. A parameter that
  several clusters share has a [list that says for which clusters it is](#principalslist).
- **Roles** of PostgreSQL's and Aurora's own, and roles that have one, are not granted; `AllowedRoles` makes exceptions.
- **What the directory is to have** is in three lists: [trusts](#trust), [users](#user) and [groups](#group), each in an
  SSM parameter of its own.
- **The [settings](#settings)** are the stack's parameters. All that decides security is there, and only there.
- **The input of a rollout** over many accounts is a [rollout](#rollout). The least is `{}`, which only shows.

This page is made from `layers/common/aurora_kerberos/request.py` by `make docs`.

## Who may write what

Each parameter is an IAM resource of its own, for `ssm:PutParameter`. Whoever may write one decides this, at most:

| resource `arn:aws:ssm:<Region>:<account>:parameter` and | decides |
|---|---|
| `<ParameterPrefix>/principals/<cluster>` | who may log in to this cluster, with which roles |
| `<ParameterPrefix>/principals-by-default` | the same for clusters without a list of their own; the stack writes it |
| `<ParameterPrefix>/users` | which users are made in the directory; users who are there get attributes they lack |
| `<ParameterPrefix>/groups` | which groups are made, and who is added to these and to those of `AllowedGroups` |
| `<ParameterPrefix>/trusts` | which domains are trusted, if their password is in `<SecretPrefix>/<domain>/trust` |
| `<ParameterPrefix>/settings` | the last three, until the next release |
| `<ParameterPrefix>.stack` | all: which directory, role and network. The stack writes it, and nobody else should |

The resource `<ParameterPrefix>/*` is all of the lists; `<ParameterPrefix>*` has the stack's own as well. A malformed
list of users, groups or trusts is refused, and ends the executions of all clusters until it is corrected.
"""


def documents() -> dict[Path, str]:
    """Every made document with its content."""
    return {
        statemachine.DEFINITION: statemachine.document(),
        DOCS / "cluster.svg": graph.svg(templates.definition()),
        DOCS / "errors.md": errors.document(),
        DOCS / "rollout.svg": graph.svg(templates.definition("statemachine/rollout.asl.yaml")),
        DOCS / "scenarios.md": scenarios(),
        DOCS / "settings.md": settings(),
        DOCS / "steps.md": steps.document(),
    }


def scenarios() -> str:
    """The scenario format: every model once, in the order in which they are met."""
    described = [INTRODUCTION]
    for model in models(Scenario, []):
        name = "The file" if model is Scenario else model.__name__
        described.append(f"## {name}\n\n{inspect.getdoc(model)}\n\n{table(model)}")
    return "\n".join(described)


def settings() -> str:
    """The input, the principals and the settings: every model once."""
    described = [SETTINGS]
    for model in models(
        request.Rollout, models(request.Settings, models(request.PrincipalsList, models(request.Request, [])))
    ):
        of_stack = model is request.Settings
        fields = table(model, "as the stack has it", of_the_template()) if of_stack else table(model)
        described.append(f"## {model.__name__}\n\n{inspect.getdoc(model)}\n\n{fields}")
    return "\n".join(described)


def of_the_template() -> dict[str, str]:
    """What the template says of each setting that is a parameter of the stack, by the setting's name."""
    parameters = templates.source()["Parameters"]
    text, _ = templates.source()["Resources"]["StackSettings"]["Properties"]["Value"]["Fn::Sub"]
    named = re.findall(r"^(\w+)=\$\{(\w+)\}$", text, flags=re.MULTILINE)
    known = {name: value.removesuffix("Parameter") for name, value in named}  # a parameter of the stack's own
    known |= {"subnet_ids": "SubnetIds", "directory_owner_accounts": "DirectoryOwnerAccounts"}
    return {
        name: f"`{parameter}`: {' '.join(parameters[parameter]['Description'].split())}"
        for name, parameter in known.items()
        if parameter in parameters
    }


def table(
    model: type[BaseModel], required: str = "must be there", described: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The fields of a model.

    `required` is said of those that have no default, `described` are fields that are described elsewhere.
    """
    lines = ["| field | is | when left out | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        cells = (
            f"`{field.alias or name}`",
            worded(field.annotation),
            default(field, required),
            " ".join(filter(None, [described.get(name), field.description])),
        )
        lines.append(f"| {' | '.join(cells)} |")
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
    if origin is Annotated:
        return worded(arguments[0])
    if origin is list:
        return f"list of {worded(arguments[0])}"
    if origin is dict:
        return f"{worded(arguments[0])} → {worded(arguments[1])}"
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(worded(argument) for argument in arguments)
    words = {
        str: "text",
        int: "number",
        bool: "true or false",
        type(None): "nothing",
        Any: "anything",
        date: "date",
        IPvAnyAddress: "address",
    }
    return words.get(annotation) or f"[{annotation.__name__}](#{annotation.__name__.lower()})"


def default(field: FieldInfo, required: str) -> str:
    """What a field is when it is left out."""
    if field.is_required():
        return required
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value in ("", None, [], {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
