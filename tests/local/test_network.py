"""The local network is no kinder than AWS's: who reaches whom, and what EC2 refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.ec2.models import ec2_backends

from local.cloud import Cloud
from local.scenario.format import AtStart, Cluster, Directory, Role
from local.scenario.prepare import add_directory, add_role, prepare
from local.servers.server import LOOPBACK, NOBODY
from local.services.ec2.reach import DOMAIN_PORTS, Hosts, obstacles, reaches
from local.services.ec2.vpcs import AclRule, Vpc, peer
from local.services.iam.roles import Roles
from local.services.lambda_functions import surroundings
from local.services.rds.backend import cluster_of

ELSEWHERE = "222222222222"
ROLE = "aurora-kerberos-directory-access"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        yield running


def hosts_of(cloud: Cloud, *vpcs: Vpc, directory: dict[str, Any] | None = None, **cluster: Any) -> tuple[Hosts, Hosts]:
    """A cluster in the VPC `data` and a directory in the VPC `identity`, unless otherwise said; their hosts."""
    made = Directory(**{"dns_name": "corp.example.com", "stage": "Requested", "vpc": "identity", **(directory or {})})
    start = AtStart(
        vpcs=list(vpcs), directories=[made], clusters=[Cluster(**{"id": "orders", "vpc": "data", **cluster})]
    )
    prepare(cloud, start)
    return Hosts.of_cluster(cloud, cluster_of(cloud, "orders")), Hosts.of_directory(cloud.directories.all()[0])


def pair(data: dict[str, Any] | None = None, identity: dict[str, Any] | None = None) -> list[Vpc]:
    """Two VPCs that are peered, with routes, unless otherwise said."""
    return [
        Vpc(**{"name": "data", "cidrs": ["10.2.0.0/16"], "routes": {"10.1.0.0/16": "identity"}, **(data or {})}),
        Vpc(**{"name": "identity", "cidrs": ["10.1.0.0/16"], "routes": {"10.2.0.0/16": "data"}, **(identity or {})}),
    ]


OPEN = {"lets_in": ["10.2.0.0/16"]}
DENY = [AclRule(number=1, ports="88")]


def test_all_that_is_needed_is_enough(cloud: Cloud) -> None:
    source, target = hosts_of(cloud, *pair(), directory=OPEN)
    assert reaches(cloud, source, target, *DOMAIN_PORTS)
    assert not reaches(cloud, target, source, 88)  # AWS lets domain controllers out to nobody
    assert not reaches(cloud, source, target, 22)


@pytest.mark.parametrize(
    ("vpcs", "directory", "cluster", "meets"),
    [
        (pair({"routes": {}}), OPEN, {}, "no route from subnet-.*, the way"),
        (pair(None, {"routes": {}}), OPEN, {}, "no route from subnet-.*, the answer"),
        (pair({"routes": {"10.1.0.0/16": "identity", "10.1.0.0/19": "internet"}}), OPEN, {}, "no route.*the way"),
        (pair({"routes": {"0.0.0.0/0": "internet"}}), OPEN, {}, "no route.*the way"),
        (pair({"routes": {"10.1.0.0/16": "deleted peering"}}), OPEN, {}, "no route.*the way"),
        (pair({"routes": {"10.1.0.0/16": "transit gateway"}}, {"routes": {}}), OPEN, {}, "no route.*the way"),
        (pair({"acl": [AclRule(number=1, ports="88", direction="out")]}), OPEN, {}, "ACL of .*, outbound, the way"),
        (pair(None, {"acl": DENY}), OPEN, {}, "ACL of .*, inbound, the way"),
        (pair(None, {"acl": [AclRule(number=1, ports="40000", direction="out")]}), OPEN, {}, "outbound, the answer"),
        (pair({"acl": [AclRule(number=1, ports="40000")]}), OPEN, {}, "inbound, the answer"),
        (pair(), {}, {}, "security group, inbound"),
        (pair(), {"lets_in": ["10.2.0.0/20"]}, {}, "10.2.16.10 to .* security group, inbound"),
        (pair(), OPEN, {"lets_out": ["10.3.0.0/16"]}, "security group, outbound"),
    ],
)
def test_each_thing_that_lacks_is_met(
    cloud: Cloud, vpcs: list[Vpc], directory: dict[str, Any], cluster: dict[str, Any], meets: str
) -> None:
    source, target = hosts_of(cloud, *vpcs, directory=directory, **cluster)
    with pytest.raises(AssertionError, match=meets):
        raise AssertionError(list(obstacles(cloud, source, target, 88)))
    assert not reaches(cloud, source, target, 88)


def test_ways_that_are_open(cloud: Cloud) -> None:
    by_gateway = pair({"routes": {"10.0.0.0/8": "transit gateway"}}, {"routes": {"0.0.0.0/0": "transit gateway"}})
    source, target = hosts_of(
        cloud, *by_gateway, directory={"lets_in": ["list:10.2.0.0/16"]}, lets_out=["list:10.1.0.0/16"]
    )
    assert reaches(cloud, source, target, 88)


def test_a_group_counts_across_a_peering_only_while_that_is_active(cloud: Cloud) -> None:
    source, target = hosts_of(cloud, *pair(), directory={"lets_in": []})
    ec2 = cloud.client("ec2")
    kerberos = {"IpProtocol": "tcp", "FromPort": 88, "ToPort": 88, "UserIdGroupPairs": [{"GroupId": source.groups[0]}]}
    ec2.authorize_security_group_ingress(GroupId=target.groups[0], IpPermissions=[kerberos])
    assert reaches(cloud, source, target, 88)
    (peering,) = ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
    ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering["VpcPeeringConnectionId"])
    assert not reaches(cloud, source, target, 88)


def test_a_route_leads_over_a_peering_only_while_that_is_active(cloud: Cloud) -> None:
    source, target = hosts_of(cloud, *pair(), directory=OPEN)
    assert reaches(cloud, source, target, 88)
    (peering,) = ec2_backends[cloud.home][cloud.region].vpc_pcxs.values()
    peering._status.code = "provisioning"
    assert "no route" in next(obstacles(cloud, source, target, 88))


def test_a_directory_of_another_account_has_a_vpc_that_can_be_peered(cloud: Cloud) -> None:
    add_directory(cloud, Directory(dns_name="corp.example.com", stage="Requested", account=ELSEWHERE))
    found = cloud.directories.all()[0]
    (vpc,) = cloud.client("ec2", ELSEWHERE).describe_vpcs(VpcIds=[found.vpc_settings["VpcId"]])["Vpcs"]
    assert not vpc["CidrBlock"].startswith("172.31.")


# --- what follows from it ---------------------------------------------------------------------------------------------


def test_a_cluster_that_does_not_reach_its_directory_does_not_join(cloud: Cloud) -> None:
    source, target = hosts_of(cloud, *pair(), directory={"lets_in": [], "stage": "Active"})
    add_role(cloud, ROLE, Role())
    cloud.part(Roles).made.clear()
    client = cloud.client("rds")
    join = {"DBClusterIdentifier": "orders", "DomainIAMRoleName": ROLE, "ApplyImmediately": True}
    join["Domain"] = cloud.directories.all()[0].directory_id

    def status() -> str:
        client.modify_db_cluster(**join)
        cloud.run()
        (cluster,) = client.describe_db_clusters()["DBClusters"]
        found: str = cluster["DomainMemberships"][0]["Status"]
        return found

    assert status() == "enable-kerberos-failed"
    assert "TCP 53: security group, inbound" in cloud.moments[-1].text
    group = {"UserIdGroupPairs": [{"GroupId": source.groups[0]}]}
    ports = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **group} for port in DOMAIN_PORTS]
    ec2 = cloud.client("ec2")
    ec2.authorize_security_group_ingress(GroupId=target.groups[0], IpPermissions=ports[1:])
    assert status() == "enable-kerberos-failed"
    ec2.authorize_security_group_ingress(GroupId=target.groups[0], IpPermissions=ports[:1])
    assert status() == "kerberos-enabled"


def test_a_function_finds_nobody_where_the_network_does_not_let_it(cloud: Cloud) -> None:
    hosts_of(cloud, *pair(), directory={"stage": "Active", "vpc": "default", "lets_in": []}, vpc=True, lets_in=[])
    functions = Hosts.in_subnets(cloud, cloud.home, cloud.subnets, [cloud.outputs["FunctionSecurityGroup"]])
    directory = cloud.directories.all()[0]

    def seen() -> tuple[str, str]:
        environment = surroundings(cloud, functions, "orders")
        conf = Path(environment["KRB5_CONFIG"]).read_text()
        return environment["PGHOSTADDR"], LOOPBACK if f"kdc = {LOOPBACK}:" in conf else NOBODY

    assert seen() == (NOBODY, NOBODY)
    group = {"UserIdGroupPairs": [{"GroupId": functions.groups[0]}]}
    port = cluster_of(cloud, "orders").port
    (cluster,) = cloud.client("rds").describe_db_clusters()["DBClusters"]
    for name, number in (
        (cluster["VpcSecurityGroups"][0]["VpcSecurityGroupId"], port),
        (directory.security_group_id, 88),
    ):
        permission = {"IpProtocol": "tcp", "FromPort": number, "ToPort": number, **group}
        cloud.client("ec2").authorize_security_group_ingress(GroupId=name, IpPermissions=[permission])
    assert seen() == (LOOPBACK, LOOPBACK)
    assert (
        surroundings(
            cloud,
        )["PGHOSTADDR"]
        == LOOPBACK
    )


def test_an_unreachable_database_refuses_connections(cloud: Cloud) -> None:
    prepare(cloud, AtStart(vpcs=[Vpc(name="data", cidrs=["10.2.0.0/16"])], clusters=[Cluster(id="orders", vpc="data")]))
    (cluster,) = cloud.client("rds").describe_db_clusters()["DBClusters"]
    arguments = {
        "cluster": {
            "id": "orders",
            "endpoint": cluster["Endpoint"],
            "port": cluster["Port"],
            "database": "postgres",
            "security_groups": ["sg-1"],
            "master_secret": cluster["MasterUserSecret"]["SecretArn"],
            "http_endpoint": False,
            "secondary": False,
        },
        "principals": [],
    }
    failed, payload = cloud.functions.invoke(cloud.functions.name("CheckDatabase"), json.dumps(arguments))
    assert failed
    assert json.loads(payload)["errorType"] == "DatabaseUnreachable"


# --- EC2 --------------------------------------------------------------------------------------------------------------


def refused(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    code: str = raised.value.response["Error"]["Code"]
    return code


def test_a_peering_takes_its_time(cloud: Cloud) -> None:
    cloud.networks.add([Vpc(name="identity", account=ELSEWHERE, cidrs=["10.1.0.0/16"])])
    ours, theirs = cloud.client("ec2"), cloud.client("ec2", ELSEWHERE)
    wanted = {"VpcId": cloud.vpc, "PeerVpcId": cloud.networks.named("identity").vpc, "PeerOwnerId": ELSEWHERE}
    name = ours.create_vpc_peering_connection(**wanted)["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    one = {"VpcPeeringConnectionId": name}

    def status() -> str:
        (found,) = ours.describe_vpc_peering_connections(VpcPeeringConnectionIds=[name])["VpcPeeringConnections"]
        code: str = found["Status"]["Code"]
        return code

    assert status() == "initiating-request"
    assert refused(ours.create_vpc_peering_connection, **wanted) == "VpcPeeringConnectionAlreadyExists"
    assert refused(theirs.accept_vpc_peering_connection, **one) == "InvalidStateTransition"
    cloud.run()
    assert status() == "pending-acceptance"
    assert refused(ours.accept_vpc_peering_connection, **one) == "OperationNotPermitted"
    dns = {"AllowDnsResolutionFromRemoteVpc": True}
    options = ours.modify_vpc_peering_connection_options
    assert refused(options, **one, RequesterPeeringConnectionOptions=dns) == "OperationNotPermitted"
    theirs.accept_vpc_peering_connection(**one)
    assert status() == "provisioning"
    cloud.run()
    assert status() == "active"
    assert refused(options, **one, AccepterPeeringConnectionOptions=dns) == "OperationNotPermitted"
    options(**one, RequesterPeeringConnectionOptions=dns)


def test_a_peering_of_overlapping_vpcs_fails_even_by_a_secondary_cidr(cloud: Cloud) -> None:
    cloud.networks.add([Vpc(name="identity", cidrs=["10.1.0.0/16", "172.31.0.0/24"])])
    ec2 = cloud.client("ec2")
    ec2.create_vpc_peering_connection(VpcId=cloud.vpc, PeerVpcId=cloud.networks.named("identity").vpc)
    cloud.run()
    (found,) = ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
    assert found["Status"]["Code"] == "failed"


def test_peerings_are_filtered(cloud: Cloud) -> None:
    cloud.networks.add([Vpc(name=name, cidrs=[f"10.{i}.0.0/16"]) for i, name in enumerate("abc")])
    a, b, c = (cloud.networks.named(name) for name in "abc")
    between = {peer(cloud, a, b), peer(cloud, b, a, "deleted")}
    peer(cloud, a, c)
    sides = [{"Name": f"{side}-vpc-info.vpc-id", "Values": [a.vpc, b.vpc]} for side in ("requester", "accepter")]
    found = cloud.client("ec2").describe_vpc_peering_connections(Filters=sides)["VpcPeeringConnections"]
    assert {each["VpcPeeringConnectionId"] for each in found} == between


def test_a_route_to_a_dead_peering_is_a_blackhole(cloud: Cloud) -> None:
    cloud.networks.add(pair({"routes": {"10.1.0.0/16": "identity", "10.5.0.0/16": "deleted peering"}}))
    tables = cloud.client("ec2").describe_route_tables()["RouteTables"]
    states = {route["DestinationCidrBlock"]: route["State"] for table in tables for route in table["Routes"]}
    assert states["10.1.0.0/16"] == "active"
    assert states["10.5.0.0/16"] == "blackhole"


def test_rules_are_taken_all_or_none(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    group = ec2.create_security_group(GroupName="x", Description="x", VpcId=cloud.vpc)["GroupId"]
    itself = {"UserIdGroupPairs": [{"GroupId": group}]}

    def tcp(*ports: int) -> list[dict[str, Any]]:
        return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **itself} for port in ports]

    def count() -> int:
        found = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        return len(found["IpPermissions"])

    allow = ec2.authorize_security_group_ingress
    allow(GroupId=group, IpPermissions=tcp(2))
    assert refused(allow, GroupId=group, IpPermissions=tcp(1, 2, 3)) == "InvalidPermission.Duplicate"
    assert count() == 1
    code = refused(allow, GroupId=group, IpPermissions=tcp(*range(100, 160)))
    assert code == "RulesPerSecurityGroupLimitExceeded"
    assert count() == 1


def test_a_group_of_another_vpc_can_be_named_only_over_an_active_peering(cloud: Cloud) -> None:
    cloud.networks.add([Vpc(name="identity", account=ELSEWHERE, cidrs=["10.1.0.0/16"])])
    here, there = cloud.networks.named("default"), cloud.networks.named("identity")
    ours, theirs = (
        cloud.client("ec2", each.account).create_security_group(GroupName="x", Description="x", VpcId=each.vpc)[
            "GroupId"
        ]
        for each in (here, there)
    )
    allow = cloud.client("ec2", ELSEWHERE).authorize_security_group_ingress

    def rule(**pair: str) -> dict[str, Any]:
        return {
            "GroupId": theirs,
            "IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": ours, **pair}]}],
        }

    assert refused(allow, **rule(UserId=cloud.home)) == "InvalidGroup.NotFound"
    peer(cloud, here, there)
    assert refused(allow, **rule()) == "InvalidGroup.NotFound"  # without the account's number
    allow(**rule(UserId=cloud.home))


def test_a_prefix_list_that_is_not_there_is_not_known(cloud: Cloud) -> None:
    entries = cloud.client("ec2").get_managed_prefix_list_entries
    assert refused(entries, PrefixListId="pl-0123456789abcdef0") == "InvalidPrefixListID.NotFound"
