"""The definition that is made of `cluster.steps.yaml`: what an entry becomes. `test_docs` holds it up to date."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tools import statemachine
from tools.statemachine import Step

SOURCE = statemachine.source()


def made(**steps: Step) -> dict[str, Any]:
    states: dict[str, Any] = statemachine.definition(SOURCE.model_copy(update={"steps": steps}))["States"]
    return states


def a_step(**fields: Any) -> Step:
    return Step(**{"comment": "c", "choice": "Ready?", "wait": "Wait", **fields})


def test_a_step_is_a_task_a_choice_and_a_wait() -> None:
    states = made(CheckIt=a_step(arguments={"cluster": "x"}), Next=a_step(choice="Other?", wait="Other"))
    assert states["CheckIt"]["Arguments"]["FunctionName"] == "${CheckIt}"
    assert states["CheckIt"]["Arguments"]["Payload"] == {"cluster": "x", **SOURCE.every_step.arguments}
    assert states["CheckIt"]["Next"] == "Ready?"
    ready = {"Condition": "{% $answer.ready %}", "Next": "Next"}
    assert states["Ready?"] == {"Type": "Choice", "Choices": [ready], "Default": "Wait"}
    assert states["Wait"] == {"Type": "Wait", "Seconds": "{% $answer.wait_seconds %}", "Next": "CheckIt"}
    assert states["Begin"]["Next"] == "CheckIt"


def test_what_a_step_keeps_is_empty_at_the_beginning_and_comes_to_the_outcome() -> None:
    states = made(CheckIt=a_step(keeps="it", next="RecordOutcome"))
    assert states["Ready?"]["Choices"][0]["Assign"] == {"it": "{% $answer.outputs %}"}
    assert states["Begin"]["Assign"]["it"] == {}
    assert states["RecordOutcome"]["Arguments"]["Payload"]["steps"] == {"it": "{% $it %}"}


def test_choices_of_its_own_come_before_and_after() -> None:
    first, otherwise = {"Condition": "a", "Next": "A"}, {"Condition": "b", "Next": "B"}
    step = a_step(first=[first], otherwise=[otherwise], ready={"Comment": "well"}, next="RecordOutcome")
    choices = made(CheckIt=step)["Ready?"]["Choices"]
    ready = {"Comment": "well", "Condition": "{% $answer.ready %}", "Next": "RecordOutcome"}
    assert choices == [first, ready, otherwise]
    assert list(choices[1]) == ["Comment", "Condition", "Next"]


def test_a_field_that_is_none_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="keep"):
        a_step(keep="it")


def test_the_text_is_the_definition_without_aliases() -> None:
    text = statemachine.document()
    assert yaml.safe_load(text) == statemachine.definition(SOURCE)
    assert "&" not in text.replace(" & ", "")
    assert "*" not in text
