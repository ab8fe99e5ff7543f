"""The network between two places: routes, network ACLs and peerings. This module only looks, and changes nothing.

The network is checked packet by packet. What a list of rules decides about a range of ports and addresses can change
only where a rule begins or ends. So it is enough to check these corners.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Any, Protocol

from botocore.exceptions import ClientError

from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import NetworkBlocked
from aurora_kerberos.plan import Cluster, Network

PROTOCOLS = {"6": "tcp", "17": "udp", "all": "-1"}
ANY_PROTOCOL = "-1"


@dataclass(frozen=True)
class Ports:
    """A range of ports of a protocol, both ends included."""

    protocol: str
    first: int
    last: int

    def __str__(self) -> str:
        ends = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.protocol.upper()} {ends}"


def tcp(first: int, last: int = 0) -> Ports:
    """One TCP port, or a range of them."""
    return Ports("tcp", first, last or first)


def udp(port: int) -> Ports:
    """One UDP port."""
    return Ports("udp", port, port)


# The ports of domain controllers that a member of a domain needs ("Enhancing your AWS Managed Microsoft AD network
# security configuration", AWS Directory Service admin guide).
DIRECTORY_PORTS = (
    *(ports(number) for number in (53, 88, 389, 464) for ports in (tcp, udp)),
    *map(tcp, (135, 445, 636)),
    tcp(3268, 3269),
    tcp(9389),
    tcp(49152, 65535),
    udp(123),
)
KERBEROS = tcp(88)

# The ports that answers are sent to ("Ephemeral ports", Amazon VPC user guide): Linux kernels, and AWS Lambda.
LINUX_ANSWERS = (32768, 61000)
LAMBDA_ANSWERS = (1024, 65535)


class Place:
    """Hosts that the network treats alike, with their surroundings, which are looked up once, when needed.

    Attributes:
        name: the name for people.
        vpc_id: the VPC, which is globally unique.
        subnet_ids: the subnets where a host may be, now or after a failover.
        groups: ids of security groups. Every host has all of them.
        role: the role to call AWS with, if they are in another account.
        account: their account.
        seen: whether this stack may describe them at all.
        answers: the range of ports that the hosts open connections from.
    """

    def __init__(  # noqa: PLR0913  a place has many sides
        self,
        name: str,
        vpc_id: str,
        subnet_ids: Sequence[str],
        groups: Sequence[str],
        *,
        addresses: Sequence[str] = (),
        role: str = "",
        account: str,
        seen: bool = True,
        answers: tuple[int, int] = LINUX_ANSWERS,
    ) -> None:
        self.name, self.vpc_id, self.subnet_ids, self.groups = name, vpc_id, list(subnet_ids), list(groups)
        self.role, self.account, self.seen, self.answers = role, account, seen, answers
        self._addresses = [IPv4Network(address) for address in addresses]

    @classmethod
    def of_cluster(cls, cluster: Cluster, account: str) -> Place:
        """The plan's `cluster`, which may not exist yet."""
        groups, subnets = cluster["security_groups"], cluster["subnet_ids"]
        return cls(f"cluster {cluster['id']}", cluster["vpc_id"], subnets, groups, account=account)

    @classmethod
    def of_functions(cls, network: Network, account: str) -> Place:
        """The functions of this stack that are in its VPC, from the plan's `network`."""
        groups, subnets = [network["function_security_group"]], network["function_subnet_ids"]
        vpc = network["function_vpc_id"]
        return cls("this stack's functions", vpc, subnets, groups, account=account, answers=LAMBDA_ANSWERS)

    @cached_property
    def ec2(self) -> Any:
        """The EC2 client of the place's account."""
        return client("ec2", self.role)

    @cached_property
    def subnets(self) -> dict[str, IPv4Network]:
        """The CIDR of each subnet (`ec2:DescribeSubnets`)."""
        found = self.ec2.describe_subnets(SubnetIds=self.subnet_ids)["Subnets"]
        return {subnet["SubnetId"]: IPv4Network(subnet["CidrBlock"]) for subnet in found}

    @cached_property
    def networks(self) -> list[IPv4Network]:
        """The hosts' addresses if they are known, else those of the subnets."""
        return self._addresses if self._addresses or not self.seen else sorted(self.subnets.values())

    @cached_property
    def blocks(self) -> list[IPv4Network]:
        """All CIDRs of the VPC, secondary ones as well (`ec2:DescribeVpcs`)."""
        (vpc,) = self.ec2.describe_vpcs(VpcIds=[self.vpc_id])["Vpcs"]
        return [
            IPv4Network(block["CidrBlock"])
            for block in vpc["CidrBlockAssociationSet"]
            if block.get("CidrBlockState", {}).get("State", "associated") == "associated"
        ]

    @cached_property
    def acls(self) -> dict[str, list[AclRule]]:
        """The rules of the network ACL of each subnet, in their order (`ec2:DescribeNetworkAcls`)."""
        wanted = [{"Name": "association.subnet-id", "Values": self.subnet_ids}]
        pages = self.ec2.get_paginator("describe_network_acls").paginate(Filters=wanted)
        return {
            association["SubnetId"]: acl_rules(acl)
            for page in pages
            for acl in page["NetworkAcls"]
            for association in acl["Associations"]
            if association["SubnetId"] in self.subnet_ids
        }

    def tables(self) -> dict[str, list[Route]]:
        """The route tables that apply to the subnets, by id, as they are now (`ec2:DescribeRouteTables`).

        Raises:
            NetworkBlocked: a subnet has no route table of its own, and the VPC has no main one.
        """
        pages = self.ec2.get_paginator("describe_route_tables").paginate(
            Filters=[{"Name": "vpc-id", "Values": [self.vpc_id]}]
        )
        explicit: dict[str, str] = {}
        main, routes = "", {}
        for table in (table for page in pages for table in page["RouteTables"]):
            name = table["RouteTableId"]
            routes[name] = [route for each in table["Routes"] for route in self._routes(each)]
            for association in table["Associations"]:
                main = name if association.get("Main") else main
                explicit[association.get("SubnetId", "")] = name
        chosen = {subnet: explicit.get(subnet, main) for subnet in self.subnet_ids}
        if without := [subnet for subnet, table in chosen.items() if not table]:
            raise NetworkBlocked(
                f"No route table applies to {', '.join(without)} of {self.name}: {self.vpc_id} has no main one.",
                "Associate a route table with these subnets, then start again.",
            )
        return {table: routes[table] for table in sorted(set(chosen.values()))}

    def _routes(self, described: Mapping[str, Any]) -> Iterator[Route]:
        """A described route as one route for each of its IPv4 destinations."""
        gateway = described.get("GatewayId", "")
        if "DestinationPrefixListId" in described and not gateway.startswith("vpce-"):
            destinations = self.prefix_list(described["DestinationPrefixListId"])
        else:  # a gateway endpoint's list is of AWS's own public addresses
            destinations = [IPv4Network(cidr)] if (cidr := described.get("DestinationCidrBlock")) else []
        target = next((described[name] for name in PRIVATE_TARGETS if described.get(name)), gateway)
        public = next((described[name] for name in PUBLIC_TARGETS if described.get(name)), "")
        for destination in destinations:
            yield Route(destination, str(target or public or "nowhere"), described.get("State", "active"))

    def prefix_list(self, name: str) -> list[IPv4Network]:
        """The IPv4 CIDRs of a prefix list (`ec2:GetManagedPrefixListEntries`); none when it cannot be read."""
        try:
            pages = self.ec2.get_paginator("get_managed_prefix_list_entries").paginate(PrefixListId=name)
            cidrs = [entry["Cidr"] for page in pages for entry in page["Entries"]]
        except ClientError as error:
            if code(error) not in {"InvalidPrefixListID.NotFound", "InvalidPrefixListId.NotFound"}:
                raise
            return []
        return [network for cidr in cidrs if isinstance(network := ip_network(cidr), IPv4Network)]


