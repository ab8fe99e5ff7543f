"""Before step 1: the functions are let in at the database's port, as far as security groups go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`cluster` and `network` of the plan."""

    cluster: Mapping[str, Any]
    network: Mapping[str, Any]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when it is so."""
    return Ready({"opened": []})
