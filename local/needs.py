"""What the functions' roles needed in the rehearsals: written down, to be held against their policies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from local.aws import Call

FOLDER = Path(__file__).parent.parent / ".local" / "needs"


def write(scenario: Path, calls: Iterable[Call]) -> None:
    """The IAM actions that the calls of a scenario's rehearsal needed, of each function or assumed role."""
    found = of(calls)
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps({who: sorted(actions) for who, actions in found.items()})
    (FOLDER / f"{scenario.stem}.json").write_text(text)


def of(calls: Iterable[Call]) -> dict[str, set[str]]:
    """The actions by function or assumed role."""
    found: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        found[call.role or call.function].update(call.needs)
    return found


def read() -> dict[str, dict[str, set[str]]]:
    """Scenario → who → actions, of all that have been written."""
    return {
        path.stem: {who: set(actions) for who, actions in json.loads(path.read_text()).items()}
        for path in sorted(FOLDER.glob("*.json"))
    }
