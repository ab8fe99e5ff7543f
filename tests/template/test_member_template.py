"""`make member-template`: what a service-managed StackSet takes, and that it is the stack of `template.yaml`."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from moto.cloudformation.models import cloudformation_backends
from moto.s3.models import s3_backends

from deploy import build, member_template, templates
from deploy.environment import environment_of
from local import deployment
from local.cloud import Cloud
from local.core.places import Place
from local.scenario import members
from local.services.iam import resources

pytestmark = pytest.mark.xdist_group("build")

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
MEMBER = "222222222222"
Template = dict[str, Any]


@pytest.fixture(scope="module")
def written(build_for: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template that is written, its zips beside it."""
    with environment_of("eu-central-1"):
        return member_template.write(build_for("arm64"), tmp_path_factory.mktemp("member"), "arm64")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder as `sam build` makes it, with little in it."""
    for name in member_template.code_of_the_member():
        file = tmp_path / "built" / name / ("python/one.py" if name.endswith("Layer") else "app.py")
        file.parent.mkdir(parents=True)
        file.write_text(f"# {name}\n")
    return tmp_path / "built"


@pytest.fixture
def template(written: Path) -> Template:
    made: Template = json.loads(written.read_text())
    return made


@pytest.fixture(scope="module")
def whole() -> Template:
    """The whole stack as the local cloud deploys it."""
    with environment_of("eu-central-1"):
        made: Template = json.loads(json.dumps(deployment.plain()))
    return made


def of_type(template: Template, kind: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] == kind}


def without_hash(name: str) -> str:
    """SAM adds a hash of what a layer is made of to its logical id."""
    return re.sub(r"[0-9a-f]{10}$", "", name)


def artifacts(template: Template) -> dict[str, str]:
    """The zip of each function and layer, by logical id."""
    layers = of_type(template, "AWS::Lambda::LayerVersion")
    code = {name: properties["Code"] for name, properties in of_type(template, "AWS::Lambda::Function").items()}
    code |= {without_hash(name): properties["Content"] for name, properties in layers.items()}
    for place in code.values():
        assert place["S3Bucket"] == {"Fn::Sub": "${ArtifactBucket}-${AWS::Region}"}  # Lambda reads in its own Region
    keys = {name: place["S3Key"]["Fn::Sub"] for name, place in code.items()}
    assert all(key.startswith("${ArtifactPrefix}/") for key in keys.values())
    return {name: key.partition("/")[2] for name, key in keys.items()}


# --- what StackSets take ----------------------------------------------------------------------------------------------


def test_cfn_lint_takes_it(written: Path) -> None:
    done = subprocess.run([BIN / "cfn-lint", written], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_is_left_for_a_transform(written: Path) -> None:
    text = written.read_text()
    assert "Transform" not in text
    assert "AWS::Serverless" not in text
    assert "Globals" not in text
    assert "AWS::CloudFormation::Stack" not in text  # nested stacks are refused as well


def test_it_is_smaller_than_stack_sets_allow(written: Path, template: Template) -> None:
    assert written.stat().st_size <= 1024 * 1024
    assert len(template["Resources"]) <= 500
    assert len(template["Parameters"]) <= 200


def test_a_template_that_is_too_large_is_said_to_be(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_template, "LIMIT", 1000)
    with environment_of("eu-central-1"), pytest.raises(ValueError, match="StackSets take 1000"):
        member_template.write(small, tmp_path / "member", "arm64")


def test_it_is_the_same_in_every_partition_and_region(written: Path) -> None:
    for found in re.findall(r"arn:aws[a-z-]*:[^\"\\]*", written.read_text()):
        assert found.startswith("arn:aws:states:::lambda:invoke"), found  # in the definition, as in template.yaml
    assert "eu-central-1" not in written.read_text()


def test_a_stack_of_the_documented_stack_set_leaves_room_for_the_state_machine_s_name(template: Template) -> None:
    """Its stacks are named StackSet-<name>-<UUID>; a state machine's name has at most 80 characters."""
    names = set(re.findall(r"--stack-set-name (\S+)", (ROOT / "docs" / "rollout.md").read_text()))
    assert names == {"aurora-kerberos"}
    for machine in of_type(template, "AWS::StepFunctions::StateMachine").values():
        name = machine["StateMachineName"]["Fn::Sub"].replace("${AWS::StackName}", f"StackSet-{names.pop()}-{36 * 'f'}")
        assert len(name) <= 80


