"""The templates into moto: expanded, less what moto cannot make, and deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from moto.cloudformation.models import cloudformation_backends

from deploy.templates import ROOT, SCHEDULE, definition, functions, source, without_transform, without_versions
from local.core.cloud import Cloud
from local.services.lambda_functions import Functions
from local.services.sqs import Readers

STACK = "aurora-kerberos"

EXTERNAL_ID = "of-the-local-run"  # which every role of another account asks for

UNKNOWN_TO_MOTO = {
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    SCHEDULE,
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


@cache
def expanded() -> str:
    """The template as plain CloudFormation, as JSON; what moto cannot make is left out."""
    resources = plain()["Resources"].items()
    known = {name: resource for name, resource in resources if resource["Type"] not in UNKNOWN_TO_MOTO}
    return json.dumps({**plain(), "Resources": known})


def deploy_directory_account(cloud: Cloud, account: str, vpc: str) -> None:
    """The role of `directory-account.yaml` in the account of a directory in this VPC, for the stack in its own."""
    cloud.client("cloudformation", account).create_stack(
        StackName=STACK,
        TemplateBody=(ROOT / "directory-account.yaml").read_text(),
        Parameters=[
            {"ParameterKey": "WorkflowAccountId", "ParameterValue": cloud.home},
            {"ParameterKey": "ExternalId", "ParameterValue": EXTERNAL_ID},
            {"ParameterKey": "VpcIds", "ParameterValue": vpc},
        ],
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
            cloud.part(Functions).add(name, logical_id, properties["CodeUri"], "VpcConfig" in properties)
    for resource in plain()["Resources"].values():
        if resource["Type"] == "AWS::Lambda::EventSourceMapping":
            queue, function = resource["Properties"]["EventSourceArn"], resource["Properties"]["FunctionName"]
            if made := stack.resource_map.get(queue["Fn::GetAtt"][0]):
                cloud.part(Readers).by_queue[made.queue_arn] = function["Ref"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.outputs}
