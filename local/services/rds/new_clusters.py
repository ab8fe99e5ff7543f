"""Aurora clusters that are made as members of a domain: created, or restored from a snapshot or a point in time.

moto makes them at once, with a membership that is `active`. Here they take their time, and join once they have an
instance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.rds.models import DomainMembership

from local.core.calls import Parameters, aftermath, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.servers.databases import Databases
from local.services.rds import parameter_groups
from local.services.rds.backend import cluster_of, endpoints, moto_rds
from local.services.rds.memberships import check_directory, check_role, end_joining

DEFAULT_VERSION = "16.4"
VERSIONS = {"13.15", "14.9", "14.12", "15.4", "15.7", "16.4", "17.4"}
CLASSES = {"db.r6g.large", "db.r6g.xlarge", "db.t4g.medium", "db.serverless"}


@fake("rds", "CreateDBCluster")
def create(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any] | None:
    """A new cluster that joins; one without a domain is moto's."""
    if "Domain" not in parameters:
        return None
    made = make(cloud, parameters, parameters.get("EngineVersion", DEFAULT_VERSION), parameters["MasterUsername"])
    secret = cloud.client("secretsmanager").get_secret_value(SecretId=made.master_user_secret.secret_arn)
    password = json.loads(secret["SecretString"])["password"]
    made.port = cloud.part(Databases).add(made.resource_id, endpoints(made), parameters["MasterUsername"], password, [])
    return described(cloud, made)


