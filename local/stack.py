"""Deploys the real `template.yaml` into moto: expanded by samtranslator, with the real state machine definition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from moto.cloudformation.models import cloudformation_backends
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from local.cloud import Cloud

ROOT = Path(__file__).parent.parent
STACK = "aurora-kerberos"
DIRECTORY_ACCOUNT_ROLE = "aurora-kerberos-directory-account"
SCHEDULE = "AWS::Scheduler::Schedule"
UNKNOWN_TO_MOTO = {
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::SQS::QueuePolicy",
    SCHEDULE,
}
VERSIONS = ("AutoPublishAlias", "UseAliasAsEventTarget", "DeploymentPreference")


@cache
def source() -> dict[str, Any]:
    """`template.yaml` as written, intrinsic functions in their long form."""
    parsed: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
    return parsed


@cache
def definition(uri: str = "statemachine/cluster.asl.yaml") -> dict[str, Any]:
    """A state machine's definition as written."""
    parsed: dict[str, Any] = yaml.safe_load((ROOT / uri).read_text())
    return parsed


@cache
def directory_account() -> dict[str, Any]:
    """`directory-account.yaml` as written, intrinsic functions in their long form."""
    parsed: dict[str, Any] = yaml_parse((ROOT / "directory-account.yaml").read_text())
    return parsed


def functions() -> dict[str, Mapping[str, Any]]:
    """The properties of the template's functions by logical id."""
    return {
        name: resource["Properties"]
        for name, resource in source()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


@cache
def plain() -> dict[str, Any]:
    """The template as plain CloudFormation; code and definitions are put in line, for there is no bucket."""
    template = json.loads(json.dumps(source()))
    resources = template["Resources"]
    for name, resource in list(resources.items()):
        properties = resource["Properties"]
        if resource["Type"] == "AWS::Serverless::Function":
            properties["InlineCode"] = f"# {properties.pop('CodeUri')}"
            properties.pop("Layers", None)
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            properties["Definition"] = definition(properties.pop("DefinitionUri"))
        elif resource["Type"] == "AWS::Serverless::LayerVersion":
            del resources[name]
    template["Globals"]["Function"].pop("Layers")
    return without_transform(without_versions(template))


def without_versions(template: dict[str, Any]) -> dict[str, Any]:
    """A SAM template whose state machines have no versions and no alias: what names one names the state machine.

    For moto, which has none, and for the accounts of an organization, to which a StackSet brings a change by degrees.
    The alarms that send a new version back go as well.
    """
    text = json.dumps(template)
    for name, resource in template["Resources"].items():
        if alias := resource["Properties"].get("AutoPublishAlias"):
            text = text.replace(json.dumps({"Ref": f"{name}Alias{alias}"}), json.dumps({"Ref": name}))
    plain: dict[str, Any] = json.loads(text)
    for resource in list(plain["Resources"].values()):
        preference = [resource["Properties"].pop(each, None) for each in VERSIONS][-1]
        for alarm in (preference or {}).get("Alarms", []):
            del plain["Resources"][alarm["Ref"]]
    return plain


def without_transform(template: dict[str, Any]) -> dict[str, Any]:
    """A SAM template as plain CloudFormation, by samtranslator, which changes what it is given."""
    made: dict[str, Any] = transform(template, {}, _ManagedPolicies())
    return made


@cache
def expanded() -> str:
    """The template as plain CloudFormation, as JSON; what moto cannot make is left out."""
    resources = plain()["Resources"].items()
    known = {name: resource for name, resource in resources if resource["Type"] not in UNKNOWN_TO_MOTO}
    return json.dumps({**plain(), "Resources": known})


class _ManagedPolicies(ManagedPolicyLoader):  # type: ignore[misc]  # samtranslator is not typed here
    """No call to IAM: the template names its managed policies in full."""

    def __init__(self) -> None:
        pass

    def load(self) -> dict[str, str]:
        return {}


def deploy_directory_account(cloud: Cloud, account: str) -> None:
    """The role of `directory-account.yaml` in the directory's account, for the stack in its own."""
    cloud.client("cloudformation", account).create_stack(
        StackName=STACK,
        TemplateBody=(ROOT / "directory-account.yaml").read_text(),
        Parameters=[{"ParameterKey": "WorkflowAccountId", "ParameterValue": cloud.home}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )


def deploy(cloud: Cloud, parameters: Mapping[str, str], template: str = "") -> dict[str, str]:
    """Create the stack in the present account and Region, of `expanded()` or another template; its outputs.

    moto is told directly: to sign and send the template takes longer than to make what is in it.
    """
    backend = cloudformation_backends[cloud.account][cloud.region]
    stack = backend.create_stack(STACK, template or expanded(), dict(parameters))
    for logical_id, properties in functions().items():
        made = stack.resource_map.get(logical_id)
        if made:  # it is in the template, and its condition holds
            name = made.physical_resource_id
            cloud.functions.add(name, logical_id, properties["CodeUri"], "VpcConfig" in properties)
    return {output["OutputKey"]: output["OutputValue"] for output in stack.outputs}
