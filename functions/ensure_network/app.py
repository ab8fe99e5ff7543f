"""Step 5: makes sure that cluster and directory reach each other at the documented ports, and the functions the KDC.

The step first looks for obstacles that only a person can remove, and changes nothing while there is one. It only looks,
and never changes anything, with `network: existing`, or if the directory is in another account without a role for this
stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import names, security_groups
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import DENIED, LATER, code, message
from aurora_kerberos.errors import NetworkBlocked, NetworkOverlaps, PeeringFailed
from aurora_kerberos.network import (
    DIRECTORY_PORTS,
    KERBEROS,
    Place,
    Ports,
    blocking_acls,
    peerings,
    unreachable,
    wanting,
)
from aurora_kerberos.plan import Cluster, Directory, Network
from aurora_kerberos.step import MINUTE, Ready, Waiting, step

# The statuses of "VPC peering connection lifecycle" (VPC peering guide). AWS leaves all others by itself.
GONE = {"deleted", "expired"}
REFUSED = {"failed", "rejected"}


class Progress(TypedDict):
    """What this execution has made already. The state machine hands it back with each poll."""

    opened: list[str]


class Arguments(TypedDict):
    """`cluster` and `network` of the plan, the `directory` (outputs of `ensure_directory`) and `progress`.

    The ARN of the `execution` names the account.
    """

    execution: str
    cluster: Cluster
    directory: Directory
    network: Network
    progress: Progress | dict[str, Any]


@dataclass(frozen=True)
class Connection:
    """Connections that must be possible: from whom, to whom, and at which ports."""

    source: Place
    target: Place
    ports: Sequence[Ports]

    @property
    def across(self) -> bool:
        """Whether the two places are in different VPCs."""
        return self.source.vpc_id != self.target.vpc_id


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when all these connections are possible, with what was made for them and what could not be checked."""
    connections = connections_of(arguments)
    directory = connections[0].target
    opened: list[str] = list(arguments["progress"].get("opened", []))
    theirs = f"routes, network ACLs and security group of {directory.name} in account {directory.account}"
    unchecked = [] if directory.seen else [theirs]
    if arguments["network"]["mode"] == "existing" or not directory.seen:
        check(connections, directory.seen)
        return Ready({"opened": [], "unchecked": unchecked, "peering": ""})

    refuse_obstacles(connections)
    peering = ""
    for connection in connections:
        if connection.across:
            made = peer(connection, opened)
            if isinstance(made, Waiting):
                return made
            unchecked += resolve_names(connection, made)
            route(connection, made["VpcPeeringConnectionId"], opened)
            peering = peering or made["VpcPeeringConnectionId"]
    for connection in connections:
        if waiting := let_through(connection, opened):
            return waiting
    return Ready({"opened": opened, "unchecked": unchecked, "peering": peering})


def connections_of(arguments: Arguments) -> list[Connection]:
    """Those from the cluster to the directory, and those from the functions to its KDC if a login is to be tried."""
    account = Arn.parse(arguments["execution"]).account
    cluster, directory = Place.of_cluster(arguments["cluster"], account), arguments["directory"]
    controllers = Place(
        f"directory {directory['id']}",
        directory["vpc_id"],
        directory["subnet_ids"],
        [directory["security_group"]],
        addresses=directory["dns_ips"],
        role=directory["role"],
        account=directory["owner_account"] or account,
        seen=bool(directory["role"]) or not directory["shared"],
    )
    connections = [Connection(cluster, controllers, DIRECTORY_PORTS)]
    if arguments["network"]["login"]:
        connections.append(Connection(Place.of_functions(arguments["network"], account), controllers, [KERBEROS]))
    return connections


# --- looking ----------------------------------------------------------------------------------------------------------


def check(connections: list[Connection], both_sides: bool) -> None:
    """Refuse with one error that names everything that is missing and has to be made by hand."""
    found = []
    for connection in connections:
        found += blocking_acls(connection.source, connection.target, connection.ports)
        if connection.across:
            found += unreachable(connection.source, connection.target)
            found += unreachable(connection.target, connection.source) if both_sides else []
        found += [
            f"security group {here.groups[0]} of {here.name} has no {direction} rule for "
            f"{security_groups.listed(ports)} {'from' if direction == 'ingress' else 'to'} {there.name}"
            for here, direction, there, ports in closed(connection)
        ]
    if found:
        raise NetworkBlocked(
            f"The network is not ready: {'; '.join(dict.fromkeys(found))}.",
            "Have this mended. Or let this stack do what it can: set its parameter Network to managed, and "
            "DirectoryAccountRole when the directory is in another account.",
        )


