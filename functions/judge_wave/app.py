"""A rollout's gate: after each wave, the rollout goes on with the next one, or stops with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos.errors import OutcomeUnknown
from aurora_kerberos.rollout import work
from aurora_kerberos.rollout.work import ENROLLING, FAILED, Ending, Outcome
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """`rollout` (its id) and `request`; `waves` of `plan_waves`; the number of the `wave` that has ended.

    `execution`: the rollout's ARN; `began_at` and `now`: ISO 8601.
    """

    rollout: str
    request: Mapping[str, Any]
    waves: list[Mapping[str, Any]]
    wave: int
    execution: str
    began_at: str
    now: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready with the number of the `next` wave, or 0, and with the reason why the rollout is `stopped`, or empty.

    Only clusters that failed because of the workflow count, in all waves so far. A cluster without an outcome counts as
    failed too, and this step records that.
    """
    outcomes = work.outcomes(arguments["rollout"])
    begun = [wave["number"] for wave in arguments["waves"] if wave["number"] <= arguments["wave"]]
    later = [wave["number"] for wave in arguments["waves"] if wave["number"] > arguments["wave"]]
    failed = []
    for item in [item for number in begun for item in work.read(arguments["execution"], f"waves/{number}.json")]:
        known = outcomes.get(item["arn"])
        if known is None or known["outcome"] == ENROLLING or known["recorded_at"] < arguments["began_at"]:
            work.record(known := lost(item, known, arguments))
        if known["outcome"] == FAILED:
            failed.append(item["id"])
    most = arguments["request"]["max_failures"]
    if len(failed) > most:
        some = ", ".join(failed[:10])
        many = "1 cluster has" if len(failed) == 1 else f"{len(failed)} clusters have"
        return Ready(
            {"next": 0, "stopped": f"After wave {arguments['wave']}, {many} failed, more than {most}: {some}."}
        )
    return Ready({"next": later[0] if later else 0, "stopped": ""})


def lost(item: Mapping[str, Any], known: Outcome | None, arguments: Arguments) -> Outcome:
    """The outcome of a cluster whose execution ended without one. `known` is the last item that it wrote."""
    begun = known and known["recorded_at"] >= arguments["began_at"]
    error = OutcomeUnknown(
        "Its execution has ended, and nobody knows what has become of the cluster.",
        f"See why in the map run of wave {item['wave']}, then start the rollout again: it goes on where it is.",
    )
    ending = Ending(
        outcome=FAILED,
        error=type(error).__name__,
        message=error.message,
        remedy=error.remedy,
        began_at=known["began_at"] if known and begun else arguments["now"],
        recorded_at=arguments["now"],
    )
    return work.outcome_of(arguments["rollout"], item, ending)
