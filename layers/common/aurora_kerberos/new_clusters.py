"""Clusters that are made as members of the domain: created, restored from a snapshot, restored to a point in time.

What a person gives are parameters of the very calls of the RDS API (step 6 of the guide). They are held against the
API's own model and against the account before anything is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator

from aurora_kerberos import clusters
from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import InvalidRequest

OPERATIONS = {
    "create": "CreateDBCluster",
    "restore": "RestoreDBClusterFromSnapshot",
    "restore_to_time": "RestoreDBClusterToPointInTime",
}
ENGINE = "aurora-postgresql"
# What this workflow fills in itself; passwords never stand in an execution's input.
OURS = {
    "DBClusterIdentifier",
    "Domain",
    "DomainIAMRoleName",
    "Engine",
    "ManageMasterUserPassword",
    "MasterUserPassword",
    "SourceRegion",
}
OURS_OF_INSTANCES = {"DBClusterIdentifier", "Domain", "DomainIAMRoleName", "Engine", "MasterUserPassword"}
MADE_BY_TAG = "kerberos-made-by"
REMEDY = "Correct the parameters, which are those of the RDS API; nothing has been made."


def parameters(way: str, cluster: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the call that makes the cluster, but for the directory and the role."""
    engine = {} if way == "restore_to_time" else {"Engine": ENGINE}
    master = {"MasterUsername": "postgres", "ManageMasterUserPassword": True} if way == "create" else {}
    tags = [*given.get("Tags", []), {"Key": MADE_BY_TAG, "Value": "aurora-kerberos"}]
    return {"DBClusterIdentifier": cluster, **engine, **master, **given, "Tags": tags}


