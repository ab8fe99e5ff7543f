"""Step 5: every status of a peering, every refusal and direction, and nothing wider than documented."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import botocore.session
import pytest
from moto.ec2.models import ec2_backends

from aurora_kerberos.network import DIRECTORY_PORTS
from local.cloud import Cloud
from local.core.calls import HOME, Call
from local.core.faults import Fault, Faults
from local.scenario.format import AtStart, Cluster, Directory, Role
from local.scenario.prepare import add_role, prepare
from local.services.ec2.vpcs import AclRule, Vpc, other_side, peer
from tests.steps import arguments as given
from tests.steps.conftest import StepFailed

ELSEWHERE = "222222222222"
ROLE = f"arn:aws:iam::{ELSEWHERE}:role/aurora-kerberos-directory-account"
IDENTITY = Vpc(name="identity", cidrs=["10.1.0.0/16"])

STATUSES = getattr(
    botocore.session.get_session().get_service_model("ec2").shape_for("VpcPeeringConnectionStateReasonCode"), "enum", []
)
PASSING = {"initiating-request", "provisioning", "deleting"}
GONE = {"deleted", "expired"}
REFUSED = {"failed", "rejected"}


class Situation:
    """A cluster and a directory, and the step that is to connect them."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.progress: dict[str, Any] = {}

    def directory(self) -> Any:
        """moto's directory."""
        return self.cloud.directories.all()[0]

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """What the state machine would hand on."""
        rds, found = self.cloud.client("rds"), self.directory()
        cluster = rds.describe_db_clusters()["DBClusters"][0]
        (group,) = rds.describe_db_subnet_groups(DBSubnetGroupName=cluster["DBSubnetGroup"])["DBSubnetGroups"]
        away = found.account_id != HOME
        return {
            "cluster": given.cluster(
                port=cluster["Port"],
                vpc_id=group["VpcId"],
                subnet_ids=[subnet["SubnetIdentifier"] for subnet in group["Subnets"]],
                security_groups=[each["VpcSecurityGroupId"] for each in cluster["VpcSecurityGroups"]],
            ),
            "directory": given.directory(
                **{
                    "id": found.directory_id,
                    "vpc_id": found.vpc_settings["VpcId"],
                    "subnet_ids": found.vpc_settings["SubnetIds"],
                    "security_group": found.security_group_id,
                    "dns_ips": found.subnet_ips,
                    "owner_account": ELSEWHERE if away else "",
                    "role": ROLE if away else "",
                    **changes.pop("directory", {}),
                }
            ),
            "network": given.network(
                **{
                    "function_security_group": self.cloud.outputs["FunctionSecurityGroup"],
                    "function_vpc_id": self.cloud.vpc,
                    "function_subnet_ids": self.cloud.subnets,
                    "login": False,
                    **changes,
                }
            ),
            "progress": self.progress,
        }

    def invoke(self, function: str, **arguments: Any) -> dict[str, Any]:
        """A function of the template."""
        event = {"execution": f"arn:aws:states:eu-central-1:{HOME}:execution:machine:run", **arguments}
        failed, payload = self.cloud.functions.invoke(self.cloud.functions.name(function), json.dumps(event))
        answer: dict[str, Any] = json.loads(payload)
        if failed:
            raise StepFailed(answer["errorType"], answer["errorMessage"])
        return answer

    def look(self, **changes: Any) -> dict[str, Any]:
        """The step once."""
        answer = self.invoke("EnsureNetwork", **self.arguments(**changes))
        self.progress = {} if answer["ready"] else answer["outputs"]
        return answer

    def until_ready(self, **changes: Any) -> dict[str, Any]:
        """The step as often as it takes; its outputs."""
        for _ in range(10):
            answer = self.look(**changes)
            if answer["ready"]:
                outputs: dict[str, Any] = answer["outputs"]
                return outputs
            self.cloud.run(until=self.cloud.clock.now + answer["wait_seconds"])
        raise AssertionError(answer["reason"])

    def refused(self, error: str, **changes: Any) -> str:
        """The text it refuses with; nothing has been changed."""
        with pytest.raises(StepFailed) as failed:
            self.look(**changes)
        assert failed.value.error == error, failed.value.text
        assert self.changes() == []
        return failed.value.text

    def changes(self) -> list[Call]:
        """What the step has changed."""
        return [call for call in self.cloud.calls if call.function and call.changes and not call.error]

    def names(self) -> list[str]:
        """The operations of it."""
        return [call.operation for call in self.changes()]

    @contextmanager
    def furnished(self, name: str, **furniture: Any) -> Iterator[None]:
        """A VPC with routes or ACL rules of somebody's, for a while."""
        vpc, backend = self.cloud.networks.named(name).vpc, ec2_backends[HOME][self.cloud.region]
        routes = [table._routes for table in backend.route_tables.values() if table.vpc_id == vpc]
        rules = [acl.network_acl_entries for acl in backend.network_acls.values() if acl.vpc_id == vpc]
        before = [dict(each) for each in routes], [list(each) for each in rules]
        self.cloud.networks.furnish(Vpc(name=name, **furniture))
        self.cloud.calls.clear()
        yield
        for table, were in zip(routes, before[0], strict=True):
            table.clear()
            table.update(were)
        for acl, entries in zip(rules, before[1], strict=True):
            acl[:] = entries

    def peer(self, status: str = "active", message: str = "", asked_by_directory: bool = False) -> Any:
        """A peering that is there already."""
        sides = [self.cloud.networks.named("default"), self.cloud.networks.named("identity")]
        here, there = reversed(sides) if asked_by_directory else sides
        name = peer(self.cloud, here, there, status if status != "active" else "made")
        peering = ec2_backends[HOME][self.cloud.region].vpc_pcxs[name]
        peering._status.code, peering._status.message = status, message or status
        return peering


