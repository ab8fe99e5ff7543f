"""Step 2: a forest trust with each of the on-premises domains whose users may log in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`directory`: the outputs of `ensure_directory`; `trusts` of the plan."""

    directory: Mapping[str, Any]
    trusts: list[Mapping[str, Any]]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when it is so."""
    return Ready({"realms": []})
