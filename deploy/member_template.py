"""`make member-template`: the stack for the accounts of an organization, as a service-managed StackSet takes it.

Such a StackSet refuses transforms ("CreateStackSet", Capabilities, AWS CloudFormation API reference), so the template
is plain CloudFormation, made from `template.yaml`. Code and layers are zips in buckets that the organization can read,
one for each Region, for Lambda takes no code from another one ("FunctionCode", S3Bucket, AWS Lambda API reference). A
zip's name is a hash of what is in it: what has not changed keeps its name, and is not deployed anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy import build, templates
from deploy.environment import environment_of

FOLDER = build.ROOT / ".aws-sam" / "member"
LIMIT = 1024 * 1024  # bytes of a template in S3 ("CreateStackSet", TemplateURL)
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
READABLE = 0o100644 << 16  # a plain file that Lambda's user may read
ARCHITECTURES = ("arm64", "x86_64")

CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
ROLLOUT = "RolloutHere"  # the condition of what only the management side has
OF_A_PARTITION = re.compile(r"^arn:aws[a-z-]*:")
BUCKET, PREFIX = "ArtifactBucket", "ArtifactPrefix"
FROM_THE_ACCOUNT = "Name of the SSM parameter of each account and Region that holds"

# What a StackSet, which gives all accounts the same values, needs otherwise than `template.yaml` has it.
PARAMETERS: dict[str, dict[str, Any]] = {
    BUCKET: {
        "Type": "String",
        # A bucket's name has at most 63 characters, a Region's at most 14 ("General purpose bucket naming rules").
        "AllowedPattern": "^[a-z0-9][a-z0-9-]{1,47}$",
        "Description": "Name of the buckets with the code, one for each Region, without the -<Region> at its end.",
    },
    PREFIX: {
        "Type": "String",
        "Default": "aurora-kerberos",
        "AllowedPattern": r"^[\w.-]+(/[\w.-]+)*$",
        "Description": "Folder in these buckets.",
    },
    "VpcId": {
        "Type": "AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>",
        "Default": "/aurora-kerberos/vpc-id",
        "Description": f"{FROM_THE_ACCOUNT} the VPC from which the clusters' databases can be reached.",
    },
    "SubnetIds": {
        "Type": "AWS::SSM::Parameter::Value<List<AWS::EC2::Subnet::Id>>",
        "Default": "/aurora-kerberos/subnet-ids",
        "Description": (
            f"{FROM_THE_ACCOUNT} subnets of that VPC (a StringList) in at least two Availability Zones, with a way to "
            "AWS Secrets Manager (NAT gateway or interface endpoint)."
        ),
    },
    "ManagementAccountId": {
        "Type": "String",
        "AllowedPattern": "^[0-9]{12}$",
        "Description": "The account whose rollouts may tag clusters here.",
    },
    "ExternalId": {
        "Type": "String",
        "AllowedPattern": r"^[\w+=,.@:/-]{2,256}$",
        "Description": (
            "External id that this account's roles ask for, the same as in the stack of ManagementAccountId; one of "
            "your own, which nobody can guess."
        ),
    },
}


def template(artifacts: Mapping[str, str], architecture: str = ARCHITECTURES[0]) -> dict[str, Any]:
    """The template of a member account.

    Args:
        artifacts: the zip of each function and layer, by logical id.
        architecture: the one that these are for.
    """
    member = templates.without_versions(without_rollout(templates.source()))
    for name, resource in member["Resources"].items():
        properties = resource["Properties"]
        if code := CODE.get(resource["Type"]):
            properties[code] = {
                "Bucket": {"Fn::Sub": f"${{{BUCKET}}}-${{AWS::Region}}"},
                "Key": {"Fn::Sub": f"${{{PREFIX}}}/{artifacts[name]}"},
            }
        elif "DefinitionUri" in properties:
            properties["Definition"] = templates.definition(properties.pop("DefinitionUri"))
    made: dict[str, Any] = in_any_partition(in_one_piece(templates.without_transform(member)))
    built_for = {**made["Parameters"]["Architecture"], "Default": architecture, "AllowedValues": [architecture]}
    changed = {**PARAMETERS, "Architecture": built_for}
    used = set(references([made["Conditions"], made["Resources"], made["Outputs"]]))
    parameters = {name: value for name, value in {**made["Parameters"], **changed}.items() if name in used}
    return {**made, "Metadata": interface(made["Metadata"], parameters), "Parameters": parameters}


def without_rollout(source: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without what rollouts are started with, and without rules: what they ask for is a parameter's to have."""
    copy: dict[str, Any] = json.loads(json.dumps(source))
    del copy["Conditions"][ROLLOUT], copy["Rules"]
    for section in ("Resources", "Outputs"):
        copy[section] = {name: value for name, value in copy[section].items() if value.get("Condition") != ROLLOUT}
    return copy