# --- parameters -------------------------------------------------------------------------------------------------------


def test_network_and_code_are_what_each_account_and_region_has(template: Template) -> None:
    parameters = template["Parameters"]
    assert parameters["VpcId"]["Type"] == "AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>"
    assert parameters["SubnetIds"]["Type"] == "AWS::SSM::Parameter::Value<List<AWS::EC2::Subnet::Id>>"
    assert {name for name, each in parameters.items() if "Default" not in each} == {
        "ManagementAccountId",
        "ArtifactBucket",
        "ExternalId",
    }
    assert not re.fullmatch(parameters["ExternalId"]["AllowedPattern"], "")
    assert not re.fullmatch(parameters["ManagementAccountId"]["AllowedPattern"], "")
    assert all(each["Description"] for each in parameters.values())


def test_parameters_are_the_stack_s_but_for_the_rollout(template: Template, whole: Template) -> None:
    added = {"ArtifactBucket", "ArtifactPrefix"}
    assert set(template["Parameters"]) == set(whole["Parameters"]) - {"Rollout"} | added
    changed = {"VpcId", "SubnetIds", "ManagementAccountId", "ExternalId", "Architecture"}
    for name in set(template["Parameters"]) - added - changed:
        assert template["Parameters"][name] == whole["Parameters"][name]
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template["Parameters"])


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_architecture_is_the_one_it_was_built_for(architecture: str) -> None:
    with environment_of("eu-central-1"):
        made = member_template.template(members.artifacts(), architecture)
    assert made["Parameters"]["Architecture"]["Default"] == architecture
    assert made["Parameters"]["Architecture"]["AllowedValues"] == [architecture]


def test_the_longest_bucket_name_has_room_for_the_region(template: Template) -> None:
    pattern = template["Parameters"]["ArtifactBucket"]["AllowedPattern"]
    region = max((boto3.session.Session().get_available_regions("lambda")), key=len)
    longest = "b" * (63 - len(f"-{region}"))
    assert re.fullmatch(pattern, longest)
    assert not re.fullmatch(pattern, longest + "b")
    assert not re.fullmatch(pattern, "a.b")


# --- resources --------------------------------------------------------------------------------------------------------


def comparable(template: Template) -> dict[str, Any]:
    """The resources, less where the code is, and with the definition as what it says."""
    found = {}
    for name, resource in json.loads(json.dumps(template["Resources"])).items():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::Lambda::LayerVersion":
            continue
        if resource["Type"] == "AWS::Lambda::Function":
            del properties["Code"]
            properties.pop("Layers", None)
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            text = properties["DefinitionString"]
            joined = text if isinstance(text, str) else "\n".join(text["Fn::Join"][1])
            properties["DefinitionString"] = json.loads(joined)
        if "ManagedPolicyArns" in properties:
            listed = json.dumps(properties["ManagedPolicyArns"]).replace("arn:aws:", "arn:${AWS::Partition}:")
            properties["ManagedPolicyArns"] = re.findall(r'"(arn:[^"]*)"', listed)
        found[name] = resource
    return found


def test_all_resources_are_the_stack_s_but_for_the_rollout(template: Template, whole: Template) -> None:
    here = {name: each for name, each in comparable(whole).items() if each.get("Condition") != "RolloutHere"}
    assert comparable(template) == here
    assert len(here) > 50


def test_outputs_and_conditions_are_the_stack_s_but_for_the_rollout(template: Template, whole: Template) -> None:
    assert set(whole["Outputs"]) - set(template["Outputs"]) == {"RolloutStateMachine", "RolloutTable", "RolloutBucket"}
    assert set(whole["Conditions"]) - set(template["Conditions"]) == {"RolloutHere"}
    assert "Rollout" not in {without_hash(name) for name in template["Resources"]}
    assert not [name for name in template["Resources"] if "Rollout" in name]


def test_every_function_has_its_layers(template: Template) -> None:
    sources = templates.functions()
    for name, properties in of_type(template, "AWS::Lambda::Function").items():
        layers = [without_hash(layer["Ref"]) for layer in properties["Layers"]]
        assert layers == ["CommonLayer", *(each["Ref"] for each in sources[name].get("Layers", []))]
        assert {layer["Ref"] for layer in properties["Layers"]} <= set(template["Resources"])


# --- zips -------------------------------------------------------------------------------------------------------------


