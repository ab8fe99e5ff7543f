"""What a rollout sees of one account and Region: its Aurora clusters, what they are to it, and who refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.core.responses import ActionResult
from moto.rds.models import DomainMembership
from moto.rds.responses import RDSResponse

from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.core.places import HOME
from local.scenario.format import Cluster
from local.scenario.prepare import add_cluster
from local.services.rds.backend import cluster_of
from tests.steps.conftest import ROLE, Step, StepFailed
from tests.steps.rollouts import EXECUTION, FAR, arn, called, forbid, read, rollout_cloud

ASKED = {"kerberos": "enabled", "kerberos-status": "enabled", "team": "sales"}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with rollout_cloud() as running:
        yield running


def discover(cloud: Cloud, step: Step, account: str = Cloud.home, region: str = HOME.region) -> dict[str, Any]:
    """What stands in the bucket of an account and Region, after it has been looked at."""
    target = {"account": account, "region": region}
    outputs = step("DiscoverClusters", target=target, parent=EXECUTION, execution=f"{EXECUTION}/child:1")["outputs"]
    found: dict[str, Any] = read(cloud, f"discovered/{account}.{region}.json")
    assert outputs == {"clusters": len(found["clusters"]), "refused": bool(found["refused"])}
    assert (found["account"], found["region"]) == (account, region)
    return found


def only(cloud: Cloud, step: Step) -> dict[str, Any]:
    (cluster,) = discover(cloud, step)["clusters"]
    found: dict[str, Any] = cluster
    return found


def join(cloud: Cloud, status: str = "kerberos-enabled") -> None:
    """The cluster `orders` is, or is to be, a member of a domain."""
    (membership,) = joined = [DomainMembership("d-1234567890", ROLE)]
    membership.status = status
    cluster_of(cloud, "orders").domain_memberships = joined


def test_a_cluster_is_found_with_all_that_the_plan_wants_to_know(cloud: Cloud, step: Step) -> None:
    add_cluster(cloud, Cluster(id="orders", tags={"team": "sales", "empty": ""}))
    assert only(cloud, step) == {
        "arn": arn("orders"),
        "id": "orders",
        "account": cloud.home,
        "region": cloud.region,
        "tags": {"team": "sales", "empty": ""},
        "state": "to do",
        "why": "",
    }


def test_an_account_without_clusters_is_no_error(cloud: Cloud, step: Step) -> None:
    assert discover(cloud, step) == {"account": cloud.home, "region": cloud.region, "refused": "", "clusters": []}


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        (Cluster(id="orders", engine="aurora-mysql"), "It runs aurora-mysql."),
        (Cluster(id="orders", vpc=False), "It is not in a VPC."),
        (Cluster(id="orders", status="stopped"), "It is stopped."),
        (Cluster(id="orders", status="deleting"), "It is deleting."),
        (Cluster(id="orders", tags={"kerberos": "disabled"}), "Its tag kerberos is disabled."),
        # What is said first is what a person can do the least about.
        (Cluster(id="orders", engine="aurora-mysql", status="stopped"), "It runs aurora-mysql."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_unfit_is_in_the_report_with_the_reason(cloud: Cloud, step: Step, cluster: Cluster, why: str) -> None:
    add_cluster(cloud, cluster)
    found = only(cloud, step)
    assert (found["state"], found["why"]) == ("unfit", why)


@pytest.mark.parametrize("status", ["backing-up", "modifying", "starting", "upgrading"])
def test_what_aws_leaves_by_itself_is_to_be_done(cloud: Cloud, step: Step, status: str) -> None:
    add_cluster(cloud, Cluster(id="orders", status=status))
    assert only(cloud, step)["state"] == "to do"


@pytest.mark.parametrize("engine", ["postgres", "mysql", "docdb", "neptune"])
def test_what_is_not_aurora_is_none_of_its_concern(cloud: Cloud, step: Step, engine: str) -> None:
    """The RDS API lists the clusters of its siblings as well."""
    add_cluster(cloud, Cluster(id="orders"))
    cluster_of(cloud, "orders").engine = engine
    assert discover(cloud, step)["clusters"] == []


@pytest.mark.parametrize("status", ["kerberos-enabled", "joined"])
def test_what_its_own_workflow_has_enabled_is_already(cloud: Cloud, step: Step, status: str) -> None:
    add_cluster(cloud, Cluster(id="orders", tags=ASKED))
    join(cloud, status)
    found = only(cloud, step)
    assert (found["state"], found["why"]) == ("already enabled", "It is in the domain of d-1234567890.")
    assert found["tags"] == ASKED


@pytest.mark.parametrize(
    ("tags", "membership"),
    [
        (ASKED, ""),
        (ASKED, "enabling-kerberos"),
        (ASKED, "pending-maintenance-enable-kerberos"),
        (ASKED, "enable-kerberos-failed"),
        (ASKED | {"kerberos-status": "NetworkBlocked"}, "kerberos-enabled"),
        ({"kerberos": "enabled"}, "kerberos-enabled"),
        ({"kerberos-status": "enabled"}, "kerberos-enabled"),
        ({}, "kerberos-enabled"),
    ],
)
def test_what_is_enabled_by_half_is_to_be_done(cloud: Cloud, step: Step, tags: dict[str, str], membership: str) -> None:
    """A member of a domain without a status is one that nobody has proved, or given database users."""
    add_cluster(cloud, Cluster(id="orders", tags=tags))
    if membership:
        join(cloud, membership)
    assert only(cloud, step)["state"] == "to do"


def test_more_clusters_than_a_page_holds_are_all_found(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_at_once = RDSResponse.describe_db_clusters

    def a_page(self: Any) -> Any:
        found = all_at_once(self)._result["DBClusters"]
        start = int(self.params.get("Marker", 0))
        more = {"Marker": str(start + 100)} if len(found) > start + 100 else {}
        return ActionResult({"DBClusters": found[start : start + 100], **more})

    monkeypatch.setattr(RDSResponse, "describe_db_clusters", a_page)
    names = [f"many-{number:03}" for number in range(201)]
    for name in names:
        make(name, cloud.region)
    assert sorted(cluster["id"] for cluster in discover(cloud, step)["clusters"]) == names
    assert len(called(cloud, "rds:DescribeDBClusters")) == 3


def make(name: str, region: str) -> None:
    """A cluster without instances."""
    boto3.Session().client("rds", region_name=region).create_db_cluster(
        DBClusterIdentifier=name,
        Engine="aurora-postgresql",
        MasterUsername="postgres",
        MasterUserPassword="of no importance",
    )


# --- who refuses ------------------------------------------------------------------------------------------------------


def test_an_account_without_the_role_is_in_the_report_and_no_error(cloud: Cloud, step: Step) -> None:
    found = discover(cloud, step, account=FAR)
    assert found["clusters"] == []
    assert found["refused"].startswith("AssumeRole: AccessDenied: ")
    assert f"arn:aws:iam::{FAR}:role/aurora-kerberos-member-{cloud.region}" in found["refused"]


def test_a_region_without_the_role_is_in_the_report(cloud: Cloud, step: Step) -> None:
    assert "aurora-kerberos-member-eu-west-1" in discover(cloud, step, region="eu-west-1")["refused"]


def test_a_role_that_asks_for_another_external_id_is_in_the_report(cloud: Cloud, step: Step) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{cloud.home}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "somebody-else-s"}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("iam").update_assume_role_policy(
        RoleName=f"aurora-kerberos-member-{cloud.region}", PolicyDocument=document
    )
    assert discover(cloud, step)["refused"].startswith("AssumeRole: AccessDenied: ")


def test_a_call_that_the_account_denies_is_in_the_report(cloud: Cloud, step: Step) -> None:
    add_cluster(cloud, Cluster(id="orders"))
    forbid(cloud, "rds:DescribeDBClusters")
    found = discover(cloud, step)
    assert found["clusters"] == []
    assert found["refused"].startswith("DescribeDBClusters: AccessDenied: ")


def test_a_region_that_the_account_has_not_opted_in_to_is_in_the_report(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call="rds:DescribeDBClusters", error="InvalidClientTokenId", status=403)])
    assert discover(cloud, step)["refused"].startswith("DescribeDBClusters: InvalidClientTokenId: ")


def test_an_account_that_refuses_in_the_middle_is_not_half_in_the_report(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters of a first page, and none of the second, would look like all of them."""
    add_cluster(cloud, Cluster(id="orders"))
    endless = RDSResponse.describe_db_clusters
    monkeypatch.setattr(
        RDSResponse,
        "describe_db_clusters",
        lambda self: ActionResult({**endless(self)._result, "Marker": "next"}),
    )
    cloud.faults = Faults([Fault(call="rds:DescribeDBClusters", error="AccessDenied", status=403, after=1)])
    found = discover(cloud, step)
    assert (found["clusters"], bool(found["refused"])) == ([], True)


