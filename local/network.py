"""The network of the local cloud: VPCs as a scenario wants them, and what a packet meets between two hosts.

moto keeps VPCs, routes, peerings, network ACLs and security groups, and lets nobody be kept out by them. Here is what
follows from them, packet by packet and by other means than the product's own. And EC2 as far as moto is kinder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any, Literal

from moto.ec2.models import ec2_backends
from moto.rds.models import rds_backends
from pydantic import BaseModel, ConfigDict, Field

from local.aws import HOME, Parameters, aftermath, fake
from local.faults import AwsError
from local.places import HOME as HOME_PLACE
from local.places import Place, at, present, written

if TYPE_CHECKING:
    from local.cloud import Cloud

ANSWERS_TO = 40_000  # a port that Linux and Lambda open connections from
DOMAIN_PORTS = (53, 88, 389, 445, 464)  # TCP; without these nobody joins a domain
LISTED_AFTER, PROVISIONING = 5, 40  # virtual seconds
DEAD = {"deleted", "expired", "failed", "rejected"}


# --- what a scenario says of it ---------------------------------------------------------------------------------------


class AclRule(BaseModel):
    """A rule of the network ACL of all subnets of a VPC, beside the usual one, 100, that allows everything."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(description="Rules are tried in the order of their numbers.")
    action: Literal["allow", "deny"] = "deny"
    direction: Literal["in", "out"] = "in"
    protocol: Literal["tcp", "udp", "all"] = "tcp"
    ports: str = Field("0-65535", description="One, or two with a `-` between.")
    cidr: str = "0.0.0.0/0"