def test_every_zip_that_is_named_is_there_and_no_other(written: Path, template: Template) -> None:
    named = artifacts(template)
    assert set(named.values()) == {path.name for path in written.parent.glob("*.zip")}
    assert {path.name for path in written.parent.iterdir()} == {*named.values(), "template.json"}
    for name, file in named.items():
        with zipfile.ZipFile(written.parent / file) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            assert all(info.external_attr >> 16 & 0o444 == 0o444 for info in archive.infolist())
        if name.endswith("Layer"):
            assert all(each.startswith("python/") for each in names)
        else:
            assert "app.py" in names
        assert not [each for each in names if "__pycache__" in each]
    with zipfile.ZipFile(written.parent / named["CommonLayer"]) as archive:
        assert "python/aurora_kerberos/step.py" in archive.namelist()


def test_what_is_built_twice_is_named_the_same(build_for: Callable[[str], Path], tmp_path: Path) -> None:
    """The two architectures are two builds: they differ where there is machine code, and nowhere else."""
    packed = {}
    for architecture in member_template.ARCHITECTURES:
        (tmp_path / architecture).mkdir()
        packed[architecture] = member_template.pack(build_for(architecture), tmp_path / architecture)
    arm, intel = packed.values()
    assert {name for name in arm if arm[name] != intel[name]} == {"PostgresLayer", "SweepClusters", "ValidateRequest"}
    for file in set(arm.values()) & set(intel.values()):
        assert (tmp_path / "arm64" / file).read_bytes() == (tmp_path / "x86_64" / file).read_bytes()


def test_order_times_and_rights_of_files_change_nothing(tmp_path: Path) -> None:
    names = ["app.py", "other.py", "deep/er.py"]
    packed: list[Path] = []
    for folder, order in {"first": names, "second": list(reversed(names))}.items():
        for name in order:
            path = tmp_path / folder / "code" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, (len(packed) * 10**9, len(packed) * 10**9))
            path.chmod(0o700 if packed else 0o600)
        packed.append(tmp_path / folder / member_template.zipped(tmp_path / folder / "code", tmp_path / folder))
    assert packed[0].name == packed[1].name
    assert packed[0].read_bytes() == packed[1].read_bytes()


