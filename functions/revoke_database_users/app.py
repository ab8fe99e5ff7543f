"""Managing, after the cluster has left its domain: revokes rds_ad from every role that was granted it here.

The roles stay, and keep everything else that they were granted. When the cluster is enabled again, they get rds_ad
back.
"""

from __future__ import annotations

from typing import TypedDict

from aurora_kerberos.database.master import master
from aurora_kerberos.database.roles import Mark, doubts, existing, take, write_mark
from aurora_kerberos.database.session import has_database
from aurora_kerberos.plan import Cluster
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """`cluster` of the plan."""

    cluster: Cluster


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when no role has an rds_ad that was granted here, according to the marks of `ensure_database_users`."""
    revoked: list[str] = []
    warnings: list[str] = []
    if has_database(arguments["cluster"]):
        with master(arguments["cluster"]) as session:
            there = existing(session)
            warnings = doubts(there)
            for name, role in sorted(there.items()):
                if role.mark and "rds_ad" in role.mark["roles"]:
                    take(session, name, role, ["rds_ad"])
                    remaining = [each for each in role.mark["roles"] if each != "rds_ad"]
                    write_mark(
                        session, name, role, Mark(named=role.mark["named"], groups=role.mark["groups"], roles=remaining)
                    )
                    revoked.append(name)
    return Ready({"revoked": revoked, "warnings": warnings})
