"""EventBridge of the local cloud: schedules run in the background, and events come once, twice or never."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

from deploy import templates
from local.cloud import Cloud
from local.core.clock import Clock
from local.core.faults import Fault, Faults
from local.scenario.format import Scenario
from local.scenario.run import Result, rehearse
from local.services import scheduler
from local.services.scheduler import Schedule

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SNIPPET = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Often: {Type: String, Default: rate(1 hour)}
Resources:
  Sweep:
    Type: AWS::Serverless::Function
    Properties:
      InlineCode: pass
      Handler: app.handler
      Runtime: python3.13
      Events:
        Hourly: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 hour)}}
        Often: {Type: ScheduleV2, Properties: {ScheduleExpression: !Ref Often}}
        Daily: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(2 days), Input: '{"all": true}'}}
        Never: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute), State: DISABLED}}
"""


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        yield running


def test_what_is_in_the_background_happens_only_while_time_goes_on_anyway() -> None:
    clock, met = Clock(), list[float]()
    clock.every(60, lambda: met.append(clock.now))
    clock.run()
    assert (met, clock.now) == ([], 0)
    clock.call_later(150, lambda: None)
    clock.run()
    assert (met, clock.now) == ([60, 120], 150)
    clock.run(until=200)
    assert (met, clock.now) == ([60, 120, 180], 200)


def test_the_schedules_of_a_template_are_found(cloud: Cloud) -> None:  # noqa: ARG001  a Region is set while it runs
    plain = transform(yaml_parse(SNIPPET), {}, templates._ManagedPolicies())
    assert set(scheduler.schedules(plain, {})) == {
        Schedule("SweepHourly", "Sweep", 3600),
        Schedule("SweepOften", "Sweep", 3600),
        Schedule("SweepDaily", "Sweep", 2 * 86_400, '{"all": true}'),
    }

    often = [each for each in scheduler.schedules(plain, {"Often": "rate(5 minutes)"}) if each.name == "SweepOften"]
    assert often == [Schedule("SweepOften", "Sweep", 300)]


@pytest.mark.parametrize("expression", ["cron(0 8 * * ? *)", "rate(1 week)"])
def test_other_schedules_are_not_passed_over(expression: str) -> None:
    with pytest.raises(ValueError, match="at a rate alone"):
        scheduler.rate(expression)


def test_a_scheduled_function_is_invoked_with_its_input_or_aws_s_own_event(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[float, Any]] = []

    def invoke(_: str, payload: bytes | str) -> tuple[bool, bytes]:
        events.append((cloud.clock.now, json.loads(payload)))
        return False, b"{}"

    monkeypatch.setattr(cloud.functions, "invoke", invoke)
    given, own = (
        Schedule("A", "ValidateRequest", 3600, '{"at": "<aws.scheduler.scheduled-time>"}'),
        Schedule("B", "ValidateRequest", 7200),
    )
    scheduler.begin(cloud, iter([given, own]))
    cloud.run(until=7200)
    assert [at for at, _ in events] == [3600, 7200, 7200]
    assert events[0][1] == {"at": "2026-01-05T09:00:00Z"}
    assert events[1][1]["time"] == "2026-01-05T10:00:00Z"
    assert events[1][1]["source"] == "aws.scheduler"


def test_a_scheduled_function_that_fails_is_tried_twice_again(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud.functions, "invoke", lambda *_: (True, b'{"errorType": "Bad"}'))
    cloud.faults = Faults([Fault(call="lambda:Invoke", error="TooManyRequestsException")])
    scheduler.begin(cloud, iter([Schedule("A", "ValidateRequest", 3600)]))
    cloud.run(until=7000)
    told = [(moment.at, moment.text.partition(": ")[2]) for moment in cloud.moments]
    assert told == [(3600, "TooManyRequestsException"), (3660, "Bad"), (3780, "Bad")]


def rehearsed(name: str, **fields: Any) -> Result:
    """A scenario with these fields."""
    wanted = yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text())
    wanted["cloud"] |= fields.pop("cloud", {})
    return rehearse(Scenario.model_validate(wanted | fields))


def test_schedules_run_in_a_scenario_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    always = [Schedule("A", "ValidateRequest", 600)]
    monkeypatch.setattr(scheduler, "schedules", lambda *_: iter(always))
    for wanted in (True, False):
        result = rehearsed("existing-directory", schedules=wanted)
        told = [moment for moment in result.moments if "the schedule A" in moment.text]
        assert bool(told) == wanted
        assert result.executions[0].status == "SUCCEEDED"


@pytest.mark.parametrize(("events", "executions"), [("lost", 0), ("once", 1), ("doubled", 2)])
def test_a_tag_event_comes_never_once_or_twice(events: str, executions: int) -> None:
    tagged = {"tag": "orders", "with": {"kerberos": "enabled"}}
    result = rehearsed("refused-engine", happens=[tagged], cloud={"events": events})
    assert len(result.executions) == executions
