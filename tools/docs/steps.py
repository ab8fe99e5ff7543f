"""The step reference, `docs/steps.md`: made from the state machine, the functions, their policies and their errors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aurora_kerberos import errors
from aurora_kerberos.step import DAY, HOUR, MINUTE
from deploy import templates
from local.services.iam import resources

LAYER = templates.ROOT / "layers" / "common" / "aurora_kerberos"
READS = ("Describe", "Get", "List")
EVERYWHERE = ("AccessDenied", "AwsRefused", "AwsUnavailable", "StackIncomplete", "StepTimedOut")

INTRODUCTION = """\
# The steps

What each step looks at, what it changes, when it is ready, what it waits for, and the errors it can end with. The order
is that of the state machine, which is that of the guide "Using Kerberos authentication with Aurora PostgreSQL"; the
steps that switch Kerberos off, and the question for approval, come after those that switch it on.

A step is a function that looks at the world, does the next missing thing, and answers *ready* or *waiting*, or raises
an error. Doing it again does nothing that has been done. Every error is recorded with its remedy: in the execution, in
the registry, on the cluster (tags `kerberos-status`, `kerberos-message`, `kerberos-remedy`) and in the notification. In
the texts below, `…` stands for a name or a number.

This page is made from the code by `make docs`.
"""


@dataclass
class Facts:
    """What the text of one Python function says: errors and what to do about them, waits, the functions it calls."""

    errors: dict[str, set[str]] = field(default_factory=dict)
    waits: dict[str, str] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)


def document() -> str:
    """The page."""
    described = [INTRODUCTION]
    for number, name in enumerate(steps(), 1):
        described.append(section(number, name))
    described.append(everywhere())
    return "\n".join(described)


def steps() -> list[str]:
    """The task states in the order in which they are written."""
    return [name for name, state in templates.definition()["States"].items() if state["Type"] == "Task"]


def section(number: int, name: str) -> str:
    """One step."""
    properties = templates.functions()[name]
    folder = Path(properties["CodeUri"])
    module = ast.parse((templates.ROOT / folder / "app.py").read_text())
    facts = gathered(folder.name)
    common = {text for each in everywhere_facts().values() for text in each}
    handler = next(n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == "handler")
    reads, changes = actions(name)
    lines = [
        f"## {number}. {name}",
        f"`{folder}` · {templates.definition()['States'][name]['Comment']}.",
        paragraphs(ast.get_docstring(module) or ""),
        f"**Ready**: {paragraphs(ast.get_docstring(handler) or '').removeprefix('Ready ')}",
        f"**Looks at**: {', '.join(reads) or 'nothing of AWS'}.",
        f"**Changes**: {', '.join(changes) or 'nothing in AWS'}.",
    ]
    if facts.waits:
        lines.append("**Waits for**")
        lines.append("\n".join(f"- {reason}{limit}" for reason, limit in sorted(facts.waits.items())))
    own = {name: remedies - common for name, remedies in facts.errors.items()}
    rows = [
        f"| `{error}` | {summary(error)} | {'<br>'.join(sorted(remedies)) or default(error)} |"
        for error, remedies in sorted(own.items())
        if remedies or error not in EVERYWHERE
    ]
    if rows:
        lines.append("\n".join(["| error | what it means | what to do |", "|---|---|---|", *rows]))
    return "\n\n".join(lines) + "\n"


def everywhere() -> str:
    """The errors that any step can end with."""
    said = everywhere_facts()
    rows = [
        f"| `{name}` | {summary(name)} | {'<br>'.join(sorted(said.get(name, ()))) or default(name)} |"
        for name in EVERYWHERE
    ]
    head = ["## Errors of every step", "", "| error | what it means | what to do |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def everywhere_facts() -> dict[str, set[str]]:
    """What is done about the errors that the layer raises for every step."""
    found: dict[str, set[str]] = {}
    for module, function in (("aws", "translate"), ("environment", "__get__"), ("step", "answer")):
        for error, remedies in facts_of(LAYER / f"{module}.py")[function].errors.items():
            found.setdefault(error, set()).update(remedies)
    return found


def actions(name: str) -> tuple[list[str], list[str]]:
    """The IAM actions that a function's policy allows for its own calls: those that look, those that change."""
    statements = [each for policy in templates.policies(name) for each in policy["Statement"]]
    allowed = {action for each in statements for action in resources.listed(each["Action"])}
    behind = resources.BEHIND_THE_CALLS.get(name, set()) | {"sts:AssumeRole"}
    own = sorted(f"`{action}`" for action in allowed - behind)
    reads = [action for action in own if action.partition(":")[2].startswith(READS)]
    return reads, [action for action in own if action not in reads]


def summary(error: str) -> str:
    """What an error means, by its docstring."""
    return paragraphs(getattr(errors, error).__doc__ or "")


def default(error: str) -> str:
    """What to do about an error for which nothing else is said."""
    return str(getattr(errors, error).remedy)


def paragraphs(text: str) -> str:
    """A docstring without its technical sections, each paragraph on one line."""
    plain = re.split(r"\n\s*(?:Raises|Args|Attributes):\n", text)[0]
    return "\n\n".join(" ".join(part.split()) for part in plain.split("\n\n")).strip()


