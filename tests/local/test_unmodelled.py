"""What the local cloud does not know ends a run, with its own traceback and with what has to be written."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from local.core.calls import fakes
from local.core.faults import Unmodelled
from local.scenario.format import read
from local.scenario.run import rehearse
from local.services.iam.resources import RESOURCES

SCENARIO = Path(__file__).parents[2] / "scenarios" / "existing-directory.yaml"


def test_a_call_whose_resources_nobody_has_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RESOURCES, "rds:DescribeDBClusters")
    with pytest.raises(Unmodelled, match=r"rds:DescribeDBClusters is checked. Add it to RESOURCES in local\.services"):
        rehearse(read(SCENARIO))


def test_a_mistake_in_a_fake_is_none_of_the_function_that_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: Any) -> None:
        raise KeyError("Domain")

    monkeypatch.setitem(fakes, ("rds", "ModifyDBCluster"), mistaken)
    with pytest.raises(Unmodelled, match="does for rds:ModifyDBCluster has failed: KeyError: 'Domain'") as told:
        rehearse(read(SCENARIO))
    assert "in mistaken" in "".join(traceback.format_exception(told.value))


def test_a_mistake_of_a_function_is_the_function_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RESOURCES, "rds:DescribeDBClusters", lambda *_: "arn:of:nothing:that:is:allowed")
    (execution,) = rehearse(read(SCENARIO)).executions
    assert execution.error == "AccessDenied"
