"""The local cloud is ours too: where it is kinder than AWS, it is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from local import deployment
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.format import AtStart, Cluster, Directory, Membership, Role, read
from local.scenario.prepare import create_users, prepare
from local.scenario.run import rehearse

ROLE = "aurora-kerberos-directory-access"
SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        start = AtStart(
            clusters=[Cluster(id="orders")], directories=[Directory(dns_name="corp.example.com")], roles={ROLE: Role()}
        )
        prepare(running, start)
        yield running


def refused(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    code: str = raised.value.response["Error"]["Code"]
    return code


def directory_id(cloud: Cloud) -> str:
    found: str = cloud.directories.find("corp.example.com").directory_id
    return found


def test_joining_is_refused_in_aws_s_own_codes(cloud: Cloud) -> None:
    modify = cloud.client("rds").modify_db_cluster
    directory = directory_id(cloud)
    good = {"DBClusterIdentifier": "orders", "Domain": directory, "DomainIAMRoleName": ROLE}
    assert refused(modify, **{**good, "DBClusterIdentifier": "nobody"}) == "DBClusterNotFoundFault"
    assert refused(modify, **{**good, "Domain": "d-0000000000"}) == "DomainNotFoundFault"
    assert refused(modify, **{**good, "DomainIAMRoleName": "nobody"}) == "InvalidParameterCombination"
    cloud.client("iam").create_role(RoleName="new", AssumeRolePolicyDocument="{}")
    assert refused(modify, **{**good, "DomainIAMRoleName": "new"}) == "InvalidParameterCombination"
    modify(**good, ApplyImmediately=True)
    assert refused(modify, **good) == "InvalidDBClusterStateFault"


def test_parameters_are_validated_by_botocore_s_models(cloud: Cloud) -> None:
    with pytest.raises(ParamValidationError, match="ApplyImmediatly"):
        cloud.client("rds").modify_db_cluster(DBClusterIdentifier="orders", ApplyImmediatly=True)


def test_a_membership_takes_its_time_and_shows_on_every_instance(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    rds.modify_db_cluster(
        DBClusterIdentifier="orders", Domain=directory_id(cloud), DomainIAMRoleName=ROLE, ApplyImmediately=True
    )

    def shown() -> tuple[str, set[str]]:
        cluster = rds.describe_db_clusters(DBClusterIdentifier="orders")["DBClusters"][0]
        instances = rds.describe_db_instances()["DBInstances"]
        members = [cluster, *instances]
        return cluster["Status"], {member["DomainMemberships"][0]["Status"] for member in members}

    assert shown() == ("modifying", {"enabling-kerberos"})
    cloud.run(until=61)
    assert shown() == ("available", {"enabling-kerberos"})  # where Terraform and others stop
    cloud.run()
    assert shown() == ("available", {"kerberos-enabled"})


def test_an_instance_restarts_only_when_it_is_available_and_its_event_comes_late(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    assert refused(rds.reboot_db_instance, DBInstanceIdentifier="nobody") == "DBInstanceNotFound"
    rds.reboot_db_instance(DBInstanceIdentifier="orders-1")
    assert refused(rds.reboot_db_instance, DBInstanceIdentifier="orders-1") == "InvalidDBInstanceState"
    cloud.run(until=cloud.takes.restart)
    source = {"SourceIdentifier": "orders-1", "SourceType": "db-instance"}
    assert rds.describe_events(**source)["Events"] == []
    cloud.run()
    assert [event["Message"] for event in rds.describe_events(**source)["Events"]] == ["DB instance restarted"]
    cloud.run(until=cloud.clock.now + 7200)
    assert rds.describe_events(**source)["Events"] == []  # an hour, when nothing else is said
    assert len(rds.describe_events(**source, Duration=180)["Events"]) == 1
    assert refused(rds.describe_events, SourceIdentifier="orders-1") == "InvalidParameterCombination"


def test_tags_take_only_what_aws_takes(cloud: Cloud) -> None:
    add = cloud.client("rds").add_tags_to_resource
    arn = cloud.cluster_arn("orders")
    assert refused(add, ResourceName=arn, Tags=[{"Key": "k", "Value": "a, b"}]) == "InvalidParameterValue"
    assert refused(add, ResourceName=arn, Tags=[{"Key": "k", "Value": "x" * 257}]) == "InvalidParameterValue"
    nobody = cloud.cluster_arn("nobody")
    assert refused(add, ResourceName=nobody, Tags=[{"Key": "k", "Value": "v"}]) == "DBClusterNotFoundFault"


@pytest.mark.parametrize("password", ["short1A", "alllowercase", "Contains-Admin-7"])
def test_a_directory_wants_a_good_password(cloud: Cloud, password: str) -> None:
    create = cloud.client("ds").create_microsoft_ad
    vpc = {"VpcId": cloud.vpc, "SubnetIds": cloud.subnets[:2]}
    code = refused(create, Name="new.example.com", Password=password, Edition="Standard", VpcSettings=vpc)
    assert code in {"InvalidParameterException", "ValidationException"}


def test_a_notification_s_subject_is_one_line(cloud: Cloud) -> None:
    publish = cloud.client("sns").publish
    for subject in ("two\nlines", "x" * 101, "ünïcode", ""):
        assert refused(publish, TopicArn=cloud.outputs["Notifications"], Subject=subject, Message="x") in (
            "InvalidParameter",
        )


def test_a_fault_strikes_as_often_as_it_was_asked_to(cloud: Cloud) -> None:
    cloud.faults = Faults([Fault(call="rds:DescribeDBClusters", error="Throttling", times=2, after=1)])
    describe = cloud.client("rds").describe_db_clusters
    describe()
    assert [refused(describe), refused(describe)] == ["Throttling", "Throttling"]
    assert len(describe()["DBClusters"]) == 1


def test_a_function_may_call_only_what_its_role_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    template = deployment.expanded()
    monkeypatch.setattr(
        deployment, "expanded", lambda: template.replace('"rds:ModifyDBCluster"', '"rds:ModifyDBInstance"')
    )
    result = rehearse(read(SCENARIOS / "existing-directory.yaml"))
    (execution,) = result.executions
    assert execution.error == "AccessDenied"
    assert "rds:ModifyDBCluster" in execution.cause
    assert not result.passed


def test_a_function_may_call_it_only_on_its_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    template = deployment.expanded()
    assert ":secret:rds!cluster-*" in template
    monkeypatch.setattr(deployment, "expanded", lambda: template.replace(":secret:rds!cluster-*", ":secret:other-*"))
    result = rehearse(read(SCENARIOS / "existing-directory.yaml"))
    assert [execution.error for execution in result.executions] == ["AccessDenied"]


def test_an_unknown_happening_or_field_is_a_mistake_in_the_scenario(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("scenario: x\nhappens: [{explode: orders}]\nexpect: {}\n")
    with pytest.raises(ValueError, match="explode"):
        read(file)


def test_what_cannot_happen_is_a_failed_check(tmp_path: Path) -> None:
    file = tmp_path / "impossible.yaml"
    file.write_text("scenario: x\nhappens: [{create_users: [alice], directory: nowhere.example.com}]\nexpect: {}\n")
    result = rehearse(read(file))
    assert not result.passed
    assert "nowhere.example.com" in json.dumps(result.as_dict()["checks"])


def test_a_joined_cluster_takes_kerberos_logins_only_after_its_restart(cloud: Cloud) -> None:
    from local.scenario.login import login  # noqa: PLC0415  beside what it is for

    create_users(cloud, "corp.example.com", ["alice"])
    server = cloud.databases.server("orders")
    server.sql('CREATE ROLE "alice@CORP.EXAMPLE.COM" LOGIN IN ROLE rds_ad')
    cloud.client("rds").modify_db_cluster(
        DBClusterIdentifier="orders", Domain=directory_id(cloud), DomainIAMRoleName=ROLE, ApplyImmediately=True
    )
    cloud.run()
    assert not login(cloud, "orders", "alice@CORP.EXAMPLE.COM").ok
    cloud.client("rds").reboot_db_instance(DBInstanceIdentifier="orders-1")
    cloud.run()
    assert login(cloud, "orders", "alice@CORP.EXAMPLE.COM").ok


def test_the_start_can_hold_a_membership() -> None:
    with Cloud() as running:
        joined = Cluster(id="orders", membership=Membership(directory="corp.example.com"))
        prepare(running, AtStart(clusters=[joined], directories=[Directory(dns_name="corp.example.com")]))
        cluster = running.client("rds").describe_db_clusters()["DBClusters"][0]
        assert cluster["DomainMemberships"][0]["Status"] == "kerberos-enabled"
        assert cluster["DomainMemberships"][0]["Domain"] == directory_id(running)
