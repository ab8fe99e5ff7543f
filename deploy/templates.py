"""Deploys the real `template.yaml` into moto: expanded by samtranslator, with the real state machine definition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    pass


ROOT = Path(__file__).parent.parent

DIRECTORY_ACCOUNT_ROLE = "aurora-kerberos-directory-account"

SCHEDULE = "AWS::Scheduler::Schedule"

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


def policies(function: str) -> list[Mapping[str, Any]]:
    """The policy documents of a function's role: its own, and those that a condition of the template adds."""
    added = [
        resource["Properties"]["PolicyDocument"]
        for resource in source()["Resources"].values()
        if resource["Type"] == "AWS::IAM::Policy" and {"Ref": f"{function}Role"} in resource["Properties"]["Roles"]
    ]
    return [*functions()[function].get("Policies", []), *added]


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


class _ManagedPolicies(ManagedPolicyLoader):  # type: ignore[misc]  # samtranslator is not typed here
    """No call to IAM: the template names its managed policies in full."""

    def __init__(self) -> None:
        pass

    def load(self) -> dict[str, str]:
        return {}
