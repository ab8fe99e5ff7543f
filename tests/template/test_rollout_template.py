"""The rollout's part of the template and its state machine: where it exists, and that every end is reported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aurora_kerberos import names
from deploy import templates
from local.cloud import Cloud
from local.deployment import EXTERNAL_ID
from local.services.iam import policies
from local.services.iam.keys import Context

DEFINITION = templates.definition("statemachine/rollout.asl.yaml")
PARENT: Mapping[str, Mapping[str, Any]] = DEFINITION["States"]
MAPS = {name: state for name, state in PARENT.items() if state["Type"] == "Map"}
MACHINES = [DEFINITION, *[state["ItemProcessor"] for state in MAPS.values()]]
ALL = {name: state for machine in MACHINES for name, state in machine["States"].items()}
TASKS = {name: state for name, state in ALL.items() if state["Type"] == "Task"}

FUNCTIONS = {"ListAccounts", "DiscoverClusters", "PlanWaves", "EnrollCluster", "JudgeWave", "ReportRollout"}
OTHERS = {
    "RolloutBucket",
    "RolloutBucketPolicy",
    "RolloutFailed",
    "RolloutStateMachine",
    "RolloutStateMachineLogs",
    "RolloutTimedOut",
    "Rollouts",
}


# --- where it exists --------------------------------------------------------------------------------------------------


def existing(cloud: Cloud) -> dict[str, set[str]]:
    """The names of what the stack has made, by kind."""
    roles = {role["RoleName"] for page in pages(cloud, "iam", "list_roles") for role in page["Roles"]}
    return {
        "functions": {
            each["FunctionName"] for page in pages(cloud, "lambda", "list_functions") for each in page["Functions"]
        },
        "state machines": {
            each["name"] for each in cloud.client("stepfunctions").list_state_machines()["stateMachines"]
        },
        "tables": set(cloud.client("dynamodb").list_tables()["TableNames"]),
        "buckets": {each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]},
        "roles": roles,
        "outputs": set(cloud.outputs),
    }


def pages(cloud: Cloud, service: str, operation: str) -> Any:
    return cloud.client(service).get_paginator(operation).paginate()


def of(made: Mapping[str, set[str]], kind: str) -> set[str]:
    """Names as the template has them: those that AWS makes end with something of their own."""
    return {re.sub(r"^aurora-kerberos-|-[A-Za-z0-9]{12}$", "", name).lower() for name in made[kind]}


def test_without_the_parameters_there_is_nothing_of_a_rollout() -> None:
    with Cloud() as cloud:
        made = existing(cloud)
    assert of(made, "state machines") == {"cluster"}
    assert (len(made["tables"]), made["buckets"]) == (1, set())
    assert not [name for name in made["roles"] if "member" in name]
    rollout_s = {name.lower() for name in FUNCTIONS}
    for kind in ("functions", "roles"):
        assert not [name for name in of(made, kind) if name.removesuffix("role") in rollout_s]
    assert not [name for name in made["outputs"] if name.startswith("Rollout")]


def test_rollout_on_adds_its_functions_and_resources_and_no_member_role() -> None:
    with Cloud() as cloud:
        before = existing(cloud)
    with Cloud({"Rollout": "on"}) as cloud:
        after = existing(cloud)
        deployed = {name for name in templates.functions() if name in FUNCTIONS and cloud.functions.name(name)}
    added = {kind: len(after[kind]) - len(before[kind]) for kind in after}
    assert deployed == FUNCTIONS
    assert added == {
        "functions": len(FUNCTIONS),
        "state machines": 1,
        "tables": 1,
        "buckets": 1,
        "roles": len(FUNCTIONS) + 1,
        "outputs": 3,
    }
    assert of(after, "state machines") == {"cluster", "rollout"}
    assert not [name for name in after["roles"] if "member" in name]


def test_a_management_account_adds_the_member_role_alone() -> None:
    with Cloud() as cloud:
        before = existing(cloud)
    with Cloud({"ManagementAccountId": "210987654321"}) as cloud:
        after = existing(cloud)
    assert {kind: len(after[kind]) - len(before[kind]) for kind in after if kind != "roles"} == dict.fromkeys(
        set(after) - {"roles"}, 0
    )
    assert [name for name in after["roles"] if "member" in name] == ["aurora-kerberos-member-eu-central-1"]
    assert len(after["roles"]) == len(before["roles"]) + 1


def test_what_has_the_condition_is_what_belongs_to_a_rollout() -> None:
    resources = templates.source()["Resources"]
    assert {name for name, each in resources.items() if each.get("Condition") == "RolloutHere"} == FUNCTIONS | OTHERS
    assert {name for name, each in resources.items() if each.get("Condition") == "Member"} == {"MemberRole"}


def test_what_has_become_of_clusters_outlives_the_stack() -> None:
    for name in ("Rollouts", "RolloutBucket"):
        resource = templates.source()["Resources"][name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


# --- the member role --------------------------------------------------------------------------------------------------

CLUSTER = "arn:aws:rds:eu-central-1:123456789012:cluster:orders"


@pytest.fixture(scope="module")
def member() -> tuple[Any, list[Any]]:
    """The role's trust policy and its statements, as deployed."""
    with Cloud({"ManagementAccountId": "210987654321", "RolePath": "/databases/"}) as cloud:
        name = f"aurora-kerberos-member-{cloud.region}"
        role = cloud.client("iam").get_role(RoleName=name)["Role"]
        return role["AssumeRolePolicyDocument"], list(policies.statements_of(cloud.home, name))


