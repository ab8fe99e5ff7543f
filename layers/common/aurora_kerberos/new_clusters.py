"""Clusters that are made as members of the domain: created, restored from a snapshot, restored to a point in time.

The input has the parameters of the calls of the RDS API (step 6 of the guide). They are checked with the API's model
and against the account before anything is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from aurora_kerberos import names, registry
from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import InvalidRequest
from aurora_kerberos.plan import Creation

OPERATIONS = {
    "create": "CreateDBCluster",
    "restore": "RestoreDBClusterFromSnapshot",
    "restore_to_time": "RestoreDBClusterToPointInTime",
}
ENGINE = "aurora-postgresql"
# Parameters that this workflow fills in itself.
OURS = {"DBClusterIdentifier", "Domain", "DomainIAMRoleName", "Engine", "ManageMasterUserPassword"}
# Parameters with a role. The template lets the functions pass only the directory's role to RDS.
ROLES = {"AssociatedRoles", "MonitoringRoleArn"}
# Parameters of the three calls (RDS API reference) with which somebody may say what the cluster is like. The other ones
# go further: another way to log in, data of another Region or of a cluster that is gone, tags of other resources, an
# address in the internet. Or they are not for Aurora PostgreSQL. tests/layer/test_creation_parameters.py has all.
OF_CLUSTERS = {
    "AutoMinorVersionUpgrade",
    "AvailabilityZones",
    "BackupRetentionPeriod",
    "CopyTagsToSnapshot",
    "DBClusterParameterGroupName",
    "DBSubnetGroupName",
    "DatabaseInsightsMode",
    "DatabaseName",
    "DeletionProtection",
    "EnableCloudwatchLogsExports",
    "EnableHttpEndpoint",
    "EnablePerformanceInsights",
    "EngineLifecycleSupport",
    "EngineVersion",
    "KmsKeyId",
    "MasterUserSecretKmsKeyId",
    "MasterUsername",
    "NetworkType",
    "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod",
    "Port",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "PubliclyAccessible",
    "RestoreToTime",
    "RestoreType",
    "ServerlessV2ScalingConfiguration",
    "SnapshotIdentifier",
    "SourceDBClusterIdentifier",
    "StorageEncrypted",
    "StorageType",
    "Tags",
    "UseLatestRestorableTime",
    "VpcSecurityGroupIds",
}
# Parameters of "CreateDBInstance" (RDS API reference) that apply to an instance of an Aurora cluster. The other ones
# "don't apply to Amazon Aurora DB instances", and RDS would refuse them only after the cluster is made.
OF_INSTANCES = {
    "AutoMinorVersionUpgrade",
    "AvailabilityZone",
    "CACertificateIdentifier",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBParameterGroupName",
    "EnablePerformanceInsights",
    "MonitoringInterval",
    "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod",
    "PreferredMaintenanceWindow",
    "PromotionTier",
    "PubliclyAccessible",
    "Tags",
}
# "DBClusterIdentifier" and "DBInstanceIdentifier" of the RDS API reference; RDS keeps them in lower case.
IDENTIFIER = re.compile(r"(?=.{1,63}$)[a-z](-?[a-z0-9])*")
# "Error codes for the Amazon EC2 API".
NO_GROUP = {"InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidParameterValue"}
REMEDY = "Correct the parameters, which are those of the RDS API; nothing has been made."


def parameters(kind: str, cluster: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the call that makes the cluster, without the directory, the role and the tag of who made it.

    A restored cluster in a VPC with an internet gateway is public unless it is said otherwise (RDS API reference).
    """
    engine = {} if kind == "restore_to_time" else {"Engine": ENGINE}
    master = {"MasterUsername": "postgres", "ManageMasterUserPassword": True} if kind == "create" else {}
    time = {"RestoreToTime": restore_time(given).isoformat()} if "RestoreToTime" in given else {}
    private = {} if kind == "create" else {"PubliclyAccessible": False}
    return {"DBClusterIdentifier": cluster, **engine, **master, **private, **given, **time}


