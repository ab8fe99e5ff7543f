"""Instances that restart: what waits for a restart comes into force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.core.calls import Parameters, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.servers.databases import Databases
from local.services.rds import parameter_groups
from local.services.rds.backend import moto_rds
from local.services.rds.events import add_event


@fake("rds", "RebootDBInstance")
def reboot_db_instance(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Restart an instance; the writer's is the restart of the real PostgreSQL."""
    name = parameters["DBInstanceIdentifier"]
    instance = moto_rds(cloud).databases.get(name)
    if instance is None:
        raise AwsError("DBInstanceNotFound", f"DBInstance {name} not found.", 404)
    if instance.status != "available":
        raise AwsError("InvalidDBInstanceState", f"Instance {name} is {instance.status}, not available.")
    instance.status = "rebooting"

    def restarted() -> None:
        instance.status = "available"
        parameter_groups.started(cloud, instance)
        if instance.is_cluster_writer:
            cloud.part(Databases).restart(instance.db_cluster_identifier)
        add_event(cloud, name, "db-instance", "availability", "DB instance restarted")
        cloud.happened(f"instance {name} has restarted")

    cloud.clock.call_later(cloud.takes.restart, restarted)
    described = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=name)
    return {"DBInstance": described["DBInstances"][0]}