def in_one_piece(made: dict[str, Any]) -> dict[str, Any]:
    """With state machines' definitions as one text each: the transform joins a text for each line, 2000 of them."""
    for resource in made["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            separator, lines = resource["Properties"]["DefinitionString"]["Fn::Join"]
            resource["Properties"]["DefinitionString"] = separator.join(lines)
    return made


def in_any_partition(value: Any) -> Any:
    """With ARNs of the partition that the stack is in; the transform writes the one of this machine's Region."""
    if isinstance(value, dict):
        return {name: each if name == "Fn::Sub" else in_any_partition(each) for name, each in value.items()}
    if isinstance(value, list):
        return [in_any_partition(each) for each in value]
    if isinstance(value, str) and OF_A_PARTITION.match(value):
        return {"Fn::Sub": OF_A_PARTITION.sub("arn:${AWS::Partition}:", value)}
    return value


def references(value: Any) -> Iterator[str]:
    """The names that stand in `Ref`, and in the `${...}` of `Fn::Sub`."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "Ref":
                yield each
            elif name == "Fn::Sub":
                text = each if isinstance(each, str) else each[0]
                yield from (part.partition("}")[0] for part in text.split("${")[1:])
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def interface(metadata: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The groups of parameters in the console: those there are, and where the code is."""
    groups = [{"Label": {"default": "Where the code is"}, "Parameters": [BUCKET, PREFIX]}]
    for group in metadata["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        remaining = [name for name in group["Parameters"] if name in parameters]
        groups.append({**group, "Parameters": remaining})
    return {"AWS::CloudFormation::Interface": {"ParameterGroups": groups}}


def code_of_the_member() -> list[str]:
    """The logical ids of the member's functions and layers."""
    resources = without_rollout(templates.source())["Resources"]
    return [name for name, resource in resources.items() if resource["Type"] in CODE]


def pack(built: Path, folder: Path) -> dict[str, str]:
    """Zip what `sam build` has made into the folder; the zips' names by logical id."""
    return {name: zipped(built / name, folder) for name in code_of_the_member()}


def zipped(source: Path, folder: Path) -> str:
    """Zip a folder into another one, under the name of its content; that name."""
    files = sorted(
        (path.relative_to(source).as_posix(), path)
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    digest = hashlib.sha256()
    for name, path in files:
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    target = folder / f"{digest.hexdigest()[:32]}.zip"
    if not target.exists():
        with zipfile.ZipFile(target, "w") as archive:
            for name, path in files:
                entry = zipfile.ZipInfo(name, LONG_AGO)
                entry.external_attr = READABLE
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return target.name


def write(built: Path, folder: Path, architecture: str) -> Path:
    """Write template and zips into a folder, and nothing else; the template's path.

    Raises:
        ValueError: the template is larger than AWS takes it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    text = json.dumps(template(pack(built, folder), architecture), indent=1)
    if len(text.encode()) > LIMIT:
        raise ValueError(f"The template has {len(text.encode())} bytes, and StackSets take {LIMIT}.")
    path = folder / "template.json"
    path.write_text(text)
    return path


def main() -> int:
    """Build, write, and say what is to be uploaded."""
    parser = argparse.ArgumentParser(prog="python -m deploy.member_template", description=__doc__.partition("\n")[0])
    parser.add_argument("--architecture", choices=ARCHITECTURES, default=ARCHITECTURES[0], help="of the functions")
    architecture = parser.parse_args().architecture
    built = FOLDER.with_name(f"build-member-{architecture}")
    arguments = ["--build-dir", str(built), "--parameter-overrides", f"Architecture={architecture}"]
    if failed := build.run(arguments):
        return failed
    with environment_of("us-east-1"):  # the transform asks for a Region; none stands in the template
        path = write(built, FOLDER, architecture)
    zips = list(FOLDER.glob("*.zip"))
    sizes = f"{path.stat().st_size // 1024} KiB of at most {LIMIT // 1024}", sum(each.stat().st_size for each in zips)
    place = os.path.relpath(FOLDER)
    print(f"\n{place}/template.json ({sizes[0]}) and {len(zips)} zips ({sizes[1] // 1024} KiB), for {architecture}.")
    print("docs/rollout.md, Member accounts, has the commands to upload and to deploy them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
