"""The SAM template: what the tools say of it, what it starts on, and what its roles may do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy import templates
from deploy.environment import environment_of
from local import deployment
from local.services.iam.resources import BEHIND_THE_CALLS, listed
from tools import policies

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
EVENTS = ROOT / "tests" / "events"


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    with environment_of("eu-central-1"):
        expanded: dict[str, Any] = json.loads(deployment.expanded())["Resources"]
    return expanded


def test_sam_takes_the_template() -> None:
    command: list[str | Path] = [BIN / "sam", "validate", "--lint", "--region", "eu-central-1"]
    environment = {"PATH": str(BIN), "SAM_CLI_TELEMETRY": "0", "HOME": str(ROOT / ".local")}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("machine", ["cluster", "rollout"])
def test_cfn_lint_takes_the_definition(tmp_path: Path, machine: str) -> None:
    """cfn-lint does not follow DefinitionUri, so the definition is put into a plain resource."""
    written = json.dumps(templates.definition(f"statemachine/{machine}.asl.yaml"))
    # cfn-lint does not know yet that MaxConcurrency may be an expression (Amazon States Language, Map state).
    written = written.replace('"MaxConcurrency": "{% $listed.request.at_once %}"', '"MaxConcurrency": 10')
    definition = json.loads(written.replace("${", "arn:aws:lambda:eu-central-1:1:function:$<"))
    resource = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"RoleArn": "arn:aws:iam::123456789012:role/machine", "Definition": definition},
    }
    template = tmp_path / "machine.json"
    template.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": resource}}))
    done = subprocess.run([BIN / "cfn-lint", template], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_cfn_lint_takes_the_directory_account_s_template() -> None:
    command = [BIN / "cfn-lint", ROOT / "directory-account.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_cfn_lint_would_notice_a_wrong_definition(tmp_path: Path) -> None:
    states = {**templates.definition()["States"], "WaitForLogin": {"Type": "Wait", "Second": 1, "Next": "VerifyLogin"}}
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": "arn:aws:iam::123456789012:role/machine",
            "Definition": {**templates.definition(), "States": states},
        },
    }
    template = tmp_path / "machine.json"
    template.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": machine}}))
    done = subprocess.run([BIN / "cfn-lint", template], capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_the_rule_is_for_the_tag_alone(resources: dict[str, Any]) -> None:
    (rule,) = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::Events::Rule"]
    event = json.loads((EVENTS / "tag-change.json").read_text())
    pattern = rule["EventPattern"]
    assert pattern["account"] == [{"Ref": "AWS::AccountId"}]  # whoever may put events on the bus, from elsewhere
    assert pattern["source"] == [event["source"]]
    assert pattern["detail-type"] == [event["detail-type"]]
    assert pattern["detail"] == {
        "service": ["rds"],
        "resource-type": ["cluster"],
        "changed-tag-keys": ["kerberos", "kerberos-rollout"],
    }
    (target,) = rule["Targets"]
    assert "DeadLetterConfig" in target


@pytest.mark.parametrize("machine", ["Cluster", "Rollout"])
def test_a_state_machine_may_invoke_its_functions_and_no_others(resources: dict[str, Any], machine: str) -> None:
    role = resources[f"{machine}StateMachineRole"]["Properties"]
    statements = [s for policy in role["Policies"] for s in listed(policy["PolicyDocument"]["Statement"])]
    invoked = {
        json.dumps(s["Resource"])
        for s in statements
        if s["Action"] in ("lambda:InvokeFunction", ["lambda:InvokeFunction"])
    }
    substitutions = templates.source()["Resources"][f"{machine}StateMachine"]["Properties"]["DefinitionSubstitutions"]
    steps = set(substitutions) & set(templates.functions())
    assert len(invoked) == len(steps)
    assert all(any(name in resource for resource in invoked) for name in steps)
    others = {action for s in statements for action in listed(s["Action"])} - {"lambda:InvokeFunction"}
    children = {"states:StartExecution", "states:DescribeExecution", "states:StopExecution", "s3:GetObject"}
    allowed = children if machine == "Rollout" else set()
    assert {action for action in others if not action.startswith(("logs:", "xray:"))} == allowed


def test_no_wildcard_where_a_resource_can_be_named() -> None:
    """`*` alone stands only where AWS has no resource level, or acts in the caller's name."""
    free = {
        "cloudtrail:LookupEvents",
        "ds:CreateMicrosoftAD",
        "ds:DescribeDirectories",
        "ds:DescribeTrusts",
        "ec2:DescribeNetworkAcls",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcPeeringConnections",
        "ec2:DescribeVpcs",
        "rds:DescribeDBEngineVersions",
        "rds:DescribeEvents",
        "rds:DescribeOrderableDBInstanceOptions",
        "organizations:ListAccounts",
        "states:SendTaskFailure",
        "states:SendTaskSuccess",
    }
    policies = {name: templates.policies(name) for name in templates.functions()}
    far = templates.directory_account()["Resources"]["Role"]["Properties"]["Policies"]
    policies[templates.DIRECTORY_ACCOUNT_ROLE] = [policy["PolicyDocument"] for policy in far]
    for name, documents in policies.items():
        for policy in documents:
            for statement in policy["Statement"]:
                actions = set(listed(statement["Action"]))
                assert not [action for action in actions if "*" in action], name
                if statement["Resource"] == "*":
                    assert actions <= free | BEHIND_THE_CALLS.get(name, set()), name


