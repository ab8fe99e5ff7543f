"""Before anything is changed: finds out whether step 7 can succeed.

The step logs in as the master user and looks at the roles. So a closed port, a wrong password or a principal that uses
IAM shows in the first minute, and not after the hour that directory and membership take. It changes nothing.
"""

from __future__ import annotations

from typing import TypedDict

from aurora_kerberos.database.master import master, refuse_unfit_roles
from aurora_kerberos.database.session import has_database
from aurora_kerberos.plan import Cluster
from aurora_kerberos.principals import Grant
from aurora_kerberos.step import Ready, step


class Arguments(TypedDict):
    """`cluster` and `principals` of the plan."""

    cluster: Cluster
    principals: list[Grant]


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when the master user can log in and every principal may have rds_ad, or when there is no database yet."""
    if has_database(arguments["cluster"]):
        with master(arguments["cluster"]) as session:
            refuse_unfit_roles(session, arguments["principals"])
    return Ready()
