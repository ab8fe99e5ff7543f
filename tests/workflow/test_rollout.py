"""A rollout in one account, which is its own member: waves, gate, report, and what a second start finds."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import Cloud
from local.core.cloud import HOUR
from local.core.executions import Execution
from local.core.faults import Fault, Faults
from local.scenario.format import AtStart, Cluster, Directory, Role
from local.scenario.prepare import prepare
from local.services.rds.backend import Aurora, cluster_of
from tools.bench import fleet

ROLE = "aurora-kerberos-directory-access"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Three fit clusters, and one of MySQL."""
    with Cloud({"Rollout": "on", "ManagementAccountId": Cloud.home}) as running:
        running.client("organizations").create_organization(FeatureSet="ALL")
        clusters = [Cluster(id=name) for name in ("orders", "sales", "stock")]
        unfit = Cluster(id="web", engine="aurora-mysql")
        directory = Directory(dns_name="corp.example.com")
        prepare(running, AtStart(clusters=[*clusters, unfit], directories=[directory], roles={ROLE: Role()}))
        yield running


def roll_out(cloud: Cloud, **request: Any) -> Execution:
    """A rollout to its end."""
    asked = {"accounts": [cloud.home], **request}
    execution = cloud.executions[cloud.start_execution(cloud.outputs["RolloutStateMachine"], asked)]
    cloud.run()
    return execution


def report(cloud: Cloud, execution: Execution) -> dict[str, Any]:
    body = cloud.client("s3").get_object(Bucket=cloud.outputs["RolloutBucket"], Key=f"{execution.name}/report.json")[
        "Body"
    ]
    found: dict[str, Any] = json.loads(body.read())
    return found


def test_the_first_run_only_shows(cloud: Cloud) -> None:
    execution = roll_out(cloud)
    assert execution.status == "SUCCEEDED", execution.cause
    found = report(cloud, execution)
    assert found["dry_run"]
    assert found["counts"] == {"to do": 3, "unfit": 1}
    assert [wave["size"] for wave in found["waves"]] == [1, 2]
    assert len(cloud.executions) == 1


def test_all_waves_end_with_every_fit_cluster_enabled(cloud: Cloud) -> None:
    execution = roll_out(cloud, dry_run=False)
    assert execution.status == "SUCCEEDED", execution.cause
    found = report(cloud, execution)
    assert found["counts"] == {"enabled": 3, "unfit": 1}
    for child in cloud.children.values():
        if looks := child.states.count("EnrollCluster"):
            assert len(child.history) == fleet.events_of_a_child(looks)  # as the simulated fleet counts them
    body = cloud.client("s3").get_object(Bucket=cloud.outputs["RolloutBucket"], Key=f"{execution.name}/report.csv")
    rows = list(csv.DictReader(io.StringIO(body["Body"].read().decode())))
    assert {row["id"]: row["outcome"] for row in rows} == {
        "orders": "enabled",
        "sales": "enabled",
        "stock": "enabled",
        "web": "",
    }


def test_the_gate_stops_after_the_wave_in_which_too_many_failed(cloud: Cloud) -> None:
    asked: dict[str, Any] = {"waves": [1, 2, "100%"]}
    order = {row["wave"]: row["id"] for row in report(cloud, roll_out(cloud, **asked))["clusters"]}
    cloud.part(Aurora).failing_joins = {order[2]: 2}  # both attempts
    execution = roll_out(cloud, **asked, dry_run=False)
    assert (execution.status, execution.error) == ("FAILED", "RolloutStopped")
    found = report(cloud, execution)
    assert found["counts"] == {"enabled": 1, "failed": 1, "to do": 1, "unfit": 1}
    assert f"After wave 2, 1 cluster has failed, more than 0: {order[2]}." in found["stopped"]
    (failed,) = [row for row in found["clusters"] if row["outcome"] == "failed"]
    assert (failed["error"], failed["remedy"][:35]) == ("EnableKerberosFailed", "The guide names two causes: the net")
    assert tags(cloud, order[3]) == {}  # untouched


def test_what_was_refused_as_unfit_stops_nobody(cloud: Cloud) -> None:
    iam = 'CREATE ROLE "alice@CORP.EXAMPLE.COM" LOGIN IN ROLE rds_iam'
    for name in ("orders", "sales", "stock"):
        cloud.databases.server(name).sql(iam)
    cloud.client("ssm").put_parameter(Name="/aurora-kerberos/principals/orders", Value='["alice"]', Type="String")
    execution = roll_out(cloud, dry_run=False, waves=["100%"])
    assert execution.status == "SUCCEEDED", execution.cause
    found = report(cloud, execution)
    assert found["counts"] == {"enabled": 2, "refused": 1, "unfit": 1}
    (refused,) = [row for row in found["clusters"] if row["outcome"] == "refused"]
    assert (refused["id"], refused["error"]) == ("orders", "PrincipalUsesIam")