def test_every_role_has_the_boundary_and_the_path(resources: dict[str, Any]) -> None:
    bounded = {"Fn::If": ["Bounded", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]}
    roles = {name: each["Properties"] for name, each in resources.items() if each["Type"] == "AWS::IAM::Role"}
    assert len(roles) > 25
    assert not [name for name, role in roles.items() if role.get("PermissionsBoundary") != bounded]
    # AWS SAM gives the roles of rules and schedules no path.
    started = {"ClusterStateMachineClusterTaggedRole", "SweepClustersScheduleRole"}
    assert {name for name, role in roles.items() if role.get("Path") != {"Ref": "RolePath"}} == started


SECRETS = {
    "CheckDatabase": {"rds!cluster-*", "${SecretPrefix}/*/master-*", "${AuthoritiesSecret}-??????"},
    "EnsureDatabaseUsers": {"rds!cluster-*", "${SecretPrefix}/*/master-*", "${AuthoritiesSecret}-??????"},
    "RevokeDatabaseUsers": {"rds!cluster-*", "${SecretPrefix}/*/master-*", "${AuthoritiesSecret}-??????"},
    "EnsureDirectory": {"${SecretPrefix}/*/admin-*"},
    "EnsureDirectoryUsers": {"${SecretPrefix}/*/users/*"},
    "EnsureTrust": {"${SecretPrefix}/*/trust-*"},
    "VerifyLogin": {"${CheckSecret}-*", "${AuthoritiesSecret}-??????"},
}


@pytest.mark.parametrize("function", templates.functions())
def test_a_function_reads_the_secrets_that_it_uses_and_no_others(function: str) -> None:
    statements = policies.policies()[function]
    read = [each for each in statements if "secretsmanager:GetSecretValue" in listed(each["Action"])]
    resources = {arn["Fn::Sub"] for each in read for arn in listed(each["Resource"])}
    start = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:"
    assert resources == {start + name for name in SECRETS.get(function, set())}
    actions = {action for each in statements for action in listed(each["Action"])}
    assert not {action for action in actions if action.startswith("secretsmanager:BatchGet")}


def test_keys_of_databases_are_used_by_rds_alone_in_the_name_of_who_makes_them() -> None:
    keys = [each for each in policies.policies()["EnsureMembership"] if str(each["Action"]).count("kms:")]
    uses, grants = keys
    assert [each["Fn::Sub"].partition(".")[0] for each in uses["Condition"]["StringEquals"]["kms:ViaService"]] == [
        "rds",
        "secretsmanager",
    ]
    assert (grants["Action"], grants["Condition"]) == (
        "kms:CreateGrant",
        {"Bool": {"kms:GrantIsForAWSResource": "true"}},
    )


@pytest.mark.parametrize("function", [name for name in templates.functions() if name != "EnsureMembership"])
def test_a_function_decrypts_what_it_reads_and_nothing_else(function: str) -> None:
    """What is in secrets that it may read, under any key; it encrypts under the stack's. By Secrets Manager alone."""
    statements = policies.policies()[function]
    read = [each for each in statements if "secretsmanager:GetSecretValue" in listed(each["Action"])]
    keys = [each for each in statements if any(action.startswith("kms:") for action in listed(each["Action"]))]
    assert len([each for each in keys if each["Action"] == "kms:Decrypt"]) == len(read)
    for statement in keys:
        via = {"Fn::Sub": "secretsmanager.${AWS::Region}.amazonaws.com"}
        assert statement["Condition"]["StringEquals"] == {"kms:ViaService": via}
        if "Fn::If" in statement["Resource"]:
            assert statement["Resource"]["Fn::If"][:2] == ["OwnKey", {"Ref": "SecretsKey"}]
            assert statement["Action"] == "kms:GenerateDataKey"
        else:
            assert statement["Action"] == "kms:Decrypt"
            assert statement["Condition"]["StringLike"] == {"kms:EncryptionContext:SecretARN": read[0]["Resource"]}


