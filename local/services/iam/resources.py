"""What AWS checks for each call: its actions, their resources and condition keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from local.core.calls import Parameters
from local.core.cloud import Cloud
from local.core.faults import Unmodelled
from local.services.directory.directories import Directories
from local.services.iam import keys
from local.services.iam.keys import Context
from local.services.organizations import Accounts

NONE = "*"  # the operation has no resource level

DEFAULT_GROUPS = {
    "OptionGroupName": "default:aurora-postgresql-16",
    "DBSubnetGroupName": "default",
    "DBSecurityGroupName": "default",
}


def _rds(kind: str, name: str) -> Callable[[Cloud, Parameters], str]:
    def resource(cloud: Cloud, parameters: Parameters) -> str:
        value = str(parameters.get(name, "*"))
        return value if value.startswith("arn:") else cloud.arn("rds", f"{kind}:{value}")

    return resource


def _named(service: str, prefix: str, name: str, region: bool = True) -> Callable[[Cloud, Parameters], str]:
    return lambda cloud, parameters: cloud.arn(service, f"{prefix}{parameters[name]}", region)


def role_arn(cloud: Cloud, name: str) -> str:
    """A role's ARN, which holds its path; a call names the role without it."""
    found = [role.arn for role in iam_backends[cloud.account]["aws"].roles.values() if role.name == name]
    return str(found[0]) if found else cloud.arn("iam", f"role/{name}", region=False)


def _secret(cloud: Cloud, parameters: Parameters) -> str:
    """A secret's ARN ends with six random characters; a name stands for the secret it finds."""
    value = str(parameters.get("SecretId") or parameters["Name"])
    return value if value.startswith("arn:") else cloud.arn("secretsmanager", f"secret:{value}-AbCdEf")


def _object(cloud: Cloud, parameters: Parameters) -> str:  # noqa: ARG001  as its siblings
    """An object's ARN bears neither account nor Region."""
    return f"arn:aws:s3:::{parameters['Bucket']}/{parameters['Key']}"


def _ec2(kind: str, name: str) -> Callable[[Cloud, Parameters], str]:
    return lambda cloud, parameters: cloud.arn("ec2", f"{kind}/{parameters[name]}")


def _requested_peering(cloud: Cloud, parameters: Parameters) -> list[str]:
    """The requester's VPC, and the peering there is going to be."""
    return [cloud.arn("ec2", f"vpc/{parameters['VpcId']}"), cloud.arn("ec2", "vpc-peering-connection/pcx-0")]


def _accepted_peering(cloud: Cloud, parameters: Parameters) -> list[str]:
    """The accepter's VPC, and the peering."""
    name = parameters["VpcPeeringConnectionId"]
    peering = ec2_backends[cloud.account][cloud.region].vpc_pcxs.get(name)
    vpc = peering.peer_vpc.id if peering else "vpc-0"
    return [cloud.arn("ec2", f"vpc/{vpc}"), cloud.arn("ec2", f"vpc-peering-connection/{name}")]


def _new_cluster(cloud: Cloud, parameters: Parameters) -> list[str]:
    """The cluster, and all that it is made of or with; groups that are not named are the defaults."""
    made_with = {
        "DBClusterIdentifier": "cluster",
        "SourceDBClusterIdentifier": "cluster",
        "SnapshotIdentifier": "cluster-snapshot",
        "DBSubnetGroupName": "subgrp",
        "DBClusterParameterGroupName": "cluster-pg",
        "OptionGroupName": "og",
    }
    named = {"DBClusterParameterGroupName": "default.aurora-postgresql16", **DEFAULT_GROUPS, **parameters}
    return [_rds(kind, name)(cloud, named) for name, kind in made_with.items() if name in named]


def _new_instance(cloud: Cloud, parameters: Parameters) -> list[str]:
    """The instance, its cluster, and the groups, which are the defaults when they are not named."""
    named = {"DBParameterGroupName": "default.aurora-postgresql16", **DEFAULT_GROUPS, **parameters}
    made_with = {
        "DBInstanceIdentifier": "db",
        "DBClusterIdentifier": "cluster",
        "DBParameterGroupName": "pg",
        "OptionGroupName": "og",
        "DBSubnetGroupName": "subgrp",
        "DBSecurityGroupName": "secgrp",
    }
    return [_rds(kind, name)(cloud, named) for name, kind in made_with.items()]


