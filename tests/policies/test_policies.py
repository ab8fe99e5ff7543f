"""No policy allows what no scenario needed. It is run after the scenarios have been: see `make test`.

The other direction, that everything called is allowed, holds by itself: the local cloud refuses the rest.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from local import iam, needs, stack

MEMBER_ROLE = "MemberRole"
SCENARIOS = {path.stem for path in (Path(__file__).parents[2] / "scenarios").glob("*.yaml")}


@pytest.fixture(scope="module")
def needed() -> dict[str, set[str]]:
    rehearsed = needs.read()
    assert set(rehearsed) >= SCENARIOS, "`make test` rehearses all scenarios before it comes to this"
    found: dict[str, set[str]] = defaultdict(set)
    for name in SCENARIOS:
        for who, actions in rehearsed[name].items():
            # The member role has the Region in its name.
            found[MEMBER_ROLE if who.startswith("aurora-kerberos-member-") else who] |= actions
    return found


@pytest.fixture(scope="module")
def allowed() -> dict[str, set[str]]:
    policies = {
        name: [policy["Statement"] for policy in properties.get("Policies", [])]
        for name, properties in stack.functions().items()
    }
    policies[stack.DIRECTORY_ACCOUNT_ROLE] = [
        policy["PolicyDocument"]["Statement"]
        for policy in stack.directory_account()["Resources"]["Role"]["Properties"]["Policies"]
    ]
    policies[MEMBER_ROLE] = [
        policy["PolicyDocument"]["Statement"]
        for policy in stack.source()["Resources"][MEMBER_ROLE]["Properties"]["Policies"]
    ]
    return {
        name: {action for statements in found for each in statements for action in iam.listed(each["Action"])}
        for name, found in policies.items()
    }


@pytest.mark.parametrize("who", [*stack.functions(), stack.DIRECTORY_ACCOUNT_ROLE, MEMBER_ROLE])
def test_everything_allowed_was_needed(needed: dict[str, set[str]], allowed: dict[str, set[str]], who: str) -> None:
    behind = iam.BEHIND_THE_CALLS.get(who, set())
    assert behind <= allowed[who]
    assert allowed[who] - behind == needed[who] - behind - iam.UNAUTHORIZED