Make = Callable[..., Situation]


@pytest.fixture
def make() -> Iterator[Make]:
    """A cluster in the default VPC, a directory in another; as the test wants them."""
    with Cloud({"DirectoryAccountRole": ROLE, "NetworkVpcIds": "vpc-*"}) as cloud:

        def situation(
            vpcs: Sequence[Vpc] = (IDENTITY,), directory: dict[str, Any] | None = None, **cluster: Any
        ) -> Situation:
            named = {"dns_name": "corp.example.com", "stage": "Requested", "vpc": "identity", **(directory or {})}
            start = AtStart(
                vpcs=list(vpcs), directories=[Directory(**named)], clusters=[Cluster(id="orders", **cluster)]
            )
            prepare(cloud, start)
            return Situation(cloud)

        yield situation


# --- peering ----------------------------------------------------------------------------------------------------------


def test_no_status_of_aws_s_is_forgotten() -> None:
    assert {"active", "pending-acceptance"} | PASSING | GONE | REFUSED == set(STATUSES)


def test_a_peering_that_is_on_its_way_is_waited_for(make: Make) -> None:
    situation = make()
    peering = situation.peer()
    for peering._status.code in sorted(PASSING):
        answer = situation.look()
        assert not answer["ready"]
        assert answer["reason"] == f"VPC peering {peering.id} is {peering._status.code}"
    assert situation.changes() == []


@pytest.mark.parametrize("asked_by_directory", [False, True])
def test_a_peering_that_waits_for_it_is_accepted_whoever_asked(make: Make, asked_by_directory: bool) -> None:
    situation = make()
    peering = situation.peer("pending-acceptance", asked_by_directory=asked_by_directory)
    assert not situation.look()["ready"]
    assert situation.names() == ["AcceptVpcPeeringConnection"]
    assert situation.until_ready()["peering"] == peering.id
    assert "CreateVpcPeeringConnection" not in situation.names()


def test_a_peering_that_is_gone_is_requested_anew(make: Make) -> None:
    situation = make()
    old = {situation.peer(status).id for status in sorted(GONE)}
    outputs = situation.until_ready()
    assert outputs["peering"].startswith("pcx-")
    assert outputs["peering"] not in old
    assert outputs["opened"][0].startswith(f"VPC peering {outputs['peering']} between ")


def test_a_peering_that_was_refused_is_an_error_in_aws_s_words(make: Make) -> None:
    situation = make()
    peering = situation.peer("failed", "The moon is in the way")
    for peering._status.code in sorted(REFUSED):
        text = situation.refused("PeeringFailed")
        assert f"{peering.id} " in text
        assert f"is {peering._status.code}: The moon is in the way" in text


