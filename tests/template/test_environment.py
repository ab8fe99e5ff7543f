"""The environment of each function: what its code reads, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from aurora_kerberos.environment import Environment, Variable, environment
from aurora_kerberos.errors import StackIncomplete
from deploy import templates
from tools.docs import steps

READ = "environment.environment."
VARIABLES = {name for name, value in vars(Environment).items() if isinstance(value, Variable)}
EVERYBODY = set(templates.source()["Globals"]["Function"]["Environment"]["Variables"])
OF_LIBRARIES = {"POWERTOOLS_SERVICE_NAME", "AWS_STS_REGIONAL_ENDPOINTS"}


@pytest.mark.parametrize("function", templates.functions())
def test_a_function_has_the_variables_that_it_reads_and_no_others(function: str) -> None:
    properties = templates.functions()[function]
    given = set(properties.get("Environment", {}).get("Variables", {}))
    calls = steps.gathered(Path(properties["CodeUri"]).name).calls
    reads = {call.removeprefix(READ).upper() for call in calls if call.startswith(READ)}
    assert given == reads - EVERYBODY


def test_what_everybody_has_is_read_by_somebody() -> None:
    assert {name.upper() for name in VARIABLES} >= EVERYBODY - OF_LIBRARIES


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_a_variable_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name.upper(), raising=False)
    with pytest.raises(StackIncomplete, match=f"no environment variable {name.upper()}\\."):
        getattr(environment, name)
    monkeypatch.setenv(name.upper(), "")
    assert getattr(environment, name) == ""