class Vpc(BaseModel):
    """A VPC that is there at the start. The one named `default` is there anyway: the functions are in it.

    That is so in each account and Region with a stack; the other VPCs have names of their own.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="For `vpc` of clusters and directories.")
    account: str = HOME
    region: str = HOME_PLACE.region
    cidrs: list[str] = Field(
        default_factory=list, description="The first gets two subnets in two zones; not for `default`."
    )
    routes: dict[str, str] = Field(
        default_factory=dict,
        description="CIDR → where somebody's route leads: another VPC's name (they are peered; `default` is home's), "
        "`transit gateway` (the VPC is attached to it), `internet`, or `deleted peering`.",
    )
    acl: list[AclRule] = Field(default_factory=list)
    route_table: bool = Field(True, description="Whether there is a main route table.")


@dataclass(frozen=True)
class Network:
    """A VPC and its subnets, one in each Availability Zone."""

    vpc: str
    subnets: list[str]
    account: str = HOME

    @classmethod
    def default(cls, cloud: Cloud, account: str) -> Network:
        """The default VPC of an account."""
        ec2 = ec2_backends[account][cloud.region]
        return cls(ec2.default_vpc.id, [s.id for s in ec2.get_default_subnets().values()], account)


class Networks:
    """The VPCs of a cloud by name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._named: dict[str, Network] = {}

    def own(self) -> Network:
        """The default VPC of the present account and Region: where a stack has its functions."""
        return self._named.setdefault(written("default"), Network.default(self._cloud, present().account))

    def named(self, name: str, account: str = "") -> Network:
        """The VPC of that name.

        `default` is that of an account (the present one, when not said) in the present Region: its own when a stack is
        there, and else one beside it, so that it can be peered with another's.
        """
        if name == "default":
            place = Place(account or present().account, present().region)
            name = written(name, place)
            if name not in self._named:
                cidr = f"10.{200 + len(self._named)}.0.0/16"
                self.add([Vpc(name=name, account=place.account, region=place.region, cidrs=[cidr])])
        if name not in self._named:
            raise LookupError(f"The local cloud has no VPC {name}.")
        return self._named[name]

    def add(self, vpcs: Sequence[Vpc]) -> None:
        """Make VPCs; their routes when all are there."""
        for make in (self._make, self.furnish):
            for vpc in vpcs:
                with at(Place(vpc.account, vpc.region)):
                    make(vpc)

    def _make(self, vpc: Vpc) -> None:
        if vpc.name == "default":
            return
        ec2 = self._cloud.client("ec2")
        first, *more = vpc.cidrs
        made = ec2.create_vpc(CidrBlock=first)["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=made, EnableDnsHostnames={"Value": True})
        for cidr in more:
            ec2.associate_vpc_cidr_block(VpcId=made, CidrBlock=cidr)
        blocks = zip("ab", IPv4Network(first).subnets(prefixlen_diff=4), strict=False)
        subnets = [
            ec2.create_subnet(VpcId=made, CidrBlock=str(block), AvailabilityZone=f"{self._cloud.region}{zone}")
            for zone, block in blocks
        ]
        self._named[vpc.name] = Network(made, [subnet["Subnet"]["SubnetId"] for subnet in subnets], vpc.account)

    def furnish(self, vpc: Vpc) -> None:
        """Give a VPC that is there what somebody has put into it."""
        network = self.named(vpc.name)
        ec2 = self._cloud.client("ec2")
        of_vpc = [{"Name": "vpc-id", "Values": [network.vpc]}]
        acl = ec2.describe_network_acls(Filters=of_vpc)["NetworkAcls"][0]["NetworkAclId"]
        for rule in vpc.acl:
            first, _, last = rule.ports.partition("-")
            ec2.create_network_acl_entry(
                NetworkAclId=acl,
                RuleNumber=rule.number,
                RuleAction=rule.action,
                Egress=rule.direction == "out",
                Protocol={"tcp": "6", "udp": "17", "all": "-1"}[rule.protocol],
                PortRange={"From": int(first), "To": int(last or first)},
                CidrBlock=rule.cidr,
            )
        table = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"][0]["RouteTableId"]
        for cidr, target in vpc.routes.items():
            ec2.create_route(RouteTableId=table, DestinationCidrBlock=cidr, **self._target(network, target))
        if not vpc.route_table:
            del ec2_backends[vpc.account][self._cloud.region].route_tables[table]

    def _target(self, network: Network, target: str) -> Mapping[str, str]:
        ec2 = self._cloud.client("ec2", network.account)
        if target == "internet":
            gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
            return {"GatewayId": gateway}
        if target == "transit gateway":
            found = ec2.describe_transit_gateways()["TransitGateways"]
            name = (found[0] if found else ec2.create_transit_gateway()["TransitGateway"])["TransitGatewayId"]
            if not attached(self._cloud, name, network.vpc):
                ec2.create_transit_gateway_vpc_attachment(
                    TransitGatewayId=name, VpcId=network.vpc, SubnetIds=network.subnets
                )
            return {"TransitGatewayId": name}
        other = self._named["default" if target == "deleted peering" else target]
        status = "deleted" if target == "deleted peering" else "active"
        return {"VpcPeeringConnectionId": peer(self._cloud, network, other, status)}


def peer(cloud: Cloud, here: Network, there: Network, status: str = "active") -> str:
    """A peering somebody has made by hand long ago, and all of it, in some status; its id."""
    backend = ec2_backends[here.account][cloud.region]
    living = [each for each in backend.vpc_pcxs.values() if between(each) == {here.vpc, there.vpc}]
    if living and status == "active":
        return str(living[0].id)
    accepter = ec2_backends[there.account][cloud.region].get_vpc(there.vpc)
    made = backend.create_vpc_peering_connection(backend.get_vpc(here.vpc), accepter)
    made._status.code, made._status.message = status, status.capitalize()
    for options in (made.requester_options, made.accepter_options):
        options["AllowDnsResolutionFromRemoteVpc"] = True
    return str(made.id)


# --- security groups of what is there at the start --------------------------------------------------------------------


def open_group(cloud: Cloud, account: str, group: str, cidrs: Sequence[str], *permissions: Mapping[str, Any]) -> None:
    """Let addresses in; a CIDR written `list:10.0.0.0/8` stands in a prefix list."""
    ec2 = cloud.client("ec2", account)
    for cidr in cidrs:
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{**each, **other_side(ec2, cidr)} for each in permissions]
        )


def narrow_egress(cloud: Cloud, account: str, group: str, cidrs: Sequence[str]) -> None:
    """Let a group's hosts open connections to these addresses only."""
    ec2 = cloud.client("ec2", account)
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
    for cidr in cidrs:
        permission = {"IpProtocol": "-1", **other_side(ec2, cidr)}
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission])