def _cluster_of_data_api(cloud: Cloud, parameters: Parameters) -> str:  # noqa: ARG001  as its siblings
    return str(parameters["resourceArn"])


def _directory(name: str) -> Callable[[Cloud, Parameters], str]:
    return lambda cloud, parameters: cloud.arn("ds", f"directory/{parameters[name]}")


def _trust(cloud: Cloud, parameters: Parameters) -> str:
    """A trust's resource is its directory."""
    owners = [
        directory.directory_id
        for directory in cloud.part(Directories).of_account(cloud.account)
        for trust in directory.trusts
        if trust.trust_id == parameters["TrustId"]
    ]
    return cloud.arn("ds", f"directory/{(owners or ['*'])[0]}")


def _unit(cloud: Cloud, parameters: Parameters) -> str:
    """The root or an organizational unit; its ARN holds the organization's account and id."""
    name, organization = parameters["ParentId"], cloud.part(Accounts).organization
    kind = "root" if name.startswith("r-") else "ou"
    return f"arn:aws:organizations::{organization.management if organization else ''}:{kind}/o-0/{name}"


def _none(cloud: Cloud, parameters: Parameters) -> str:  # noqa: ARG001  as its siblings
    return NONE


# "Actions, resources, and condition keys" of the Service Authorization Reference, for the operations that are called.
RESOURCES: dict[str, Callable[[Cloud, Parameters], str | list[str]]] = {
    "cloudtrail:LookupEvents": _none,
    "ds:CreateMicrosoftAD": _none,
    "ds:AcceptSharedDirectory": _directory("SharedDirectoryId"),
    "ds:CreateConditionalForwarder": _directory("DirectoryId"),
    "ds-data:AddGroupMember": _directory("DirectoryId"),
    "ds-data:CreateGroup": _directory("DirectoryId"),
    "ds-data:CreateUser": _directory("DirectoryId"),
    "ds-data:DescribeGroup": _directory("DirectoryId"),
    "ds-data:DescribeUser": _directory("DirectoryId"),
    "ds-data:ListGroupMembers": _directory("DirectoryId"),
    "ds-data:UpdateUser": _directory("DirectoryId"),
    "ds:CreateTrust": _directory("DirectoryId"),
    "ds:DescribeConditionalForwarders": _directory("DirectoryId"),
    "ds:DescribeDirectories": _none,
    "ds:DescribeDirectoryDataAccess": _directory("DirectoryId"),
    "ds:EnableDirectoryDataAccess": _directory("DirectoryId"),
    "ds:ResetUserPassword": _directory("DirectoryId"),
    "ds:DescribeSharedDirectories": _directory("OwnerDirectoryId"),
    "ds:DescribeTrusts": _none,
    "ds:ShareDirectory": _directory("DirectoryId"),
    "ds:VerifyTrust": _trust,
    "dynamodb:DeleteItem": _named("dynamodb", "table/", "TableName"),
    "dynamodb:GetItem": _named("dynamodb", "table/", "TableName"),
    "dynamodb:Query": _named("dynamodb", "table/", "TableName"),
    "dynamodb:PutItem": _named("dynamodb", "table/", "TableName"),
    "dynamodb:UpdateItem": _named("dynamodb", "table/", "TableName"),
    "ec2:AcceptVpcPeeringConnection": _accepted_peering,
    "ec2:AuthorizeSecurityGroupEgress": _ec2("security-group", "GroupId"),
    "ec2:AuthorizeSecurityGroupIngress": _ec2("security-group", "GroupId"),
    "ec2:CreateRoute": _ec2("route-table", "RouteTableId"),
    "ec2:CreateVpcPeeringConnection": _requested_peering,
    "ec2:DescribeNetworkAcls": _none,
    "ec2:DescribeRouteTables": _none,
    "ec2:DescribeSecurityGroups": _none,
    "ec2:DescribeSubnets": _none,
    "ec2:DescribeVpcPeeringConnections": _none,
    "ec2:DescribeVpcs": _none,
    "ec2:GetManagedPrefixListEntries": _ec2("prefix-list", "PrefixListId"),
    "ec2:ModifyVpcPeeringConnectionOptions": _ec2("vpc-peering-connection", "VpcPeeringConnectionId"),
    "events:PutEvents": lambda cloud, _: cloud.arn("events", "event-bus/default"),
    "iam:AttachRolePolicy": lambda cloud, p: role_arn(cloud, p["RoleName"]),
    "iam:CreateRole": lambda cloud, p: role_arn(cloud, p["RoleName"]),
    "iam:GetRole": lambda cloud, p: role_arn(cloud, p["RoleName"]),
    "iam:ListAttachedRolePolicies": lambda cloud, p: role_arn(cloud, p["RoleName"]),
    "organizations:DescribeOrganization": _none,
    "organizations:ListAccounts": _none,
    "organizations:ListAccountsForParent": _unit,
    "organizations:ListChildren": _unit,
    "organizations:ListOrganizationalUnitsForParent": _unit,
    "organizations:ListRoots": _none,
    "rds:AddTagsToResource": _rds("cluster", "ResourceName"),
    "rds:CreateDBCluster": _new_cluster,
    "rds:CreateDBInstance": _new_instance,
    "rds:DescribeDBClusterParameterGroups": _rds("cluster-pg", "DBClusterParameterGroupName"),
    "rds:DescribeDBClusterParameters": _rds("cluster-pg", "DBClusterParameterGroupName"),
    "rds:DescribeDBClusterSnapshots": _rds("cluster-snapshot", "DBClusterSnapshotIdentifier"),
    "rds:DescribeDBEngineVersions": _none,
    "rds:DescribeGlobalClusters": lambda cloud, _: cloud.arn("rds", "global-cluster:*", region=False),
    "rds:DescribeOrderableDBInstanceOptions": _none,
    "rds:ModifyDBClusterParameterGroup": _rds("cluster-pg", "DBClusterParameterGroupName"),
    "rds:RestoreDBClusterFromSnapshot": _new_cluster,
    "rds:RestoreDBClusterToPointInTime": _new_cluster,
    "rds-data:BeginTransaction": _cluster_of_data_api,
    "rds-data:CommitTransaction": _cluster_of_data_api,
    "rds-data:ExecuteStatement": _cluster_of_data_api,
    "rds-data:RollbackTransaction": _cluster_of_data_api,
    "rds:DescribeDBClusters": _rds("cluster", "DBClusterIdentifier"),
    "rds:DescribeDBInstances": _rds("db", "DBInstanceIdentifier"),
    "rds:DescribeEvents": _none,
    "rds:ModifyDBCluster": _rds("cluster", "DBClusterIdentifier"),
    "rds:RebootDBInstance": _rds("db", "DBInstanceIdentifier"),
    "rds:RemoveTagsFromResource": _rds("cluster", "ResourceName"),
    "s3:GetObject": _object,
    "s3:PutObject": _object,
    "secretsmanager:CreateSecret": _secret,
    "secretsmanager:DescribeSecret": _secret,
    "secretsmanager:GetSecretValue": _secret,
    "secretsmanager:TagResource": _secret,
    "secretsmanager:UntagResource": _secret,
    "sns:Publish": lambda _, parameters: str(parameters["TopicArn"]),
    "ssm:DeleteParameters": lambda cloud, p: [cloud.arn("ssm", f"parameter{name}") for name in p["Names"]],
    "ssm:GetParameter": lambda cloud, p: cloud.arn("ssm", f"parameter{p['Name']}"),
    "rds:DescribeDBSubnetGroups": _rds("subgrp", "DBSubnetGroupName"),
    "ssm:GetParameters": lambda cloud, p: [cloud.arn("ssm", f"parameter{name}") for name in p["Names"]],
    "ssm:PutParameter": lambda cloud, p: cloud.arn("ssm", f"parameter{p['Name']}"),
    "states:DescribeExecution": lambda _, parameters: str(parameters["executionArn"]),
    "states:SendTaskFailure": _none,
    "states:SendTaskSuccess": _none,
    "states:StartExecution": lambda _, parameters: str(parameters["stateMachineArn"]),
    "sts:AssumeRole": lambda _, parameters: str(parameters["RoleArn"]),
    "sts:GetCallerIdentity": _none,
}

