"""Step 6 for a cluster that is not there yet: what the plan says, and every refusal before anything is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aurora_kerberos.errors import REMEDY
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.format import AtStart, Cluster, Directory, Membership, Role
from local.scenario.happenings import resolved
from local.scenario.prepare import prepare
from local.services.rds.backend import cluster_of, moto_rds
from tests.steps.conftest import ROLE, Step, StepFailed, set_of_stack

pytestmark = pytest.mark.xdist_group("new_clusters")

EVENTS = Path(__file__).parents[1] / "events"
LEFT_OUT: Any = object()
LARGE = {"DBInstanceClass": "db.r6g.large"}
SCALING = {"MinCapacity": 0.5, "MaxCapacity": 8}
MASTER_SECRET = "aurora-kerberos/orders/master"
PASSWORD = "Hunter-2-Is-Not-Shown"
ANSWERS = ["TaskFailed", "TaskSucceeded", "ExecutionFailed"]  # of the validation, the record and the end
# Restorable from the day it was made to now: `now` is the real one, and later than this.
WITHIN, BEFORE, AFTER = "2025-02-01T08:00:00Z", "2025-01-04T23:59:59Z", "2999-01-01T00:00:00Z"

WAYS: dict[str, dict[str, Any]] = {
    "create": {"EngineVersion": "16.4"},
    "restore": {"SnapshotIdentifier": "before-the-release"},
    "restore_to_time": {"SourceDBClusterIdentifier": "orders", "RestoreToTime": WITHIN},
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """One for all tests here, for none of them changes anything: clusters, snapshots, groups and a second VPC."""
    start = AtStart(
        clusters=[
            Cluster(id="orders", version="15.4", master_secret=MASTER_SECRET, membership=member()),
            Cluster(id="legacy", engine="aurora-mysql"),
            Cluster(id="plain"),
            Cluster(id="broken", membership=member("enable-kerberos-failed")),
            Cluster(id="half-restarted", membership=member(), restart_due=True),
            Cluster(id="half-made", instances=[], made_here=True),
            Cluster(id="forged", tags={"kerberos-made-by": "aurora-kerberos", "kerberos-restart-due": "after joining"}),
            Cluster(id="just-made", instances=["just-made-1"], instance_status={"just-made-1": "creating"}),
        ],
        directories=[Directory(dns_name="corp.example.com")],
        snapshots={"before-the-release": "orders", "of-legacy": "legacy", "unfinished": "orders"},
        parameter_groups={"with-auditing": "pgaudit"},
        security_groups=["sales-database"],
        roles={ROLE: Role()},
        secrets={"aurora-kerberos/leaving/master": {"username": "postgres", "password": "x"}},
    )
    with Cloud({"Creation": "private"}) as running:
        prepare(running, start)
        moto_rds(running).cluster_snapshots["unfinished"].status = "creating"
        ec2 = running.client("ec2")
        other = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        made = ec2.create_security_group(GroupName="elsewhere", Description="of another VPC", VpcId=other)
        running.named["elsewhere"] = made["GroupId"]
        running.client("secretsmanager").delete_secret(SecretId="aurora-kerberos/leaving/master")
        yield running


def member(status: str = "kerberos-enabled") -> Membership:
    return Membership(directory="corp.example.com", status=status)


def asked(cloud: Cloud, way: str, *instances: Any, cluster: str = "sales", **changes: Any) -> dict[str, Any]:
    """A request that is right but for `changes` of its parameters; $names are security groups."""
    placed = {"DBSubnetGroupName": "databases", "VpcSecurityGroupIds": ["$sales-database"]}
    parameters = {name: each for name, each in {**WAYS[way], **placed, **changes}.items() if each is not LEFT_OUT}
    secret = {} if way == "create" else {"master_secret": MASTER_SECRET}
    wanted = {"parameters": resolved(parameters, cloud.named), "instances": list(instances) or [LARGE]}
    return {"cluster": cluster, "principals": ["alice"], **secret, way: wanted}


def plan(step: Step, request: Any) -> dict[str, Any]:
    answer = step("ValidateRequest", request=request)
    assert answer["ready"]
    found: dict[str, Any] = answer["outputs"]["plan"]
    return found


def refused(cloud: Cloud, step: Step, request: Any, error: str = "InvalidRequest") -> str:
    """The message of a refusal; it has a remedy, and nothing was changed."""
    before = len(cloud.calls)
    with pytest.raises(StepFailed) as failed:
        step("ValidateRequest", request=request)
    assert failed.value.error == error
    message, _, remedy = failed.value.text.partition(REMEDY)
    assert len(remedy) > 20
    assert not [call for call in cloud.calls[before:] if call.changes]
    return message


# --- what the plan says -----------------------------------------------------------------------------------------------


def test_the_plan_of_a_new_cluster_shows_the_calls_to_be_made(cloud: Cloud, step: Step) -> None:
    found = plan(
        step, asked(cloud, "create", LARGE, {"DBInstanceClass": "db.t4g.medium", "PromotionTier": 2}, Port=5433)
    )
    assert found["way"] == {
        "way": "create",
        "parameters": {
            "DBClusterIdentifier": "sales",
            "Engine": "aurora-postgresql",
            "EngineVersion": "16.4",
            "MasterUsername": "postgres",
            "ManageMasterUserPassword": True,
            "DBSubnetGroupName": "databases",
            "VpcSecurityGroupIds": [cloud.named["sales-database"]],
            "Port": 5433,
        },
        "instances": [
            {
                "DBInstanceIdentifier": "sales-1",
                "DBClusterIdentifier": "sales",
                "Engine": "aurora-postgresql",
                "DBInstanceClass": "db.r6g.large",
                "PubliclyAccessible": False,
            },
            {
                "DBInstanceIdentifier": "sales-2",
                "DBClusterIdentifier": "sales",
                "Engine": "aurora-postgresql",
                "DBInstanceClass": "db.t4g.medium",
                "PromotionTier": 2,
                "PubliclyAccessible": False,
            },
        ],
        "restarts": [],
    }
    assert found["cluster"] == {
        "id": "sales",
        "arn": "",
        "endpoint": "",
        "port": 5433,
        "database": "postgres",
        "vpc_id": cloud.vpc,
        "subnet_ids": cloud.subnets,
        "subnet_group": "databases",
        "security_groups": [cloud.named["sales-database"]],
        "master_secret": "",
        "http_endpoint": False,
        "secondary": False,
        "engine_version": "16.4",
        "parameter_group": "default.aurora-postgresql16",
    }
    assert found["client_parameters"].endswith("/clients/sales")
    assert found["warnings"] == []


def test_a_new_cluster_is_named_as_rds_will_name_it(cloud: Cloud, step: Step) -> None:
    found = plan(
        step, asked(cloud, "create", LARGE, {**LARGE, "DBInstanceIdentifier": "Sales-Reader"}, cluster="Sales")
    )
    assert found["cluster"]["id"] == found["way"]["parameters"]["DBClusterIdentifier"] == "sales"
    assert [each["DBInstanceIdentifier"] for each in found["way"]["instances"]] == ["sales-1", "sales-reader"]


def test_a_new_cluster_may_say_more(cloud: Cloud, step: Step) -> None:
    tags = [{"Key": "team", "Value": "sales"}]
    group = {"DBClusterParameterGroupName": "with-auditing"}
    serverless = {"DBInstanceClass": "db.serverless", "Tags": [{"Key": "team", "Value": "sales"}]}
    request = asked(
        cloud,
        "create",
        serverless,
        **group,
        ServerlessV2ScalingConfiguration=SCALING,
        MasterUsername="root1",
        Tags=tags,
        EnableHttpEndpoint=True,
    )
    found = plan(step, request)
    made = found["way"]["parameters"]
    assert made["MasterUsername"] == "root1"
    assert made["Tags"] == tags
    assert found["cluster"]["parameter_group"] == "with-auditing"
    assert found["cluster"]["http_endpoint"] is True
    assert found["way"]["instances"][0]["Tags"] == serverless["Tags"]


def test_without_a_version_the_plan_says_which_one_it_will_be(cloud: Cloud, step: Step) -> None:
    found = plan(step, asked(cloud, "create", EngineVersion=LEFT_OUT))["cluster"]
    assert (found["engine_version"], found["parameter_group"]) == ("16.4", "default.aurora-postgresql16")


def test_a_restored_cluster_is_of_its_snapshot_s_version(cloud: Cloud, step: Step) -> None:
    found = plan(step, asked(cloud, "restore"))
    assert found["way"]["way"] == "restore"
    assert found["way"]["parameters"]["SnapshotIdentifier"] == "before-the-release"
    assert found["way"]["parameters"]["Engine"] == "aurora-postgresql"
    assert not {"MasterUsername", "ManageMasterUserPassword"} & set(found["way"]["parameters"])
    assert found["cluster"]["engine_version"] == "15.4"
    assert found["cluster"]["parameter_group"] == "default.aurora-postgresql15"
    assert found["cluster"]["master_secret"] == MASTER_SECRET
    assert plan(step, asked(cloud, "restore", EngineVersion="16.4"))["cluster"]["engine_version"] == "16.4"


def test_the_master_secret_of_a_restored_cluster_may_be_one_that_rds_keeps(cloud: Cloud, step: Step) -> None:
    managed = cluster_of(cloud, "plain").master_user_secret.secret_arn
    found = plan(step, {**asked(cloud, "restore"), "master_secret": managed})
    assert found["cluster"]["master_secret"] == managed


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        (WITHIN, "2025-02-01T08:00:00+00:00"),
        ("2025-02-01T08:00:00", "2025-02-01T08:00:00+00:00"),
        ("2025-02-01T10:00:00+02:00", "2025-02-01T10:00:00+02:00"),
        ("2025-02-01", "2025-02-01T00:00:00+00:00"),
    ],
)
def test_a_point_in_time_is_utc_unless_it_says_otherwise(cloud: Cloud, step: Step, wanted: str, sent: str) -> None:
    found = plan(step, asked(cloud, "restore_to_time", RestoreToTime=wanted))
    assert found["way"]["parameters"]["RestoreToTime"] == sent
    assert "Engine" not in found["way"]["parameters"]
    assert found["cluster"]["engine_version"] == "15.4"


def test_the_latest_point_in_time_needs_no_time(cloud: Cloud, step: Step) -> None:
    found = plan(step, asked(cloud, "restore_to_time", RestoreToTime=LEFT_OUT, UseLatestRestorableTime=True))
    assert "RestoreToTime" not in found["way"]["parameters"]
    assert plan(step, asked(cloud, "restore_to_time", UseLatestRestorableTime=False))["way"]["way"] == "restore_to_time"


@pytest.mark.parametrize(
    ("cluster", "restarts"),
    [
        ("plain", ["plain-2", "plain-1"]),
        ("broken", ["broken-2", "broken-1"]),
        ("half-restarted", ["half-restarted-2", "half-restarted-1"]),
        ("orders", []),
        ("forged", ["forged-2", "forged-1"]),  # it has not joined
    ],
)
def test_a_cluster_that_is_there_is_modified_and_restarts_readers_first_unless_it_has_joined(
    step: Step, cluster: str, restarts: list[str]
) -> None:
    found = plan(step, {"cluster": cluster})
    assert found["way"] == {"way": "modify", "parameters": {}, "instances": [], "restarts": restarts}


def test_a_cluster_that_this_workflow_has_begun_to_make_goes_on(cloud: Cloud, step: Step) -> None:
    found = plan(step, asked(cloud, "create", cluster="half-made"))
    assert found["way"]["way"] == "create"
    assert [each["DBInstanceIdentifier"] for each in found["way"]["instances"]] == ["half-made-1"]
    assert found["cluster"]["arn"] == cloud.cluster_arn("half-made")
    assert found["cluster"]["endpoint"] == ""  # there is no database yet that could be asked
    assert ":secret:rds!cluster-" in found["cluster"]["master_secret"]


def test_nobody_asks_a_database_whose_first_instance_is_being_created(step: Step) -> None:
    answer = step("ValidateRequest", request={"cluster": "just-made"})
    assert (answer["ready"], answer["reason"]) == (False, "The instances of just-made are being created")


@pytest.mark.parametrize("way", WAYS)
def test_the_examples_are_good_for_a_plan(cloud: Cloud, step: Step, way: str) -> None:
    text = (EVENTS / f"console-{way.replace('_', '-')}.json").read_text()
    found = plan(step, json.loads(text.replace("sg-0123456789abcdef0", cloud.named["sales-database"])))
    assert (found["way"]["way"], found["cluster"]["id"]) == (way, "sales")


# --- what is refused --------------------------------------------------------------------------------------------------

COMMON = [
    ({"DBSubnetGroup": "databases"}, "there is no parameter DBSubnetGroup"),
    ({"dbsubnetgroupname": "databases"}, "there is no parameter dbsubnetgroupname"),
    ({"Port": "5432"}, "Port must be int"),
    ({"Port": None}, "Port must be int"),
    ({"VpcSecurityGroupIds": "sg-1"}, "VpcSecurityGroupIds must be list or tuple"),
    ({"VpcSecurityGroupIds": [7]}, "VpcSecurityGroupIds[0] must be str"),
    ({"Tags": [{"Name": "team"}]}, "there is no parameter Name in Tags[0]"),
    ({"DBClusterIdentifier": "other"}, "DBClusterIdentifier, which this workflow fills in itself"),
    ({"Domain": "d-1", "DomainIAMRoleName": "r"}, "Domain and DomainIAMRoleName, which this workflow fills in itself"),
    ({"Engine": "aurora-mysql"}, "Engine, which this workflow fills in itself"),
    ({"ManageMasterUserPassword": False}, "ManageMasterUserPassword, which this workflow fills in itself"),
    ({"MonitoringRoleArn": "arn:aws:iam::123456789012:role/r"}, "passes no role to RDS but the directory's"),
    ({"DBSubnetGroupName": LEFT_OUT}, "lacks DBSubnetGroupName"),
    ({"VpcSecurityGroupIds": LEFT_OUT}, "lacks VpcSecurityGroupIds"),
    ({"VpcSecurityGroupIds": []}, "lacks VpcSecurityGroupIds"),
    ({"DBSubnetGroupName": LEFT_OUT, "VpcSecurityGroupIds": LEFT_OUT}, "DBSubnetGroupName and VpcSecurityGroupIds"),
    ({"DBSubnetGroupName": ""}, "DBSubnetGroupName is empty"),
    ({"DBSubnetGroupName": "nowhere"}, "RDS knows no DBSubnetGroupName nowhere here"),
    ({"VpcSecurityGroupIds": ["sg-0123456789abcdef0"]}, "sg-0123456789abcdef0 do not all exist"),
    ({"VpcSecurityGroupIds": ["$sales-database", ""]}, "do not all exist"),
    ({"VpcSecurityGroupIds": ["$sales-database", "$elsewhere"]}, "is not of the subnet group's VPC vpc-"),
    ({"DBClusterParameterGroupName": "nowhere"}, "RDS knows no DBClusterParameterGroupName nowhere here"),
    ({"DBClusterParameterGroupName": ""}, "DBClusterParameterGroupName is empty"),
    ({"EnableIAMDatabaseAuthentication": True}, "EnableIAMDatabaseAuthentication, which no cluster that is made here"),
    ({"TagSpecifications": []}, "TagSpecifications, which no cluster that is made here"),
    *(
        ({"Tags": [{"Key": key, "Value": "enabled"}]}, f"Tags holds {key}; only who may tag clusters may set these")
        for key in ("kerberos", "Kerberos-Apply", "kerberos-made-by", "kerberos-principals", "managed-by")
    ),
]
ODD_TIMES: list[Any] = [
    *("", "yesterday", "10", "1e300", "2025-02-30T00:00:00Z", 1738396800, 1e300, True, None, [], {}),
]
OF_ONE_WAY = [
    ("create", {"EngineVersion": "16.99"}, "RDS knows no EngineVersion 16.99 here"),
    ("create", {"EngineVersion": ""}, "EngineVersion is empty"),
    ("create", {"SnapshotIdentifier": "before-the-release"}, "there is no parameter SnapshotIdentifier"),
    ("create", {"ReplicationSourceIdentifier": "arn"}, "ReplicationSourceIdentifier, which no cluster that is made"),
    ("create", {"GlobalClusterIdentifier": "g"}, "GlobalClusterIdentifier, which no cluster that is made"),
    ("create", {"PubliclyAccessible": False}, "PubliclyAccessible, which no cluster that is made"),
    ("create", {"WithExpressConfiguration": True}, "WithExpressConfiguration, which no cluster that is made"),
    ("restore", {"EnableInternetAccessGateway": True}, "EnableInternetAccessGateway, which no cluster that is made"),
    ("restore_to_time", {"SourceDbClusterResourceId": "c"}, "SourceDbClusterResourceId, which no cluster that is"),
    ("restore", {"SnapshotIdentifier": LEFT_OUT}, "SnapshotIdentifier is missing"),
    ("restore", {"SnapshotIdentifier": ""}, "SnapshotIdentifier is empty"),
    ("restore", {"SnapshotIdentifier": "yesterday"}, "RDS knows no DBClusterSnapshotIdentifier yesterday here"),
    ("restore", {"SnapshotIdentifier": "of-legacy"}, "The snapshot of-legacy is of aurora-mysql and available"),
    ("restore", {"SnapshotIdentifier": "unfinished"}, "The snapshot unfinished is of aurora-postgresql and creating"),
    ("restore", {"MasterUsername": "postgres"}, "there is no parameter MasterUsername"),
    ("restore", {"EngineVersion": "16.99"}, "RDS knows no DBInstanceClass db.r6g.large, EngineVersion 16.99 here"),
    ("restore_to_time", {"SourceDBClusterIdentifier": LEFT_OUT}, "lacks SourceDBClusterIdentifier"),
    ("restore_to_time", {"SourceDBClusterIdentifier": ""}, "SourceDBClusterIdentifier is empty"),
    ("restore_to_time", {"SourceDBClusterIdentifier": "gone"}, "RDS knows no DBClusterIdentifier gone here"),
    ("restore_to_time", {"SourceDBClusterIdentifier": "legacy"}, "The cluster legacy runs aurora-mysql"),
    ("restore_to_time", {"EngineVersion": "16.4"}, "there is no parameter EngineVersion"),
    ("restore_to_time", {"RestoreToTime": LEFT_OUT}, "lacks either RestoreToTime or UseLatestRestorableTime"),
    ("restore_to_time", {"UseLatestRestorableTime": True}, "lacks either RestoreToTime or UseLatestRestorableTime"),
    (
        "restore_to_time",
        {"RestoreToTime": LEFT_OUT, "UseLatestRestorableTime": False},
        "lacks either RestoreToTime or UseLatestRestorableTime",
    ),
    (
        "restore_to_time",
        {"RestoreToTime": BEFORE},
        "RestoreToTime 2025-01-04T23:59:59+00:00 is not between 2025-01-05",
    ),
    ("restore_to_time", {"RestoreToTime": AFTER}, "is not between 2025-01-05"),
    ("restore_to_time", {"RestoreToTime": "2025-01-05T01:00:00+02:00"}, "is not between 2025-01-05"),
    ("restore_to_time", {"RestoreType": "copy-on-write"}, "it has no RestoreToTime"),
]


@pytest.mark.parametrize(
    ("way", "changes", "said"),
    [
        *((way, changes, said) for changes, said in COMMON for way in WAYS),
        *OF_ONE_WAY,
    ],
)
def test_parameters_that_cannot_work_are_named(
    cloud: Cloud, step: Step, way: str, changes: dict[str, Any], said: str
) -> None:
    assert said in refused(cloud, step, asked(cloud, way, **changes))


@pytest.mark.parametrize("odd", ODD_TIMES)
def test_a_point_in_time_is_written_in_iso_8601(cloud: Cloud, step: Step, odd: Any) -> None:
    message = refused(cloud, step, asked(cloud, "restore_to_time", RestoreToTime=odd))
    assert message == "RestoreToTime is not a time such as 2026-01-05T08:00:00Z."


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ([{}], "create.instances.0 is not valid for CreateDBInstance: DBInstanceClass is missing"),
        ([LARGE, {}], "create.instances.1 is not valid"),
        ([{"DBInstanceClass": ""}], "DBInstanceClass is empty"),
        ([{"DBInstanceClass": 7}], "DBInstanceClass must be str"),
        ([{"DBInstanceClass": "db.z9.huge"}], "RDS knows no DBInstanceClass db.z9.huge, EngineVersion 16.4 here"),
        ([{"DBInstanceClass": "db.serverless"}], "db.serverless needs ServerlessV2ScalingConfiguration of the cluster"),
        ([{**LARGE, "Class": "x"}], "there is no parameter Class"),
        ([{**LARGE, "Domain": "d-1"}], "Domain, which this workflow fills in itself"),
        ([{**LARGE, "DBClusterIdentifier": "other"}], "DBClusterIdentifier, which this workflow fills in itself"),
        ([{**LARGE, "Engine": "postgres"}], "Engine, which this workflow fills in itself"),
        ([{**LARGE, "EngineVersion": "16.4"}], "EngineVersion, which an instance of Aurora has not"),
        ([{**LARGE, "MultiAZ": True, "Port": 1}], "MultiAZ and Port, which an instance of Aurora has not"),
        ([{**LARGE, "Tags": [{"Key": "managed-by", "Value": "x"}]}], "create.instances.0.Tags holds managed-by"),
        ([{**LARGE, "MonitoringRoleArn": "x"}], "passes no role to RDS but the directory's"),
        ([{**LARGE, "DBInstanceIdentifier": "a"}] * 2, "Two instances have the name a"),
        ([LARGE, {**LARGE, "DBInstanceIdentifier": "Sales-1"}], "Two instances have the name sales-1"),
        ([{**LARGE, "DBInstanceIdentifier": "plain-2"}], "There is a DB instance plain-2 already"),
        ([{**LARGE, "DBInstanceIdentifier": "1st"}], "'1st' is no identifier"),
        ([{**LARGE, "DBInstanceIdentifier": "a--b"}], "'a--b' is no identifier"),
        ([{**LARGE, "DBInstanceIdentifier": ""}], "DBInstanceIdentifier is empty"),
        ([{**LARGE, "DBInstanceIdentifier": "a" * 64}], "is no identifier"),
        (["db.r6g.large"], "create.instances.0: Input should be a valid dictionary"),
        ([LARGE] * 17, "create.instances: List should have at most 16 items"),
    ],
)
def test_instances_that_cannot_work_are_named(cloud: Cloud, step: Step, instances: list[Any], said: str) -> None:
    assert said in refused(cloud, step, asked(cloud, "create", *instances))


def test_a_cluster_needs_an_instance(cloud: Cloud, step: Step) -> None:
    request = asked(cloud, "create")
    request["create"]["instances"] = []
    assert "create.instances: List should have at least 1 item" in refused(cloud, step, request)


@pytest.mark.parametrize("cluster", ["sales-", "sa--les", "s" * 62])
def test_a_new_cluster_s_name_leaves_room_for_those_of_its_instances(cloud: Cloud, step: Step, cluster: str) -> None:
    assert "is no identifier" in refused(cloud, step, asked(cloud, "create", cluster=cluster))
    assert plan(step, asked(cloud, "create", cluster="s" * 61))


def test_one_way_at_a_time(cloud: Cloud, step: Step) -> None:
    request = {**asked(cloud, "restore"), **asked(cloud, "create")}
    assert "create and restore exclude each other" in refused(cloud, step, request)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_to_be_made_has_no_arn_yet(cloud: Cloud, step: Step, way: str) -> None:
    request = asked(cloud, way, cluster=cloud.cluster_arn("sales"))
    assert "named by its identifier" in refused(cloud, step, request)


@pytest.mark.parametrize("cluster", ["plain", "forged"])
@pytest.mark.parametrize("way", WAYS)
def test_a_cluster_that_others_have_made_is_left_alone_whatever_its_tags_say(
    cloud: Cloud, step: Step, way: str, cluster: str
) -> None:
    request = asked(cloud, way, cluster=cluster)
    assert refused(cloud, step, request) == f"There is a cluster {cluster} already, and this workflow has not made it."


def test_a_tag_that_says_a_restart_is_due_is_told_and_not_believed(step: Step) -> None:
    (warning,) = [each for each in plan(step, {"cluster": "forged"})["warnings"] if "restart" in each]
    assert warning.startswith(
        "The tag kerberos-restart-due says that a restart is due, of which this stack knows nothing"
    )
    assert not [each for each in plan(step, {"cluster": "half-restarted"})["warnings"] if "restart" in each]


# --- what the stack does not allow ------------------------------------------------------------------------------------

PUBLIC = {**LARGE, "PubliclyAccessible": True}


@pytest.fixture
def allowing(cloud: Cloud) -> Iterator[Callable[[str], None]]:
    """Sets what the stack allows, until the test ends."""
    yield lambda creation: set_of_stack(cloud, creation=creation)
    set_of_stack(cloud, creation="private")


@pytest.mark.parametrize("way", WAYS)
def test_where_the_stack_makes_no_clusters_none_is_made(
    cloud: Cloud, step: Step, way: str, allowing: Callable[[str], None]
) -> None:
    allowing("off")
    message = refused(cloud, step, asked(cloud, way), "CreationNotAllowed")
    assert message == f"The input asks to make the cluster sales (`{way}`), and this stack makes none."


@pytest.mark.parametrize("way", WAYS)
def test_nothing_public_is_made_unless_the_stack_allows_it(
    cloud: Cloud, step: Step, way: str, allowing: Callable[[str], None]
) -> None:
    for request in (asked(cloud, way, LARGE, PUBLIC), asked(cloud, way, PubliclyAccessible=True)):
        assert f"`{way}` holds PubliclyAccessible" in refused(cloud, step, request, "CreationNotAllowed")
    allowing("public")
    found = plan(step, asked(cloud, way, LARGE, PUBLIC))["way"]["instances"]
    assert [each["PubliclyAccessible"] for each in found] == [False, True]


@pytest.mark.parametrize("way", ["restore", "restore_to_time"])
def test_a_restored_cluster_is_private_though_its_vpc_has_an_internet_gateway(
    cloud: Cloud, step: Step, way: str
) -> None:
    assert plan(step, asked(cloud, way))["way"]["parameters"]["PubliclyAccessible"] is False


@pytest.mark.parametrize("secret", ["", "aurora-kerberos/elsewhere/master", "aurora-kerberos/leaving/master"])
@pytest.mark.parametrize("way", ["restore", "restore_to_time"])
def test_a_restored_cluster_needs_the_master_password_of_its_source(
    cloud: Cloud, step: Step, way: str, secret: str
) -> None:
    message = refused(cloud, step, {**asked(cloud, way), "master_secret": secret}, "SecretUnusable")
    assert message.startswith(f"There is no secret {secret or 'aurora-kerberos/sales/master'}:")


def test_rds_makes_the_master_password_of_a_created_cluster(cloud: Cloud, step: Step) -> None:
    request = {**asked(cloud, "create"), "master_secret": MASTER_SECRET}
    assert "has a master_secret of RDS's own" in refused(cloud, step, request)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("rds:DescribeDBSubnetGroups", "InvalidParameterValue"),
        ("rds:DescribeDBEngineVersions", "InvalidParameterValue"),
        ("rds:DescribeOrderableDBInstanceOptions", "InvalidParameterValue"),
        ("ec2:DescribeSecurityGroups", "InvalidGroupId.Malformed"),
        ("ec2:DescribeSecurityGroups", "InvalidParameterValue"),
    ],
)
def test_a_name_that_aws_would_give_to_nothing_is_none_either(cloud: Cloud, step: Step, call: str, error: str) -> None:
    cloud.faults = Faults([Fault(call=call, error=error)])
    refused(cloud, step, asked(cloud, "create"))


@pytest.mark.parametrize(
    "call",
    [
        "rds:DescribeDBSubnetGroups",
        "ec2:DescribeSecurityGroups",
        "rds:DescribeDBInstances",
        "secretsmanager:DescribeSecret",
    ],
)
def test_what_aws_may_not_tell_is_not_taken_for_nothing(cloud: Cloud, step: Step, call: str) -> None:
    cloud.faults = Faults([Fault(call=call, error="AccessDenied")])
    refused(cloud, step, asked(cloud, "restore"), "AccessDenied")


@pytest.mark.parametrize(
    "name", ["MasterUserPassword", "masteruserpassword", "MasterPassword", "TdeCredentialPassword"]
)
def test_a_password_is_one_however_it_is_spelt(cloud: Cloud, step: Step, name: str) -> None:
    for request in (asked(cloud, "create", **{name: PASSWORD}), asked(cloud, "restore", {**LARGE, name: PASSWORD})):
        assert f" holds {name}; no password may stand in an execution's input" in refused(cloud, step, request)


@pytest.mark.parametrize(
    "changes",
    [
        {"create": {"parameters": {"MasterUserPassword": PASSWORD}}},
        {"create": {"parameters": {"masteruserpassword": PASSWORD}}},
        {"create": {"parameters": {"Port": PASSWORD}}},
        {"create": {"parameters": {"VpcSecurityGroupIds": PASSWORD}}},
        {"create": {"parameters": {"ServerlessV2ScalingConfiguration": {"MinCapacity": PASSWORD}}}},
        {"create": {"parameters": {"Tags": [PASSWORD]}}},
        {"create": {"instances": [{**LARGE, "MasterUserPassword": PASSWORD}]}},
        {"create": {"instances": [{**LARGE, "TdeCredentialPassword": PASSWORD}]}},
        {"create": {"instances": [{**LARGE, "PromotionTier": PASSWORD}]}},
        {"create": {"instances": PASSWORD}},
        {"create": {"password": PASSWORD}},
        {"password": PASSWORD},
    ],
)
def test_a_password_is_refused_and_never_repeated(cloud: Cloud, changes: dict[str, Any]) -> None:
    request = deep_merge(asked(cloud, "create"), changes)
    before = len(cloud.calls)
    execution = cloud.executions[cloud.start(request)]
    cloud.run()
    assert execution.error == "InvalidRequest"
    # Step Functions itself keeps the input, as it was given; here is what the functions have answered.
    answers = [event for event in execution.history if event["type"].value in ANSWERS]
    assert {event["type"].value for event in answers} == set(ANSWERS)
    assert PASSWORD not in json.dumps(answers, default=str)
    assert PASSWORD not in cloud.functions.logs()
    made = [call for call in cloud.calls[before:] if call.function and call.changes]
    assert {call.function for call in made} == {"AcquireLease", "RecordOutcome"}
    assert PASSWORD not in str([call.parameters for call in made])


def deep_merge(value: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`value` with the changes in it, at any depth."""
    return {
        **value,
        **{
            name: deep_merge(value[name], change) if isinstance(change, dict) and name in value else change
            for name, change in changes.items()
        },
    }


