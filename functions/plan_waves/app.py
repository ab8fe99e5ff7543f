"""A rollout's plan: which clusters are enrolled, and in which wave.

Clusters are ordered by a digest of their ARN. So each wave is a sample of all accounts, and a second start has the same
order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypedDict

from aurora_kerberos import names
from aurora_kerberos.rollout import work
from aurora_kerberos.rollout.work import ALREADY, ENABLED, EXCLUDED, TODO, Discovered, Outcome, Plan, Planned, Wave
from aurora_kerberos.step import Ready, step

NOT_LOOKED_AT = "It could not be looked at: see the failed child executions of the map run."


class Arguments(TypedDict):
    """`rollout` (its id) and `request` of `list_accounts`; the ARN of the `execution`; `now`: ISO 8601."""

    rollout: str
    request: Mapping[str, Any]
    execution: str
    now: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready with the waves. The clusters of each wave are in a file of their own in the rollout's bucket."""
    request, execution = arguments["request"], arguments["execution"]
    found = list(discovered(execution))
    before = work.outcomes(arguments["rollout"])
    planned = [Planned(**cluster, wave=0) for each in found for cluster in each["clusters"]]
    for cluster in planned:
        if cluster["state"] == TODO and not request["tags"].items() <= cluster["tags"].items():
            cluster["state"], cluster["why"] = EXCLUDED, "It does not have the tags asked for."
    # Of an earlier start. What has failed, was refused or has been lost since is tried again.
    done = {cluster["arn"] for cluster in planned if cluster["state"] == ALREADY and cluster["arn"] in before}
    for arn in sorted(done):
        if before[arn]["outcome"] != ENABLED:  # it was finished by its own account
            well = Outcome(**{**before[arn], "outcome": ENABLED, "error": "", "message": "", "remedy": ""})
            work.record({**well, "recorded_at": arguments["now"]})
    waves = in_waves(planned, done, request["waves"])
    for wave in waves:
        items = [
            {key: cluster[key] for key in ("arn", "id", "account", "region", "wave")}
            for cluster in planned
            if cluster["wave"] == wave["number"]
        ]
        work.write(execution, f"waves/{wave['number']}.json", items)
    plan = Plan(
        rollout=arguments["rollout"],
        execution=execution,
        began_at=arguments["now"],
        request=dict(request),
        waves=waves,
        clusters=planned,
        refused=[each for each in found if each["refused"]],
    )
    work.write(execution, "plan.json", plan)
    return Ready({"waves": waves, "first": waves[0]["number"] if waves else 0, "began_at": arguments["now"]})


def in_waves(planned: list[Planned], done: set[str], sizes: list[int | str]) -> list[Wave]:
    """Assign each cluster to its wave, and return the waves that are not empty."""
    mine = {each["arn"]: each for each in planned if each["state"] == TODO or each["arn"] in done}
    numbers = numbered(sorted(mine, key=names.digest), done, sizes)
    for arn, cluster in mine.items():
        cluster["wave"] = numbers.get(arn, 0)
        if cluster["state"] == TODO and arn not in numbers:
            cluster["state"], cluster["why"] = EXCLUDED, "The waves do not reach it."
    found = Counter(numbers.values())
    return [Wave(number=number, size=found[number]) for number in sorted(found)]


def numbered(arns: Sequence[str], done: Collection[str], sizes: Sequence[int | str]) -> dict[str, int]:
    """The number of the wave in which each cluster is enrolled that is not done and is reached.

    Args:
        arns: all clusters of the rollout, those that are done too, in their order.
        done: those that an earlier start has enrolled.
        sizes: how many of all are done after each wave: a number, or a share.
    """
    numbers, begin = dict[str, int](), 0
    for number, size in enumerate(sizes, 1):
        end = max(begin, reach(size, len(arns)))
        numbers |= {arn: number for arn in arns[begin:end] if arn not in done}
        begin = end
    return numbers


def reach(size: int | str, total: int) -> int:
    """How many clusters are done after a wave. The size is a number or a share, which is rounded up."""
    return min(total, size) if isinstance(size, int) else -(-total * int(size.rstrip("%")) // 100)


def discovered(execution: str) -> Iterator[Discovered]:
    """The clusters of each account and Region, in the order of the targets (`s3:GetObject`)."""
    for target in work.read(execution, "targets.json"):
        account, region = target["account"], target["region"]
        found = work.read(execution, f"discovered/{account}.{region}.json")
        yield found or Discovered(account=account, region=region, refused=NOT_LOOKED_AT, clusters=[])