PREFIXES = {"stepfunctions": "states"}  # IAM's names of services that botocore has others for

UNAUTHORIZED = {"sts:GetCallerIdentity"}  # needs no permission

# What AWS checks when it acts in the caller's name: {function, or role of another account: actions}; no call of ours
# shows them.
BEHIND_THE_CALLS = {
    "EnsureDirectory": {
        "ec2:AuthorizeSecurityGroupEgress",
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:CreateNetworkInterface",
        "ec2:CreateSecurityGroup",
        "ec2:CreateTags",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeVpcs",
    },
    # GetObject: without it, what is missing is "access denied".
    "PlanWaves": {"s3:ListBucket"},
    "ReportRollout": {"s3:ListBucket"},
    # ShareDirectory ("Directory Service API permissions").
    "aurora-kerberos-directory-account": {
        "organizations:DescribeAccount",
        "organizations:DescribeOrganization",
        "organizations:ListAWSServiceAccessForOrganization",
    },
    "EnsureMembership": {
        "ds:AuthorizeApplication",
        "ds:DescribeDirectories",
        "ds:GetAuthorizedApplicationDetails",
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKey",
        "secretsmanager:CreateSecret",
        "secretsmanager:TagResource",
    },
}

# Actions that AWS checks beside the one of the call: {call: (parameter that brings it in, action)}.
TAGGING = {
    "rds:CreateDBCluster": ("Tags", "rds:AddTagsToResource"),
    "rds:CreateDBInstance": ("Tags", "rds:AddTagsToResource"),
    "rds:RestoreDBClusterFromSnapshot": ("Tags", "rds:AddTagsToResource"),
    "rds:RestoreDBClusterToPointInTime": ("Tags", "rds:AddTagsToResource"),
    "iam:CreateRole": ("Tags", "iam:TagRole"),
    "secretsmanager:CreateSecret": ("Tags", "secretsmanager:TagResource"),
    "ds:CreateMicrosoftAD": ("Tags", "ds:AddTagsToResource"),
    "ec2:CreateVpcPeeringConnection": ("TagSpecifications", "ec2:CreateTags"),
}


