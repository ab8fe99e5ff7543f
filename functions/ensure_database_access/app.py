"""Before step 1: lets the functions reach the database's port, as far as security groups decide it.

A rule always names the functions' security group. AWS allows that within a VPC and over an active peering. In other
cases, and when the stack's `Network` is `existing`, nothing is changed, and the next step finds out by connecting.
"""

from __future__ import annotations

from typing import TypedDict

from aurora_kerberos import security_groups
from aurora_kerberos.arns import Arn
from aurora_kerberos.network import Place, peered, tcp
from aurora_kerberos.plan import Cluster, Network
from aurora_kerberos.step import Ready, Waiting, step


class Arguments(TypedDict):
    """`cluster` and `network` of the plan; the ARN of the `execution` names the account."""

    execution: str
    cluster: Cluster
    network: Network


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready with the rules that were added, which may be none."""
    cluster, network = arguments["cluster"], arguments["network"]
    if network["mode"] == "existing":
        return Ready({"opened": []})
    account = Arn.parse(arguments["execution"]).account
    database, functions = Place.of_cluster(cluster, account), Place.of_functions(network, account)
    closed = security_groups.missing(database, "ingress", functions, [tcp(cluster["port"])])
    if not closed or (database.vpc_id != functions.vpc_id and not peered(functions, database)):
        return Ready({"opened": []})
    return Ready({"opened": [security_groups.allow(database, "ingress", functions, closed)]})