def test_an_active_peering_is_used_whatever_stands_beside_it(make: Make) -> None:
    situation = make()
    for status in sorted(GONE | REFUSED | PASSING | {"pending-acceptance"}):
        situation.peer(status)
    active = situation.peer("deleted", asked_by_directory=True)
    active._status.code = "active"
    assert situation.look()["outputs"]["peering"] == active.id


def test_a_request_is_tagged_and_named_in_the_outcome_though_it_was_made_polls_ago(make: Make) -> None:
    situation = make()
    outputs = situation.until_ready()
    (request,) = [call for call in situation.changes() if call.operation == "CreateVpcPeeringConnection"]
    assert request.parameters["TagSpecifications"] == [
        {"ResourceType": "vpc-peering-connection", "Tags": [{"Key": "managed-by", "Value": "aurora-kerberos"}]}
    ]
    assert [text.split()[0] for text in outputs["opened"]] == [
        "VPC",
        "route",
        "route",
        situation.directory().security_group_id,
    ]


def test_what_another_execution_does_meanwhile_is_no_error(make: Make) -> None:
    situation = make()
    faults = {
        "CreateVpcPeeringConnection": "VpcPeeringConnectionAlreadyExists",
        "AcceptVpcPeeringConnection": "InvalidStateTransition",
        "CreateRoute": "RouteAlreadyExists",
        "AuthorizeSecurityGroupIngress": "InvalidPermission.Duplicate",
    }
    situation.cloud.faults = Faults([Fault(call=f"ec2:{call}", error=error) for call, error in faults.items()])
    situation.until_ready()
    # AWS takes none of a call's rules when it has one of them already, so they are added one by one.
    assert situation.names().count("AuthorizeSecurityGroupIngress") == len(DIRECTORY_PORTS)
    assert situation.names().count("CreateRoute") == 1


@pytest.mark.parametrize(
    ("call", "code", "error", "named"),
    [
        ("CreateVpcPeeringConnection", "VpcPeeringConnectionLimitExceeded", "PeeringFailed", "Raise the quota"),
        ("CreateRoute", "RouteLimitExceeded", "NetworkBlocked", "has no room for 10.1.0.0/16 over pcx-"),
        (
            "AuthorizeSecurityGroupIngress",
            "RulesPerSecurityGroupLimitExceeded",
            "NetworkBlocked",
            "has no room for 15 more rules",
        ),
        ("CreateRoute", "UnauthorizedOperation", "AccessDenied", "CreateRoute"),
        ("CreateVpcPeeringConnection", "RequestLimitExceeded", "AwsUnavailable", "RequestLimitExceeded"),
        ("AcceptVpcPeeringConnection", "OperationNotPermitted", "AwsRefused", "OperationNotPermitted"),
    ],
)
def test_what_aws_refuses_is_named(make: Make, call: str, code: str, error: str, named: str) -> None:
    situation = make()
    situation.cloud.faults = Faults([Fault(call=f"ec2:{call}", error=code, times=9)])
    with pytest.raises(StepFailed, match=f"{error}(.|\n)*{named}"):
        situation.until_ready()


def test_a_group_not_yet_known_over_the_peering_is_waited_for_and_not_for_ever(make: Make) -> None:
    situation = make()
    situation.peer()
    fault = Fault(call="ec2:AuthorizeSecurityGroupIngress", error="InvalidGroup.NotFound", times=99)
    situation.cloud.faults = Faults([fault])
    answer = situation.look()
    assert "is not known over the peering yet" in answer["reason"]
    with pytest.raises(StepFailed, match=r"NetworkBlocked: AWS does not let sg-\S+ name sg-\S+ over the peering"):
        invoke_late(situation, answer["reason"])


def invoke_late(situation: Situation, reason: str) -> None:
    arguments = situation.arguments()
    situation.arguments = lambda **_: {**arguments, "polls": 30, "waiting_for": reason}  # type: ignore[method-assign]
    situation.look()


def test_dns_that_cannot_be_resolved_over_the_peering_stops_nothing_and_is_told(make: Make) -> None:
    situation = make()
    vpc = situation.cloud.networks.named("identity").vpc
    situation.cloud.client("ec2").modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    unchecked = situation.until_ready()["unchecked"]
    assert [text.split(":")[0] for text in unchecked] == [
        f"DNS resolution of {each} over the peering" for each in (situation.cloud.vpc, vpc)
    ]