def instances(cluster: str, given: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The parameters of the calls that make the instances; the first is the writer."""
    return [
        {
            "PubliclyAccessible": False,  # else it may be public, if its subnet group is the default one
            **each,
            "DBInstanceIdentifier": each.get("DBInstanceIdentifier", f"{cluster}-{number}").lower(),
            "DBClusterIdentifier": cluster,
            "Engine": ENGINE,
        }
        for number, each in enumerate(given, 1)
    ]


def refuse_malformed(kind: str, given: Mapping[str, Any], given_instances: Iterable[Mapping[str, Any]]) -> None:
    """Check the given parameters with the API's model.

    Raises:
        InvalidRequest: names what RDS would refuse, and what is missing, but no value, which may be a secret.
    """
    refuse_ours(f"{kind}.parameters", given)
    if "RestoreToTime" in given:
        restore_time(given)  # botocore accepts other forms of time as well, and fails with some of them
    engine = {} if kind == "restore_to_time" else {"Engine": ENGINE}
    hold(f"{kind}.parameters", OPERATIONS[kind], {"DBClusterIdentifier": "x", **engine, **given})
    refuse_tags(f"{kind}.parameters", given)
    public = {"PubliclyAccessible"} if kind == "create" else set()  # only of Multi-AZ DB clusters
    if beyond := sorted(set(given) - OF_CLUSTERS | public & set(given)):
        raise InvalidRequest(
            f"{kind}.parameters holds {' and '.join(beyond)}, which no cluster that is made here may have.",
            "Leave it out. Whoever may do so can modify the cluster when it is there.",
        )
    for number, each in enumerate(given_instances):
        where = f"{kind}.instances.{number}"
        refuse_ours(where, each)
        hold(where, "CreateDBInstance", {"DBInstanceIdentifier": "x", "Engine": ENGINE, **each})
        refuse_tags(where, each)
        if beyond := sorted(set(each) - OF_INSTANCES):
            raise InvalidRequest(f"{where} holds {' and '.join(beyond)}, which an instance of Aurora has not.", REMEDY)
    required = {"restore": ["SnapshotIdentifier"], "restore_to_time": ["SourceDBClusterIdentifier"]}.get(kind, [])
    missing = [name for name in (*required, "DBSubnetGroupName", "VpcSecurityGroupIds") if not given.get(name)]
    if kind == "restore_to_time" and ("RestoreToTime" in given) == given.get("UseLatestRestorableTime", False):
        missing.append("either RestoreToTime or UseLatestRestorableTime")
    if missing:
        raise InvalidRequest(f"{kind}.parameters lacks {' and '.join(missing)}.", REMEDY)
    if "RestoreToTime" in given and given.get("RestoreType") == "copy-on-write":
        raise InvalidRequest("A clone (RestoreType copy-on-write) is of the present: it has no RestoreToTime.", REMEDY)


def refuse_ours(where: str, given: Mapping[str, Any]) -> None:
    """Refuse parameters that the workflow fills in, passwords in whatever spelling, and roles."""
    if passwords := [name for name in given if "password" in name.lower() and name not in OURS]:
        raise InvalidRequest(
            f"{where} holds {' and '.join(sorted(passwords))}; no password may stand in an execution's input.",
            "Leave it out, and use that password nowhere: the execution's history shows it. RDS makes the master "
            "password of a new cluster and keeps it in Secrets Manager.",
        )
    if unasked := sorted(OURS & set(given)):
        raise InvalidRequest(
            f"{where} holds {' and '.join(unasked)}, which this workflow fills in itself.",
            "Leave it out. A new cluster's master password is made and kept by RDS in Secrets Manager.",
        )
    if roles := sorted(ROLES & set(given)):
        raise InvalidRequest(
            f"{where} holds {' and '.join(roles)}; this workflow passes no role to RDS but the directory's.",
            "Leave it out, and modify the cluster when it is there.",
        )


def refuse_tags(where: str, given: Mapping[str, Any]) -> None:
    """Refuse tags that ask this workflow for something, or say what it has made."""
    keys = [str(tag.get("Key", "")) for tag in given.get("Tags", [])]
    if ours := sorted(key for key in keys if key.lower().startswith((names.TAG, names.MANAGED_BY["Key"]))):
        raise InvalidRequest(
            f"{where}.Tags holds {' and '.join(ours)}; only who may tag clusters may set these.",
            "Leave it out, and tag the cluster when it is there.",
        )


def hold(where: str, operation: str, given: Mapping[str, Any]) -> None:
    """Check parameters with the model of an operation."""
    model = client("rds").meta.service_model.operation_model(operation).input_shape
    problems = [problem(*found) for found in ParamValidator().validate(dict(given), model)._errors]
    # RDS ignores an empty name, and would describe all resources.
    problems += [f"{name} is empty" for name, value in given.items() if value == ""]
    if problems:
        raise InvalidRequest(f"{where} is not valid for {operation}: {'; '.join(problems)}.", REMEDY)


def problem(kind: str, name: str, details: Mapping[str, Any]) -> str:
    """A problem that botocore reports, without the value that botocore would quote."""
    inside = f" in {name.removeprefix('.')}" if name else ""
    match kind:
        case "missing required field":
            return f"{details['required_name']} is missing{inside}"
        case "unknown field":
            return f"there is no parameter {details['unknown_param']}{inside}"
        case "invalid type":
            types = re.findall(r"'([\w.]+)'", " ".join(details["valid_types"]))
            return f"{name.removeprefix('.')} must be {' or '.join(types)}"
    return f"{name.removeprefix('.')} has an {kind}"


def restore_time(given: Mapping[str, Any]) -> datetime:
    """The time to restore to. It is UTC if it has no time zone.

    Raises:
        InvalidRequest: it is not a time of ISO 8601.
    """
    try:
        time = datetime.fromisoformat(given["RestoreToTime"])
    except (TypeError, ValueError):
        raise InvalidRequest("RestoreToTime is not a time such as 2026-01-05T08:00:00Z.", REMEDY) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def refuse_names(cluster: str, made_instances: Iterable[Mapping[str, Any]]) -> None:
    """Refuse identifiers that RDS would refuse. The API's model does not have this rule."""
    identifiers = [cluster, *(instance["DBInstanceIdentifier"] for instance in made_instances)]
    for number, name in enumerate(identifiers):
        if not IDENTIFIER.fullmatch(name):
            raise InvalidRequest(
                f"{name!r} is no identifier: at most 63 letters, digits and single hyphens, a letter first.", REMEDY
            )
        if number and name in identifiers[1:number]:
            raise InvalidRequest(f"Two instances have the name {name}.", REMEDY)


def refuse_made_by_others(cluster: Mapping[str, Any], kind: str) -> None:
    """Refuse a cluster that exists already and was not made by this stack, whatever its tags say."""
    if not registry.is_ours(registry.made(cluster["DBClusterArn"]), cluster):
        raise made_by_others(cluster, kind)


def made_by_others(cluster: Mapping[str, Any], kind: str) -> InvalidRequest:
    """The error for a cluster that exists already and was not made by this stack."""
    return InvalidRequest(
        f"There is a cluster {cluster['DBClusterIdentifier']} already, and this workflow has not made it.",
        f"Leave out `{kind}` to enable Kerberos on it as it is, or choose another identifier.",
    )


def description(creation: Creation) -> str:
    """What is going to be made, in one sentence, for the question for approval."""
    made = creation["parameters"]
    source = made.get("SnapshotIdentifier") or made.get("SourceDBClusterIdentifier", "")
    how = f"is restored from {source}" if source else "is created"
    public = any(each.get("PubliclyAccessible") for each in (made, *creation["instances"]))
    return (
        f"Cluster {made['DBClusterIdentifier']} {how} {'with an address in the internet ' if public else ''}"
        f"in the subnet group {made['DBSubnetGroupName']} "
        f"with the security groups {', '.join(made['VpcSecurityGroupIds'])} "
        f"and the instances {listed(creation['instances'])}, which costs money."
    )


def listed(made_instances: Iterable[Mapping[str, Any]]) -> str:
    """Instances, each with its class."""
    return ", ".join(f"{each['DBInstanceIdentifier']} ({each['DBInstanceClass']})" for each in made_instances)


def refuse_impossible(kind: str, made: Mapping[str, Any], made_instances: list[dict[str, Any]]) -> str:
    """Check the parameters against the account; return the engine version that the cluster will have.

    Raises:
        InvalidRequest: something that they name does not exist, or cannot be used.
    """
    source = {"create": no_source, "restore": snapshot, "restore_to_time": source_cluster}[kind](made)
    version = str(made.get("EngineVersion") or source.get("EngineVersion", ""))
    if kind == "create":
        which = {"EngineVersion": version} if version else {"DefaultOnly": True}
        known = described("describe_db_engine_versions", "DBEngineVersions", "", Engine=ENGINE, **which)
        version = version or str(known["EngineVersion"])
    subnet_group = described(
        "describe_db_subnet_groups",
        "DBSubnetGroups",
        "DBSubnetGroupNotFoundFault",
        DBSubnetGroupName=made["DBSubnetGroupName"],
    )
    refuse_foreign_groups(made["VpcSecurityGroupIds"], subnet_group["VpcId"])
    if group := made.get("DBClusterParameterGroupName"):
        described(
            "describe_db_cluster_parameter_groups",
            "DBClusterParameterGroups",
            "DBParameterGroupNotFound",
            DBClusterParameterGroupName=group,
        )
    for instance in made_instances:
        refuse_instance(instance, version, made)
    return version


def refuse_foreign_groups(groups: list[str], vpc: str) -> None:
    """Refuse security groups that do not exist or are of another VPC (`ec2:DescribeSecurityGroups`)."""
    try:
        described = client("ec2").describe_security_groups(GroupIds=groups)["SecurityGroups"]
    except ClientError as error:
        if code(error) not in NO_GROUP:
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
        if code(error) != "DBInstanceNotFound":
            raise
    else:
        raise InvalidRequest(f"There is a DB instance {name} already.", REMEDY)
    described(
        "describe_orderable_db_instance_options",
        "OrderableDBInstanceOptions",
        "",
        Engine=ENGINE,
        DBInstanceClass=instance_class,
        EngineVersion=version,
    )


def no_source(_: Mapping[str, Any]) -> Mapping[str, Any]:
    """A cluster that is created has no source."""
    return {}


def snapshot(made: Mapping[str, Any]) -> Mapping[str, Any]:
    """The snapshot to restore from (`rds:DescribeDBClusterSnapshots`)."""
    name = made["SnapshotIdentifier"]
    source = described(
        "describe_db_cluster_snapshots",
        "DBClusterSnapshots",
        "DBClusterSnapshotNotFoundFault",
        DBClusterSnapshotIdentifier=name,
    )
    if source["Engine"] != ENGINE or source["Status"] != "available":
        raise InvalidRequest(f"The snapshot {name} is of {source['Engine']} and {source['Status']}.", REMEDY)
    return source


def source_cluster(made: Mapping[str, Any]) -> Mapping[str, Any]:
    """The cluster to restore from (`rds:DescribeDBClusters`)."""
    name = made["SourceDBClusterIdentifier"]
    source = described("describe_db_clusters", "DBClusters", "DBClusterNotFoundFault", DBClusterIdentifier=name)
    if source["Engine"] != ENGINE:
        raise InvalidRequest(f"The cluster {name} runs {source['Engine']}.", REMEDY)
    if "RestoreToTime" in made:
        earliest, latest = source["EarliestRestorableTime"], source["LatestRestorableTime"]
        if not earliest <= restore_time(made) <= latest:
            window = f"{earliest.isoformat()} and {latest.isoformat()}"
            raise InvalidRequest(f"RestoreToTime {made['RestoreToTime']} is not between {window}.", REMEDY)
    return source


def described(operation: str, key: str, not_found: str, **named: Any) -> Mapping[str, Any]:
    """The first resource that an operation of RDS describes.

    Raises:
        InvalidRequest: it describes none, or RDS refuses the name.
    """
    try:
        described = getattr(client("rds"), operation)(**named)[key]
    except ClientError as error:
        if code(error) not in {not_found, "InvalidParameterValue"}:
            raise
        described = []
    if not described:
        what = ", ".join(f"{name} {value}" for name, value in named.items() if value != ENGINE)
        raise InvalidRequest(f"RDS knows no {what} here.", REMEDY)
    return dict(described[0])
