"""A rollout's gate: after each wave, go on with the next, or stop and say why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos import rollout
from aurora_kerberos.rollout import ENROLLING, FAILED
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """`rollout` (its id) and `request`; `waves` of `plan_waves`; the number of the `wave` that has ended.

    `execution`: the rollout's ARN.
    """

    rollout: str
    request: Mapping[str, Any]
    waves: list[Mapping[str, Any]]
    wave: int
    execution: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready with the number of the `next` wave, 0 when there is none, and with `stopped`: why, or empty.

    Only what failed because of the workflow counts, in all waves so far; who has no outcome has failed as well.
    """
    outcomes = rollout.outcomes(arguments["rollout"])
    begun = [wave["number"] for wave in arguments["waves"] if wave["number"] <= arguments["wave"]]
    later = [wave["number"] for wave in arguments["waves"] if wave["number"] > arguments["wave"]]
    failed = [
        item["id"]
        for number in begun
        for item in rollout.read(arguments["execution"], f"waves/{number}.json")
        if item["arn"] not in outcomes or outcomes[item["arn"]]["outcome"] in {FAILED, ENROLLING}
    ]
    most = arguments["request"]["max_failures"]
    if len(failed) > most:
        some = ", ".join(failed[:10])
        stopped = f"Failed by wave {arguments['wave']}: {len(failed)} of the clusters, more than {most}: {some}."
        return Ready({"next": 0, "stopped": stopped})
    return Ready({"next": later[0] if later else 0, "stopped": ""})
