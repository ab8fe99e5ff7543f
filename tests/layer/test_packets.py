"""What rules say of ranges, against what they say of every single packet."""

from __future__ import annotations

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from aurora_kerberos.network import AclRule, Ports, Route, deciding, denials
from aurora_kerberos.security_groups import Rule, covered

# A world of 16 addresses and 12 ports is large enough for every way in which ranges can lie to each other.
prefixes = st.integers(28, 32)
networks = st.builds(
    lambda start, length: IPv4Network((0x0A000000 + start, length), strict=False), st.integers(0, 15), prefixes
)
ends = st.tuples(st.integers(0, 11), st.integers(0, 11)).map(sorted)
protocols = st.sampled_from(["tcp", "udp", "-1"])
ports = st.builds(lambda protocol, span: Ports(protocol, span[0], span[1]), st.sampled_from(["tcp", "udp"]), ends)

rules = st.lists(
    st.builds(
        lambda protocol, span, cidrs, groups: Rule(protocol, span[0], span[1], tuple(cidrs), frozenset(groups)),
        protocols,
        ends,
        st.lists(networks, max_size=3),
        st.sets(st.sampled_from(["sg-1", "sg-2"]), max_size=1),
    ),
    max_size=5,
)
acls = st.lists(
    st.builds(
        lambda number, allows, protocol, span, cidr: AclRule(
            "acl-1", number, False, allows, protocol, span[0], span[1], (cidr,)
        ),
        st.integers(1, 99),
        st.booleans(),
        protocols,
        ends,
        networks,
    ),
    max_size=6,
).map(lambda found: sorted(found, key=lambda rule: rule.number))


@given(rules, ports, networks)
def test_security_groups_cover_what_they_let_through_packet_by_packet(
    found: list[Rule], wanted: Ports, network: IPv4Network
) -> None:
    each = [
        any(rule.lets(wanted.protocol, port, address, ["sg-1"]) for rule in found)
        for port in range(wanted.first, wanted.last + 1)
        for address in network
    ]
    assert covered(found, wanted, network, ["sg-1"]) == all(each)


@given(acls, ports, networks)
def test_acls_deny_what_they_deny_packet_by_packet(found: list[AclRule], wanted: Ports, network: IPv4Network) -> None:
    numbers = set()
    for port in range(wanted.first, wanted.last + 1):
        for address in network:
            first = next((rule for rule in found if rule.about(wanted.protocol, port, address)), None)
            if first is None or not first.allows:
                numbers.add(first.number if first else 32767)
    assert denials(found, wanted, network) == numbers


@given(st.lists(networks, max_size=6, unique=True), networks)
def test_routes_that_decide_are_those_that_some_address_takes(found: list[IPv4Network], network: IPv4Network) -> None:
    routes = [Route(destination, f"tgw-{i}", "active") for i, destination in enumerate(found)]
    taken = set()
    for address in network:
        around = [route for route in routes if address in route.destination]
        if around:
            taken.add(max(around, key=lambda route: route.destination.prefixlen))
    # One that is overruled everywhere by longer ones may be named too: it is no less a route there.
    assert taken <= set(deciding(routes, network))


def test_each_host_bears_all_of_its_groups() -> None:
    rule = Rule("tcp", 88, 88, (), frozenset({"sg-1"}))
    assert covered([rule], Ports("tcp", 88, 88), IPv4Network("10.0.0.0/24"), ["sg-2", "sg-1"])


def test_a_group_of_nobody_covers_nothing() -> None:
    rule = Rule("tcp", 88, 88, (), frozenset({"sg-1"}))
    assert covered([rule], Ports("tcp", 88, 88), IPv4Network("10.0.0.0/24"), ["sg-1"])
    assert not covered([rule], Ports("tcp", 88, 88), IPv4Network("10.0.0.0/24"), ["sg-2"])
    assert not covered([], Ports("tcp", 88, 88), IPv4Network("10.0.0.0/24"), ["sg-1"])