# --- what the code says -----------------------------------------------------------------------------------------------


def gathered(folder: str) -> Facts:
    """All that the handler in a function's folder can come to, through whatever it calls."""
    paths = {path: path.relative_to(LAYER).with_suffix("").parts for path in LAYER.rglob("*.py")}
    modules = {".".join(parts): facts_of(path) for path, parts in paths.items()}
    modules["app"] = facts_of(templates.ROOT / "functions" / folder / "app.py")
    found, seen, left = Facts(), set[tuple[str, str]](), [("app", "handler")]
    while left:
        module, name = left.pop()
        if (module, name) in seen or name not in modules.get(module, {}):
            continue
        seen.add((module, name))
        facts = modules[module][name]
        found.waits.update(facts.waits)
        found.calls |= facts.calls
        for error, remedies in facts.errors.items():
            found.errors.setdefault(error, set()).update(remedies)
        for call in facts.calls:
            where, _, called = call.rpartition(".")
            left.append((where or module, called))
    return found


def deadlines(name: str) -> list[int]:
    """The seconds that a step waits at the most, for each thing that it may wait for; days where the code decides."""
    folder = Path(templates.functions()[name]["CodeUri"])
    units = {"minutes": MINUTE, "hours": HOUR, "days": DAY}
    limits = gathered(folder.name).waits.values()
    found = [re.search(r"at most (\d+) (\w+)", limit) for limit in limits]
    return [int(limit[1]) * units[limit[2]] if limit else 8 * DAY for limit in found]


def facts_of(path: Path) -> dict[str, Facts]:
    """The facts of every function of a module; a name that it imports is called in the module it comes from."""
    module = ast.parse(path.read_text())
    imported: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aurora_kerberos"):
            origin = (node.module or "").partition(".")[2]
            imported |= {
                each.asname or each.name: f"{origin}.{each.name}" if origin else each.name for each in node.names
            }
    known = {name: value for origin in imported.values() for name, value in constants_of(origin)}
    known |= {name: value for node in module.body for name, value in assigned(node)}
    constants = {name: ast.unparse(value) for name, value in known.items()}
    found = {}
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            found[node.name] = facts = Facts()
            variables = known | {name: value for inner in ast.walk(node) for name, value in assigned(inner)}
            for inner in ast.walk(node):
                note(inner, facts, imported, constants, variables)
    return found


def constants_of(origin: str) -> Iterator[tuple[str, ast.expr]]:
    """The constant of the layer that is imported as `module.NAME`, with its value; nothing for what is none."""
    where, _, name = origin.rpartition(".")
    path = LAYER / f"{where.replace('.', '/')}.py"
    if name.isupper() and path.exists():
        found = (each for node in ast.parse(path.read_text()).body for each in assigned(node))
        yield from ((each, value) for each, value in found if each == name)


def assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The names that an assignment gives a value, with the value."""
    if isinstance(node, ast.Assign):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))


def note(
    node: ast.AST,
    facts: Facts,
    imported: Mapping[str, str],
    constants: Mapping[str, str],
    variables: Mapping[str, ast.expr],
) -> None:
    """Add what one node of the code says; `variables` are those that its function can see."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        facts.calls.add(f"{imported.get(node.value.id, node.value.id)}.{node.attr}")
    elif isinstance(node, ast.Name):
        facts.calls.add(imported.get(node.id, node.id))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id
        if isinstance(kind := getattr(errors, name, None), type) and issubclass(kind, errors.KerberosError):
            said = [text for each in node.args[1:2] for text in texts(looked_up(each, variables))]
            facts.errors.setdefault(name, set()).update(said)
        elif name == "Waiting" and node.args:
            limits = [ast.unparse(each.value) for each in node.keywords if each.arg == "deadline"]
            limit = constants.get(limits[0], limits[0]) if limits else "3 * HOUR"
            for text in texts(node.args[0]):
                facts.waits[text] = f" (at most {spoken(limit)})" if limit in constants or "*" in limit else ""


def looked_up(node: ast.expr, variables: Mapping[str, ast.expr]) -> ast.expr:
    """What a name stands for; the same of a text that is filled in by `format`."""
    match node:
        case ast.Name(id=name):
            return variables.get(name, node)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="format")) if name in variables:
            (filled,) = texts(variables[name])
            return ast.Constant(re.sub(r"\{\w+\}", "…", filled))
    return node


def spoken(expression: str) -> str:
    """A deadline as the code has it: `8 * DAY`."""
    return re.sub(r"(\d+) \* (MINUTE|HOUR|DAY)", lambda f: f"{f[1]} {f[2].lower()}s", expression)


def texts(node: ast.expr) -> Iterator[str]:
    """The texts that an expression can be: `…` for what is only known when it happens."""
    match node:
        case ast.Constant(value=str() as text):
            yield escaped(text)
        case ast.JoinedStr(values=parts):
            yield escaped("".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from (a + b for a in texts(left) for b in texts(right))
        case ast.IfExp(body=body, orelse=other):
            yield from texts(body)
            yield from texts(other)


def escaped(text: str) -> str:
    """A text in a Markdown table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