def needed(cloud: Cloud, service: str, operation: str, parameters: Parameters) -> tuple[tuple[str, str], ...]:
    """The actions that AWS checks for one call, each with its resource."""
    return tuple((action, resource) for action, resource, _ in required(cloud, service, operation, parameters))


def required(cloud: Cloud, service: str, operation: str, parameters: Parameters) -> Iterator[tuple[str, str, Context]]:
    """All (action, resource, context keys) that AWS checks for one call."""
    call = f"{PREFIXES.get(service, service)}:{operation}"
    if call not in RESOURCES:
        raise Unmodelled(
            f"The local IAM does not know on which resources {call} is checked. Add it to RESOURCES in {__name__}: see "
            '"Actions, resources, and condition keys" of the service, Service Authorization Reference.'
        )
    resources: list[str] = listed(RESOURCES[call](cloud, parameters))
    tagged, context = keys.of_tags(parameters), keys.of_call(cloud, call, parameters)
    for resource in resources:
        yield call, resource, {**keys.of_resource(cloud, resource), **context}
    if service == "ds-data":
        yield "ds:AccessDSData", resources[0], {}
    name, action = TAGGING.get(call, ("", ""))
    if name in parameters:
        # What is made, and so tagged, is the first; but for a peering, which the VPC comes before.
        if call == "ds:CreateMicrosoftAD":
            yield action, cloud.arn("ds", "directory/d-0"), tagged
        elif service == "ec2":
            yield action, resources[-1], {"ec2:CreateAction": operation, **tagged}
        else:
            yield action, resources[0], tagged
    if service == "secretsmanager" and (key := key_of(cloud, operation, parameters)):
        via = {"kms:ViaService": f"secretsmanager.{cloud.region}.amazonaws.com"}
        of_secret: Context = {**via, "kms:EncryptionContext:SecretARN": resources[0]}
        if operation == "CreateSecret":
            yield "kms:GenerateDataKey", key, of_secret
        yield "kms:Decrypt", key, of_secret
    if "DomainIAMRoleName" in parameters:
        role = role_arn(cloud, parameters["DomainIAMRoleName"])
        yield "iam:PassRole", role, {"iam:PassedToService": "rds.amazonaws.com"}


def key_of(cloud: Cloud, operation: str, parameters: Parameters) -> str:
    """The customer managed key with which AWS Secrets Manager works in the caller's name; empty when there is none."""
    if operation == "GetSecretValue":
        with suppress(KeyError, ClientError):
            described = cloud.client("secretsmanager").describe_secret(SecretId=parameters["SecretId"])
            return str(described["KmsKeyId"])
    return str(parameters.get("KmsKeyId", ""))


def listed(value: Any) -> list[Any]:
    """IAM writes one thing where it means a list of one."""
    return value if isinstance(value, list) else [value]