def closed(connection: Connection) -> Iterator[tuple[Place, security_groups.Direction, Place, list[Ports]]]:
    """Where security groups let no connection through: the place, the direction, the other place, the ports."""
    sides: list[tuple[Place, security_groups.Direction, Place]] = [(connection.source, "egress", connection.target)]
    if connection.target.seen:
        sides.append((connection.target, "ingress", connection.source))
    for here, direction, there in sides:
        if ports := security_groups.missing(here, direction, there, connection.ports):
            yield here, direction, there, ports


def refuse_obstacles(connections: list[Connection]) -> None:
    """Refuse network ACLs and routes that are in the way. This project never changes either.

    Raises:
        NetworkOverlaps: the VPCs share addresses, so AWS does not peer them.
        NetworkBlocked: names everything that is in the way.
    """
    acls = [
        line
        for connection in connections
        for line in blocking_acls(connection.source, connection.target, connection.ports)
    ]
    if acls:
        raise NetworkBlocked(
            f"Traffic is blocked: {'; '.join(dict.fromkeys(acls))}.",
            "Let these network ACLs allow the named ports in the named direction, answers included, then start again.",
        )
    routes = []
    for connection in connections:
        if not connection.across:
            continue
        living = [each for each in standing(connection) if each["Status"]["Code"] not in REFUSED]
        peering = living[0]["VpcPeeringConnectionId"] if living else ""
        here, there = connection.source, connection.target
        pairs = [(a, b) for a in here.blocks for b in there.blocks if a.overlaps(b)]
        if pairs:
            raise NetworkOverlaps(
                f"{here.vpc_id} of {here.name} and {there.vpc_id} of {there.name} cannot be peered: "
                f"{' and '.join(f'{a} overlaps {b}' for a, b in pairs)}.",
                "Use a directory in a VPC with other addresses (DirectoryId), or move the cluster to one.",
            )
        for here, there in ((connection.source, connection.target), (connection.target, connection.source)):
            routes += wanting(here, there, peering)[1]
    if routes:
        raise NetworkBlocked(
            f"Routes lead elsewhere, and none is ever replaced: {'; '.join(dict.fromkeys(routes))}.",
            "If they lead to the other VPC (a transit gateway, say), set the stack's parameter Network to existing. "
            "Otherwise delete them, then start again.",
        )


# --- making -----------------------------------------------------------------------------------------------------------


def peer(connection: Connection, opened: list[str]) -> dict[str, Any] | Waiting:
    """The active peering of the two VPCs. If there is none, request it, accept it, and wait for it."""
    found = standing(connection)
    if not found:
        return request(connection, opened)
    name, status = found[0]["VpcPeeringConnectionId"], found[0]["Status"]
    if status["Code"] == "active":
        return found[0]
    if status["Code"] in REFUSED:
        raise PeeringFailed(
            f"The VPC peering {name} between {connection.source.vpc_id} and {connection.target.vpc_id} is "
            f"{status['Code']}: {status.get('Message', 'AWS gives no reason')}.",
            "Mend what AWS names. A failed request stays listed for 2 hours, a rejected one for 2 days; start again "
            "when it is gone, or peer the VPCs by hand.",
        )
    if status["Code"] == "pending-acceptance":
        accept(name, accepter(connection, found[0]))
        status = {"Code": "being accepted"}
    return Waiting(f"VPC peering {name} is {status['Code']}", deadline=30 * MINUTE, outputs=Progress(opened=opened))


def standing(connection: Connection) -> list[dict[str, Any]]:
    """The peerings that still exist: the active one first, refused ones last."""
    found = [each for each in peerings(connection.source, connection.target) if each["Status"]["Code"] not in GONE]
    return sorted(found, key=lambda each: (each["Status"]["Code"] != "active", each["Status"]["Code"] in REFUSED))