# --- packets ----------------------------------------------------------------------------------------------------------


class Range(Protocol):
    """A rule about a range of ports and some networks."""

    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def networks(self) -> Sequence[IPv4Network]: ...


def corners(ports: Ports, network: IPv4Network, rules: Iterable[Range]) -> list[tuple[int, IPv4Address]]:
    """One (port, address) of each part of the range in which no rule begins or ends."""
    numbers, addresses = {ports.first}, {int(network[0])}
    for rule in rules:
        numbers.update((rule.first, rule.last + 1))
        for each in rule.networks:
            addresses.update((int(each[0]), int(each[-1]) + 1))
    return [
        (number, IPv4Address(address))
        for number in sorted(numbers)
        for address in sorted(addresses)
        if ports.first <= number <= ports.last and int(network[0]) <= address <= int(network[-1])
    ]


# --- network ACLs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AclRule:
    """An IPv4 rule of a network ACL."""

    acl: str
    number: int
    egress: bool
    allows: bool
    protocol: str
    first: int
    last: int
    networks: tuple[IPv4Network, ...]

    def about(self, protocol: str, port: int, address: IPv4Address) -> bool:
        """Whether the rule applies to a packet."""
        return (
            self.protocol in (ANY_PROTOCOL, protocol)
            and self.first <= port <= self.last
            and any(address in network for network in self.networks)
        )