CONDITIONS = {
    "ds:AddTagsToResource": {"aws:RequestTag/managed-by", "aws:TagKeys"},
    "ds:CreateMicrosoftAD": {"aws:RequestTag/managed-by", "aws:TagKeys"},
    "ds-data:AddGroupMember": {"ds-data:Identifier", "ds-data:SAMAccountName"},
    "ds-data:UpdateUser": {"ds-data:Identifier", "ds-data:SAMAccountName"},
    "dynamodb:DeleteItem": {"dynamodb:LeadingKeys"},
    "ec2:AuthorizeSecurityGroupEgress": {"ec2:Vpc"},
    "ec2:AuthorizeSecurityGroupIngress": {"ec2:Vpc"},
    "ec2:CreateRoute": {"ec2:Vpc"},
    "ec2:CreateTags": {"aws:RequestTag/managed-by", "aws:TagKeys", "ec2:CreateAction"},
    "iam:AttachRolePolicy": {"iam:PolicyARN"},
    "iam:CreateRole": {"aws:RequestTag/managed-by", "iam:PermissionsBoundary"},
    "iam:PassRole": {"iam:PassedToService"},
    "iam:TagRole": {"aws:TagKeys"},
    "rds:AddTagsToResource": {"aws:TagKeys"},
    "rds:ModifyDBCluster": {"aws:ResourceTag/kerberos"},
    "rds:RemoveTagsFromResource": {"aws:TagKeys"},
    "secretsmanager:CreateSecret": {"aws:TagKeys"},
    "secretsmanager:TagResource": {"aws:TagKeys"},
    "secretsmanager:UntagResource": {"aws:TagKeys"},
}
# Tags that people give to a cluster that is made, or a rollout to one there is; what AWS does in the caller's name.
OTHERWISE = {
    ("MemberRole", "rds:AddTagsToResource"),
    ("EnsureMembership", "rds:AddTagsToResource"),
    ("EnsureMembership", "secretsmanager:CreateSecret"),
    ("EnsureMembership", "secretsmanager:TagResource"),
    ("EnsureDirectory", "ec2:CreateTags"),
}


def test_what_can_be_conditional_is() -> None:
    found = [
        (who, action, {key for keys in statement.get("Condition", {}).values() for key in keys})
        for who, statements in policies.policies().items()
        for statement in statements
        for action in listed(statement["Action"])
    ]
    assert {(who, action) for who, action, keys in found if CONDITIONS.get(action, keys) != keys} == OTHERWISE
    assert set(CONDITIONS) <= {action for _, action, _ in found}


def test_only_who_logs_in_to_databases_is_in_the_vpc() -> None:
    in_vpc = {name for name, properties in templates.functions().items() if "VpcConfig" in properties}
    with_psycopg2 = {
        name
        for name, properties in templates.functions().items()
        if any(
            word in (ROOT / properties["CodeUri"] / "app.py").read_text()
            for word in ("psycopg2", "aurora_kerberos.database")
        )
    }
    assert in_vpc == with_psycopg2 == {"CheckDatabase", "EnsureDatabaseUsers", "RevokeDatabaseUsers", "VerifyLogin"}


def test_the_sweep_has_the_settings_of_the_request() -> None:
    """Else it would see drift where there is none."""
    settings = templates.functions()["ValidateRequest"]["Environment"]["Variables"]
    assert settings.items() <= templates.functions()["SweepClusters"]["Environment"]["Variables"].items()


def test_every_parameter_but_the_network_has_a_default_and_all_are_described() -> None:
    parameters = templates.source()["Parameters"]
    assert {name for name, parameter in parameters.items() if "Default" not in parameter} == {"VpcId", "SubnetIds"}
    assert all(parameter.get("Description") for parameter in parameters.values())
    groups = templates.source()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(parameters)


def test_the_example_events_start_what_they_say() -> None:
    examples = {path.name for path in EVENTS.glob("*.json")}
    made = {"console-create.json", "console-restore.json", "console-restore-to-time.json"}
    sent = {"kerberos-enabled.json", "kerberos-disabled.json", "kerberos-failed.json"}
    started = {"console.json", "console-disable.json", "console-principals.json", "tag-change.json"}
    assert examples == started | made | sent
    readme = (ROOT / "README.md").read_text()
    for name in ("console.json", "console-disable.json"):
        assert (EVENTS / name).read_text().strip() in readme


def test_no_layer_or_function_imports_what_it_may_not() -> None:
    for path in [*ROOT.glob("functions/**/*.py"), *ROOT.glob("layers/**/*.py")]:
        for line in path.read_text().splitlines():
            assert not line.startswith(("from local", "import local", "from tests", "import tests")), path
            assert not line.startswith(("from functions", "import functions")), path