def request(connection: Connection, opened: list[str]) -> Waiting:
    """Request a peering (`ec2:CreateVpcPeeringConnection`)."""
    try:
        made = connection.source.ec2.create_vpc_peering_connection(
            VpcId=connection.source.vpc_id,
            PeerVpcId=connection.target.vpc_id,
            PeerOwnerId=connection.target.account,
            TagSpecifications=[
                {
                    "ResourceType": "vpc-peering-connection",
                    "Tags": [names.MANAGED_BY],
                }
            ],
        )["VpcPeeringConnection"]
    except ClientError as error:
        if code(error) == "VpcPeeringConnectionAlreadyExists":  # another execution was faster
            return Waiting("The VPC peering is not listed yet", deadline=5 * MINUTE, outputs=Progress(opened=opened))
        if "LimitExceeded" not in code(error) or code(error) in LATER:
            raise
        raise PeeringFailed(
            f"AWS does not peer {connection.source.vpc_id} and {connection.target.vpc_id}: {message(error)}",
            "Raise the quota of VPC peering connections, or delete one that nobody needs.",
        ) from error
    name = made["VpcPeeringConnectionId"]
    opened.append(f"VPC peering {name} between {connection.source.vpc_id} and {connection.target.vpc_id}")
    return Waiting(f"VPC peering {name} has been requested", outputs=Progress(opened=opened))


def accepter(connection: Connection, peering: Mapping[str, Any]) -> Place:
    """The side that has been asked; it may be either, when somebody else did the asking."""
    asked = peering["AccepterVpcInfo"]["VpcId"]
    return connection.target if connection.target.vpc_id == asked else connection.source


def accept(name: str, place: Place) -> None:
    """Accept a peering in the account that has been asked (`ec2:AcceptVpcPeeringConnection`)."""
    try:
        place.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=name)
    except ClientError as error:
        # Somebody else has accepted it, or that account does not know it yet. The next poll shows which.
        if code(error) not in {"InvalidStateTransition", "InvalidVpcPeeringConnectionID.NotFound"}:
            raise


def resolve_names(connection: Connection, peering: Mapping[str, Any]) -> list[str]:
    """Let each VPC resolve the other's names to private addresses (`ec2:ModifyVpcPeeringConnectionOptions`).

    Kerberos does not need this: Aurora's endpoints and the domain controllers have private addresses anyway. If AWS
    refuses it (both VPCs need DNS host names), the reason is returned, and the step goes on.
    """
    refused = []
    for side in ("Requester", "Accepter"):
        vpc, name = peering[f"{side}VpcInfo"]["VpcId"], peering["VpcPeeringConnectionId"]
        place = connection.source if connection.source.vpc_id == vpc else connection.target
        (theirs,) = place.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[name])["VpcPeeringConnections"]
        if theirs[f"{side}VpcInfo"].get("PeeringOptions", {}).get("AllowDnsResolutionFromRemoteVpc"):
            continue
        options = {f"{side}PeeringConnectionOptions": {"AllowDnsResolutionFromRemoteVpc": True}}
        try:
            place.ec2.modify_vpc_peering_connection_options(VpcPeeringConnectionId=name, **options)
        except ClientError as error:
            if code(error) in LATER | DENIED:
                raise
            refused.append(f"DNS resolution of {vpc} over the peering: {message(error)}")
    return refused


def route(connection: Connection, peering: str, opened: list[str]) -> None:
    """Make a route to the other VPC in each route table that applies, on both sides (`ec2:CreateRoute`)."""
    for here, there in ((connection.source, connection.target), (connection.target, connection.source)):
        for table, block in sorted(wanting(here, there, peering)[0]):
            try:
                here.ec2.create_route(
                    RouteTableId=table, DestinationCidrBlock=str(block), VpcPeeringConnectionId=peering
                )
            except ClientError as error:
                if code(error) == "RouteAlreadyExists":  # another execution was faster
                    continue
                if code(error) != "RouteLimitExceeded":
                    raise
                raise NetworkBlocked(
                    f"Route table {table} of {here.name} has no room for {block} over {peering}: {message(error)}",
                    'Raise the quota "Routes per route table", or take routes out that nobody needs; then start again.',
                ) from error
            opened.append(f"route {block} over {peering} in {table} of {here.name}")


def let_through(connection: Connection, opened: list[str]) -> Waiting | None:
    """Add rules for the ports that the security groups do not let through yet, and for no others."""
    for here, direction, there, ports in closed(connection):
        try:
            opened.append(security_groups.allow(here, direction, there, ports))
        except ClientError as error:
            if code(error) != "InvalidGroup.NotFound" or not connection.across:
                raise
            # AWS lets a rule name a group of the other VPC only some time after the peering is active.
            refused = NetworkBlocked(
                f"AWS does not let {here.groups[0]} name {there.groups[0]} over the peering: {message(error)}",
                "Check that both security groups exist, then start again.",
            )
            return Waiting(
                f"{there.groups[0]} is not known over the peering yet",
                deadline=5 * MINUTE,
                otherwise=refused,
                outputs=Progress(opened=opened),
            )
    return None