@fake("rds", "RestoreDBClusterFromSnapshot")
def restore(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """A cluster with the data and the master password of a snapshot."""
    snapshot = moto_rds(cloud).cluster_snapshots.get(parameters["SnapshotIdentifier"])
    if snapshot is None:
        raise AwsError("DBClusterSnapshotNotFoundFault", f"{parameters['SnapshotIdentifier']} not found.", 404)
    return restored(cloud, parameters, snapshot.cluster)


@fake("rds", "RestoreDBClusterToPointInTime")
def restore_to_time(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """A cluster with the data and the master password of another one."""
    if bool(parameters.get("RestoreToTime")) == bool(parameters.get("UseLatestRestorableTime")):
        raise AwsError("InvalidParameterCombination", "Either RestoreToTime or UseLatestRestorableTime is required.")
    return restored(cloud, parameters, cluster_of(cloud, parameters["SourceDBClusterIdentifier"]))


def restored(cloud: Cloud, parameters: Parameters, source: Any) -> Mapping[str, Any]:
    """A new cluster from the data of `source`."""
    # The API reference: without EngineVersion a snapshot gets the default, and only a point in time its source's.
    of_source = source.engine_version if "SourceDBClusterIdentifier" in parameters else DEFAULT_VERSION
    made = make(cloud, parameters, parameters.get("EngineVersion", of_source), source.master_username)
    made.port = cloud.part(Databases).copy(source.resource_id, made.resource_id, endpoints(made))
    return described(cloud, made)


def make(cloud: Cloud, parameters: Parameters, version: str, master: str) -> Any:
    """moto's new cluster, being created and not joined yet; refused as RDS does."""
    name = parameters["DBClusterIdentifier"].lower()
    backend = moto_rds(cloud)
    if name in backend.clusters:
        raise AwsError("DBClusterAlreadyExistsFault", "DB Cluster already exists")
    if parameters.get("DBSubnetGroupName") not in backend.subnet_groups:
        raise AwsError(
            "DBSubnetGroupNotFoundFault", f"DB subnet group {parameters['DBSubnetGroupName']} not found.", 404
        )
    check_directory(cloud, parameters["Domain"])
    check_role(cloud, parameters.get("DomainIAMRoleName", ""))
    made = backend.create_db_cluster(
        {
            "db_cluster_identifier": name,
            "engine": "aurora-postgresql",
            "engine_version": version,
            "master_username": master,
            "manage_master_user_password": parameters.get("ManageMasterUserPassword"),
            "master_user_password": "that of the source",  # only the database knows it
            "vpc_security_group_ids": parameters["VpcSecurityGroupIds"],
            "db_subnet_group_name": parameters["DBSubnetGroupName"],
            "db_cluster_parameter_group_name": parameters.get("DBClusterParameterGroupName"),
            "tags": parameters.get("Tags", []),
        }
    )
    made.domain_memberships = [DomainMembership(parameters["Domain"], parameters["DomainIAMRoleName"])]
    made.domain_memberships[0].status = "enabling-kerberos"
    made.status = "creating"
    made._enable_http_endpoint = bool(parameters.get("EnableHttpEndpoint"))

    def available() -> None:
        made.status = "available"
        cloud.happened(f"cluster {name} is available")

    cloud.clock.call_later(cloud.takes.new_cluster, available)
    return made


def described(cloud: Cloud, cluster: Any) -> Mapping[str, Any]:
    """The answer of the call that has made it."""
    found = cloud.client("rds").describe_db_clusters(DBClusterIdentifier=cluster.resource_id)
    return {"DBCluster": found["DBClusters"][0]}


@fake("rds", "CreateDBInstance")
def check_instance(cloud: Cloud, parameters: Parameters) -> None:
    """What moto lets pass: a name that is taken, and a cluster that is not there."""
    if parameters["DBInstanceIdentifier"].lower() in moto_rds(cloud).databases:
        raise AwsError("DBInstanceAlreadyExists", "DB instance already exists")
    cluster_of(cloud, parameters["DBClusterIdentifier"])


@aftermath("rds", "CreateDBInstance")
def instance_made(cloud: Cloud, parameters: Parameters, _: Mapping[str, Any]) -> None:
    """An instance of a cluster that joins takes its time; the cluster joins with the first of them."""
    cluster = cluster_of(cloud, parameters["DBClusterIdentifier"])
    if not cluster.domain_memberships:
        return
    instance = moto_rds(cloud).databases[parameters["DBInstanceIdentifier"]]
    instance.status = "creating"
    instance.instance_create_time = cloud.clock.time()
    membership = cluster.domain_memberships[0]
    instance.domain_memberships = [DomainMembership(membership.domain, membership.iam_role_name)]
    instance.domain_memberships[0].status = cluster.domain_memberships[0].status

    def available() -> None:
        instance.status = "available"
        parameter_groups.started(cloud, instance)
        cloud.happened(f"instance {parameters['DBInstanceIdentifier']} is available")
        if instance.is_cluster_writer:
            cloud.clock.call_later(cloud.takes.membership, lambda: joined(cloud, cluster))

    cloud.clock.call_later(cloud.takes.new_cluster, available)


def joined(cloud: Cloud, cluster: Any) -> None:
    """No restart is needed: the instance was made as a member."""
    end_joining(cloud, cluster)
    cloud.part(Databases).restart(cluster.resource_id)


@fake("rds", "DescribeDBEngineVersions")
def describe_engine_versions(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001  as all fakes
    """The versions that the local cloud has; moto knows none."""
    wanted = parameters.get("EngineVersion")
    known = {DEFAULT_VERSION} if parameters.get("DefaultOnly") else VERSIONS
    versions = [{"Engine": "aurora-postgresql", "EngineVersion": each} for each in sorted(known)]
    return {"DBEngineVersions": [each for each in versions if wanted in (None, each["EngineVersion"])]}


@fake("rds", "DescribeOrderableDBInstanceOptions")
def describe_orderable_options(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:  # noqa: ARG001  as all fakes
    """Every class with every version; moto's options end with version 11."""
    wanted = parameters.get("EngineVersion"), parameters.get("DBInstanceClass")
    options = [
        {"Engine": "aurora-postgresql", "EngineVersion": version, "DBInstanceClass": instance_class}
        for version in sorted(VERSIONS)
        for instance_class in sorted(CLASSES)
    ]
    found = [
        each
        for each in options
        if wanted[0] in (None, each["EngineVersion"]) and wanted[1] in (None, each["DBInstanceClass"])
    ]
    return {"OrderableDBInstanceOptions": found}