# --- another account --------------------------------------------------------------------------------------------------


def test_a_directory_of_another_account_is_connected_from_both_accounts(make: Make) -> None:
    situation = make([Vpc(name="identity", account=ELSEWHERE, cidrs=["10.1.0.0/16"])], {"account": ELSEWHERE})
    outputs = situation.until_ready(login=True)
    done = [(call.operation, call.account, call.role) for call in situation.changes() if call.service == "ec2"]
    theirs = (ELSEWHERE, "aurora-kerberos-directory-account")
    assert done == [
        ("CreateVpcPeeringConnection", HOME, ""),
        ("AcceptVpcPeeringConnection", *theirs),
        ("ModifyVpcPeeringConnectionOptions", HOME, ""),
        ("ModifyVpcPeeringConnectionOptions", *theirs),
        ("CreateRoute", HOME, ""),
        ("CreateRoute", *theirs),
        ("AuthorizeSecurityGroupIngress", *theirs),
        ("AuthorizeSecurityGroupIngress", *theirs),
    ]
    assert outputs["unchecked"] == []
    request, *rules = [call for call in situation.changes() if "Peering" in call.operation or "Group" in call.operation]
    assert request.parameters["PeerOwnerId"] == ELSEWHERE
    pairs = [
        pair for call in rules for each in call.parameters.get("IpPermissions", []) for pair in each["UserIdGroupPairs"]
    ]
    assert {pair["UserId"] for pair in pairs} == {HOME}
    before = len(situation.changes())
    assert situation.look(login=True)["ready"]
    assert len(situation.changes()) == before


def test_a_peering_that_the_other_account_has_asked_for_is_accepted_in_this_one(make: Make) -> None:
    situation = make([Vpc(name="identity", account=ELSEWHERE, cidrs=["10.1.0.0/16"])], {"account": ELSEWHERE})
    peering = situation.peer("pending-acceptance", asked_by_directory=True)
    assert situation.until_ready()["peering"] == peering.id
    accepted = next(call for call in situation.changes() if call.operation == "AcceptVpcPeeringConnection")
    assert accepted.account == HOME


def test_only_the_own_side_is_looked_at_when_a_directory_was_shared_by_hand(make: Make) -> None:
    by_hand = {"10.0.0.0/8": "transit gateway"}
    other = Vpc(name="identity", account=ELSEWHERE, cidrs=["10.1.0.0/16"], route_table=False)
    situation = make([Vpc(name="default", routes=by_hand), other], {"account": ELSEWHERE, "lets_in": []})
    shared = {"role": "", "shared": True}
    outputs = situation.look(directory=shared)["outputs"]
    name = situation.directory().directory_id
    theirs = f"routes, network ACLs and security group of directory {name} in account {ELSEWHERE}"
    assert outputs["unchecked"] == [theirs]
    # AWS may leave out the owner's description, and with it all that could be looked for.
    unknown = {**shared, "vpc_id": "", "subnet_ids": [], "security_group": "", "dns_ips": []}
    assert situation.look(directory=unknown)["outputs"]["unchecked"] == [theirs]
    assert situation.changes() == []
    assert {call.account for call in situation.cloud.calls if call.function} == {HOME}


def test_what_the_own_side_lacks_is_an_error_when_a_directory_was_shared_by_hand(make: Make) -> None:
    other = Vpc(name="identity", account=ELSEWHERE, cidrs=["10.1.0.0/16"])
    situation = make([other], {"account": ELSEWHERE}, lets_out=[])
    text = situation.refused("NetworkBlocked", directory={"role": "", "shared": True})
    assert "has no route to 10.1." in text
    assert "of cluster orders has no egress rule for TCP 53, UDP 53" in text
    assert "DirectoryAccountRole" in text


# --- routes -----------------------------------------------------------------------------------------------------------


def routes_made(situation: Situation) -> list[tuple[str, str]]:
    return [
        (call.parameters["RouteTableId"], call.parameters["DestinationCidrBlock"])
        for call in situation.changes()
        if call.operation == "CreateRoute"
    ]


def own_table(situation: Situation, vpc: str, *subnets: str) -> str:
    """A route table that only some subnets have."""
    ec2 = situation.cloud.client("ec2")
    name: str = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    for subnet in subnets:
        ec2.associate_route_table(RouteTableId=name, SubnetId=subnet)
    situation.cloud.calls.clear()
    return name


