"""Items of the registry's table: texts under a key, read as they stand, and written on conditions.

Where a condition does not hold, another execution has written first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos.aws import client, code
from aurora_kerberos.environment import environment


def key(name: str) -> dict[str, Any]:
    """The key of an item as DynamoDB takes it; the attribute is called `arn`, for the first items had a cluster's."""
    return {"arn": {"S": name}}


def texts(item: Mapping[str, Any]) -> dict[str, str]:
    """The fields of an item as DynamoDB gives it."""
    return {name: str(value["S"]) for name, value in item.items()}


def written(fields: Mapping[str, str]) -> dict[str, Any]:
    """Fields as DynamoDB takes them."""
    return {name: {"S": value} for name, value in fields.items()}


def read(name: str) -> dict[str, str]:
    """The fields of an item, its key among them; empty when there is none (`dynamodb:GetItem`)."""
    found = client("dynamodb").get_item(TableName=environment.registry_table, Key=key(name), ConsistentRead=True)
    return texts(found.get("Item", {}))


def put(name: str, fields: Mapping[str, str], condition: str, values: Mapping[str, str]) -> bool:
    """Write an item if a condition with these values holds; whether it was written (`dynamodb:PutItem`)."""
    return _on_condition(client("dynamodb").put_item, condition, values, Item={**key(name), **written(fields)})


def delete(name: str, condition: str, values: Mapping[str, str]) -> bool:
    """Delete an item if a condition with these values holds; whether it was deleted (`dynamodb:DeleteItem`)."""
    return _on_condition(client("dynamodb").delete_item, condition, values, Key=key(name))


def _on_condition(call: Callable[..., Any], condition: str, values: Mapping[str, str], **parameters: Any) -> bool:
    try:
        call(
            TableName=environment.registry_table,
            **parameters,
            ConditionExpression=condition,
            ExpressionAttributeValues=written(values),
        )
    except ClientError as error:
        if code(error) != "ConditionalCheckFailedException":
            raise
        return False
    return True
