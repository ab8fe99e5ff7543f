"""What a packet meets between two hosts, by other means than the product's own; moto lets nobody be kept out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from moto.ec2.models import ec2_backends
from moto.rds.models import rds_backends

from local.core.cloud import Cloud
from local.services.ec2.vpcs import attached, between

ANSWERS_TO = 40_000  # a port that Linux and Lambda open connections from

DOMAIN_PORTS = (53, 88, 389, 445, 464)  # TCP; without these nobody joins a domain


@dataclass(frozen=True)
class Hosts:
    """Hosts with the same security groups, at least one in each subnet: {address: subnet}."""

    account: str
    vpc: str
    groups: Sequence[str]
    addresses: Mapping[IPv4Address, str]

    @classmethod
    def in_subnets(cls, cloud: Cloud, account: str, subnets: Sequence[str], groups: Sequence[str]) -> Hosts:
        """A host in each subnet."""
        found = [ec2_backends[account][cloud.region].get_subnet(subnet) for subnet in subnets]
        return cls(account, found[0].vpc_id, groups, {IPv4Network(each.cidr_block)[10]: each.id for each in found})

    @classmethod
    def of_cluster(cls, cloud: Cloud, cluster: Any) -> Hosts:
        """The instances of moto's cluster, which may be in any subnet of its subnet group."""
        backend = rds_backends[cluster.account_id][cloud.region]
        group = backend.describe_db_subnet_groups(cluster.db_subnet_group_name)[0]
        subnets = [subnet["SubnetIdentifier"] for subnet in group.subnets]
        return cls.in_subnets(cloud, cluster.account_id, subnets, cluster.vpc_security_group_ids)

    @classmethod
    def of_directory(cls, directory: Any) -> Hosts:
        """The domain controllers of moto's directory, or of the one that a shared one is."""
        directory = getattr(directory, "owner", directory)
        settings = directory.vpc_settings
        addresses = dict(zip(map(IPv4Address, directory.subnet_ips), settings["SubnetIds"], strict=True))
        return cls(directory.account_id, settings["VpcId"], [directory.security_group_id], addresses)


def reaches(cloud: Cloud, source: Hosts, target: Hosts, *ports: int) -> bool:
    """Whether every host of `source` can open TCP connections to every host of `target` at all the ports."""
    return not any(obstacles(cloud, source, target, *ports))


def obstacles(cloud: Cloud, source: Hosts, target: Hosts, *ports: int) -> Iterator[str]:
    """What each packet that does not come through meets."""
    for port in ports:
        for here in source.addresses.items():
            for there in target.addresses.items():
                if found := obstacle(cloud, (source, *here), (target, *there), port):
                    yield f"{here[0]} to {there[0]} TCP {port}: {found}"


Endpoint = tuple[Hosts, IPv4Address, str]


def obstacle(cloud: Cloud, source: Endpoint, target: Endpoint, port: int) -> str:
    """What a connection meets first on its way, and its answer on the way back; empty for nothing."""
    if not group_allows(cloud, source, target, port, egress=True):
        return "security group, outbound"
    for here, there, number, what in ((source, target, port, "the way"), (target, source, ANSWERS_TO, "the answer")):
        if not acl_allows(cloud, here, there, number, egress=True):
            return f"network ACL of {here[2]}, outbound, {what}"
        if not routed(cloud, here, there):
            return f"no route from {here[2]}, {what}"
        if not acl_allows(cloud, there, here, number, egress=False):
            return f"network ACL of {there[2]}, inbound, {what}"
    if not group_allows(cloud, target, source, port, egress=False):
        return "security group, inbound"
    return ""


def group_allows(cloud: Cloud, here: Endpoint, there: Endpoint, port: int, egress: bool) -> bool:
    """Whether a rule of one of the groups lets it through."""
    backend = ec2_backends[here[0].account][cloud.region]
    groups = [backend.get_security_group_from_id(group) for group in here[0].groups]
    for rule in [rule for group in groups for rule in (group.egress_rules if egress else group.ingress_rules)]:
        if rule.ip_protocol != "-1" and (rule.ip_protocol != "tcp" or not rule.from_port <= port <= rule.to_port):
            continue
        if rule.source_group.get("GroupId") in there[0].groups and named_across(cloud, here[0], there[0]):
            return True
        cidrs = [rule.ip_range["CidrIp"]] if "CidrIp" in rule.ip_range else []
        if rule.prefix_list_id:
            found = backend.managed_prefix_lists[rule.prefix_list_id]
            cidrs = [entry["Cidr"] for entry in found.entries[found.version]]
        if any(there[1] in IPv4Network(cidr) for cidr in cidrs):
            return True
    return False


def named_across(cloud: Cloud, here: Hosts, there: Hosts) -> bool:
    """Whether a rule may name the other's group: in the same VPC, or over an active peering."""
    peerings = ec2_backends[here.account][cloud.region].vpc_pcxs.values()
    return here.vpc == there.vpc or any(
        between(each) == {here.vpc, there.vpc} and each._status.code == "active" for each in peerings
    )


def acl_allows(cloud: Cloud, here: Endpoint, there: Endpoint, port: int, egress: bool) -> bool:
    """Whether the first rule about the packet allows it; within a subnet there is no ACL."""
    if here[2] == there[2]:
        return True
    backend = ec2_backends[here[0].account][cloud.region]
    acl = next(
        acl for acl in backend.network_acls.values() if any(each.subnet_id == here[2] for each in acl.associations)
    )
    for entry in sorted(acl.network_acl_entries, key=lambda entry: int(entry.rule_number)):
        ports = range(int(entry.port_range_from or 0), int(entry.port_range_to or 65535) + 1)
        if (
            entry.egress == egress
            and entry.protocol in ("-1", "6")
            and (entry.protocol == "-1" or port in ports)
            and there[1] in IPv4Network(entry.cidr_block)
        ):
            return bool(entry.rule_action == "allow")
    return False


def routed(cloud: Cloud, here: Endpoint, there: Endpoint) -> bool:
    """Whether the longest route for the address leads to the other's VPC."""
    backend = ec2_backends[here[0].account][cloud.region]
    tables = [table for table in backend.route_tables.values() if table.vpc_id == here[0].vpc]
    own = [table for table in tables if here[2] in table._associations.values()]
    main = [table for table in tables if table.main_association_id]
    routes = [
        route
        for table in (own or main)[:1]
        for route in table.routes
        if route.destination_cidr_block and there[1] in IPv4Network(route.destination_cidr_block)
    ]
    if not routes:
        return False
    best = max(routes, key=lambda route: IPv4Network(route.destination_cidr_block).prefixlen)
    if best.vpc_pcx:
        return best.vpc_pcx._status.code == "active" and between(best.vpc_pcx) == {here[0].vpc, there[0].vpc}
    if best.transit_gateway:
        return all(attached(cloud, best.transit_gateway.id, end[0].vpc) for end in (here, there))
    return best.local and here[0].vpc == there[0].vpc
