"""Mutants: small faults put into the code, one at a time, to find what the tests would not notice.

    make mutants MODULE=layers/common/aurora_kerberos/step.py

A mutant is killed when a test fails, or takes far too long. Each runs in a copy of the project, so a fault never stands
in the work tree, and in a process forked from one that has the libraries in memory, so it costs no second of imports.

mutmut 3 puts no fault outside of functions and finds a module by its folder, which a handler loaded by its path and a
layer have not; cosmic-ray has no fault that takes a name out of a set and starts an interpreter for each. The sets of
AWS's error codes and statuses decide most here.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import copy
import gc
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYER = "layers/common/aurora_kerberos"
KEPT_OUT = (".git", ".venv", ".local", ".aws-sam", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache")
LIBRARIES = ("boto3", "moto", "moto.core.models", "psycopg2", "pydantic", "aws_lambda_powertools")
LEAST = 90  # percent of the mutants that must be killed

# The tests of a module, quickest first, where they are not simply those of its own name.
TESTS = {
    f"{LAYER}/step.py": ["tests/layer/test_step_limits.py", "tests/layer/test_step.py"],
    f"{LAYER}/aws.py": ["tests/layer/test_aws.py", "tests/layer/test_step.py"],
    f"{LAYER}/leases.py": ["tests/layer/test_lease_calls.py", "tests/steps/test_leases.py"],
    f"{LAYER}/clusters.py": ["tests/layer/test_clusters.py"],
    f"{LAYER}/database/data_api.py": ["tests/steps/test_database_steps.py"],
    f"{LAYER}/database/master.py": ["tests/steps/test_database_steps.py"],
    f"{LAYER}/database/session.py": ["tests/steps/test_database_steps.py"],
    f"{LAYER}/database/roles.py": ["tests/layer/test_roles.py", "tests/steps/test_database_steps.py"],
    f"{LAYER}/database/grants.py": [
        "tests/steps/test_roles_that_may_be_granted.py",
        "tests/steps/test_database_steps.py",
    ],
    f"{LAYER}/database/mappings.py": ["tests/steps/test_database_steps.py", "tests/steps/test_hostile_databases.py"],
    "functions/acquire_lease/app.py": ["tests/steps/test_leases.py"],
    "functions/check_database/app.py": ["tests/steps/test_database_steps.py"],
    "functions/ensure_database_users/app.py": ["tests/steps/test_database_steps.py"],
    "functions/revoke_database_users/app.py": ["tests/steps/test_database_steps.py"],
    "functions/verify_login/app.py": ["tests/kerberos/test_logins.py", "tests/kerberos/test_active_directory.py"],
    f"{LAYER}/tickets.py": ["tests/kerberos/test_tickets.py", "tests/kerberos/test_logins.py"],
    f"{LAYER}/authorities.py": ["tests/steps/test_database_trust.py"],
    f"{LAYER}/availability.py": ["tests/layer/test_layer.py"],
    f"{LAYER}/desired.py": [
        "tests/layer/test_apply.py",
        "tests/steps/test_validate_request.py",
        "tests/steps/test_sweep_clusters.py",
    ],
    f"{LAYER}/directory_data.py": ["tests/steps/test_ensure_directory_users.py"],
    f"{LAYER}/directory_groups.py": ["tests/steps/test_ensure_directory_users.py"],
    f"{LAYER}/directory_users.py": ["tests/steps/test_ensure_directory_users.py"],
    f"{LAYER}/made_groups.py": ["tests/steps/test_ensure_directory_users.py"],
    f"{LAYER}/durations.py": ["tests/layer/test_rollout_request.py", "tests/steps/test_judge_wave.py"],
    f"{LAYER}/fitness.py": ["tests/steps/test_validate_request.py"],
    f"{LAYER}/planning.py": ["tests/steps/test_validate_request.py"],
    f"{LAYER}/items.py": ["tests/layer/test_lease_calls.py", "tests/steps/test_leases.py"],
    f"{LAYER}/krb5.py": ["tests/steps/test_publish_client_config.py"],
    f"{LAYER}/making.py": [
        "tests/steps/test_ensure_membership.py",
        "tests/steps/test_leave_domain.py",
        "tests/steps/test_new_clusters.py",
    ],
    f"{LAYER}/memberships.py": ["tests/steps/test_ensure_membership.py", "tests/steps/test_leave_domain.py"],
    f"{LAYER}/restarting.py": ["tests/steps/test_ensure_membership.py", "tests/steps/test_leave_domain.py"],
    f"{LAYER}/names.py": ["tests/layer/test_layer.py", "tests/layer/test_plain_text.py"],
    f"{LAYER}/network.py": ["tests/steps/test_ensure_database_access.py", "tests/steps/test_ensure_network.py"],
    f"{LAYER}/security_groups.py": ["tests/steps/test_ensure_database_access.py", "tests/steps/test_ensure_network.py"],
    f"{LAYER}/owners.py": ["tests/steps/test_ensure_directory_share.py", "tests/steps/test_ensure_directory.py"],
    f"{LAYER}/passwords.py": ["tests/steps/test_ensure_directory_users.py", "tests/steps/test_ensure_directory.py"],
    f"{LAYER}/principals.py": [
        "tests/steps/test_roles_that_may_be_granted.py",
        "tests/steps/test_database_steps.py",
        "tests/steps/test_validate_request.py",
    ],
    f"{LAYER}/questions.py": ["tests/steps/test_request_approval.py", "tests/steps/test_answer_approval.py"],
    f"{LAYER}/registry.py": ["tests/steps/test_ensure_membership.py", "tests/steps/test_leave_domain.py"],
    f"{LAYER}/service_role.py": ["tests/layer/test_layer.py", "tests/steps/test_ensure_service_role.py"],
    f"{LAYER}/trail.py": ["tests/steps/test_answer_approval.py"],
    f"{LAYER}/arns.py": ["tests/steps/test_validate_request.py", "tests/steps/test_ensure_network.py"],
    f"{LAYER}/errors.py": ["tests/steps/test_validate_request.py"],
    f"{LAYER}/environment.py": ["tests/steps/test_ensure_service_role.py", "tests/steps/test_request_approval.py"],
    f"{LAYER}/rollout/figures.py": ["tests/layer/test_rollout_page.py", "tests/steps/test_report_rollout.py"],
    f"{LAYER}/rollout/page.py": ["tests/layer/test_rollout_page.py", "tests/steps/test_report_rollout.py"],
    f"{LAYER}/rollout/picture.py": ["tests/layer/test_rollout_page.py", "tests/steps/test_report_rollout.py"],
    f"{LAYER}/rollout/work.py": ["tests/steps/test_plan_waves.py", "tests/steps/test_judge_wave.py"],
}

SWAPPED: Mapping[type[ast.AST], Sequence[type[ast.AST]]] = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.FloorDiv],
    ast.FloorDiv: [ast.Mult],
    ast.Div: [ast.Mult],
}
CHANGES_TEXT = {"lower", "upper", "strip", "rstrip", "removeprefix", "removesuffix", "replace"}


@dataclass(frozen=True)
class Mutant:
    """The text of a module with one fault."""

    line: int
    fault: str
    text: str


@dataclass(frozen=True)
class Result:
    """How many mutants of a module there are, and those that no test has noticed."""

    made: int
    survivors: list[Mutant]


# --- the faults -------------------------------------------------------------------------------------------------------


def mutants(text: str) -> Iterator[Mutant]:
    """Every mutant of a module's text, in the order of its lines."""
    tree = ast.parse(text)
    nodes = list(code(tree))
    for number, node in enumerate(nodes):
        for fault, change in faults(node):
            changed = copy.deepcopy(tree)
            change(list(code(changed))[number])
            yield Mutant(getattr(node, "lineno", 0), fault, ast.unparse(ast.fix_missing_locations(changed)))


