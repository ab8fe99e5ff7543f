"""Step 5: a directory of another account is shared with the cluster's account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`directory`: the outputs of `ensure_directory`; `method` of sharing."""

    directory: Mapping[str, Any]
    method: str


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when it is so."""
    return Ready({"id": arguments["directory"]["id"]})
