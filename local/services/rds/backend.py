"""moto's RDS, and what of Aurora each cloud remembers beside it."""

from __future__ import annotations

from typing import Any

from moto.rds.models import rds_backends

from local.core.calls import arn_name
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.core.places import of_arn, present, written


class Aurora:
    """What moto does not remember of clusters.

    Attributes:
        events: of DescribeEvents, as it answers them.
        failing_joins: how many more attempts of a cluster to join its domain shall fail, by the cluster's name.
        secondaries: the names of clusters that only follow the primary of a global database.
    """

    def __init__(self, _: Cloud) -> None:
        self.events: list[dict[str, Any]] = []
        self.failing_joins: dict[str, int] = {}
        self.secondaries: set[str] = set()

    def refuses_to_join(self, cluster: str) -> bool:
        """Whether this attempt of a cluster to join its domain shall fail."""
        name = written(cluster)
        remaining = self.failing_joins.get(name, 0)
        self.failing_joins[name] = remaining - 1
        return remaining > 0


def moto_rds(cloud: Cloud) -> Any:
    """moto's RDS of the cloud's account and Region."""
    return rds_backends[cloud.account][cloud.region]


def cluster_of(cloud: Cloud, name: str) -> Any:
    """moto's cluster.

    Raises:
        AwsError: DBClusterNotFoundFault.
    """
    found = moto_rds(cloud).clusters.get(arn_name(name) if name.startswith("arn:") else name.lower())
    if found and (not name.startswith("arn:") or of_arn(name) == present()):
        return found
    raise AwsError("DBClusterNotFoundFault", f"DBCluster {name} not found.", 404)


def endpoints(cluster: Any) -> list[str]:
    """The cluster's names in DNS."""
    return [cluster.endpoint, cluster.reader_endpoint]


def members(cluster: Any) -> list[Any]:
    """The cluster and its instances: all that has a membership."""
    return [cluster, *cluster.members]


def set_status(cluster: Any, status: str) -> None:
    """The membership's status, of the cluster and all instances."""
    for member in members(cluster):
        member.domain_memberships[0].status = status
