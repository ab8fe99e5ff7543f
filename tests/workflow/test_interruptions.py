"""Redrive and restart: the run is killed at each state of the happy path in turn, and the end is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from local.scenario.expectations import registry_item
from local.scenario.format import read
from local.scenario.login import login
from local.scenario.prepare import prepare
from local.services.rds.backend import cluster_of, members

SCENARIO = read(Path(__file__).parents[2] / "scenarios" / "tag-to-login.yaml")
REQUEST = {"cluster": "orders"}
ENDS = {"Succeeded", "Failed", "OutcomeNotRecorded"}


@contextmanager
def world() -> Iterator[Cloud]:
    """The demo's: no directory yet, users and a group to be made."""
    with Cloud(SCENARIO.settings, SCENARIO.takes) as cloud:
        prepare(cloud, SCENARIO.cloud)
        yield cloud


def end_of(cloud: Cloud) -> dict[str, Any]:
    """Everything that a run leaves behind, without what is another one each time."""
    cluster = cluster_of(cloud, "orders")
    tags = {tag["Key"]: tag["Value"] for tag in cluster.get_tags()}
    directories = cloud.client("ds").describe_directories()["DirectoryDescriptions"]
    groups = cloud.client("ec2").describe_security_groups()["SecurityGroups"]
    roles = cloud.databases.server("orders").sql(
        "SELECT r.rolname, r.rolcanlogin, shobj_description(r.oid, 'pg_authid'), "
        "ARRAY(SELECT g.rolname FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid "
        "WHERE member = r.oid ORDER BY 1) "
        "FROM pg_roles r ORDER BY 1"
    )
    alice = login(cloud, "orders", "alice@CORP.EXAMPLE.COM")
    return {
        "outcome": {key: registry_item(cloud, "orders")[key] for key in ("outcome", "error", "message")},
        "tags": {key: value for key, value in tags.items() if key != "kerberos"},
        "memberships": [each.domain_memberships[0].status for each in members(cluster)],
        "directories": [(each["Name"], each["Stage"]) for each in directories],
        "roles": roles,
        "iam": sorted(role["RoleName"].rpartition("-")[0] for role in cloud.client("iam").list_roles()["Roles"]),
        "secrets": sorted(
            each["Name"].partition("!")[0] for each in cloud.client("secretsmanager").list_secrets()["SecretList"]
        ),
        "parameters": sorted(each["Name"] for each in cloud.client("ssm").describe_parameters()["Parameters"]),
        "rules": sorted(len(group["IpPermissions"]) + len(group["IpPermissionsEgress"]) for group in groups),
        "login": (alice.ok, alice.gss_authenticated),
        "leases": [item for item in items(cloud) if item.startswith("lease:arn")],
    }


def items(cloud: Cloud) -> list[str]:
    return [item["arn"]["S"] for item in cloud.client("dynamodb").scan(TableName=cloud.outputs["Registry"])["Items"]]


def made(cloud: Cloud) -> list[str]:
    """The calls that must not happen twice."""
    once = {"ds:CreateMicrosoftAD", "rds:ModifyDBCluster", "iam:CreateRole", "secretsmanager:CreateSecret"}
    return sorted(call.name for call in cloud.calls if call.name in once and call.function and not call.error)


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[list[str], dict[str, Any], list[str]]:
    """The states of the happy path in the order of their first visits, the end, and what was made."""
    with world() as cloud:
        execution = cloud.executions[cloud.start(REQUEST)]
        cloud.run()
        assert execution.status == "SUCCEEDED", execution.cause
        return list(dict.fromkeys(execution.states)), end_of(cloud), made(cloud)


Uninterrupted = tuple[list[str], dict[str, Any], list[str]]


@pytest.mark.xdist_group("interruptions")
def test_stopped_and_redriven_at_each_state_the_end_is_the_same(uninterrupted: Uninterrupted) -> None:
    states, end, once = uninterrupted
    with world() as cloud:
        cloud.stop_at = {("run-1", state) for state in states if state not in ENDS}
        execution = cloud.executions[cloud.start(REQUEST)]
        cloud.run()
        while execution.status == "ABORTED":
            cloud.redrive(execution.name)
            cloud.run()
        assert execution.status == "SUCCEEDED", execution.cause
        assert execution.redrives == len(set(states) - ENDS)
        assert json.dumps(end_of(cloud)) == json.dumps(end)
        assert made(cloud) == once


@pytest.mark.xdist_group("interruptions")
def test_stopped_at_each_state_and_started_anew_the_end_is_the_same(uninterrupted: Uninterrupted) -> None:
    states, end, once = uninterrupted
    with world() as cloud:
        for number, state in enumerate(states, 1):
            cloud.stop_at = {(f"run-{number}", state)} if state not in ENDS else set()
            execution = cloud.executions[cloud.start(REQUEST)]
            while execution.status == "RUNNING":
                cloud.run(cloud.clock.now + 1)
            assert (execution.status, execution.state) == ("SUCCEEDED" if state in ENDS else "ABORTED", state)
        cloud.run()
        assert json.dumps(end_of(cloud)) == json.dumps(end)
        assert made(cloud) == once
