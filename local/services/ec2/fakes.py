"""The network of the local cloud: VPCs as a scenario wants them, and what a packet meets between two hosts.

moto keeps VPCs, routes, peerings, network ACLs and security groups, and lets nobody be kept out by them. Here is what
follows from them, packet by packet and by other means than the product's own. And EC2 as far as moto is kinder.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from moto.ec2.models import ec2_backends

from local.core.calls import Parameters, aftermath, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.services.ec2.reach import Hosts, named_across
from local.services.ec2.vpcs import between

LISTED_AFTER, PROVISIONING = 5, 40  # virtual seconds

DEAD = {"deleted", "expired", "failed", "rejected"}


def peering_of(cloud: Cloud, name: str) -> Any:
    """moto's peering, as the calling account sees it.

    Raises:
        AwsError: InvalidVpcPeeringConnectionID.NotFound.
    """
    if found := ec2_backends[cloud.account][cloud.region].vpc_pcxs.get(name):
        return found
    raise AwsError("InvalidVpcPeeringConnectionID.NotFound", f"The vpcPeeringConnection ID '{name}' does not exist.")


@fake("ec2", "CreateVpcPeeringConnection")
def check_peering(cloud: Cloud, parameters: Parameters) -> None:
    """One living peering between two VPCs."""
    both = {parameters["VpcId"], parameters["PeerVpcId"]}
    for each in ec2_backends[cloud.account][cloud.region].vpc_pcxs.values():
        if between(each) == both and each._status.code not in DEAD | {"deleting"}:
            raise AwsError("VpcPeeringConnectionAlreadyExists", f"{each.id} between the VPCs already exists.")


@aftermath("ec2", "CreateVpcPeeringConnection")
def peering_requested(cloud: Cloud, _: Parameters, answer: Mapping[str, Any]) -> None:
    """To be accepted a moment later; failed where addresses overlap ("VPC peering connection lifecycle")."""
    peering = peering_of(cloud, answer["VpcPeeringConnection"]["VpcPeeringConnectionId"])
    peering._status.initiating()
    blocks = [
        [IPv4Network(block["cidr_block"]) for block in vpc.get_cidr_block_association_set()]
        for vpc in (peering.vpc, peering.peer_vpc)
    ]

    def listed() -> None:
        if any(a.overlaps(b) for a in blocks[0] for b in blocks[1]):
            peering._status.code = "failed"
            peering._status.message = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"
        else:
            peering._status.pending()

    cloud.clock.call_later(LISTED_AFTER, listed)


@aftermath("ec2", "AcceptVpcPeeringConnection")
def peering_accepted(cloud: Cloud, parameters: Parameters, _: Mapping[str, Any]) -> None:
    """`provisioning`, and then active."""
    peering = peering_of(cloud, parameters["VpcPeeringConnectionId"])
    peering._status.code, peering._status.message = "provisioning", "Provisioning"

    def active() -> None:
        peering._status.accept()
        cloud.happened(f"VPC peering {peering.id} is active")

    cloud.clock.call_later(PROVISIONING, active)


@aftermath("ec2", "DescribeVpcPeeringConnections")
def filter_peerings(cloud: Cloud, parameters: Parameters, answer: Mapping[str, Any]) -> None:
    """moto overlooks the filters. And each account is told only of its own side's options, to be on the safe side."""
    for each in answer["VpcPeeringConnections"]:
        for side in ("RequesterVpcInfo", "AccepterVpcInfo"):
            if each[side]["OwnerId"] != cloud.account:
                each[side].pop("PeeringOptions", None)
    sides = {"requester-vpc-info.vpc-id": "RequesterVpcInfo", "accepter-vpc-info.vpc-id": "AccepterVpcInfo"}
    for wanted in parameters.get("Filters", []):
        side = sides[wanted["Name"]]
        found = answer["VpcPeeringConnections"]
        found[:] = [each for each in found if each[side]["VpcId"] in wanted["Values"]]


