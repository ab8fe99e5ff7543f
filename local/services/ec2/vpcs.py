"""VPCs as a scenario wants them, with their routes, peerings, network ACLs and security groups; moto keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, Literal

from moto.ec2.models import ec2_backends
from pydantic import BaseModel, ConfigDict, Field

from local.core.calls import HOME
from local.core.cloud import Cloud
from local.core.places import HOME as HOME_PLACE
from local.core.places import Place, at, present, written


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


def attached(cloud: Cloud, gateway: str, vpc: str) -> bool:
    """Whether a VPC is attached to a transit gateway."""
    found = ec2_backends[HOME][cloud.region].transit_gateway_attachments.values()
    return any(each.transit_gateway_id == gateway and each.vpc_id == vpc for each in found)


def between(peering: Any) -> set[str]:
    """The two VPCs of a peering."""
    return {peering.vpc.id, peering.peer_vpc.id}