def test_routes_are_made_in_the_tables_of_the_subnets_and_in_no_others(make: Make) -> None:
    situation = make()
    cloud = situation.cloud
    first = own_table(situation, cloud.vpc, cloud.subnets[0])
    identity = cloud.networks.named("identity")
    both = own_table(situation, identity.vpc, *identity.subnets)
    unused = own_table(situation, identity.vpc)
    situation.until_ready()
    tables = cloud.client("ec2").describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [cloud.vpc]}])
    (main,) = [t["RouteTableId"] for t in tables["RouteTables"] if any(a["Main"] for a in t["Associations"])]
    assert sorted(routes_made(situation)) == sorted(
        [(first, "10.1.0.0/16"), (main, "10.1.0.0/16"), (both, "172.31.0.0/16")]
    )
    assert unused not in dict(routes_made(situation))


def test_the_route_is_to_the_block_that_the_addresses_are_in(make: Make) -> None:
    situation = make([Vpc(name="identity", cidrs=["10.1.0.0/16", "10.7.0.0/16"])])
    situation.until_ready()
    assert {cidr for _, cidr in routes_made(situation)} == {"10.1.0.0/16", "172.31.0.0/16"}


def test_a_default_route_is_no_conflict_and_no_route(make: Make) -> None:
    situation = make([Vpc(name="default", routes={"0.0.0.0/0": "transit gateway"}), IDENTITY])
    situation.until_ready()
    assert len(routes_made(situation)) == 2


def test_routes_over_the_peering_that_are_there_already_are_left(make: Make) -> None:
    by_hand = [
        Vpc(name="default", routes={"10.1.0.0/17": "identity"}),
        Vpc(name="identity", cidrs=["10.1.0.0/16"], routes={"172.16.0.0/12": "default"}),
    ]
    situation = make(by_hand)
    assert situation.look()["ready"]
    assert routes_made(situation) == []


def test_a_route_that_leads_elsewhere_is_never_replaced(make: Make) -> None:
    situation = make([Vpc(name="third", cidrs=["10.3.0.0/16"]), IDENTITY])
    for cidr, target, named in (
        ("10.1.0.0/16", "transit gateway", "tgw-"),
        ("10.0.0.0/8", "transit gateway", "tgw-"),
        ("10.1.0.0/20", "internet", "igw-"),
        ("10.1.0.0/16", "deleted peering", "a blackhole, pcx-"),
        ("10.1.0.0/16", "third", "pcx-"),
    ):
        with situation.furnished("default", routes={cidr: target}):
            text = situation.refused("NetworkBlocked")
        assert f"of cluster orders: {cidr} goes to {named}" in text
        assert "route table rtb-" in text


def test_a_route_elsewhere_on_the_directory_s_side_is_refused_as_well(make: Make) -> None:
    situation = make([Vpc(name="identity", cidrs=["10.1.0.0/16"], routes={"172.31.16.0/20": "transit gateway"})])
    text = situation.refused("NetworkBlocked")
    assert f"of directory {situation.directory().directory_id}: 172.31.16.0/20 goes to tgw-" in text


def test_a_route_to_a_prefix_list_is_one_to_its_cidrs(make: Make) -> None:
    situation = make([Vpc(name="default", routes={"10.8.0.0/16": "transit gateway"}), IDENTITY])
    ec2 = situation.cloud.client("ec2")
    (entry,) = other_side(ec2, "list:10.1.0.0/16")["PrefixListIds"]
    backend = ec2_backends[HOME][situation.cloud.region]
    (table,) = [table for table in backend.route_tables.values() if table.vpc_id == situation.cloud.vpc]
    gateway = next(iter(backend.transit_gateways))
    ec2.create_route(RouteTableId=table.id, DestinationPrefixListId=entry["PrefixListId"], TransitGatewayId=gateway)
    assert "10.1.0.0/16 goes to tgw-" in situation.refused("NetworkBlocked")


