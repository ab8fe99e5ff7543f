"""What the functions' roles needed in the rehearsals: written down, to be held against their policies."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy import templates
from local.core.calls import Call
from local.services.iam import resources
from local.services.iam.policies import matches

FOLDER = templates.ROOT / ".local" / "needs"
MEMBER_ROLE = "MemberRole"

Need = tuple[str, str]  # an IAM action, and the resource on which it is needed (or a pattern, on which it is allowed)
Statement = Mapping[str, Any]


def write(scenario: Path, calls: Iterable[Call]) -> None:
    """What the calls of a scenario's rehearsal needed, of each function or assumed role."""
    found = of(calls)
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps({who: sorted(needs) for who, needs in found.items()})
    (FOLDER / f"{scenario.stem}.json").write_text(text)


def of(calls: Iterable[Call]) -> dict[str, set[Need]]:
    """What was needed, by function or assumed role."""
    found: dict[str, set[Need]] = defaultdict(set)
    for call in calls:
        # The member role has the Region in its name.
        who = MEMBER_ROLE if call.role.startswith("aurora-kerberos-member-") else call.role or call.function
        found[who].update(call.needs)
    return found


def read() -> dict[str, dict[str, set[Need]]]:
    """Scenario → who → what was needed, of all that have been written."""
    return {
        path.stem: {who: {(action, on) for action, on in needs} for who, needs in json.loads(path.read_text()).items()}
        for path in sorted(FOLDER.glob("*.json"))
    }


def policies() -> dict[str, list[Statement]]:
    """The statements of every function, and of the roles that functions assume, as the templates have them."""
    far = templates.directory_account()["Resources"]["Role"]["Properties"]["Policies"]
    member = templates.source()["Resources"][MEMBER_ROLE]["Properties"]["Policies"]
    documents = {name: templates.policies(name) for name in templates.functions()}
    documents[templates.DIRECTORY_ACCOUNT_ROLE] = [policy["PolicyDocument"] for policy in far]
    documents[MEMBER_ROLE] = [policy["PolicyDocument"] for policy in member]
    return {name: [each for one in found for each in one["Statement"]] for name, found in documents.items()}


def allowed(statements: Iterable[Statement]) -> set[Need]:
    """Each action with each pattern of resources that statements allow it on."""
    return {
        (action, pattern(resource))
        for statement in statements
        for action in resources.listed(statement["Action"])
        for resource in resources.listed(statement["Resource"])
    }


def pattern(resource: Any) -> str:
    """A resource of a template as a pattern: what its parameters and other resources put in may be anything."""
    match resource:
        case str():
            return resource
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{[^}]*\}", "*", text)
    return "*"


def differences(who: str, statements: Iterable[Statement], needed: set[Need]) -> Iterator[str]:
    """Where a policy and what was needed of it are not the same.

    What AWS checks when it acts in the caller's name is in no call, and is to be allowed.
    """
    allows, behind = allowed(statements), resources.BEHIND_THE_CALLS.get(who, set())
    for action in behind - {action for action, _ in allows}:
        yield f"{action} is not allowed, which AWS needs"
    for action, resource in needed:
        if action not in resources.UNAUTHORIZED and not any(covers(each, (action, resource)) for each in allows):
            yield f"{action} on {resource} is not allowed"
    for each in allows:
        if each[0] not in behind and not any(covers(each, need) for need in needed):
            yield f"{each[0]} on {each[1]} was not needed"


def covers(each: Need, need: Need) -> bool:
    """Whether what is allowed is what was needed."""
    return each[0] == need[0] and matches(each[1], need[1])
