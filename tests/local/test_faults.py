"""Faults of the local cloud: AWS refuses, does not answer, is not reached, or does not know yet what it was told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from local.cloud import Cloud
from local.core.calls import calling
from local.core.clients import session_of
from local.core.faults import Fault, Faults
from local.scenario.format import AtStart, Cluster, Directory, Scenario
from local.scenario.prepare import prepare
from local.scenario.run import Result, rehearse

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        start = AtStart(clusters=[Cluster(id="orders")], directories=[Directory(dns_name="corp.example.com")])
        prepare(running, start)
        yield running


def client(cloud: Cloud, service: str, attempts: int) -> Any:
    """A client as the functions have them."""
    config = Config(retries={"mode": "standard", "total_max_attempts": attempts})
    return session_of(cloud.home).client(service, region_name=cloud.region, config=config)  # type: ignore[call-overload]  # any service


def groups(cloud: Cloud) -> list[str]:
    found = cloud.client("ec2").describe_security_groups()["SecurityGroups"]
    return [group["GroupName"] for group in found if group["GroupName"].startswith("new")]


def code(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    found: str = raised.value.response["Error"]["Code"]
    return found


def make_group(ec2: Any) -> Any:
    return ec2.create_security_group(GroupName="new", Description="new")


def test_a_lost_answer_is_lost_after_the_call_has_taken_effect(cloud: Cloud) -> None:
    cloud.faults = Faults([Fault(call="ec2:CreateSecurityGroup", kind="lost")])
    with pytest.raises(ReadTimeoutError):
        make_group(client(cloud, "ec2", attempts=1))
    assert groups(cloud) == ["new"]


def test_a_client_with_two_attempts_makes_a_call_twice_when_the_answer_is_lost(cloud: Cloud) -> None:
    cloud.faults = Faults([Fault(call="ec2:CreateSecurityGroup", kind="lost")])
    assert code(lambda: make_group(client(cloud, "ec2", attempts=2))) == "InvalidGroup.Duplicate"
    cloud.faults = Faults([Fault(call="ds:CreateMicrosoftAD", kind="lost")])
    asked = {"Name": "new.example.com", "Password": "Not-In-Any-Log-8", "Edition": "Standard"}
    client(cloud, "ds", attempts=2).create_microsoft_ad(
        **asked, VpcSettings={"VpcId": cloud.vpc, "SubnetIds": cloud.subnets[:2]}
    )
    names = [each["Name"] for each in cloud.client("ds").describe_directories()["DirectoryDescriptions"]]
    assert names.count("new.example.com") == 2  # a fake of ours is no different


def test_a_call_that_stalls_has_no_effect(cloud: Cloud) -> None:
    cloud.faults = Faults([Fault(call="ec2:CreateSecurityGroup", kind="stall", times=3)])
    with pytest.raises(ReadTimeoutError):
        make_group(client(cloud, "ec2", attempts=2))
    assert groups(cloud) == []
    make_group(client(cloud, "ec2", attempts=2))  # of the two the second arrives
    assert groups(cloud) == ["new"]
    assert [call.error for call in cloud.calls if call.operation == "CreateSecurityGroup"] == ["ReadTimeout"] * 3 + [""]


@pytest.mark.parametrize(
    ("call", "parameters", "expected"),
    [
        ("rds:DescribeDBClusters", {"DBClusterIdentifier": "orders"}, "DBClusterNotFoundFault"),
        ("rds:DescribeDBInstances", {"DBInstanceIdentifier": "orders-1"}, "DBInstanceNotFound"),
        ("iam:GetRole", {"RoleName": "some"}, "NoSuchEntity"),
        ("secretsmanager:DescribeSecret", {"SecretId": "some"}, "ResourceNotFoundException"),
        ("ssm:GetParameter", {"Name": "/some"}, "ParameterNotFound"),
        ("ds:DescribeDirectories", {"DirectoryIds": ["d-1234567890"]}, "EntityDoesNotExistException"),
        ("ec2:DescribeSecurityGroups", {"GroupIds": ["sg-1"]}, "InvalidGroup.NotFound"),
    ],
)
def test_what_is_asked_for_by_its_name_may_not_be_there_yet(
    cloud: Cloud, call: str, parameters: dict[str, Any], expected: str
) -> None:
    service, operation = call.split(":")
    cloud.faults = Faults([Fault(call=call, kind="forget")])
    asked = cloud.client(service)
    python_name = next(name for name, of in asked.meta.method_to_api_mapping.items() if of == operation)
    assert code(getattr(asked, python_name), **parameters) == expected


def test_a_list_may_not_hold_it_yet(cloud: Cloud) -> None:
    kinds = ["rds:DescribeDBClusters", "ec2:DescribeSubnets", "ds:DescribeTrusts", "ssm:GetParameters"]
    cloud.faults = Faults([Fault(call=call, kind="forget") for call in kinds])
    rds, ec2, ds, ssm = (cloud.client(call.partition(":")[0]) for call in kinds)
    assert rds.describe_db_clusters()["DBClusters"] == []
    assert len(rds.describe_db_clusters()["DBClusters"]) == 1
    assert ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [cloud.vpc]}])["Subnets"] == []
    assert ds.describe_trusts(DirectoryId=cloud.directories.find("corp.example.com").directory_id)["Trusts"] == []
    assert ssm.get_parameters(Names=["/some"])["InvalidParameters"] == ["/some"]


def test_a_fault_may_be_for_one_function_alone(cloud: Cloud) -> None:
    cloud.faults = Faults([Fault(call="rds:DescribeDBClusters", error="Throttling", function="EnsureMembership")])
    describe = cloud.client("rds").describe_db_clusters
    describe()
    calling.function = "EnsureMembership"
    try:
        assert code(describe) == "Throttling"
    finally:
        calling.function = ""


@pytest.mark.parametrize(
    "fields",
    [
        {"call": "rds:ModifyDBCluster"},
        {"call": "rds:ModifyDBCluster", "kind": "lost", "error": "Throttling"},
        {"call": "rds:ModifyDBCluster", "kind": "forget"},
        {"call": "rds:ModifyDBCluster", "kind": "explode"},
    ],
)
def test_a_fault_that_makes_no_sense_is_a_mistake(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Fault"):
        Fault.model_validate(fields)


def rehearsed(*faults: dict[str, Any]) -> Result:
    """The scenario of an existing directory with these faults."""
    wanted = yaml.safe_load((SCENARIOS / "existing-directory.yaml").read_text())
    wanted["cloud"]["faults"] = faults
    return rehearse(Scenario.model_validate(wanted))


@pytest.mark.parametrize(("kind", "error"), [("stall", "Sandbox.Timedout"), ("lost", "Lambda.SdkClientException")])
def test_a_function_whose_answer_never_comes_has_done_its_work(kind: str, error: str) -> None:
    result = rehearsed({"call": "lambda:Invoke", "function": "EnsureServiceRole", "kind": kind})
    (execution,) = result.executions
    assert [each for each, _ in execution.retries] == [error]
    assert execution.status == "SUCCEEDED"
    made = [call for call in result.calls if call.name == "iam:CreateRole"]
    assert len(made) == 1  # by the first, and the second found it