def test_the_prefix_list_of_a_gateway_endpoint_is_not_asked_for(make: Make) -> None:
    situation = make()
    situation.peer("provisioning")
    ec2 = situation.cloud.client("ec2")
    (entry,) = other_side(ec2, "list:10.1.0.0/16")["PrefixListIds"]
    (table,) = [t for t in ec2.describe_route_tables()["RouteTables"] if t["VpcId"] == situation.cloud.vpc]
    backend = ec2_backends[HOME][situation.cloud.region]
    made = backend.create_route(table["RouteTableId"], None, destination_prefix_list_id=entry["PrefixListId"])
    made.vpc_endpoint_id = "vpce-0123456789abcdef0"
    assert "is provisioning" in situation.look()["reason"]


@pytest.mark.parametrize("cidrs", [["172.31.0.0/16"], ["10.1.0.0/16", "172.31.240.0/20"]])
def test_vpcs_that_share_addresses_are_refused_by_both_names(make: Make, cidrs: list[str]) -> None:
    situation = make([Vpc(name="identity", cidrs=cidrs)])
    text = situation.refused("NetworkOverlaps")
    assert situation.cloud.vpc in text
    assert situation.cloud.networks.named("identity").vpc in text
    assert f"172.31.0.0/16 overlaps {cidrs[-1]}" in text


def test_a_subnet_without_a_route_table_is_named(make: Make) -> None:
    situation = make([Vpc(name="identity", cidrs=["10.1.0.0/16"], route_table=False)])
    assert situation.cloud.networks.named("identity").subnets[1] in situation.refused("NetworkBlocked")


# --- network ACLs -----------------------------------------------------------------------------------------------------


def deny(direction: Any, ports: str, protocol: Any = "tcp", number: int = 90, cidr: str = "0.0.0.0/0") -> AclRule:
    return AclRule(number=number, direction=direction, protocol=protocol, ports=ports, cidr=cidr)


IN_THE_WAY = (
    ("identity", deny("in", "389"), "denies what goes in from cluster orders: TCP 389 (rule 90)"),
    ("identity", deny("in", "53", "udp"), "denies what goes in from cluster orders: UDP 53 (rule 90)"),
    ("identity", deny("in", "60000"), "denies what goes in from cluster orders: TCP 49152-65535 (rule 90)"),
    ("identity", deny("out", "61000"), "denies what goes out to cluster orders: TCP 32768-61000 (rule 90)"),
    ("identity", deny("in", "0-65535", "all", 99, "172.31.40.0/24"), "from cluster orders: TCP 53"),
    ("default", deny("out", "88"), "of cluster orders denies what goes out to directory d-"),
    ("default", deny("in", "40000", "udp"), "of cluster orders denies what goes in from directory d-"),
)
NOT_IN_THE_WAY = (
    [deny("in", "389", number=200)],  # the rule before it allows all
    [deny("in", "1433")],
    [deny("in", "389", cidr="10.9.0.0/16")],
    [AclRule(number=80, action="allow", cidr="172.31.0.0/16"), deny("in", "389")],
    [deny("out", "1-1023")],
)


def test_a_network_acl_in_the_way_is_named_in_either_direction(make: Make) -> None:
    situation = make()
    for vpc, rule, named in IN_THE_WAY:
        with situation.furnished(vpc, acl=[rule]):
            text = situation.refused("NetworkBlocked")
        assert named in text
        assert "network ACL acl-" in text


def test_a_network_acl_that_is_not_in_the_way_is_no_obstacle(make: Make) -> None:
    situation = make()
    situation.peer("provisioning")
    for acl in NOT_IN_THE_WAY:
        with situation.furnished("identity", acl=acl):
            assert "is provisioning" in situation.look()["reason"], acl


def test_answers_come_back_to_more_ports_of_lambda_s_than_of_linux_s(make: Make) -> None:
    situation = make()
    situation.peer("provisioning")
    with situation.furnished("default", acl=[deny("in", "2000")]):
        assert not situation.look()["ready"]
        text = situation.refused("NetworkBlocked", login=True)
    assert "of this stack's functions denies what goes in from directory d-" in text
    assert "TCP 1024-65535 (rule 90)" in text


def test_within_a_vpc_acls_stand_between_subnets_and_not_within_one(make: Make) -> None:
    situation = make([Vpc(name="default", acl=[deny("in", "88")])], {"vpc": "default"})
    assert "denies what goes in from cluster orders: TCP 88" in situation.refused("NetworkBlocked")
    one = situation.arguments()["directory"]["subnet_ids"][:1]
    arguments = situation.arguments(directory={"subnet_ids": one, "dns_ips": situation.directory().subnet_ips[:1]})
    arguments["cluster"]["subnet_ids"] = one
    situation.arguments = lambda **_: arguments  # type: ignore[method-assign]
    assert situation.look()["ready"]


