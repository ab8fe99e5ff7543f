"""The local cloud in several accounts and Regions: what AWS keeps apart, it keeps apart."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.core import places
from local.core.calls import Call, calling
from local.core.places import HOME, Place
from local.scenario.expectations import registry_item
from local.scenario.format import AtStart, Scenario, Tag
from local.scenario.happenings import happen
from local.scenario.login import login
from local.scenario.prepare import prepare
from local.scenario.run import rehearse
from local.services import organizations
from local.services.iam import policies
from local.services.organizations import Organization
from local.services.rds.backend import cluster_of

FAR = "222222222222"
PLACES = [Place(account, region) for account in (HOME.account, FAR) for region in (HOME.region, "eu-west-1")]
ELSEWHERE = f"{FAR}/eu-west-1"
ALICE = "alice@CORP.EXAMPLE.COM"
CHECK = "aurora-kerberos/kerberos-check"
TRUSTS_HOME = {
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{HOME.account}:root"},
    "Action": "sts:AssumeRole",
    "Condition": {"StringEquals": {"sts:ExternalId": "the-right-one"}},
}


def four_places(**more: Any) -> Any:
    """A cluster `orders` and a directory of the same name in each of two accounts and Regions, each with its stack."""
    everywhere = [place._asdict() for place in PLACES]
    names = [places.written("", place) or "" for place in PLACES]
    return {
        "members": [
            {"account": HOME.account, "regions": ["eu-west-1"]},
            {"account": FAR, "regions": [HOME.region, "eu-west-1"]},
        ],
        "clusters": [{"id": "orders", **each} for each in everywhere],
        "directories": [
            {"dns_name": "corp.example.com", "users": ["alice", "kerberos-check"], **each} for each in everywhere
        ],
        "keytabs": {f"{name}{CHECK}": "kerberos-check@CORP.EXAMPLE.COM" for name in names},
        "parameters": {f"{name.rstrip('/')}/aurora-kerberos/principals/orders": ["alice"] for name in names},
        **more,
    }


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud({"CheckSecret": CHECK}) as running:
        prepare(running, AtStart.model_validate(four_places()))
        yield running


def refused(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    code: str = raised.value.response["Error"]["Code"]
    return code


def memberships(cloud: Cloud) -> dict[Place, str]:
    """The status of the membership of `orders` in each place; empty when there is none."""
    found = {}
    for place in PLACES:
        with places.at(place):
            members = cluster_of(cloud, "orders").domain_memberships
        found[place] = members[0].status if members else ""
    return found


def test_a_tag_in_one_account_and_region_starts_its_own_state_machine_alone(cloud: Cloud) -> None:
    happen(cloud, Tag.model_validate({"tag": f"{ELSEWHERE}/orders", "with": {"kerberos": "enabled"}}))
    cloud.run()
    (execution,) = cloud.executions.values()
    assert execution.arn.startswith(f"arn:aws:states:eu-west-1:{FAR}:execution:aurora-kerberos-cluster:")
    assert execution.name == f"{ELSEWHERE}/run-1"
    assert (execution.status, execution.error) == ("SUCCEEDED", "")
    assert {place: status for place, status in memberships(cloud).items() if status} == {
        Place(FAR, "eu-west-1"): "kerberos-enabled"
    }
    recorded = [registry_item(cloud, places.written("orders", place)) for place in PLACES]
    assert [item.get("outcome", "") for item in recorded] == ["", "", "", "enabled"]
    assert recorded[3]["arn"] == f"arn:aws:rds:eu-west-1:{FAR}:cluster:orders"
    made = [call for call in cloud.calls if call.function]
    assert {call.place for call in made} == {Place(FAR, "eu-west-1")}
    assert {call.execution for call in made} == {execution.name}


def test_a_ticket_of_one_directory_is_none_for_a_cluster_of_another(cloud: Cloud) -> None:
    for place in PLACES[1:3]:
        with places.at(place):
            cloud.start({"cluster": "orders"})
    cloud.run()
    one, other = (places.written("orders", place) for place in PLACES[1:3])
    done = login(cloud, one, ALICE)
    assert (done.error, done.principal, done.gss_authenticated) == ("", ALICE, True)
    assert login(cloud, other, ALICE).ok
    # With the domain controllers of the other account, which have the same realm, it gets no ticket that is good here.
    found = {}
    for place in PLACES[1:3]:
        with places.at(place):
            found[place] = cloud.directories.find("corp.example.com").directory_id
            assert cloud.directories.client_conf().count("CORP.EXAMPLE.COM") == 1
    kdcs = cloud.directories._kdcs
    first, second = (found[place] for place in PLACES[1:3])
    kdcs[first], kdcs[second] = kdcs[second], kdcs[first]
    assert "not found in Kerberos database" in login(cloud, one, ALICE).error


def test_functions_see_what_is_in_their_account_and_region_alone(cloud: Cloud) -> None:
    rds_there = cloud.client("rds", FAR, "eu-west-1")
    rds_there.delete_db_instance(DBInstanceIdentifier="orders-2")
    for place in PLACES:
        clusters = cloud.client("rds", *place).describe_db_clusters()["DBClusters"]
        assert [cluster["DBClusterArn"] for cluster in clusters] == [
            f"arn:aws:rds:{place.region}:{place.account}:cluster:orders"
        ]
        instances = cloud.client("rds", *place).describe_db_instances()["DBInstances"]
        assert len(instances) == (1 if place == Place(FAR, "eu-west-1") else 2)
    # What is told of another account's cluster, a function does not find, nor may it look for it.
    with places.at(PLACES[2]):
        execution = cloud.executions[cloud.start({"cluster": f"arn:aws:rds:eu-west-1:{FAR}:cluster:orders"})]
    cloud.run()
    assert (execution.status, execution.error) == ("FAILED", "InvalidRequest")
    assert "of another account or Region" in execution.cause
    there = cloud.cluster_arn(f"{ELSEWHERE}/orders")
    tag = {"ResourceName": there, "Tags": [{"Key": "kerberos", "Value": "enabled"}]}
    assert refused(cloud.client("rds").add_tags_to_resource, **tag) == "DBClusterNotFoundFault"


def test_the_role_of_a_function_is_that_of_its_own_stack(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "function", "LeaveDomain", raising=False)
    monkeypatch.setattr(calling, "place", PLACES[2], raising=False)
    asked = {"DBClusterIdentifier": "orders"}
    assert cloud.client("rds", *PLACES[2]).describe_db_clusters(**asked)["DBClusters"]
    # The same account in another Region, and the policy does not let it.
    assert refused(cloud.client("rds", *PLACES[3]).describe_db_clusters, **asked) == "AccessDenied"


def test_what_happens_later_happens_where_it_was_asked_for(cloud: Cloud) -> None:
    there = cloud.client("rds", FAR, "eu-west-1")
    there.reboot_db_instance(DBInstanceIdentifier="orders-1")
    cloud.run()
    source = {"SourceIdentifier": "orders-1", "SourceType": "db-instance"}
    events = {place: len(cloud.client("rds", *place).describe_events(**source)["Events"]) for place in PLACES}
    assert {place for place, number in events.items() if number} == {Place(FAR, "eu-west-1")}


def test_a_role_is_assumed_with_the_external_id_it_asks_for(cloud: Cloud) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": [TRUSTS_HOME]})
    arn = cloud.client("iam", FAR).create_role(RoleName="member", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    sts = cloud.client("sts")
    named = {"RoleArn": arn, "RoleSessionName": "test"}
    assert refused(sts.assume_role, **named) == "AccessDenied"
    assert refused(sts.assume_role, **named, ExternalId="a-wrong-one") == "AccessDenied"
    assert sts.assume_role(**named, ExternalId="the-right-one")["Credentials"]
    third = cloud.client("sts", "333333333333")
    assert refused(third.assume_role, **named, ExternalId="the-right-one") == "AccessDenied"
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**TRUSTS_HOME, "Principal": {"AWS": FAR}}]})
    assert cloud.client("iam").create_role(RoleName="member", AssumeRolePolicyDocument=policy)
    back = {**named, "RoleArn": f"arn:aws:iam::{HOME.account}:role/member"}
    assert cloud.client("sts", FAR).assume_role(**back, ExternalId="the-right-one")["Credentials"]


def test_a_condition_may_be_about_all_tags_of_a_call() -> None:
    rule = {"ForAllValues:StringEquals": {"aws:TagKeys": ["kerberos", "kerberos-rollout"]}}
    assert policies.conditions_hold(rule, {"aws:TagKeys": ["kerberos"]})
    assert policies.conditions_hold(rule, {"aws:TagKeys": []})
    assert not policies.conditions_hold(rule, {"aws:TagKeys": ["kerberos", "owner"]})


def test_an_organization_is_what_the_scenario_says(cloud: Cloud) -> None:
    described = Organization(
        management="111111111111",
        units={"Workloads": [FAR], "Workloads/Test": ["444444444444"], "Sandbox": []},
        suspended=["555555555555"],
        administrators=[HOME.account],
        names={FAR: "orders"},
    )
    organizations.establish(cloud, described, [HOME.account])
    for account in ("111111111111", HOME.account):
        client = cloud.client("organizations", account)
        accounts = {each["Id"]: each for each in client.list_accounts()["Accounts"]}
        assert set(accounts) == {"111111111111", HOME.account, FAR, "444444444444", "555555555555"}
        assert accounts[FAR]["Name"] == "orders"
        assert [each for each in accounts if accounts[each]["Status"] != "ACTIVE"] == ["555555555555"]
        (root,) = client.list_roots()["Roots"]
        units = client.list_organizational_units_for_parent(ParentId=root["Id"])["OrganizationalUnits"]
        assert {unit["Name"] for unit in units} == {"Workloads", "Sandbox"}
        (workloads,) = [unit["Id"] for unit in units if unit["Name"] == "Workloads"]
        assert cloud.named["Workloads"] == workloads  # `$Workloads` in an input
        there = client.list_accounts_for_parent(ParentId=workloads)["Accounts"]
        assert [each["Id"] for each in there] == [FAR]
        children = client.list_children(ParentId=workloads, ChildType="ORGANIZATIONAL_UNIT")["Children"]
        inner = client.list_accounts_for_parent(ParentId=children[0]["Id"])["Accounts"]
        assert [each["Id"] for each in inner] == ["444444444444"]
    assert refused(cloud.client("organizations", FAR).list_accounts) == "AccessDeniedException"


def test_a_closed_account_lets_nobody_in(cloud: Cloud) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": [TRUSTS_HOME]})
    arn = cloud.client("iam", FAR).create_role(RoleName="member", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    organizations.establish(cloud, Organization(management=HOME.account, suspended=[FAR]))
    asked = {"RoleArn": arn, "RoleSessionName": "test", "ExternalId": "the-right-one"}
    assert refused(cloud.client("sts").assume_role, **asked) == "AccessDenied"


def test_a_role_may_be_for_the_organization(cloud: Cloud) -> None:
    organizations.establish(cloud, Organization(management=HOME.account, units={"Workloads": [FAR]}))
    ours = cloud.client("organizations").describe_organization()["Organization"]["Id"]
    condition = {"StringEquals": {"aws:PrincipalOrgID": ours}}
    statement = {**TRUSTS_HOME, "Principal": {"AWS": "*"}, "Condition": condition}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = cloud.client("iam").create_role(RoleName="for-us", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    asked = {"RoleArn": arn, "RoleSessionName": "test"}
    assert cloud.client("sts", FAR).assume_role(**asked)["Credentials"]
    assert refused(cloud.client("sts", "333333333333").assume_role, **asked) == "AccessDenied"


def test_there_is_one_stack_in_an_account_and_region(cloud: Cloud) -> None:
    with pytest.raises(ValueError, match=f"a stack in {FAR} in eu-west-1 already"):
        cloud.deploy(FAR, "eu-west-1")


def test_a_scenario_names_what_is_elsewhere() -> None:
    orders = f"{ELSEWHERE}/orders"
    wanted = {
        "scenario": "Two of the same name",
        "settings": {"CheckSecret": CHECK},
        "schedules": True,
        "cloud": four_places(organization={"management": HOME.account, "units": {"Workloads": [FAR]}}),
        "happens": [
            {"tag": orders, "with": {"kerberos": "enabled"}},
            {"start": {"cluster": "orders"}, "account": FAR},
            {"wait": 600},
            {"restart": [f"{FAR}/eu-central-1/orders-2"]},
            {"stop": 2},
            {"wait": 60},
            {"redrive": 2},
            {"wait": "quiet"},
            {"create_users": ["bob"], "directory": f"{ELSEWHERE}/corp.example.com"},
            {"set_parameter": f"{ELSEWHERE}/aurora-kerberos/principals/orders", "to": ["alice", "bob"]},
            {"wait": 7200},
        ],
        "expect": {
            "registry": {orders: {"outcome": "enabled"}, f"{FAR}/eu-central-1/orders": {"outcome": "enabled"}},
            "tags": {orders: {"kerberos-status": "enabled"}, "orders": {"kerberos-status": None}},
            "memberships": {
                orders: "kerberos-enabled",
                "orders": "none",
                f"{FAR}/eu-central-1/orders": "kerberos-enabled",
            },
            "logins": [
                {"cluster": orders, "principal": ALICE},
                {"cluster": orders, "principal": "bob@CORP.EXAMPLE.COM"},
                {"cluster": f"{FAR}/eu-central-1/orders", "principal": "bob@CORP.EXAMPLE.COM", "refused": "not a user"},
            ],
        },
    }
    result = rehearse(Scenario.model_validate(wanted))
    assert [f"{check.check}, but is {check.got}" for check in result.checks if not check.passed] == []
    regions = [call.region for call in result.calls if call.function == "SweepClusters"]
    assert set(regions) == {"eu-central-1", "eu-west-1"}
    assert not result.leaked


def test_the_same_name_in_two_places_is_two_executions(cloud: Cloud) -> None:
    for place in PLACES:
        client = cloud.client("stepfunctions", *place)
        machine = cloud.deployed[place].outputs["StateMachine"]
        client.start_execution(stateMachineArn=machine, name="same", input='{"cluster": "nobody"}')
    cloud.run()
    assert list(cloud.executions) == [places.written("same", place) for place in PLACES]
    assert {each.error for each in cloud.executions.values()} == {"ClusterNotFound"}
    for one, other in itertools.combinations(PLACES, 2):
        listed = cloud.client("stepfunctions", *one).describe_execution
        assert refused(listed, executionArn=cloud.executions[places.written("same", other)].arn)


def test_home_is_where_nothing_else_is_said(cloud: Cloud) -> None:
    cloud.client("rds").describe_db_clusters()
    assert cloud.calls[-1] == Call("", "rds", "DescribeDBClusters", {}, "", (), "", by=cloud.calls[-1].by)
    assert (cloud.account, cloud.region) == HOME