def code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree that run: without annotations, decorators and docstrings."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.AST):
                yield child
                yield from code(child)


Fault = tuple[str, Callable[[ast.AST], None]]


def faults(node: ast.AST) -> Iterator[Fault]:  # noqa: PLR0912  a case for each kind
    """What can be put wrong at a node: in words, and the change of a node like it."""
    match node:
        case ast.Compare(ops=operators):
            for place, operator in enumerate(operators):
                for other in SWAPPED.get(type(operator), ()):
                    yield f"{type(operator).__name__} becomes {other.__name__}", replaced("ops", other(), place)
        case ast.BoolOp(op=operator) | ast.BinOp(op=operator) if not is_text(node):
            for other in SWAPPED.get(type(operator), ()):
                yield f"{type(operator).__name__} becomes {other.__name__}", replaced("op", other())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "no `not`", becomes(operand)
        case ast.If(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.Compare):
            yield "the condition is turned round", replaced("test", ast.UnaryOp(ast.Not(), test))
        case ast.Constant(value=bool(value)):
            yield f"{value} becomes {not value}", replaced("value", not value)
        case ast.Constant(value=int(value)):
            yield f"{value} becomes {value + 1}", replaced("value", value + 1)
        case ast.Set(elts=members) | ast.Tuple(elts=members, ctx=ast.Load()):
            for place, member in enumerate(members):
                if isinstance(member, ast.Constant) and isinstance(member.value, str) and len(members) > 1:
                    yield f"{member.value!r} is missing", without("elts", place)
        case ast.Call(func=ast.Attribute(value=text, attr=name)) if name in CHANGES_TEXT:
            yield f"no `{name}`", becomes(text)
        case ast.Return(value=ast.expr() as value) if not is_none(value):
            yield "returns None", replaced("value", ast.Constant(None))
        case ast.Raise():
            yield "raises nothing", becomes(ast.Pass())
        case ast.Expr(value=ast.Call()):
            yield "the call is missing", becomes(ast.Pass())
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "the assignment is missing", becomes(ast.Pass())