def test_the_member_role_is_for_the_management_account_with_the_external_id(member: tuple[Any, list[Any]]) -> None:
    (trust,) = member[0]["Statement"]
    assert trust["Principal"] == {"AWS": "arn:aws:iam::210987654321:root"}
    roles = "arn:aws:iam::210987654321:role/databases/aurora-kerberos"
    assert trust["Condition"] == {
        "StringEquals": {"sts:ExternalId": EXTERNAL_ID},
        "ArnLike": {"aws:PrincipalArn": [f"{roles}-DiscoverClustersRole-*", f"{roles}-EnrollClusterRole-*"]},
    }


@pytest.mark.parametrize(
    ("action", "keys", "allowed"),
    [
        ("rds:DescribeDBClusters", [], True),
        ("rds:AddTagsToResource", [names.TAG, names.ROLLOUT_TAG], True),
        ("rds:RemoveTagsFromResource", [names.STATUS_TAG, names.MESSAGE_TAG, names.REMEDY_TAG], True),
        ("rds:RemoveTagsFromResource", [names.TAG], False),
        ("rds:AddTagsToResource", [names.STATUS_TAG], False),
        ("rds:AddTagsToResource", [names.TAG, "team"], False),
        ("rds:AddTagsToResource", [names.APPLY_TAG], False),
        ("rds:AddTagsToResource", [names.PRINCIPALS_TAG], False),
        ("rds:RemoveTagsFromResource", [names.RESTART_TAG], False),
        ("rds:ModifyDBCluster", [], False),
        ("rds:DescribeDBInstances", [], False),
    ],
)
def test_the_member_role_finds_clusters_and_tags_them_and_nothing_else(
    member: tuple[Any, list[Any]], action: str, keys: list[str], allowed: bool
) -> None:
    context: Context = {"aws:TagKeys": keys, **{f"aws:RequestTag/{key}": names.ENABLED for key in keys}}
    assert policies.allows(member[1], action, CLUSTER, context) == allowed
    assert not policies.allows(member[1], action, CLUSTER.replace("eu-central-1", "eu-west-1"), context)
    assert not policies.allows(member[1], action, CLUSTER.replace(":cluster:", ":db:"), context)


# --- the state machine ------------------------------------------------------------------------------------------------


def targets(state: Mapping[str, Any]) -> Iterator[str]:
    yield from (state[key] for key in ("Next", "Default") if key in state)
    for branch in [*state.get("Choices", []), *state.get("Catch", [])]:
        yield branch["Next"]


@pytest.mark.parametrize("machine", MACHINES, ids=["parent", *MAPS])
def test_every_state_is_reached_and_every_next_exists(machine: Mapping[str, Any]) -> None:
    reached, waiting = set(), [machine["StartAt"]]
    while waiting:
        if (name := waiting.pop()) not in reached:
            reached.add(name)
            waiting += targets(machine["States"][name])
    assert reached == set(machine["States"])


