"""Eventual consistency: answers of AWS as if what is asked for were not there yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from local.core.faults import AwsError

NOT_FOUND = re.compile(r"NotFound|DoesNotExist|NoSuchEntity")
NAMES = re.compile(r"(id|ids|identifier|name|names|arn)$", re.IGNORECASE)

# Operations that list what belongs to the thing they name, which is not what is forgotten.
LISTS_OF = {
    "ds:DescribeConditionalForwarders",
    "ds:DescribeDomainControllers",
    "ds:DescribeSharedDirectories",
    "ds:DescribeTrusts",
    "rds:DescribeDBClusterParameters",
}
# EC2's service model names no errors: the parameter that names a thing → the code.
OF_EC2 = {
    "GroupIds": "InvalidGroup.NotFound",
    "NetworkAclIds": "InvalidNetworkAclID.NotFound",
    "PrefixListId": "InvalidPrefixListID.NotFound",
    "PrefixListIds": "InvalidPrefixListID.NotFound",
    "RouteTableIds": "InvalidRouteTableID.NotFound",
    "SecurityGroupRuleIds": "InvalidSecurityGroupRuleId.NotFound",
    "SubnetIds": "InvalidSubnetID.NotFound",
    "VpcIds": "InvalidVpcID.NotFound",
    "VpcPeeringConnectionIds": "InvalidVpcPeeringConnectionID.NotFound",
}
# Where the service model has more than one error that fits.
OTHERS = {"ssm:GetParameter": "ParameterNotFound"}


def forgotten(model: Any, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer of a reading operation (botocore's model) that knows of nothing: its lists are empty.

    Raises:
        AwsError: the operation has a name to look for, and an error of its own for what is not there.
    """
    operation = f"{model.service_model.service_name}:{model.name}"
    code, status = not_found(operation, model, parameters)
    if code:
        raise AwsError(code, "It is not there yet, as the scenario wants it.", status)
    if operation == "ssm:GetParameters":
        return {"Parameters": [], "InvalidParameters": parameters["Names"]}
    members = model.output_shape.members.items() if model.output_shape else ()
    return {name: [] for name, shape in members if shape.type_name == "list"}


def not_found(operation: str, model: Any, parameters: Mapping[str, Any]) -> tuple[str, int]:
    """Code and HTTP status of the operation's error for what is not there; no code when it has an empty answer."""
    service = model.service_model.service_name
    if service == "ec2":
        return next((OF_EC2[name] for name in parameters if name in OF_EC2), ""), 400
    asks_by_name = any(NAMES.search(name) for name in parameters)
    if service == "dynamodb" or operation in LISTS_OF or model.name.startswith("List") or not asks_by_name:
        return "", 200
    fitting = [shape for shape in model.error_shapes if NOT_FOUND.search(shape.name)]
    if operation in OTHERS:
        fitting = [shape for shape in fitting if shape.name == OTHERS[operation]]
    if len(fitting) != 1:
        return "", 200
    return fitting[0].error_code, fitting[0].metadata.get("error", {}).get("httpStatusCode", 400)
