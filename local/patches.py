"""Every change to moto's insides, and why.

moto is pinned exactly because of this file, `interpreter_patches` and `distributed_map`.

`install` works once per process; the functions it puts in place ask `local.current` for the cloud of the moment.
"""

from __future__ import annotations

import json
import logging
import secrets
import sys
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import botocore.session
from botocore.client import ClientCreator
from botocore.hooks import EventAliaser
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.cloudformation import parsing as cloudformation_parsing
from moto.cloudformation.models import Stack
from moto.core import responses as moto_responses
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.events.models import Rule
from moto.iam import models as iam_models
from moto.kms import models as kms_models
from moto.rds.models import DBCluster, MasterUserSecret
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local.core.clients import client_of
from local.core.current import running
from local.core.places import HOME, Place, at, present
from local.services.lambda_functions import Functions
from local.services.states import distributed_map, interpreter


def install() -> None:
    """Put all patches in place; a second call does nothing."""
    if getattr(install, "done", False):
        return
    interpreter.install()
    distributed_map.install()
    _state_machines_of_cloudformation()
    _few_managed_policies()
    _groups_of_other_accounts()
    _clients_of_the_interpreter()
    _parse_once()
    DBCluster.status = property(lambda self: self._status, lambda self, status: setattr(self, "_status", status))
    LambdaSimpleBackend.invoke = _invoke
    MasterUserSecret._generate_secret_string = _master_secret
    Rule.send_to_targets = _send_to_targets(Rule.send_to_targets)
    # A failing execution is no trouble of the interpreter; the history tells it.
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
    install.done = True  # type: ignore[attr-defined]  # a function remembers that it has run


def _state_machines_of_cloudformation() -> None:
    """CloudFormation's state machines go to the backend that interprets them, with their substitutions.

    Of a function's ARN the name is put in: so the definition is the same in all accounts and Regions, and parsed once.
    """

    def create(
        cls: Any,  # noqa: ARG001  a class method of moto's
        /,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **_: Any,
    ) -> Any:
        properties = cloudformation_json["Properties"]
        definition = properties["DefinitionString"]
        for name, value in properties.get("DefinitionSubstitutions", {}).items():
            definition = definition.replace(f"${{{name}}}", value.rpartition(":function:")[2])
        return stepfunctions_parser_backends[account_id][region_name].create_state_machine(
            name=properties.get("StateMachineName", resource_name),
            definition=definition,
            roleArn=properties["RoleArn"],
            sm_type=properties.get("StateMachineType"),
        )

    StateMachine.create_from_cloudformation_json = classmethod(create)


def _few_managed_policies() -> None:
    """moto reads all of AWS's managed policies for each account anew, which takes most of a second."""
    wanted = ("AmazonRDSDirectoryServiceAccess", "AWSLambda", "AWSXRay", "AWSXray")
    known = json.loads(iam_models.aws_managed_policies_data)
    few = {name: policy for name, policy in known.items() if name.startswith(wanted)}
    iam_models.aws_managed_policies_data = json.dumps(few)


def _groups_of_other_accounts() -> None:
    """A rule may name a security group of a peered VPC in another account; `local.network` has checked that it may."""
    add = SecurityGroupBackend._add_source_group

    def add_source_group(self: Any, source_groups: list[dict[str, Any]] | None, vpc_id: str | None) -> Any:
        foreign = [each for each in source_groups or [] if each.get("UserId", self.account_id) != self.account_id]
        own = [each for each in source_groups or [] if each not in foreign]
        return [*add(self, own, vpc_id), *foreign]

    SecurityGroupBackend._add_source_group = add_source_group


def _clients_of_the_interpreter() -> None:
    """An execution calls in its own account, of which moto's interpreter knows nothing; and it needs no new clients."""
    config = boto_client.boto_client_for(HOME.region, "lambda").meta.config

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:  # noqa: ARG001  as little as moto's own
        return client_of(service, present().account, region, config)

    of_interpreter = [each for name, each in sys.modules.items() if name.startswith("moto.stepfunctions.parser.")]
    for module in of_interpreter:
        if hasattr(module, "boto_client_for"):
            setattr(module, "boto_client_for", client_for)  # noqa: B010  no module of a known kind


def _parse_once() -> None:
    """A cloud is made for each test: what is the same for all of them is read once.

    botocore reads its service models for each session anew, looks through all aliases of events, and makes a class for
    each client; moto reads a JSON template as YAML, makes a key pair for each KMS key, lists a class's methods at each
    call, makes a parser for each path of a result, and parses a
    definition whenever a state machine is made and whenever one is started (what it makes of it holds no state of an
    execution). A function's name is the same in each cloud, so the definition with the names in it is, too.
    """
    botocore.session.create_loader = cache(botocore.session.create_loader)
    aliaser: Any = EventAliaser
    creator: Any = ClientCreator
    aliaser._alias_event_name = staticmethod(cache(aliaser(None)._alias_event_name))
    kms_models.generate_private_key = cache(kms_models.generate_private_key)  # nobody's secrets are at stake
    moto_responses.method_names_from_class = cache(moto_responses.method_names_from_class)
    AmazonStateLanguageParser.parse = staticmethod(cache(AmazonStateLanguageParser.parse))
    result_path.parse = cache(result_path.parse)
    client_class, classes = creator._create_client_class, dict[str, type]()
    parse_yaml, generated_name = Stack.parse_template, cloudformation_parsing.generate_resource_name

    def parse(template: str) -> Any:
        return json.loads(template) if template.startswith("{") else parse_yaml(template)

    def name(resource_type: str, stack_name: str, logical_id: str) -> str:
        if resource_type == "AWS::Lambda::Function":
            return f"{stack_name}-{logical_id}-{zlib.crc32(logical_id.encode()):012X}"
        return str(generated_name(resource_type, stack_name, logical_id))

    def class_of(self: Any, service_name: str, service_model: Any) -> type:
        if service_name not in classes:
            classes[service_name] = client_class(self, service_name, service_model)
        return classes[service_name]

    creator._create_client_class = class_of
    Stack.parse_template = staticmethod(parse)
    cloudformation_parsing.generate_resource_name = name


def _invoke(self: Any, function_name: str, *arguments: Any) -> bytes:
    """A Lambda function runs in this process: its real handler with its own environment, in its account and Region."""
    _qualifier, body, _headers, response_headers = arguments
    with at(Place(self.account_id, self.region_name)):
        failed, payload = running().part(Functions).invoke(function_name, body)
    if failed:
        response_headers["x-amz-function-error"] = "Unhandled"
    return payload


def _master_secret(self: Any) -> str:
    """RDS's own secret holds the cluster's master user and a password nobody knows; moto's is the same for all."""
    return json.dumps({"username": self.resource.master_username, "password": secrets.token_urlsafe(24)})


def _send_to_targets(original: Callable[..., None]) -> Callable[..., None]:
    """EventBridge starts executions, and a disabled rule delivers nothing."""

    def send(self: Any, original_event: Any, transform_input: bool = True) -> None:
        if self.state != "ENABLED":
            return
        machines = [target for target in self.targets if ":states:" in target["Arn"]]
        if not machines:
            original(self, original_event, transform_input)
        elif self.event_pattern.matches_event(original_event):
            with running().acting(f"AROA{self.name.upper()}:events"):  # the rule's role
                for target in machines:
                    running().start_execution(target["Arn"], original_event)

    return send