def instances(cluster: str, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The parameters of the calls that make the instances; the first is the writer."""
    return [
        {"DBInstanceIdentifier": f"{cluster}-{number}", "DBClusterIdentifier": cluster, "Engine": ENGINE, **each}
        for number, each in enumerate(given, 1)
    ]


def refuse_malformed(way: str, given: Mapping[str, Any], given_instances: Iterable[Mapping[str, Any]]) -> None:
    """Hold what was given against the API's model.

    Raises:
        InvalidRequest: naming what the call would not take, and what is missing.
    """
    refuse_ours(way, given, OURS)
    for number, each in enumerate(given_instances):
        refuse_ours(f"{way}.instances.{number}", each, OURS_OF_INSTANCES)
        hold(f"{way}.instances.{number}", "CreateDBInstance", {"DBInstanceIdentifier": "x", "Engine": ENGINE, **each})
    hold(
        way,
        OPERATIONS[way],
        {"DBClusterIdentifier": "x", "Engine": ENGINE, **given}
        if way != "restore_to_time"
        else {"DBClusterIdentifier": "x", **given},
    )
    missing = [name for name in ("DBSubnetGroupName", "VpcSecurityGroupIds") if not given.get(name)]
    if way == "restore_to_time":
        if not given.get("SourceDBClusterIdentifier"):
            missing.append("SourceDBClusterIdentifier")
        if bool(given.get("RestoreToTime")) == bool(given.get("UseLatestRestorableTime")):
            missing.append("either RestoreToTime or UseLatestRestorableTime")
    if missing:
        raise InvalidRequest(f"{way}.parameters lacks {' and '.join(missing)}.", REMEDY)


def refuse_ours(where: str, given: Mapping[str, Any], ours: set[str]) -> None:
    """Refuse what the workflow decides."""
    if unasked := sorted(ours & set(given)):
        raise InvalidRequest(
            f"{where} holds {' and '.join(unasked)}, which this workflow fills in itself.",
            "Leave it out. A new cluster's master password is made and kept by RDS in Secrets Manager.",
        )


def hold(where: str, operation: str, given: Mapping[str, Any]) -> None:
    """Hold parameters against the model of an operation."""
    model = client("rds").meta.service_model.operation_model(operation).input_shape
    unknown = sorted(set(given) - set(model.members))
    report = ParamValidator().validate(dict(given), model)
    if unknown or report.has_errors():
        problems = [*(f"{operation} has no parameter {name}" for name in unknown)]
        problems += [report.generate_report().replace("\n", "; ")] if report.has_errors() else []
        raise InvalidRequest(f"{where} is not valid: {'; '.join(problems)}.", REMEDY)


def refuse_impossible(way: str, made: Mapping[str, Any], made_instances: list[dict[str, Any]]) -> str:
    """Hold the parameters against the account; the engine version that the cluster will have.

    Raises:
        InvalidRequest: something they name does not exist, or cannot be used.
    """
    source = {"create": no_source, "restore": snapshot, "restore_to_time": source_cluster}[way](made)
    version = str(made.get("EngineVersion") or source.get("EngineVersion", ""))
    subnet_group = found(
        "describe_db_subnet_groups",
        "DBSubnetGroups",
        "DBSubnetGroupNotFoundFault",
        DBSubnetGroupName=made["DBSubnetGroupName"],
    )
    refuse_foreign_groups(made["VpcSecurityGroupIds"], subnet_group["VpcId"])
    if group := made.get("DBClusterParameterGroupName"):
        found(
            "describe_db_cluster_parameter_groups",
            "DBClusterParameterGroups",
            "DBParameterGroupNotFound",
            DBClusterParameterGroupName=group,
        )
    if way == "create" and version:
        found("describe_db_engine_versions", "DBEngineVersions", "", Engine=ENGINE, EngineVersion=version)
    names = [instance["DBInstanceIdentifier"] for instance in made_instances]
    if len(set(names)) != len(names):
        raise InvalidRequest(f"{way}.instances has a name twice: {', '.join(sorted(names))}.", REMEDY)
    for instance in made_instances:
        refuse_instance(instance, version, made)
    return version


def refuse_foreign_groups(groups: list[str], vpc: str) -> None:
    """Refuse security groups that do not exist or are of another VPC (`ec2:DescribeSecurityGroups`)."""
    try:
        described = client("ec2").describe_security_groups(GroupIds=groups)["SecurityGroups"]
    except ClientError as error:
        if code(error) not in {"InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidGroup.Malformed"}:
            raise
        raise InvalidRequest(f"VpcSecurityGroupIds: {', '.join(groups)} do not all exist.", REMEDY) from error
    if foreign := [group["GroupId"] for group in described if group["VpcId"] != vpc]:
        raise InvalidRequest(f"The security group {foreign[0]} is not of the subnet group's VPC {vpc}.", REMEDY)


def refuse_instance(instance: Mapping[str, Any], version: str, made: Mapping[str, Any]) -> None:
    """Refuse an instance whose name is taken, or whose class the engine version does not have."""
    name, instance_class = instance["DBInstanceIdentifier"], instance["DBInstanceClass"]
    if instance_class == "db.serverless" and "ServerlessV2ScalingConfiguration" not in made:
        raise InvalidRequest("db.serverless needs ServerlessV2ScalingConfiguration of the cluster.", REMEDY)
    try:
        client("rds").describe_db_instances(DBInstanceIdentifier=name)
    except ClientError as error:
        if code(error) not in {"DBInstanceNotFound", "DBInstanceNotFoundFault"}:
            raise
    else:
        raise InvalidRequest(f"There is a DB instance {name} already.", REMEDY)
    of_version = {"EngineVersion": version} if version else {}
    found(
        "describe_orderable_db_instance_options",
        "OrderableDBInstanceOptions",
        "",
        Engine=ENGINE,
        DBInstanceClass=instance_class,
        **of_version,
    )


def no_source(_: Mapping[str, Any]) -> Mapping[str, Any]:
    """A new cluster comes from nothing."""
    return {}


def snapshot(made: Mapping[str, Any]) -> Mapping[str, Any]:
    """The snapshot to restore from (`rds:DescribeDBClusterSnapshots`)."""
    name = made["SnapshotIdentifier"]
    source = found(
        "describe_db_cluster_snapshots",
        "DBClusterSnapshots",
        "DBClusterSnapshotNotFoundFault",
        DBClusterSnapshotIdentifier=name,
    )
    if source["Engine"] != ENGINE or source["Status"] != "available":
        raise InvalidRequest(f"The snapshot {name} is of {source['Engine']} and {source['Status']}.", REMEDY)
    return source


def source_cluster(made: Mapping[str, Any]) -> Mapping[str, Any]:
    """The cluster to restore a point in time of."""
    source = clusters.describe(made["SourceDBClusterIdentifier"])
    if source["Engine"] != ENGINE:
        raise InvalidRequest(f"The cluster {source['DBClusterIdentifier']} runs {source['Engine']}.", REMEDY)
    if wanted := made.get("RestoreToTime"):
        time: datetime = parse_timestamp(wanted)
        earliest, latest = source.get("EarliestRestorableTime"), source.get("LatestRestorableTime")
        if (earliest and time < earliest) or (latest and time > latest):
            raise InvalidRequest(f"RestoreToTime {wanted} is not between {earliest} and {latest}.", REMEDY)
    return source


def found(operation: str, key: str, not_found: str, **named: Any) -> Mapping[str, Any]:
    """The first of what an operation of RDS describes.

    Raises:
        InvalidRequest: it describes nothing.
    """
    try:
        described = getattr(client("rds"), operation)(**named)[key]
    except ClientError as error:
        if not not_found or code(error).removesuffix("Fault") != not_found.removesuffix("Fault"):
            raise
        described = []
    if not described:
        what = ", ".join(f"{name} {value}" for name, value in named.items() if value != ENGINE)
        raise InvalidRequest(f"RDS knows no {what} here.", REMEDY)
    return dict(described[0])
