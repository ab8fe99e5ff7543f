"""The command that makes mutants: whether each module has tests to run them against."""

from __future__ import annotations

from tools import mutants


def test_every_module_that_can_have_a_mutant_has_tests() -> None:
    without = [each for each in mutants.modules() if not mutants.tests_of(each)]
    assert [each for each in without if any(mutants.mutants((mutants.ROOT / each).read_text()))] == []


def test_every_row_names_a_module_and_files_that_are_there() -> None:
    """A file that is not there would be left out without a word."""
    assert set(mutants.TESTS) <= set(mutants.modules())
    named = {file for files in mutants.TESTS.values() for file in files}
    assert sorted(file for file in named if not (mutants.ROOT / file).exists()) == []