# --- whatever is given ------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    """
    DBSubnetGroupName VpcSecurityGroupIds EngineVersion SnapshotIdentifier SourceDBClusterIdentifier RestoreToTime
    UseLatestRestorableTime Tags Port DBClusterParameterGroupName ServerlessV2ScalingConfiguration DBInstanceClass
    DBInstanceIdentifier MasterUsername AvailabilityZones
    """.split()  # noqa: SIM905  a table is read better than quoted names
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(way=st.sampled_from(sorted(WAYS)), wanted=JSON.filter(lambda value: value is not None))
def test_whatever_is_asked_to_be_made_the_error_is_ours(step: Step, way: str, wanted: Any) -> None:
    assert ending(step, {"cluster": "sales", way: wanted}) in {"a plan", "InvalidRequest"}


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    way=st.sampled_from(sorted(WAYS)),
    parameters=st.dictionaries(NAMES | st.text(max_size=20), JSON, max_size=3),
    instance=st.dictionaries(NAMES, JSON, max_size=2),
)
def test_whatever_is_wrong_with_what_is_nearly_right_the_error_is_ours(
    cloud: Cloud, step: Step, way: str, parameters: dict[str, Any], instance: dict[str, Any]
) -> None:
    request = asked(cloud, way, {**LARGE, **instance})
    request[way]["parameters"].update(parameters)
    assert ending(step, request) in {"a plan", "InvalidRequest"}


def ending(step: Step, request: Any) -> str:
    """The name of the error, or that there is none."""
    try:
        answer = step("ValidateRequest", request=request)
    except StepFailed as failed:
        return failed.error
    return "a plan" if answer["outputs"]["plan"]["way"]["way"] in request else "another plan"


def test_the_times_of_these_tests_are_in_order() -> None:
    assert datetime.fromisoformat(BEFORE) < datetime.fromisoformat(WITHIN) < datetime.now(UTC)