def acl_rules(acl: Mapping[str, Any]) -> list[AclRule]:
    """The IPv4 rules, from the answer of DescribeNetworkAcls, in their order."""
    rules = []
    for entry in sorted(acl["Entries"], key=lambda entry: int(entry["RuleNumber"])):
        ports = entry.get("PortRange", {})
        if "CidrBlock" in entry:
            rules.append(
                AclRule(
                    acl["NetworkAclId"],
                    entry["RuleNumber"],
                    entry["Egress"],
                    entry["RuleAction"] == "allow",
                    PROTOCOLS.get(entry["Protocol"], entry["Protocol"]),
                    ports.get("From", 0),
                    ports.get("To", 65535),
                    (IPv4Network(entry["CidrBlock"], strict=False),),
                )
            )
    return rules


def blocking_acls(source: Place, target: Place, ports: Sequence[Ports]) -> list[str]:
    """Which network ACLs block connections from `source` to `target`, in the direction of requests and of answers.

    An ACL is stateless, so answers need a rule as well. It does not apply within one subnet ("Control subnet traffic
    with network access control lists", Amazon VPC user guide).
    """
    answers = [Ports(protocol, *source.answers) for protocol in sorted({each.protocol for each in ports})]
    ways = ((source, target, ports, answers), (target, source, answers, ports))
    found: dict[tuple[str, str, int], list[str]] = {}
    for here, there, out, back in ways if target.seen else ways[:1]:
        own = there if here.role else here  # a subnet that both are in is described in this account
        for subnet, rules in here.acls.items():
            networks = [
                network
                for network in there.networks
                if subnet not in there.subnet_ids or not network.subnet_of(own.subnets[subnet])
            ]
            for egress, needed in ((True, out), (False, back)):
                ordered = [rule for rule in rules if rule.egress == egress]
                where = f"of {here.name} denies what goes {'out to' if egress else 'in from'} {there.name}"
                for each in needed:
                    for number in {number for network in networks for number in denials(ordered, each, network)}:
                        found.setdefault((rules[0].acl, where, number), []).append(str(each))
    return [
        f"network ACL {acl} {where}: {', '.join(dict.fromkeys(lines))} (rule {number})"
        for (acl, where, number), lines in found.items()
    ]