@fake("ec2", "ModifyVpcPeeringConnectionOptions")
def check_options(cloud: Cloud, parameters: Parameters) -> None:
    """Only of an active peering, each side by its own account, and with DNS host names in both VPCs."""
    peering = peering_of(cloud, parameters["VpcPeeringConnectionId"])
    if peering._status.code != "active":
        raise AwsError("OperationNotPermitted", f"Peering {peering.id} is not active.")
    sides = {"RequesterPeeringConnectionOptions": peering.vpc, "AccepterPeeringConnectionOptions": peering.peer_vpc}
    for side, vpc in sides.items():
        if side in parameters and vpc.owner_id != cloud.account:
            raise AwsError("OperationNotPermitted", f"User {cloud.account} cannot modify options of {vpc.id}.")
    if not all(vpc.enable_dns_hostnames for vpc in sides.values()):
        raise AwsError("OperationNotPermitted", "DNS host names are not enabled in both VPCs.")


@aftermath("ec2", "DescribeRouteTables")
def mark_blackholes(cloud: Cloud, _: Parameters, answer: Mapping[str, Any]) -> None:
    """moto's routes never die with their target."""
    peerings = ec2_backends[cloud.account][cloud.region].vpc_pcxs
    for route in [route for table in answer["RouteTables"] for route in table["Routes"]]:
        name = route.get("VpcPeeringConnectionId")
        if name and peerings[name]._status.code != "active":
            route["State"] = "blackhole"


@fake("ec2", "GetManagedPrefixListEntries")
def check_prefix_list(cloud: Cloud, parameters: Parameters) -> None:
    """moto knows no list that is not there."""
    if parameters["PrefixListId"] not in ec2_backends[cloud.account][cloud.region].managed_prefix_lists:
        raise AwsError("InvalidPrefixListID.NotFound", f"{parameters['PrefixListId']} does not exist.")


@fake("ec2", "AuthorizeSecurityGroupIngress")
def check_ingress(cloud: Cloud, parameters: Parameters) -> None:
    """As `check_rules`."""
    check_rules(cloud, parameters, egress=False)


@fake("ec2", "AuthorizeSecurityGroupEgress")
def check_egress(cloud: Cloud, parameters: Parameters) -> None:
    """As `check_rules`."""
    check_rules(cloud, parameters, egress=True)


def check_rules(cloud: Cloud, parameters: Parameters, egress: bool) -> None:
    """All of the rules or none; a group of another VPC can be named only over an active peering, with its account."""
    group = ec2_backends[cloud.account][cloud.region].get_security_group_from_id(parameters["GroupId"])
    if group is None:
        raise AwsError("InvalidGroup.NotFound", f"The security group '{parameters['GroupId']}' does not exist")
    rules = group.egress_rules if egress else group.ingress_rules
    present = {(rule.ip_protocol, rule.from_port, rule.source_group.get("GroupId")) for rule in rules}
    named = [(each, pair) for each in parameters.get("IpPermissions", []) for pair in each.get("UserIdGroupPairs", [])]
    for permission, pair in named:
        other = find_group(cloud, pair["GroupId"], pair.get("UserId", cloud.account))
        here, there = (Hosts(each.owner_id, each.vpc_id, [each.id], {}) for each in (group, other or group))
        if other is None or not named_across(cloud, here, there):
            raise AwsError("InvalidGroup.NotFound", f"The security group '{pair['GroupId']}' does not exist")
        if (permission["IpProtocol"], permission.get("FromPort"), pair["GroupId"]) in present:
            raise AwsError("InvalidPermission.Duplicate", "the specified rule already exists")
    if len(rules) + len(named) > 60:
        raise AwsError(
            "RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached."
        )


def find_group(cloud: Cloud, name: str, account: str) -> Any:
    """moto's security group in an account, or None."""
    return ec2_backends[account][cloud.region].get_security_group_from_id(name)