def is_text(node: ast.AST) -> bool:
    """Whether an addition joins texts: nothing else may stand there, so every test fails."""
    return isinstance(node, ast.BinOp) and any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def is_none(value: ast.expr) -> bool:
    """Whether it is written None."""
    return isinstance(value, ast.Constant) and value.value is None


def replaced(field: str, value: object, place: int | None = None) -> Callable[[ast.AST], None]:
    """The change that gives a field of a node, or the place in it, another value."""

    def change(node: ast.AST) -> None:
        if place is None:
            setattr(node, field, copy.deepcopy(value))
        else:
            getattr(node, field)[place] = value

    return change


def without(field: str, place: int) -> Callable[[ast.AST], None]:
    """The change that takes a member out of a list of a node's."""

    def change(node: ast.AST) -> None:
        del getattr(node, field)[place]

    return change


def becomes(other: ast.AST) -> Callable[[ast.AST], None]:
    """The change that puts another node in the place of a node."""

    def change(node: ast.AST) -> None:
        node.__class__ = type(other)  # the tree's other nodes refer to this one
        vars(node).clear()
        vars(node).update(vars(copy.deepcopy(other)))

    return change


# --- the tests --------------------------------------------------------------------------------------------------------


def tests_of(module: str) -> list[str]:
    """The files of tests that a module's mutants are run against; empty when none is known."""
    path = Path(module)
    name = path.parent.name if path.name == "app.py" else path.stem
    by_name = [f"tests/{folder}/test_{name}.py" for folder in ("layer", "steps")]
    return [each for each in TESTS.get(module, by_name) if (ROOT / each).exists()]


