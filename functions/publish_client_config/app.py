"""Step 8: what clients need to log in, where they can fetch it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`cluster` as it has joined; `directory`; `trusts` of the plan; `users` of the database."""

    cluster: Mapping[str, Any]
    directory: Mapping[str, Any]
    trusts: list[Mapping[str, Any]]
    users: Mapping[str, Any]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when it is so."""
    return Ready()