def test_every_failing_path_of_the_parent_is_reported() -> None:
    """But that of the report itself: the execution's own error is all that is left then."""
    failure = {"failure": "{% $merge([$states.errorOutput, {'Step': $states.context.State.Name}]) %}"}
    report = [{"ErrorEquals": ["States.ALL"], "Assign": failure, "Next": "ReportRollout"}]
    working = {name for name, state in PARENT.items() if state["Type"] in {"Task", "Map"}}
    assert {name for name in working if PARENT[name].get("Catch") == report} == working - {"ReportRollout"}
    assert "Catch" not in PARENT["ReportRollout"]


def test_all_retries_are_those_of_the_other_state_machine() -> None:
    theirs = templates.definition()["States"]["EnsureDirectory"]["Retry"]
    assert {name for name, state in TASKS.items() if state["Retry"] != theirs} == set()


def test_every_task_invokes_the_function_of_its_name_and_outlives_it() -> None:
    assert set(TASKS) == FUNCTIONS
    default = templates.source()["Globals"]["Function"]["Timeout"]
    for name, state in TASKS.items():
        function = templates.functions()[name]
        assert state["Arguments"]["FunctionName"] == f"${{{name}}}"
        assert function["CodeUri"] == f"functions/{re.sub(r'(?<!^)(?=[A-Z])', '_', name).lower()}"
        assert function.get("Timeout", default) < state["TimeoutSeconds"]


@pytest.mark.parametrize("name", MAPS)
def test_one_child_s_failure_is_not_the_others(name: str) -> None:
    state = MAPS[name]
    assert state["ToleratedFailurePercentage"] == 100
    assert state["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}


@pytest.mark.parametrize("name", MAPS)
def test_nothing_of_the_children_comes_into_the_parent_s_payload(name: str) -> None:
    """What they have found and done stands in bucket and table: 10,000 outputs would not fit 256 KiB."""
    assert MAPS[name]["Output"] == {}
    ends = [
        state
        for state in MAPS[name]["ItemProcessor"]["States"].values()
        if state.get("End") or state["Type"] == "Succeed"
    ]
    assert [end["Output"] for end in ends] == [{}]


@pytest.mark.parametrize("name", MAPS)
def test_a_child_is_told_all_that_it_reads(name: str) -> None:
    """Variables of the parent are not visible in a Distributed Map."""
    machine = MAPS[name]["ItemProcessor"]
    assert variables(machine["States"]) <= assigned(machine["States"])
    selected = set(MAPS[name]["ItemSelector"])
    read = set(re.findall(r"\$(?:states\.input|item)\.([a-z_]\w*)", json.dumps(machine)))
    assert read == selected


def test_a_variable_is_there_before_it_is_read() -> None:
    """JSONata has no undefined: whatever a state reads, Begin has assigned."""
    assert variables({name: {**state, "ItemProcessor": None} for name, state in PARENT.items()}) <= set(
        PARENT["Begin"]["Assign"]
    )


def variables(states: Mapping[str, Any]) -> set[str]:
    functions = r"states\b|exists\b|string\b|not\b|merge\b|substring\b"
    return set(re.findall(rf"\$(?!{functions})([a-z_]\w*)", json.dumps(states)))


def assigned(states: Mapping[str, Any]) -> set[str]:
    return {name for state in states.values() for name in state.get("Assign", {})}


def test_cfn_lint_takes_the_definition(tmp_path: Path) -> None:
    """cfn-lint does not follow DefinitionUri, so the definition is put into a plain resource.

    It does not know either that MaxConcurrency may be computed ("Map state", MaxConcurrency).
    """
    text = re.sub(r"\$\{\w*Bucket\}", "bucket", json.dumps(DEFINITION))
    text = text.replace('"{% $listed.request.at_once %}"', "10")
    definition = json.loads(text.replace("${", "arn:aws:lambda:eu-central-1:1:function:$<"))
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"RoleArn": "arn:aws:iam::123456789012:role/machine", "Definition": definition},
    }
    template = tmp_path / "machine.json"
    template.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": machine}}))
    command = [Path(sys.executable).parent / "cfn-lint", template]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
