"""Safe changes: what an upgrade or the end of the stack must not take with it, and how a new version comes in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy import templates
from deploy.environment import environment_of
from local import deployment

ALIAS = {"Ref": "ClusterStateMachineAliaslive"}
MACHINE = {"Ref": "ClusterStateMachine"}
HOLD_STATE = {
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
    "AWS::StepFunctions::StateMachineVersion",  # else a running canary would lose what it may have to return to
}

KEEPS_NOTHING = {"NotificationKey"}  # what it encrypts is on its way


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    """The template as AWS SAM expands it when it is deployed: with versions and alias, unlike the local run's."""
    template = json.loads(json.dumps(templates.source()))
    for resource in template["Resources"].values():
        for code in ("CodeUri", "ContentUri", "DefinitionUri"):
            if code in resource["Properties"]:
                resource["Properties"][code] = f"s3://bucket/{resource['Properties'][code]}"
    with environment_of("eu-central-1"):
        expanded: dict[str, Any] = templates.without_transform(template)["Resources"]
    return expanded


def test_what_holds_state_outlives_the_stack(resources: dict[str, Any]) -> None:
    """But for logs with a name of their own, which a stack of the same name could not be made beside again."""
    holding = {
        name: each
        for name, each in resources.items()
        if each["Type"] in HOLD_STATE and name not in KEEPS_NOTHING and "LogGroupName" not in each["Properties"]
    }
    assert {"Registry", "Rollouts", "RolloutBucket", "FunctionLogs", "ClusterStateMachineVersion"} <= set(holding)
    for name, resource in holding.items():
        assert resource.get("DeletionPolicy") == "Retain", name
        assert resource.get("UpdateReplacePolicy") == "Retain", name


def test_a_new_version_comes_in_by_degrees_and_goes_when_it_fails(resources: dict[str, Any]) -> None:
    preference = resources["ClusterStateMachineAliaslive"]["Properties"]["DeploymentPreference"]
    assert preference["StateMachineVersionArn"] == {"Ref": "ClusterStateMachineVersion"}
    assert preference["Type"] == "CANARY"
    assert preference["Alarms"] == [{"Ref": "NewVersionFails"}]
    alarm = resources["NewVersionFails"]["Properties"]
    assert alarm["Dimensions"] == [{"Name": "StateMachineArn", "Value": MACHINE}]


def test_whoever_starts_executions_starts_the_alias(resources: dict[str, Any]) -> None:
    (target,) = resources["ClusterStateMachineClusterTagged"]["Properties"]["Targets"]
    assert target["Arn"] == ALIAS
    assert resources["SweepClusters"]["Properties"]["Environment"]["Variables"]["STATE_MACHINE"] == ALIAS
    assert templates.source()["Outputs"]["StateMachine"]["Value"] == ALIAS


def test_whoever_starts_the_alias_may_start_the_state_machine(resources: dict[str, Any]) -> None:
    """IAM is asked about the state machine's ARN, not the alias's."""
    (target,) = resources["ClusterStateMachineClusterTagged"]["Properties"]["Targets"]
    role = target["RoleArn"]["Fn::GetAtt"][0]
    policies = [
        each["Properties"]
        for each in resources.values()
        if each["Type"] == "AWS::IAM::Policy" and {"Ref": role} in each["Properties"]["Roles"]
    ]
    policies += resources["SweepClustersRole"]["Properties"]["Policies"]
    allowed = [
        statement["Resource"]
        for policy in policies
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "states:StartExecution"
    ]
    assert allowed == [MACHINE, MACHINE]


def test_the_functions_run_with_the_settings_of_today(resources: dict[str, Any]) -> None:
    """A published version would keep the environment that it was published with."""
    assert not [name for name, each in resources.items() if each["Type"] == "AWS::Lambda::Version"]
    for machine in ("ClusterStateMachine", "RolloutStateMachine"):
        substitutions = resources[machine]["Properties"]["DefinitionSubstitutions"]
        for name in set(substitutions) & set(templates.functions()):
            assert substitutions[name] == {"Fn::GetAtt": [name, "Arn"]}


def test_the_local_run_has_neither_versions_nor_alias() -> None:
    with environment_of("eu-central-1"):
        expanded = deployment.expanded()
    assert "ClusterStateMachineAliaslive" not in expanded
    assert "NewVersionFails" not in expanded
    assert "StateMachineVersion" not in expanded
