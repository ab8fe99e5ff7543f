"""Managing: deletes the parameters for clients, so that nobody tries to log in with them in vain."""

from __future__ import annotations

from typing import TypedDict

from aurora_kerberos import names
from aurora_kerberos.aws import client
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """`prefix` of the names of the parameters."""

    prefix: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when neither parameter exists (`ssm:GetParameters`, `ssm:DeleteParameters`)."""
    ssm, ours = client("ssm"), names.client_parameters(arguments["prefix"])
    there = [parameter["Name"] for parameter in ssm.get_parameters(Names=ours)["Parameters"]]
    if there:
        ssm.delete_parameters(Names=there)
    return Ready({"parameters": sorted(there)})