# --- security groups --------------------------------------------------------------------------------------------------


def rules_made(situation: Situation) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (call.operation.removeprefix("AuthorizeSecurityGroup"), call.parameters["GroupId"], permission)
        for call in situation.changes()
        if call.operation.startswith("Authorize")
        for permission in call.parameters["IpPermissions"]
    ]


def test_exactly_the_documented_ports_are_opened_for_the_named_groups_alone(make: Make) -> None:
    situation = make(lets_out=[])
    situation.until_ready(login=True)
    arguments = situation.arguments()
    cluster, directory = arguments["cluster"]["security_groups"][0], arguments["directory"]["security_group"]
    functions = arguments["network"]["function_security_group"]
    documented = {
        *((protocol, port, port) for port in (53, 88, 389, 464) for protocol in ("tcp", "udp")),
        *(("tcp", port, port) for port in (135, 445, 636, 9389)),
        ("tcp", 3268, 3269),
        ("tcp", 49152, 65535),
        ("udp", 123, 123),
    }
    opened: dict[tuple[str, str, str], set[tuple[str, int, int]]] = {}
    for direction, group, permission in rules_made(situation):
        assert set(permission) == {"IpProtocol", "FromPort", "ToPort", "UserIdGroupPairs"}  # no CIDR anywhere
        (pair,) = permission["UserIdGroupPairs"]
        assert pair["Description"] == "aurora-kerberos"
        assert "UserId" not in pair
        ports = (permission["IpProtocol"], permission["FromPort"], permission["ToPort"])
        opened.setdefault((direction, group, pair["GroupId"]), set()).add(ports)
    assert opened == {
        ("Egress", cluster, directory): documented,
        ("Ingress", directory, cluster): documented,
        ("Ingress", directory, functions): {("tcp", 88, 88)},
    }


def test_within_one_vpc_nothing_is_made_for_what_aws_opens_itself(make: Make) -> None:
    situation = make([], {"vpc": "default"})
    outputs = situation.look(login=True)["outputs"]
    assert outputs == {"opened": [], "unchecked": [], "peering": ""}
    assert situation.changes() == []
    assert "DescribeRouteTables" not in [call.operation for call in situation.cloud.calls]


def test_only_what_is_missing_is_added(make: Make) -> None:
    situation = make(directory={"lets_in": []})
    situation.peer()
    ec2 = situation.cloud.client("ec2")
    group, cluster = situation.directory().security_group_id, situation.arguments()["cluster"]["security_groups"][0]
    present: list[dict[str, Any]] = [
        {"IpProtocol": "tcp", "FromPort": 50, "ToPort": 500, "IpRanges": [{"CidrIp": "172.16.0.0/12"}]},
        {"IpProtocol": "udp", "FromPort": 0, "ToPort": 65535, "UserIdGroupPairs": [{"GroupId": cluster}]},
        # Two rules that hold all of a range only together, one that holds half of the addresses, one port short of all.
        {"IpProtocol": "tcp", "FromPort": 49152, "ToPort": 60000, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]},
        {"IpProtocol": "tcp", "FromPort": 60001, "ToPort": 65535, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]},
        {"IpProtocol": "tcp", "FromPort": 636, "ToPort": 636, "IpRanges": [{"CidrIp": "172.31.0.0/19"}]},
        {"IpProtocol": "tcp", "FromPort": 3268, "ToPort": 3268, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]},
    ]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=present)
    situation.cloud.calls.clear()
    situation.until_ready()
    added = {(p["IpProtocol"], p["FromPort"], p["ToPort"]) for _, _, p in rules_made(situation)}
    assert added == {("tcp", 636, 636), ("tcp", 3268, 3269), ("tcp", 9389, 9389)}


def test_functions_that_try_no_login_are_not_let_in(make: Make) -> None:
    situation = make()
    situation.until_ready(login=False)
    functions = situation.cloud.outputs["FunctionSecurityGroup"]
    assert functions not in str(rules_made(situation))


