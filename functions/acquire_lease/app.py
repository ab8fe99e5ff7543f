"""Before anything else: makes sure that no other execution is at work on this cluster."""

from __future__ import annotations

from typing import Any, TypedDict

from aurora_kerberos import leases, names
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """`request`: the execution's input as it came; `execution`: its ARN; `now`: ISO 8601."""

    request: Any
    execution: str
    now: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when it is known who holds the lease of the cluster. If another execution holds it, `end` names it.

    An input that names no cluster is ready as well: `validate_request` refuses it.
    """
    execution = arguments["execution"]
    cluster = names.requested_cluster(arguments["request"], execution)
    holder = leases.take(names.cluster_arn(cluster, execution), execution, arguments["now"]) if cluster else execution
    if holder == execution:
        return Ready({"end": {}})
    message = (
        f"Nothing to do: {holder} is at work on {cluster}. What the tags ask for beyond it, the next sweep sees to; "
        "any other input has to be started again when it has ended."
    )
    return Ready({"end": {"outcome": "superseded", "message": message}})
