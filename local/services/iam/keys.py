"""The condition keys that AWS supplies with a call: of its parameters, and of the resources that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ec2.models import ec2_backends
from moto.rds.models import rds_backends

from aurora_kerberos.arns import Arn
from local.core.calls import Parameters
from local.core.cloud import Cloud

Context = Mapping[str, str | list[str]]  # condition keys and their values

# Condition keys that are parameters of the call.
PLAIN = {"iam:PolicyARN": "PolicyArn", "iam:PermissionsBoundary": "PermissionsBoundary"}


def of_call(cloud: Cloud, call: str, parameters: Parameters) -> Context:
    """The condition keys that the parameters of a call are."""
    match call.partition(":")[0]:
        case "dynamodb":
            leading = parameters.get("Key") or parameters.get("Item") or parameters["ExpressionAttributeValues"]
            return {"dynamodb:LeadingKeys": next(iter(leading.values()))["S"]}
        case "ds-data":
            # Whom it is about; that of a group is a SAMAccountName as well.
            name = parameters.get("SAMAccountName") or parameters["GroupName"]
            member = {"ds-data:MemberName": parameters["MemberName"]} if "MemberName" in parameters else {}
            return {"ds-data:SAMAccountName": name, "ds-data:Identifier": "SAMAccountName", **member}
        case "events":
            return {"events:source": [entry["Source"] for entry in parameters["Entries"]]}
    plain = {key: parameters[name] for key, name in PLAIN.items() if name in parameters}
    if call == "ec2:CreateVpcPeeringConnection":
        plain["ec2:RequesterVpc"] = cloud.arn("ec2", f"vpc/{parameters['VpcId']}")
        plain["ec2:AccepterVpc"] = (
            f"arn:aws:ec2:{cloud.region}:{parameters['PeerOwnerId']}:vpc/{parameters['PeerVpcId']}"
        )
    return {**of_tags(parameters), **plain}


def of_tags(parameters: Parameters) -> Context:
    """The condition keys that the tags in a call are."""
    specified = [tag for each in parameters.get("TagSpecifications", []) for tag in each["Tags"]]
    tags = {tag["Key"]: tag["Value"] for tag in [*parameters.get("Tags", []), *specified]}
    names = [*tags, *parameters.get("TagKeys", [])]
    return {"aws:TagKeys": names, **{f"aws:RequestTag/{key}": value for key, value in tags.items()}} if names else {}


def of_resource(cloud: Cloud, arn: str) -> Context:
    """The condition keys that a resource brings with it, of EC2 and RDS; none of one that is not there."""
    service, (kind, _, name) = Arn.parse(arn).service, Arn.parse(arn).resource.replace(":", "/").partition("/")
    if service == "rds" and kind == "cluster":
        found = rds_backends[cloud.account][cloud.region].clusters.get(name)
        return of_resource_tags("rds:cluster-tag", {tag["Key"]: tag["Value"] for tag in found.tags} if found else {})
    return of_ec2(cloud, kind, name) if service == "ec2" else {}


def of_ec2(cloud: Cloud, kind: str, name: str) -> Context:
    """The tags of a resource of EC2, and its VPC or VPCs."""
    backend = ec2_backends[cloud.account][cloud.region]
    known: Mapping[str, Any] = {
        "route-table": backend.route_tables,
        "security-group": {name: backend.get_security_group_from_id(name)},
        "vpc": backend.vpcs,
        "vpc-peering-connection": backend.vpc_pcxs,
    }
    found = known.get(kind, {}).get(name)
    if found is None:
        return {}
    match kind:
        case "vpc":
            vpcs = {"ec2:VpcID": name}
        case "vpc-peering-connection":
            vpcs = {"ec2:RequesterVpc": arn_of(found.vpc), "ec2:AccepterVpc": arn_of(found.peer_vpc)}
        case _:
            vpcs = {"ec2:Vpc": cloud.arn("ec2", f"vpc/{found.vpc_id}")}
    # Who is asked for a peering does not see the tags that the requester gave it.
    tags = {tag["key"]: tag["value"] for tag in found.get_tags()} if found.ec2_backend is backend else {}
    return {**vpcs, **of_resource_tags("ec2:ResourceTag", tags)}


def arn_of(vpc: Any) -> str:
    """The ARN of moto's VPC, whosever it is."""
    return f"arn:aws:ec2:{vpc.region}:{vpc.owner_id}:vpc/{vpc.id}"


def of_resource_tags(own: str, tags: Mapping[str, str]) -> Context:
    """The tags of a resource as condition keys: by the name that all services have for them, and by the service's."""
    return {f"{prefix}/{key}": value for key, value in tags.items() for prefix in ("aws:ResourceTag", own)}