def run(folder: Path, tests: Sequence[str], seconds: int) -> int:
    """Start the tests in a copy of the project, in a process of their own; its number. It exits with 0 if they pass."""
    sys.stdout.flush()  # what is not written yet would be written by both
    if process := os.fork():
        return process
    os.setsid()
    signal.alarm(seconds)  # a fault may make a loop endless
    os.chdir(folder)
    ours = {"", str(ROOT), str(ROOT / "layers/common")}
    sys.path[:] = [str(folder), str(folder / "layers/common"), *(each for each in sys.path if each not in ours)]
    sys.dont_write_bytecode = True  # a mutant may be as old and as long as the one before it
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    failed = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-n0", *tests])
    os._exit(int(failed))


def ended() -> tuple[int, bool]:
    """Wait for one of the processes of `run`, and end what it has started; its number, and whether its tests passed."""
    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    assert found  # noqa: S101  None only without waiting
    with suppress(ProcessLookupError):
        os.killpg(found.si_pid, signal.SIGKILL)
    os.waitpid(found.si_pid, 0)
    return found.si_pid, found.si_code == os.CLD_EXITED and found.si_status == 0


def tried(module: str, tests: Sequence[str], folders: Sequence[Path]) -> Result:
    """Run the tests against each mutant of a module, one at a time in each copy of the project.

    Raises:
        SystemExit: the tests fail without any fault.
    """
    began = time.monotonic()
    run(folders[0], tests, 900)
    if not ended()[1]:
        raise SystemExit(f"The tests of {module} fail as it is: {' '.join(tests)}")
    limit = round(10 + 5 * (time.monotonic() - began))
    before = (ROOT / module).read_text()
    found = list(mutants(before))
    left, free = list(reversed(found)), list(folders)
    busy: dict[int, tuple[Path, Mutant]] = {}
    survivors = []
    while left or busy:
        if left and free:
            folder, mutant = free.pop(), left.pop()
            (folder / module).write_text(mutant.text)
            busy[run(folder, tests, limit)] = (folder, mutant)
            continue
        process, passed = ended()
        folder, mutant = busy.pop(process)
        (folder / module).write_text(before)
        free.append(folder)
        if passed:
            survivors.append(mutant)
    return Result(len(found), sorted(survivors, key=lambda each: each.line))


def copied(folder: Path) -> Path:
    """A copy of the project, with its modules compiled."""
    copy_of = Path(shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*KEPT_OUT)))
    for part in ("local", "layers", "deploy", "setup", "tools"):
        compileall.compile_dir(copy_of / part, quiet=2)
    return copy_of


def modules() -> list[str]:
    """The modules of the layer and of the functions."""
    found = [*(ROOT / LAYER).rglob("*.py"), *(ROOT / "functions").glob("*/app.py")]
    return sorted(str(each.relative_to(ROOT)) for each in found if each.name != "__init__.py")


def main(arguments: Sequence[str]) -> None:
    """Make and try the mutants of the modules, print what survives, and fail below 90 percent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="paths of modules; all of the layer and of functions/ without any")
    chosen = parser.parse_args(arguments).modules or modules()
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    made = killed = 0
    untested = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        folders = [copied(Path(place) / str(number)) for number in range(os.cpu_count() or 1)]
        for module in chosen:
            for folder in folders:  # the compiled one would be taken for the mutant
                for old in (folder / module).parent.glob(f"__pycache__/{Path(module).stem}.*"):
                    old.unlink()
            tests = tests_of(module)
            if not tests:
                untested.append(module)
                continue
            result = tried(module, tests, folders)
            made, killed = made + result.made, killed + result.made - len(result.survivors)
            print(f"{module}: {result.made - len(result.survivors)} of {result.made} killed", flush=True)
            for survivor in result.survivors:
                print(f"  {module}:{survivor.line}: {survivor.fault}", flush=True)
    for module in untested:
        print(f"{module}: no tests of its own are known, see TESTS of tools/mutants.py")
    print(f"{killed} of {made} mutants killed: {100 * killed / max(made, 1):.1f} %")
    if 100 * killed < LEAST * made:
        raise SystemExit(f"Fewer than {LEAST} % are killed.")


if __name__ == "__main__":
    main(sys.argv[1:])
