"""Security groups: whether they let traffic through, and the narrowest rule if they do not.

They are stateful, so an answer needs no rule ("Security groups", Amazon VPC user guide). A rule that this project adds
always names a security group as the other side, never addresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

from botocore.exceptions import ClientError

from aurora_kerberos.aws import code, message
from aurora_kerberos.errors import NetworkBlocked
from aurora_kerberos.network import ANY_PROTOCOL, PROTOCOLS, Place, Ports, corners

Direction = Literal["ingress", "egress"]

DESCRIPTION = "aurora-kerberos"
PERMISSIONS = {"ingress": "IpPermissions", "egress": "IpPermissionsEgress"}


@dataclass(frozen=True)
class Rule:
    """A rule of a security group: ports, and the addresses or groups of the other side."""

    protocol: str
    first: int
    last: int
    networks: tuple[IPv4Network, ...]
    groups: frozenset[str]

    def lets(self, protocol: str, port: int, address: IPv4Address, groups: Sequence[str]) -> bool:
        """Whether the rule lets a packet from (or to) a host with this address and these groups through."""
        return (
            self.protocol in (ANY_PROTOCOL, protocol)
            and self.first <= port <= self.last
            and (not self.groups.isdisjoint(groups) or any(address in network for network in self.networks))
        )


def missing(here: Place, direction: Direction, there: Place, ports: Sequence[Ports]) -> list[Ports]:
    """The ports that the groups of `here` do not let through completely, for every address of `there`."""
    rules = rules_of(here, direction)
    return [
        each for each in ports if not all(covered(rules, each, network, there.groups) for network in there.networks)
    ]


def covered(rules: Sequence[Rule], ports: Ports, network: IPv4Network, groups: Sequence[str]) -> bool:
    """Whether the rules together let the whole range through."""
    return all(
        any(rule.lets(ports.protocol, port, address, groups) for rule in rules)
        for port, address in corners(ports, network, rules)
    )


def rules_of(place: Place, direction: Direction) -> list[Rule]:
    """The rules of all groups of a place. Each host has all groups (`ec2:DescribeSecurityGroups`)."""
    groups = place.ec2.describe_security_groups(GroupIds=place.groups)["SecurityGroups"]
    return [rule(place, permission) for group in groups for permission in group[PERMISSIONS[direction]]]


def rule(place: Place, permission: Mapping[str, Any]) -> Rule:
    """A rule, from the answer of DescribeSecurityGroups. Prefix lists are looked up."""
    lists = [place.prefix_list(each["PrefixListId"]) for each in permission.get("PrefixListIds", [])]
    protocol = PROTOCOLS.get(permission["IpProtocol"], permission["IpProtocol"])
    return Rule(
        protocol,
        0 if protocol == ANY_PROTOCOL else permission.get("FromPort", 0),
        65535 if protocol == ANY_PROTOCOL else permission.get("ToPort", 65535),
        (
            *(IPv4Network(each["CidrIp"], strict=False) for each in permission.get("IpRanges", [])),
            *(network for each in lists for network in each),
        ),
        frozenset(pair["GroupId"] for pair in permission.get("UserIdGroupPairs", []) if pair.get("GroupId")),
    )


def allow(here: Place, direction: Direction, there: Place, ports: Sequence[Ports]) -> str:
    """Let the first group of `there` through in the first group of `here`; return what was done, in words.

    Raises:
        NetworkBlocked: the group already has as many rules as it may have.
    """
    group, other = here.groups[0], there.groups[0]
    pair = {"GroupId": other, "Description": DESCRIPTION}
    if there.account != here.account:
        pair["UserId"] = there.account
    permissions = [
        {"IpProtocol": each.protocol, "FromPort": each.first, "ToPort": each.last, "UserIdGroupPairs": [pair]}
        for each in ports
    ]
    try:
        authorize(here, direction, permissions)
    except ClientError as error:
        if code(error) != "RulesPerSecurityGroupLimitExceeded":
            raise
        raise NetworkBlocked(
            f"The security group {group} of {here.name} has no room for {len(ports)} more rules, for {other} at "
            f"{listed(ports)}: {message(error)}",
            'Raise the quota "Inbound or outbound rules per security group", take out rules that nobody needs, or let '
            "clusters share a security group; then start again.",
        ) from error
    word = "from" if direction == "ingress" else "to"
    return f"{group} of {here.name}: {listed(ports)} {word} {other} of {there.name}"


def authorize(here: Place, direction: Direction, permissions: list[dict[str, Any]]) -> None:
    """Add rules to the first group. If AWS refuses all of them because one exists already, add them one by one."""
    call = getattr(here.ec2, f"authorize_security_group_{direction}")
    try:
        call(GroupId=here.groups[0], IpPermissions=permissions)
    except ClientError as error:
        if code(error) != "InvalidPermission.Duplicate":
            raise
        if len(permissions) > 1:
            for permission in permissions:
                authorize(here, direction, [permission])


def listed(ports: Sequence[Ports]) -> str:
    """Ports in words."""
    return ", ".join(map(str, ports))
