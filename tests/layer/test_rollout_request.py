"""The input of a rollout: what `{}` means, what is refused and in which words, and which inputs are one rollout."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_kerberos.errors import InvalidRequest
from aurora_kerberos.request import Request, Rollout, parse

UNIT, ROOT = "ou-ab12-cd34ef56", "r-ab12"
ONE, OTHER = "111111111111", "222222222222"


def rollout(**given: Any) -> Rollout:
    return parse(Rollout, given, "The input")


def test_an_empty_input_shows_all_and_does_nothing() -> None:
    asked = rollout()
    assert asked.model_dump() == {
        "accounts": [],
        "organizational_units": [],
        "regions": [],
        "tags": {},
        "waves": [1, "5%", "25%", "100%"],
        "at_once": 10,
        "max_failures": 0,
        "dry_run": True,
    }


def test_everything_can_be_said() -> None:
    given = {
        "accounts": [ONE],
        "organizational_units": [UNIT, ROOT],
        "regions": ["ap-southeast-2", "eu-central-1", "us-gov-west-1"],
        "tags": {"team": "sales", "empty": ""},
        "waves": [2, "10%", 50, "100%"],
        "at_once": 1000,
        "max_failures": 3,
        "dry_run": False,
    }
    assert rollout(**given).model_dump() == given


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("accounts", "111111111111"),
        ("accounts", ["11111111111"]),
        ("accounts", [111111111111]),
        ("accounts", None),
        ("organizational_units", ["Workloads"]),
        ("organizational_units", ["ou-ab12-cd34ef56/"]),
        ("regions", ["Frankfurt"]),
        ("regions", ["eu-central-1\n"]),
        ("regions", "eu-central-1"),
        ("tags", ["team"]),
        ("tags", {"team": 1}),
        ("tags", {"team": None}),
        ("waves", []),
        ("waves", [0]),
        ("waves", [-1]),
        ("waves", [1.5]),
        ("waves", ["half"]),
        ("waves", ["0%"]),
        ("waves", ["101%"]),
        ("waves", ["5 %"]),
        ("waves", ["-5%"]),
        ("waves", list(range(1, 22))),
        ("waves", [5, 1]),
        ("waves", [5, 5]),
        ("waves", ["25%", "5%"]),
        ("waves", [1, "25%", 3, "25%"]),
        ("at_once", 0),
        ("at_once", 1001),
        ("at_once", "many"),
        ("max_failures", -1),
        ("max_failures", "5%"),
        ("dry_run", "perhaps"),
        ("dry_run", None),
        ("dryrun", False),
        ("cluster", "orders"),
    ],
)
def test_what_is_refused_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        rollout(**{field: value})
    assert refused.value.message.startswith(f"The input is not valid: {field}")


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        rollout(accounts=["1"], at_once=0)
    assert "accounts.0: " in refused.value.message
    assert "at_once: " in refused.value.message


@pytest.mark.parametrize("value", [[], "all", None, 1])
def test_an_input_of_another_kind_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="it: Input should be a valid dictionary"):
        parse(Rollout, value, "The input")


@pytest.mark.parametrize("wave", [0, "half", "101%"])
def test_a_wave_is_named_as_it_is_written(wave: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        rollout(waves=[1, wave])
    assert "waves.1: " in refused.value.message
    assert "constrained" not in refused.value.message


def test_the_remedy_is_of_the_input_that_is_wrong() -> None:
    with pytest.raises(InvalidRequest) as refused:
        rollout(waves=[0])
    assert "{} shows what would be done" in refused.value.remedy
    with pytest.raises(InvalidRequest) as refused:
        parse(Request, {}, "The input")
    assert '{"cluster": "<identifier>"}' in refused.value.remedy


@pytest.mark.parametrize("waves", [[1], ["100%"], [1, 2, 3], ["1%", "100%"], [10, "5%", 20, "25%"]])
def test_numbers_and_shares_grow_each_by_themselves(waves: list[int | str]) -> None:
    """Whether 20 clusters are more than 5 % of them, nobody knows yet."""
    assert rollout(waves=waves).waves == waves


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20))
def test_shares_are_taken_exactly_when_each_reaches_further(shares: list[int]) -> None:
    waves = [f"{share}%" for share in shares]
    if all(before < after for before, after in pairwise(shares)):
        assert rollout(waves=waves).waves == waves
    else:
        with pytest.raises(InvalidRequest, match="waves: each wave must reach further"):
            rollout(waves=waves)


REACH: dict[str, Any] = {
    "accounts": [ONE, OTHER],
    "organizational_units": [UNIT, ROOT],
    "regions": ["eu-central-1", "eu-west-1"],
    "tags": {"team": "sales", "stage": "test"},
    "waves": [1, "100%"],
}


@pytest.mark.parametrize(
    "how", [{}, {"dry_run": False}, {"at_once": 500}, {"max_failures": 9}, {"dry_run": True, "at_once": 1}]
)
def test_a_rollout_is_the_same_however_fast_and_careful_it_is(how: dict[str, Any]) -> None:
    assert rollout(**REACH, **how).id == rollout(**REACH).id


@pytest.mark.parametrize(
    "other",
    [
        {"accounts": [OTHER, ONE]},
        {"accounts": [ONE, OTHER, ONE]},
        {"organizational_units": [ROOT, UNIT]},
        {"regions": ["eu-west-1", "eu-central-1", "eu-west-1"]},
        {"tags": {"stage": "test", "team": "sales"}},
    ],
)
def test_a_rollout_is_the_same_in_whatever_order_it_is_written(other: dict[str, Any]) -> None:
    assert rollout(**{**REACH, **other}).id == rollout(**REACH).id


@pytest.mark.parametrize(
    "other",
    [
        {"accounts": [ONE]},
        {"accounts": []},
        {"organizational_units": [UNIT]},
        {"regions": ["eu-central-1"]},
        {"regions": []},
        {"tags": {"team": "sales"}},
        {"tags": {"team": "sales", "stage": "live"}},
        {"tags": {}},
        {"waves": [2, "100%"]},
        {"waves": ["100%"]},
    ],
)
def test_another_reach_is_another_rollout(other: dict[str, Any]) -> None:
    assert rollout(**{**REACH, **other}).id != rollout(**REACH).id