def test_a_file_moved_or_cut_otherwise_is_another_zip(tmp_path: Path) -> None:
    names = set()
    for number, files in enumerate([{"a": "bc"}, {"ab": "c"}, {"a": "b", "c": ""}, {"a": "b", "d": ""}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        names.add(member_template.zipped(folder, tmp_path))
    assert len(names) == 4


@pytest.mark.parametrize(("folder", "changed"), [("CheckDatabase", "app.py"), ("CommonLayer", "python/more.py")])
def test_a_changed_source_changes_its_zip_alone(small: Path, tmp_path: Path, folder: str, changed: str) -> None:
    made = []
    for text in ("", "# changed\n"):
        with (small / folder / changed).open("a") as file:
            file.write(text)
        with environment_of("eu-central-1"):
            made.append(json.loads(member_template.write(small, tmp_path / "member", "arm64").read_text()))
    before, after = map(artifacts, made)
    assert {name for name in after if after[name] != before[name]} == {folder}
    # A new layer version has a new logical id, and the functions take it.
    layers = set(made[0]["Resources"]) ^ set(made[1]["Resources"])
    assert {without_hash(name) for name in layers} == ({folder} if folder.endswith("Layer") else set())


def test_what_was_there_before_is_cleared_away(small: Path, tmp_path: Path) -> None:
    (tmp_path / "member").mkdir()
    (tmp_path / "member" / "old.zip").write_text("")
    with environment_of("eu-central-1"):
        member_template.write(small, tmp_path / "member", "arm64")
    assert not (tmp_path / "member" / "old.zip").exists()


def test_the_command_builds_and_says_what_it_has_made(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def built(arguments: list[str]) -> int:
        asked.append(arguments)
        shutil.copytree(small, arguments[1])
        return 0

    monkeypatch.setattr(build, "run", built)
    monkeypatch.setattr(member_template, "FOLDER", tmp_path / "member")
    monkeypatch.setattr(sys, "argv", ["member_template", "--architecture", "x86_64"])
    assert member_template.main() == 0
    assert asked[0][2:] == ["--parameter-overrides", "Architecture=x86_64"]
    parameters = json.loads((tmp_path / "member" / "template.json").read_text())["Parameters"]
    assert parameters["Architecture"]["Default"] == "x86_64"
    said = capsys.readouterr().out
    assert f"{len(member_template.code_of_the_member())} zips" in said
    assert "docs/rollout.md" in said


def test_a_build_that_fails_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "run", lambda _: 3)
    monkeypatch.setattr(member_template, "FOLDER", tmp_path / "member")
    monkeypatch.setattr(sys, "argv", ["member_template"])
    assert member_template.main() == 3
    assert not (tmp_path / "member").exists()


# --- deployed, and what the member role may do ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        yield running


def test_a_member_account_can_deploy_it(cloud: Cloud) -> None:
    """With code of another account's bucket, and the network of its own SSM parameters."""
    place = Place(MEMBER, "eu-west-1")
    members.deploy(cloud, place, {"ManagementAccountId": cloud.home})
    assert not s3_backends[MEMBER]["aws"].buckets
    deployed, stacks = cloud.deployed[place], cloudformation_backends[MEMBER][place.region].stacks.values()
    (made,) = stacks
    assert made.status == "CREATE_COMPLETE"
    settings = cloud.client("ssm", *place).get_parameter(Name="/aurora-kerberos.stack")["Parameter"]["Value"]
    assert f"\nvpc_id={deployed.network.vpc}\n" in settings
    assert f"\ndirectory_owner_accounts={cloud.home}\n" in settings
    assert f"\nsubnet_ids={','.join(deployed.network.subnets)}\n" in settings
    machine = cloud.client("stepfunctions", *place).describe_state_machine(
        stateMachineArn=deployed.outputs["StateMachine"]
    )
    assert "${" not in machine["definition"]
    role = cloud.client("iam", *place).get_role(RoleName=f"aurora-kerberos-member-{place.region}")["Role"]
    (trusted,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trusted["Principal"] == {"AWS": f"arn:aws:iam::{cloud.home}:root"}
    assert trusted["Condition"]["StringEquals"] == {"sts:ExternalId": deployment.EXTERNAL_ID}


def called(path: Path) -> set[str]:
    """The operations of RDS that a source calls, or asks a paginator for."""
    rds = boto3.session.Session().client("rds", region_name="eu-central-1").meta.service_model
    operations = {xform_name(name): name for name in rds.operation_names}
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    return {operations[name] for name in names & set(operations)}


def services(path: Path) -> set[str]:
    """The services that a source asks for a client of, with a role."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    clients = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "client"]
    return {str(ast.literal_eval(call.args[0])) for call in clients if len(call.args) > 1}


def test_the_member_role_allows_what_a_rollout_calls_and_nothing_else(template: Template) -> None:
    sources = [ROOT / "functions" / name / "app.py" for name in ("discover_clusters", "enroll_cluster")]
    assert set().union(*map(services, sources)) == {"rds"}
    needed = {f"rds:{operation}" for source in sources for operation in called(source)}
    (policy,) = template["Resources"]["MemberRole"]["Properties"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    allowed = [action for statement in statements for action in resources.listed(statement["Action"])]
    assert sorted(allowed) == sorted(needed)
    assert all(statement["Effect"] == "Allow" and statement["Resource"] != "*" for statement in statements)
    tags = {resources.listed(s["Action"])[0]: s["Condition"]["ForAllValues:StringEquals"] for s in statements[1:]}
    assert tags == {
        "rds:AddTagsToResource": {"aws:TagKeys": ["kerberos", "kerberos-rollout"]},
        "rds:RemoveTagsFromResource": {"aws:TagKeys": ["kerberos-status", "kerberos-message", "kerberos-remedy"]},
    }


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_commands_name_parameters_that_there_are(template: Template) -> None:
    page = (ROOT / "docs" / "rollout.md").read_text()
    assert set(re.findall(r"ParameterKey=(\w+)", page)) <= set(template["Parameters"])
    for name in ("VpcId", "SubnetIds"):
        assert template["Parameters"][name]["Default"] in page
    assert f"s3://$bucket-$region/{template['Parameters']['ArtifactPrefix']['Default']}" in page


def test_bash_takes_the_commands() -> None:
    page = (ROOT / "docs" / "rollout.md").read_text()
    commands = "\n".join(line[4:] for line in page.splitlines() if line.startswith("    "))
    done = subprocess.run(["/bin/bash", "-n", "-c", commands], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
