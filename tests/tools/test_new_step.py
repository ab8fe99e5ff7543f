"""`make step`: in a copy of the project, what it writes is complete and passes; what cannot be is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import new_step, statemachine
from tools.new_step import Impossible, Place

ROOT = Path(__file__).parents[2]
STEPS = list(statemachine.source().steps)


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    left_out = shutil.ignore_patterns(".*", "__pycache__")
    return Path(shutil.copytree(ROOT, tmp_path / "project", ignore=left_out))


def test_a_new_step_is_in_all_its_places_and_passes(project: Path) -> None:
    said = run(project, "tools.new_step", "ensure_example", "--before", "EnsureDirectory")
    for path in ("functions/ensure_example/app.py", "scenarios/failed-ensure-example.yaml", "README.md"):
        assert f"  {path}:" in said  # where something is left to write
    test = "tests/steps/test_ensure_example.py"
    run(project, "ruff", "format", "--check", "functions", test)
    run(project, "ruff", "check", "functions", test)
    run(project, "mypy", "functions/ensure_example/app.py")
    run(project, "pytest", "-q", "-p", "no:cacheprovider", test, "tests/template/test_statemachine.py")
    run(project, "local", "rehearse", "scenarios/failed-ensure-example.yaml")
    made = statemachine.FOLDER.parent
    for page in ("statemachine/cluster.asl.yaml", "docs/cluster.svg", "docs/steps.md"):
        assert (project / page).read_text().count("EnsureExample") > (made / page).read_text().count("EnsureExample")


@pytest.mark.parametrize(
    ("name", "before", "refused"),
    [
        ("Example", "EnsureTrust", "NAME is a verb and its object"),
        ("ensure_trust", "EnsureNetwork", "functions/ensure_trust is there already"),
        ("ensure_example", "EnsureTrsut", "BEFORE is one of EnsureDatabaseAccess, "),
        ("ensure_example", "ValidateRequest", "and not 'ValidateRequest'"),
    ],
)
def test_what_cannot_be_is_refused(name: str, before: str, refused: str) -> None:
    with pytest.raises(Impossible, match=refused):
        Place(name, before, STEPS, set()).check()


def test_whatever_led_to_the_next_step_leads_to_the_new_one_and_who_asked_is_asked_again() -> None:
    source = statemachine.SOURCE.read_text()
    mapping = new_step.with_entry(source, Place("check_quotas", "EnsureGroupMapping", STEPS, set()))
    assert "    next: EnsureGroupMapping\n" in mapping
    directory = new_step.with_entry(source, Place("check_quotas", "EnsureDirectory", STEPS, set()))
    assert "        Next: CheckQuotas\n" in directory
    assert "next: LeaveDomain\n" in directory
    leaving = new_step.with_entry(source, Place("check_quotas", "LeaveDomain", STEPS, set()))
    assert "    next: CheckQuotas\n" in leaving


def test_a_variable_that_is_taken_is_not_taken_again() -> None:
    taken = {"directory"}
    assert Place("check_directory", "EnsureTrust", STEPS, taken).subject == "check_directory"
    assert Place("check_quotas", "EnsureTrust", STEPS, taken).subject == "quotas"


@pytest.mark.parametrize(
    ("text", "longer"),
    [
        ("steps: [A, EnsureTrust, B]\n", "steps: [A, EnsureX, EnsureTrust, B]\n"),
        ("steps: [EnsureTrust, B]\n", "steps: [EnsureX, EnsureTrust, B]\n"),
        ("steps:\n  - A\n  - EnsureTrust\n", "steps:\n  - A\n  - EnsureX\n  - EnsureTrust\n"),
        ("steps: to EnsureTrust\n", "steps: to EnsureTrust\n"),
        ("faults: [{function: EnsureTrust, after: 2}]\n", "faults: [{function: EnsureTrust, after: 2}]\n"),
        ("changes:\n  - EnsureTrust\n", "changes:\n  - EnsureTrust\n"),
    ],
)
def test_where_a_scenario_lists_all_steps_it_lists_the_new_one(text: str, longer: str) -> None:
    assert new_step.with_step(text, Place("ensure_x", "EnsureTrust", STEPS, set())) == longer


def test_a_line_that_is_not_there_once_is_named() -> None:
    with pytest.raises(Impossible, match="'b' is expected once, and found 2 times"):
        new_step.above("a\nb\nb\n", "b\n", "c\n")