@pytest.mark.parametrize(
    ("call", "error", "status"),
    [
        ("sts:AssumeRole", "Throttling", 400),
        ("rds:DescribeDBClusters", "Throttling", 400),
        ("rds:DescribeDBClusters", "RequestLimitExceeded", 503),
        ("rds:DescribeDBClusters", "InternalFailure", 500),
        ("s3:PutObject", "SlowDown", 503),
    ],
)
def test_what_is_only_for_now_the_state_machine_asks_again(
    cloud: Cloud, step: Step, call: str, error: str, status: int
) -> None:
    add_cluster(cloud, Cluster(id="orders"))
    cloud.faults = Faults([Fault(call=call, error=error, status=status)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        discover(cloud, step)
    assert only(cloud, step)["id"] == "orders"


def test_no_answer_at_all_is_asked_for_as_often_as_patience_goes(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call="rds:DescribeDBClusters", kind="stall", times=4)])
    assert discover(cloud, step)["refused"] == ""


def test_another_region_is_asked_by_its_own_role_at_its_own_endpoint(cloud: Cloud, step: Step) -> None:
    make("far", "eu-west-1")
    make("near", cloud.region)
    iam = cloud.client("iam")
    here, there = (f"aurora-kerberos-member-{region}" for region in (cloud.region, "eu-west-1"))
    trust = iam.get_role(RoleName=here)["Role"]["AssumeRolePolicyDocument"]
    iam.create_role(RoleName=there, AssumeRolePolicyDocument=json.dumps(trust))
    statement = {"Effect": "Allow", "Action": "rds:DescribeDBClusters", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=there, PolicyName="rollout", PolicyDocument=document)
    (found,) = discover(cloud, step, region="eu-west-1")["clusters"]
    assert (found["id"], found["region"]) == ("far", "eu-west-1")
    assert found["arn"] == arn("far", region="eu-west-1")
    (assumed,) = called(cloud, "sts:AssumeRole")
    assert assumed.parameters["RoleArn"].endswith(there)
    assert [cluster["id"] for cluster in discover(cloud, step)["clusters"]] == ["near"]


def test_the_member_role_is_all_that_is_used_in_the_account(cloud: Cloud, step: Step) -> None:
    add_cluster(cloud, Cluster(id="orders"))
    cloud.calls.clear()
    discover(cloud, step)
    made = {(call.name, call.role) for call in cloud.calls if call.function}
    assert made == {
        ("sts:AssumeRole", ""),
        ("rds:DescribeDBClusters", f"aurora-kerberos-member-{cloud.region}"),
        ("s3:PutObject", ""),
    }