def test_functions_in_a_third_vpc_are_peered_with_the_directory_s(make: Make) -> None:
    situation = make([IDENTITY, Vpc(name="data", cidrs=["10.2.0.0/16"])], vpc="data")
    outputs = situation.until_ready(login=True)
    assert situation.names().count("CreateVpcPeeringConnection") == 2
    assert sum(text.startswith("VPC peering ") for text in outputs["opened"]) == 2
    first = next(text for text in outputs["opened"] if text.startswith("VPC peering "))
    assert outputs["peering"] == first.split()[2]


def test_a_second_look_changes_nothing(make: Make) -> None:
    situation = make(lets_out=[])
    situation.until_ready(login=True)
    situation.cloud.calls.clear()
    outputs = situation.look(login=True)["outputs"]
    assert outputs["opened"] == []
    assert outputs["peering"].startswith("pcx-")
    assert situation.changes() == []


# --- existing ---------------------------------------------------------------------------------------------------------


def test_an_existing_network_that_is_ready_is_left_alone(make: Make) -> None:
    by_hand = [
        Vpc(name="default", routes={"10.0.0.0/8": "transit gateway"}),
        Vpc(name="identity", cidrs=["10.1.0.0/16"], routes={"172.31.0.0/16": "transit gateway"}),
    ]
    situation = make(by_hand, {"lets_in": ["172.31.0.0/16"]})
    assert situation.look(mode="existing", login=True)["outputs"] == {"opened": [], "unchecked": [], "peering": ""}
    assert situation.changes() == []


def test_all_that_an_existing_network_lacks_is_one_error(make: Make) -> None:
    vpcs = [
        Vpc(name="default", routes={"0.0.0.0/0": "internet"}),
        Vpc(
            name="identity", cidrs=["10.1.0.0/16"], acl=[deny("in", "464")], routes={"172.31.0.0/16": "deleted peering"}
        ),
    ]
    situation = make(vpcs, {"lets_in": ["172.31.0.0/20"]}, lets_out=["10.1.0.0/24"])
    text = situation.refused("NetworkBlocked", mode="existing", login=True)
    for part in (
        "in from cluster orders: TCP 464 (rule 90)",
        "of cluster orders has no route to 10.1.",
        "0.0.0.0/0 goes to igw-",
        "172.31.0.0/20: 172.31.0.0/16 goes to a blackhole, pcx-",
        "of cluster orders has no egress rule for TCP 53",
        "has no ingress rule for TCP 88 from this stack's functions",
        "has no ingress rule for TCP 53, UDP 53, TCP 88",
        "Network to managed",
    ):
        assert part in text, part


def test_a_longer_route_into_nothing_is_found_beside_one_that_leads_there(make: Make) -> None:
    vpcs = [
        Vpc(name="default", routes={"10.1.0.0/16": "identity"}),
        Vpc(name="identity", cidrs=["10.1.0.0/16"], routes={"172.31.0.0/16": "default", "172.31.1.0/24": "internet"}),
    ]
    situation = make(vpcs, {"lets_in": ["172.31.0.0/16"]})
    text = situation.refused("NetworkBlocked", mode="existing")
    assert "has no route to 172.31.0.0/20: 172.31.1.0/24 goes to igw-" in text
    assert text.count("has no route") == 1


def test_the_arguments_are_those_of_the_steps_before(make: Make) -> None:
    """The other tests make up their arguments."""
    situation = make()
    situation.directory().stage = "Active"
    add_role(situation.cloud, "aurora-kerberos-directory-access", Role())
    made_up = situation.arguments()
    plan = situation.invoke("ValidateRequest", request={"cluster": "orders"})["outputs"]["plan"]
    same(made_up["cluster"], plan["cluster"], "id", "port", "vpc_id", "subnet_ids", "security_groups")
    assert made_up["network"] == plan["network"]
    directory = {**plan["directory"], "role": ""}
    found = situation.invoke("EnsureDirectory", directory=directory)["outputs"]
    looked_at = ("id", "vpc_id", "subnet_ids", "security_group", "dns_ips", "owner_account", "role", "shared")
    same(made_up["directory"], found, *looked_at)


def same(made_up: Mapping[str, Any], true: Mapping[str, Any], *looked_at: str) -> None:
    """The same fields, with the same values where a step looks."""
    assert made_up.keys() == true.keys()
    assert [made_up[name] for name in looked_at] == [true[name] for name in looked_at]
