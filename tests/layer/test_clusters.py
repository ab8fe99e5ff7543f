"""What RDS says of clusters and instances: who is the writer, what is busy, and what is stuck."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aurora_kerberos import clusters
from aurora_kerberos.errors import ClusterNotFound, ClusterUnusable, InstanceUnusable

ARN = "arn:aws:rds:eu-central-1:123456789012:cluster:orders"
# "Viewing DB cluster status" and "Viewing DB instance status", Aurora user guide. Written twice on
# purpose: what goes missing in the code is missed here.
AVAILABLE = ["available", "backing-up", "storage-optimization", "storage-config-upgrade"]
STUCK_CLUSTER = [
    "cloning-failed",
    "deleting",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "incompatible-parameters",
    "migration-failed",
    "stopped",
    "stopping",
]
STUCK_INSTANCE = [
    "delete-precheck",
    "deleting",
    "failed",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "incompatible-credentials",
    "incompatible-create",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "insufficient-capacity",
    "restore-error",
    "stopped",
    "stopping",
    "storage-full",
]


class Rds:
    """RDS with answers by operation; what it was called with."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.calls = answers, list[tuple[str, dict[str, Any]]]()

    def __getattr__(self, operation: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append((operation, arguments))
            found = self.answers.get(operation, {})
            if isinstance(found, str):
                raise ClientError({"Error": {"Code": found}}, operation)
            return found

        return call

    def get_paginator(self, operation: str) -> Any:
        class Pages:
            paginate = staticmethod(getattr(self, operation))

        return Pages


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def used(**answers: Any) -> Rds:
        rds = Rds(**answers)
        monkeypatch.setattr(clusters, "client", lambda _: rds)
        return rds

    return used


def cluster(status: str = "available") -> dict[str, Any]:
    return {"DBClusterIdentifier": "orders", "DBClusterArn": ARN, "Status": status}


def instance(status: str = "available", name: str = "orders-1") -> dict[str, Any]:
    return {"DBInstanceIdentifier": name, "DBInstanceStatus": status}


def test_a_cluster_is_described(use: Any) -> None:
    rds = use(describe_db_clusters={"DBClusters": [cluster()]})
    assert clusters.describe("orders") == cluster()
    assert rds.calls == [("describe_db_clusters", {"DBClusterIdentifier": "orders"})]


@pytest.mark.parametrize("answer", ["DBClusterNotFoundFault", {"DBClusters": []}])
def test_a_cluster_that_is_not_there_is_named(use: Any, answer: Any) -> None:
    use(describe_db_clusters=answer)
    with pytest.raises(ClusterNotFound, match="There is no DB cluster 'orders'"):
        clusters.describe("orders")


def test_another_error_is_not_taken_for_an_absent_cluster(use: Any) -> None:
    use(describe_db_clusters="AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        clusters.describe("orders")


@pytest.mark.parametrize("writer", ["a", "b", "c"])
def test_the_writer_is_the_last_and_the_readers_are_in_order(use: Any, writer: str) -> None:
    rds = use(
        describe_db_instances=[
            {"DBInstances": [instance(name=each) for each in "ca"]},
            {"DBInstances": [instance(name="b")]},
        ]
    )
    members = [{"DBInstanceIdentifier": each, "IsClusterWriter": each == writer} for each in "abc"]
    found = clusters.instances({**cluster(), "DBClusterMembers": members})
    readers = [each for each in "abc" if each != writer]
    assert [each["DBInstanceIdentifier"] for each in found] == [*readers, writer]
    assert rds.calls == [("describe_db_instances", {"Filters": [{"Name": "db-cluster-id", "Values": ["orders"]}]})]


@pytest.mark.parametrize("status", STUCK_CLUSTER)
def test_a_cluster_that_needs_a_person_is_refused(status: str) -> None:
    with pytest.raises(ClusterUnusable, match=f"Cluster orders is {status}"):
        clusters.refuse_stuck(cluster(status), [])


@pytest.mark.parametrize("status", STUCK_INSTANCE)
def test_an_instance_that_needs_a_person_is_refused(status: str) -> None:
    with pytest.raises(InstanceUnusable, match=f"Instance orders-2 is {status}"):
        clusters.refuse_stuck(cluster(), [instance(), instance(status, "orders-2")])


@pytest.mark.parametrize("status", [*AVAILABLE, "modifying", "upgrading", "failing-over", "creating"])
def test_what_aws_leaves_by_itself_is_not_refused(status: str) -> None:
    clusters.refuse_stuck(cluster(status), [instance(status)])


@pytest.mark.parametrize(("of_cluster", "of_instance"), list(itertools.product(AVAILABLE, AVAILABLE)))
def test_what_is_available_by_another_name_is_not_busy(of_cluster: str, of_instance: str) -> None:
    assert clusters.busy(cluster(of_cluster), [instance(of_instance)]) == ""


def test_what_is_at_work_is_busy_and_named() -> None:
    assert clusters.busy(cluster("modifying"), [instance("rebooting")]) == "Cluster orders is modifying"
    found = clusters.busy(cluster(), [instance(), instance("rebooting", "orders-2")])
    assert found == "Instance orders-2 is rebooting"


def test_what_waits_for_a_maintenance_window_has_more_than_a_week() -> None:
    assert clusters.patience("pending-maintenance-enable-kerberos") == 8 * 86_400
    assert clusters.patience("pending-enable-kerberos") == clusters.patience("enabling-kerberos") == 3 * 3600


def test_the_statuses_of_a_membership() -> None:
    assert {"kerberos-enabled", "joined"} == clusters.ENABLED
    leaving = {"pending-disable-kerberos", "pending-maintenance-disable-kerberos", "disabling-kerberos"}
    assert leaving == clusters.LEAVING
    assert {"enabling-kerberos", "pending-enable-kerberos", "pending-join"} == clusters.JOINING


def test_a_membership_of_no_domain_is_none() -> None:
    member = {"Domain": "d-1", "IAMRoleName": "role"}
    assert clusters.membership({"DomainMemberships": [{"Domain": "none"}, {}, member]}) == member
    assert clusters.membership({"DomainMemberships": [{"Domain": "none"}]}) is None
    assert clusters.membership({}) is None


def test_a_role_is_named_with_or_without_its_arn() -> None:
    assert clusters.role_of({"IAMRoleName": "arn:aws:iam::123456789012:role/path/access"}) == "access"
    assert clusters.role_of({"IAMRoleName": "access"}) == "access"
    assert clusters.role_of({}) == ""


def test_where_a_subnet_group_is(use: Any) -> None:
    group = {"VpcId": "vpc-1", "Subnets": [{"SubnetIdentifier": "subnet-1"}, {"SubnetIdentifier": "subnet-2"}]}
    use(describe_db_subnet_groups={"DBSubnetGroups": [group]})
    assert clusters.placed("group") == {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1", "subnet-2"]}


@pytest.mark.parametrize(
    ("arn", "writes", "secondary"), [(ARN, False, True), (ARN, True, False), (f"{ARN}-2", False, False)]
)
def test_a_reader_of_a_global_database_is_secondary(use: Any, arn: str, writes: bool, secondary: bool) -> None:
    other = {"DBClusterArn": "arn:other", "IsWriter": not writes}
    member = {"DBClusterArn": arn, "IsWriter": writes}
    use(
        describe_global_clusters=[
            {"GlobalClusters": []},
            {"GlobalClusters": [{"GlobalClusterMembers": [other, member]}]},
        ]
    )
    assert clusters.is_secondary(cluster()) is secondary


def test_the_restart_tag_comes_and_goes(use: Any) -> None:
    rds = use()
    clusters.tag_restart(cluster(), "now")
    clusters.untag_restart(cluster())
    assert rds.calls == [
        ("add_tags_to_resource", {"ResourceName": ARN, "Tags": [{"Key": "kerberos-restart-due", "Value": "now"}]}),
        ("remove_tags_from_resource", {"ResourceName": ARN, "TagKeys": ["kerberos-restart-due"]}),
    ]


def test_events_are_of_two_weeks_and_the_oldest_is_the_first(use: Any) -> None:
    rds = use(describe_events=[{"Events": [{"Date": 3}, {"Date": 1}]}, {"Events": [{"Date": 2}]}])
    assert clusters.events("orders-1", "db-instance", "availability") == [{"Date": 1}, {"Date": 2}, {"Date": 3}]
    ((_, arguments),) = rds.calls
    assert arguments == {
        "SourceIdentifier": "orders-1",
        "SourceType": "db-instance",
        "Duration": 20_160,
        "EventCategories": ["availability"],
    }


def test_another_directory_is_named_by_its_dns_name_where_that_is_known() -> None:
    found = clusters.another_directory("orders", "d-1", "d-2", "corp.example.com")
    assert "the domain of d-1 (corp.example.com), and d-2 is asked for" in found.message
    assert "the domain of d-1, and d-2" in clusters.another_directory("orders", "d-1", "d-2").message
    assert "DirectoryId to d-1" in found.remedy