def denials(rules: Sequence[AclRule], ports: Ports, network: IPv4Network) -> set[int]:
    """The numbers of the rules that deny a part of the range. Rule 32767 denies what no other rule applies to."""
    first = (
        next((rule for rule in rules if rule.about(ports.protocol, port, address)), None)
        for port, address in corners(ports, network, rules)
    )
    return {rule.number if rule else 32767 for rule in first if rule is None or not rule.allows}


# --- routes -----------------------------------------------------------------------------------------------------------

PRIVATE_TARGETS = (
    "VpcPeeringConnectionId",
    "TransitGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "LocalGatewayId",
    "CoreNetworkArn",
)
PUBLIC_TARGETS = ("NatGatewayId", "EgressOnlyInternetGatewayId", "CarrierGatewayId")
NOT_TO_A_VPC = ("igw-", "nat-", "eigw-", "cagw-", "local", "nowhere")


@dataclass(frozen=True)
class Route:
    """A route to an IPv4 destination."""

    destination: IPv4Network
    target: str
    state: str

    @property
    def dead(self) -> bool:
        """Whether packets to this destination are lost ("blackhole")."""
        return self.state != "active"

    def __str__(self) -> str:
        return f"{self.destination} goes to {'a blackhole, ' if self.dead else ''}{self.target}"


def deciding(routes: Iterable[Route], network: IPv4Network) -> list[Route]:
    """The routes that apply to a network: the longest one around it, and all inside it."""
    routes = list(routes)
    around = [route for route in routes if network.subnet_of(route.destination)]
    inside = [route for route in routes if route.destination.subnet_of(network) and route not in around]
    return [*sorted(around, key=lambda route: route.destination.prefixlen)[-1:], *inside]


def unreachable(here: Place, there: Place) -> list[str]:
    """Why packets from `here` do not reach `there`; empty when they are routed to something that may lead there."""
    found = []
    for table, routes in here.tables().items():
        for network in there.networks:
            chosen = deciding(routes, network)
            wrong = [str(route) for route in chosen if route.dead or route.target.startswith(NOT_TO_A_VPC)]
            if not any(network.subnet_of(route.destination) for route in chosen):
                wrong.append("there is none")
            found += [f"route table {table} of {here.name} has no route to {network}: {each}" for each in wrong]
    return found


def wanting(here: Place, there: Place, peering: str) -> tuple[set[tuple[str, IPv4Network]], list[str]]:
    """The routes (table, CIDR) that have to be made for a peering, and the existing routes that conflict with them.

    A default route does not conflict: it applies where there is no other. Any other route to some of the addresses is
    somebody's decision, and a longer route would overrule it.
    """
    missing, conflicts = set(), []
    for table, routes in here.tables().items():
        for network in there.networks:
            others = [route for route in routes if route.destination.prefixlen and route.destination.overlaps(network)]
            conflicts += [f"route table {table} of {here.name}: {route}" for route in others if route.target != peering]
            if not any(network.subnet_of(route.destination) for route in others):
                missing.add((table, next(block for block in there.blocks if network.subnet_of(block))))
    return missing, list(dict.fromkeys(conflicts))


# --- peering ----------------------------------------------------------------------------------------------------------


def peerings(here: Place, there: Place) -> list[dict[str, Any]]:
    """The peerings between the two VPCs, whoever requested them (`ec2:DescribeVpcPeeringConnections`)."""
    both = [here.vpc_id, there.vpc_id]
    pages = here.ec2.get_paginator("describe_vpc_peering_connections").paginate(
        Filters=[
            {"Name": "requester-vpc-info.vpc-id", "Values": both},
            {"Name": "accepter-vpc-info.vpc-id", "Values": both},
        ]
    )
    return [peering for page in pages for peering in page["VpcPeeringConnections"]]


def peered(here: Place, there: Place) -> bool:
    """Whether a peering between the two VPCs is active."""
    return any(each["Status"]["Code"] == "active" for each in peerings(here, there))