def test_a_rollout_that_was_stopped_is_finished_by_a_second_start(cloud: Cloud) -> None:
    request = {"accounts": [cloud.home], "dry_run": False, "at_once": 1, "waves": [1, "100%"]}
    first = cloud.executions[cloud.start_execution(cloud.outputs["RolloutStateMachine"], request)]
    while "JudgeWave" not in first.steps:
        cloud.run(cloud.clock.now + 60)
    cloud.run(cloud.clock.now + 120)  # the second wave has begun
    cloud.stop(first.name)
    begun = [name for name in ("orders", "sales", "stock") if tags(cloud, name)]
    assert len(begun) == 2
    cloud.run()  # who was begun is finished by its own account's workflow, the others stay as they were
    assert [name for name in ("orders", "sales", "stock") if tags(cloud, name)] == begun
    assert {tags(cloud, name)["kerberos-status"] for name in begun} == {"enabled"}
    second = cloud.executions[cloud.start_execution(cloud.outputs["RolloutStateMachine"], request)]
    cloud.run()
    assert second.status == "SUCCEEDED", second.cause
    found = report(cloud, second)
    assert found["counts"] == {"enabled": 3, "unfit": 1}
    assert [wave["size"] for wave in found["waves"]] == [1]  # what was left
    assert sum(call.name == "rds:ModifyDBCluster" and not call.error for call in cloud.calls) == 3


def test_an_input_that_is_wrong_ends_with_its_error_and_a_report(cloud: Cloud) -> None:
    execution = roll_out(cloud, waves=[0])
    assert (execution.status, execution.error) == ("FAILED", "InvalidRequest")
    assert "waves.0: " in execution.cause
    assert report(cloud, execution)["stopped"].startswith("ListAccounts: InvalidRequest: The input is not valid")


def test_an_organization_that_may_not_be_read_is_reported(cloud: Cloud) -> None:
    cloud.faults = Faults([Fault(call="organizations:ListAccounts", error="AccessDeniedException")])
    execution = roll_out(cloud, dry_run=False)
    assert (execution.status, execution.error) == ("FAILED", "AccessDenied")
    assert "management account" in report(cloud, execution)["stopped"]


def test_an_account_whose_child_fails_is_in_the_report_and_the_others_go_on(cloud: Cloud) -> None:
    cloud.faults = Faults([Fault(call="s3:PutObject", function="DiscoverClusters", error="AccessDenied")])
    execution = roll_out(cloud, regions=[cloud.region, "eu-west-1"])
    assert execution.status == "SUCCEEDED", execution.cause
    found = report(cloud, execution)
    refused = {each["region"]: each["refused"] for each in found["refused"]}
    assert "see the failed child executions" in refused[cloud.region]
    assert "AssumeRole: AccessDenied" in refused["eu-west-1"]


def test_a_map_without_its_items_ends_in_a_report(cloud: Cloud) -> None:
    """After the targets, which the first map reads and then the plan, and what was discovered."""
    cloud.faults = Faults([Fault(call="s3:GetObject", error="NoSuchKey", after=3)])
    execution = roll_out(cloud, dry_run=False)
    assert (execution.status, execution.error) == ("FAILED", "RolloutStopped")
    assert "RunWave: States.ItemReaderFailed" in execution.cause
    found = report(cloud, execution)
    assert found["stopped"].startswith("RunWave: States.ItemReaderFailed")
    assert found["counts"] == {"to do": 3, "unfit": 1}


@pytest.mark.parametrize("looks", [0, 1])
def test_a_cluster_whose_child_fails_is_on_record_and_counts(cloud: Cloud, looks: int) -> None:
    """Before its first look is recorded, or after; its own account's workflow goes on with what it was asked for."""
    fault = Fault(call="dynamodb:PutItem", function="EnrollCluster", error="ResourceNotFoundException", after=looks)
    cloud.faults = Faults([fault])
    execution = roll_out(cloud, dry_run=False)
    assert (execution.status, execution.error) == ("FAILED", "RolloutStopped")
    (failed,) = [row for row in report(cloud, execution)["clusters"] if row["outcome"] == "failed"]
    assert (failed["error"], failed["wave"]) == ("OutcomeUnknown", 1)
    assert "map run of wave 1" in failed["remedy"]
    assert tags(cloud, failed["id"])["kerberos-status"] == "enabled"
    again = roll_out(cloud, dry_run=False)
    assert again.status == "SUCCEEDED", again.cause
    found = report(cloud, again)
    assert found["counts"] == {"enabled": 3, "unfit": 1}
    assert {row["error"] for row in found["clusters"]} == {""}


def test_a_report_that_cannot_be_written_is_the_execution_s_error(cloud: Cloud) -> None:
    cloud.faults = Faults([Fault(call="sns:Publish", function="ReportRollout", error="AuthorizationError", status=403)])
    execution = roll_out(cloud)
    assert (execution.status, execution.error) == ("FAILED", "AccessDenied")


def test_two_rollouts_of_the_same_clusters_both_come_to_their_end(cloud: Cloud) -> None:
    request = {"accounts": [cloud.home], "dry_run": False, "waves": ["100%"]}
    first = cloud.executions[cloud.start_execution(cloud.outputs["RolloutStateMachine"], request)]
    cloud.run(cloud.clock.now + 60)
    second = cloud.executions[cloud.start_execution(cloud.outputs["RolloutStateMachine"], request)]
    cloud.run()
    assert (first.status, second.status) == ("SUCCEEDED", "SUCCEEDED"), (first.cause, second.cause)
    assert report(cloud, first)["counts"] == report(cloud, second)["counts"] == {"enabled": 3, "unfit": 1}
    assert cloud.clock.now < 2 * HOUR


def tags(cloud: Cloud, cluster: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in cluster_of(cloud, cluster).get_tags()}
