"""Step 5: cluster and directory reach each other at the documented ports, and the functions the directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`cluster` and `network` of the plan; `directory`: the outputs of `ensure_directory`."""

    cluster: Mapping[str, Any]
    directory: Mapping[str, Any]
    network: Mapping[str, Any]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when it is so."""
    return Ready({"opened": []})
