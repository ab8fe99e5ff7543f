"""docs/security.md says what every permission is worth: its rows are held by tests that exist, and none is left out."""

from __future__ import annotations

import re

import pytest

from deploy import templates

PAGE = (templates.ROOT / "docs" / "security.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| (?!who|parameter|---)", line)]
HELD = [row for row in ROWS if len(row) == 3]


def known() -> set[str]:
    tests = {
        name
        for file in (templates.ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    return tests | {file.stem for file in (templates.ROOT / "scenarios").glob("*.yaml")}


@pytest.mark.parametrize("row", HELD, ids=[row[0] for row in HELD])
def test_each_row_is_held_by_tests_that_exist(row: list[str]) -> None:
    named = re.findall(r"`([^`]+)`", row[2])
    assert named
    assert set(named) <= known()


def test_every_parameter_of_the_stack_is_in_it() -> None:
    named = {name for row in ROWS if len(row) == 2 for name in re.findall(r"`(\w+)`", row[0])}
    assert named == set(templates.source()["Parameters"])
