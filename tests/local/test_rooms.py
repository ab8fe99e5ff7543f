"""The rooms of the project: what may import what, and that nothing goes round in a circle.

An import counts wherever it stands: at the top of a module, within a function, or for type checkers alone.
"""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from local.core.calls import aftermath, aftermaths, fake, fakes

ROOT = Path(__file__).parents[2]

# From the ground up: a module imports of its own floor and of those below. The longest name that fits counts.
FLOORS = [
    {"aurora_kerberos", "setup"},
    {"functions", "deploy"},
    {"local", "local.core"},
    {"local.servers"},
    {"local.services"},
    {"local.gate", "local.patches", "local.deployment"},
    {"local.cloud"},
    {"local.scenario", "local.views"},
    {"local.__main__"},
    {"tools"},
]

Imports = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Every module of the project by its name."""
    found = {}
    for root, folders in (
        (ROOT, ("functions", "deploy", "local", "setup", "tools")),
        (ROOT / "layers" / "common", ("",)),
    ):
        for folder in folders:
            for path in (root / folder).rglob("*.py"):
                parts = path.relative_to(root).with_suffix("").parts
                found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(text: str, known: Mapping[str, Path]) -> Iterator[str]:
    """The project's modules that a module's text imports."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                named = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module)):
                named = [f"{module}.{alias.name}" for alias in node.names]
            case _:
                continue
        for name in named:
            yield from [each for each in (name, name.rpartition(".")[0]) if each in known][:1]


def graph(**instead: str) -> Imports:
    """Who imports whom, with some modules' texts (dots as `__`) replaced by others."""
    known = modules()
    texts = {name: path.read_text() for name, path in known.items()}
    texts |= {name.replace("__", "."): text for name, text in instead.items()}
    return {name: set(imported(text, known)) - {name} for name, text in texts.items()}


def floor(name: str) -> int:
    """The floor of a module."""
    named = [(room, number) for number, rooms in enumerate(FLOORS) for room in rooms]
    return max((room, number) for room, number in named if f"{name}.".startswith(f"{room}."))[1]


def upward(imports: Imports) -> list[str]:
    """The imports that run up."""
    return [f"{a} imports {b}" for a, of in imports.items() for b in sorted(of) if floor(a) < floor(b)]


def circle(imports: Imports) -> list[str]:
    """The modules of a circle; empty when there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_import_runs_up() -> None:
    assert upward(graph()) == []


def test_no_imports_form_a_circle() -> None:
    assert circle(graph()) == []


def test_functions_import_the_layer_alone_and_the_layer_itself() -> None:
    for name, of in graph().items():
        if name.startswith(("functions.", "aurora_kerberos")):
            assert all(each.startswith("aurora_kerberos") for each in of), name


@pytest.mark.parametrize(
    "text",
    [
        "from local.services.rds import memberships",
        "def later():\n    import local.services.rds.memberships",
        "if TYPE_CHECKING:\n    from local.services.rds.memberships import set_status",
    ],
)
def test_a_service_that_the_core_imports_is_noticed(text: str) -> None:
    imports = graph(local__core__clock=text)
    assert any(each.startswith("local.core.clock imports local.services.rds") for each in upward(imports))
    assert "local.core.clock" in circle(imports)


def test_every_module_of_the_services_is_open() -> None:
    """A fake of a module that nobody names strikes as well."""
    import sys  # noqa: PLC0415

    import local.cloud  # noqa: PLC0415  opens the services

    found = {each.name for each in pkgutil.walk_packages(local.services.__path__, "local.services.")}
    assert found <= set(sys.modules)


def test_an_operation_has_one_fake_and_one_aftermath() -> None:
    for register, known in ((fake, fakes), (aftermath, aftermaths)):
        operation = next(iter(known))
        with pytest.raises(ValueError, match=r"is registered twice: in local\.services.* and in .*test_rooms"):
            register(*operation)(lambda *_: None)
