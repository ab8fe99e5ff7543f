"""Every policy allows what the scenarios needed, and no more. It is run after they have been: see `make test`.

The local cloud refuses whatever a policy does not allow; here the policies are held against all that was called, action
by action and resource by resource, in both directions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.services.iam import resources
from tools import policies
from tools.policies import Need, Statement, differences

SCENARIOS = {path.stem for path in (Path(__file__).parents[2] / "scenarios").glob("*.yaml")}
POLICIES = policies.policies()
FOREIGN = "s3:DeleteBucket"  # which nothing here needs


@pytest.fixture(scope="module")
def needed() -> dict[str, set[Need]]:
    rehearsed = policies.read()
    assert set(rehearsed) >= SCENARIOS, "`make test` rehearses all scenarios before it comes to this"
    found: dict[str, set[Need]] = defaultdict(set)
    for name in SCENARIOS:
        for who, needs_of_it in rehearsed[name].items():
            found[who] |= needs_of_it
    return found


def with_statement(statements: list[Statement], number: int, **changed: object) -> list[Statement]:
    return [*statements[:number], {**statements[number], **changed}, *statements[number + 1 :]]


def less_one_action(statements: list[Statement]) -> Iterator[tuple[str, list[Statement]]]:
    """The statements without an action, for each action, wherever it stands."""
    for gone in {action for statement in statements for action in resources.listed(statement["Action"])}:
        yield (
            gone,
            [{**each, "Action": [a for a in resources.listed(each["Action"]) if a != gone]} for each in statements],
        )


@pytest.mark.parametrize("who", POLICIES)
def test_what_is_allowed_is_what_was_needed(needed: dict[str, set[Need]], who: str) -> None:
    assert not list(differences(who, POLICIES[who], needed[who]))


@pytest.mark.parametrize("who", POLICIES)
def test_an_action_less_is_noticed(needed: dict[str, set[Need]], who: str) -> None:
    for gone, left in less_one_action(POLICIES[who]):
        assert any(f"{gone} " in each for each in differences(who, left, needed[who])), gone


@pytest.mark.parametrize("who", POLICIES)
def test_an_action_more_is_noticed(needed: dict[str, set[Need]], who: str) -> None:
    """Be it one that nobody needs, or one that another function needs."""
    own = {action for action, _ in policies.allowed(POLICIES[who])}
    others = {action for statements in POLICIES.values() for action, _ in policies.allowed(statements)} - own
    for number, statement in enumerate(POLICIES[who]):
        for more in {FOREIGN, *others}:
            changed = with_statement(POLICIES[who], number, Action=[*resources.listed(statement["Action"]), more])
            assert any(f"{more} on " in each for each in differences(who, changed, needed[who])), more


@pytest.mark.parametrize("who", POLICIES)
def test_a_resource_more_is_noticed(needed: dict[str, set[Need]], who: str) -> None:
    behind = resources.BEHIND_THE_CALLS.get(who, set())
    for number, statement in enumerate(POLICIES[who]):
        changed = with_statement(
            POLICIES[who], number, Resource=[*resources.listed(statement["Resource"]), "arn:aws:s3:::b"]
        )
        if not set(resources.listed(statement["Action"])) <= behind:
            assert "on arn:aws:s3:::b was not needed" in " ".join(differences(who, changed, needed[who]))