def other_side(ec2: Any, cidr: str) -> dict[str, Any]:
    """The other side of a rule."""
    kind, _, network = cidr.rpartition(":")
    if not kind:
        return {"IpRanges": [{"CidrIp": network}]}
    made = ec2.create_managed_prefix_list(
        PrefixListName="somebody's", MaxEntries=5, AddressFamily="IPv4", Entries=[{"Cidr": network}]
    )
    return {"PrefixListIds": [{"PrefixListId": made["PrefixList"]["PrefixListId"]}]}


def furnish_cluster(
    cloud: Cloud, cluster: Any, group: str, lets_in: Sequence[str] | None, lets_out: Sequence[str]
) -> None:
    """Who is let in at the cluster's port, and where its instances may open connections to."""
    vpc = ec2_backends[cluster.account_id][cloud.region].get_security_group_from_id(group).vpc_id
    blocks = cidrs_of(cloud, cluster.account_id, vpc) if lets_in is None else lets_in
    port = {"IpProtocol": "tcp", "FromPort": cluster.port, "ToPort": cluster.port}
    open_group(cloud, cluster.account_id, group, blocks, port)
    if list(lets_out) != ["0.0.0.0/0"]:
        narrow_egress(cloud, cluster.account_id, group, lets_out)


def cidrs_of(cloud: Cloud, account: str, vpc: str) -> list[str]:
    """All IPv4 CIDRs of a VPC."""
    found = ec2_backends[account][cloud.region].get_vpc(vpc)
    return [block["cidr_block"] for block in found.get_cidr_block_association_set()]


def furnish_directory(cloud: Cloud, directory: Any, lets_in: Sequence[str] | None) -> None:
    """The rules AWS makes for a directory's domain controllers, of which the scenario may change who is let in.

    "What gets created" (AWS Directory Service admin guide), with the CIDR of the API reference of AddIpRoutes: in from
    the VPC at the ports of Active Directory, out to nobody but each other.
    """
    vpc, group = directory.vpc_settings["VpcId"], directory.security_group_id
    blocks = cidrs_of(cloud, directory.account_id, vpc)
    both, tcp_only, udp_only = (53, 88, 389, 445, 464), (135, 636), (123, 138)
    ranges = [(protocol, port, port) for port in both for protocol in ("tcp", "udp")]
    ranges += [("tcp", port, port) for port in tcp_only] + [("udp", port, port) for port in udp_only]
    ranges += [("tcp", 1024, 65535)]
    permissions = [{"IpProtocol": protocol, "FromPort": a, "ToPort": b} for protocol, a, b in ranges]
    open_group(cloud, directory.account_id, group, blocks if lets_in is None else lets_in, *permissions)
    itself = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    client = cloud.client("ec2", directory.account_id)
    client.authorize_security_group_ingress(GroupId=group, IpPermissions=[itself])
    narrow_egress(cloud, directory.account_id, group, [])
    client.authorize_security_group_egress(GroupId=group, IpPermissions=[itself])


# --- who reaches whom -------------------------------------------------------------------------------------------------


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


End = tuple[Hosts, IPv4Address, str]


def obstacle(cloud: Cloud, source: End, target: End, port: int) -> str:
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


def group_allows(cloud: Cloud, here: End, there: End, port: int, egress: bool) -> bool:
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


def acl_allows(cloud: Cloud, here: End, there: End, port: int, egress: bool) -> bool:
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


def routed(cloud: Cloud, here: End, there: End) -> bool:
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


def attached(cloud: Cloud, gateway: str, vpc: str) -> bool:
    """Whether a VPC is attached to a transit gateway."""
    found = ec2_backends[HOME][cloud.region].transit_gateway_attachments.values()
    return any(each.transit_gateway_id == gateway and each.vpc_id == vpc for each in found)


def between(peering: Any) -> set[str]:
    """The two VPCs of a peering."""
    return {peering.vpc.id, peering.peer_vpc.id}


# --- EC2 as far as moto is kinder -------------------------------------------------------------------------------------


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
