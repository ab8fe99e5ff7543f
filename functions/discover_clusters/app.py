"""A rollout looks at one account and Region: it lists the Aurora clusters with their tags and memberships.

If the account denies the calls, the reason is recorded, and the rollout goes on with the other accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from aurora_kerberos import aws, clusters, names
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client
from aurora_kerberos.errors import AwsUnavailable
from aurora_kerberos.rollout import work
from aurora_kerberos.rollout.work import ALREADY, TODO, UNFIT, Discovered, Found
from aurora_kerberos.step import Ready, logger, step

PATIENT = 5  # attempts: the rollout calls AWS in many accounts at the same time


class Arguments(TypedDict):
    """`target`: account and Region; `parent`: the ARN of the rollout's execution."""

    target: Mapping[str, str]
    parent: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready when the list of clusters is in the rollout's bucket."""
    account, region = arguments["target"]["account"], arguments["target"]["region"]
    found = Discovered(account=account, region=region, refused="", clusters=[])
    try:
        found["clusters"] = list(discovered(account, region, Arn.parse(arguments["parent"]).partition))
    except aws.ERRORS as error:
        translated = aws.translate(error)
        if isinstance(translated, AwsUnavailable):
            raise translated from error
        logger.warning(translated.message, account=account, region=region)
        found["refused"] = translated.message
    work.write(arguments["parent"], f"discovered/{account}.{region}.json", found)
    return Ready({"clusters": len(found["clusters"]), "refused": bool(found["refused"])})


def discovered(account: str, region: str, partition: str) -> Iterator[Found]:
    """List the Aurora clusters page by page, with the member role (`sts:AssumeRole`, `rds:DescribeDBClusters`)."""
    role = work.member_role(account, region, partition)
    pages = client("rds", role, PATIENT, region).get_paginator("describe_db_clusters").paginate()
    for page in pages:
        for cluster in page["DBClusters"]:
            if cluster["Engine"].startswith("aurora"):
                state, why = judged(cluster)
                yield Found(
                    arn=cluster["DBClusterArn"],
                    id=cluster["DBClusterIdentifier"],
                    account=account,
                    region=region,
                    tags=names.tags(cluster),
                    state=state,
                    why=why,
                )


def judged(cluster: Mapping[str, Any]) -> Any:
    """The state of a cluster in the rollout's plan, as far as RDS and the tags show it, and the reason."""
    tags, joined = names.tags(cluster), clusters.membership(cluster)
    if cluster["Engine"] != "aurora-postgresql":
        return UNFIT, f"It runs {cluster['Engine']}."
    if not cluster.get("DBSubnetGroup") or not cluster.get("VpcSecurityGroups"):
        return UNFIT, "It is not in a VPC."
    if cluster["Status"] in clusters.STUCK_CLUSTER:
        return UNFIT, f"It is {cluster['Status']}."
    if tags.get(names.TAG) == names.DISABLED:
        return UNFIT, f"Its tag {names.TAG} is {names.DISABLED}."
    enabled = joined and joined["Status"] in clusters.ENABLED and tags.get(names.STATUS_TAG) == names.ENABLED
    if enabled and tags.get(names.TAG) == names.ENABLED:
        return ALREADY, f"It is in the domain of {joined['Domain'] if joined else ''}."
    return TODO, ""
