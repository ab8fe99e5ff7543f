"""Step 4: the users and groups of the directory, and who is in the groups that may log in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos.principals import Grant, merged
from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`directory`: the outputs of `ensure_directory`; `directory_users` and `principals` of the plan."""

    directory: Mapping[str, Any]
    wanted: Mapping[str, Any]
    principals: list[Grant]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when it is so."""
    return Ready({"principals": merged(arguments["principals"]), "mappings": [], "groups": [], "made": []})
