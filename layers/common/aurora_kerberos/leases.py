"""Leases: one execution at a time is at work on a cluster, or creates a directory.

A lease is an item of the registry's table, owned by an execution's ARN. It is taken by a conditional write, given back
at the end, and taken over only when the execution that holds it no longer runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos.aws import client, code
from aurora_kerberos.environment import environment
from aurora_kerberos.errors import AwsUnavailable

PREFIX = "lease:"
YOUNG = timedelta(minutes=10)
RUNS = {"RUNNING", "PENDING_REDRIVE"}


def take(subject: str, execution: str, now: str) -> str:
    """Take the lease for an execution, by its ARN; the ARN of the one that has it now (`dynamodb:PutItem`).

    Args:
        now: ISO 8601; of a lease taken a moment ago, Step Functions may not know the execution yet.

    Raises:
        AwsUnavailable: others took it, and ended, faster than could be looked at.
    """
    holder = execution
    for _ in range(3):
        try:
            client("dynamodb").put_item(
                TableName=environment.registry_table,
                Item={**key(subject), "holder": {"S": execution}, "taken_at": {"S": now}},
                ConditionExpression="attribute_not_exists(holder) OR holder IN (:execution, :ended)",
                ExpressionAttributeValues={":execution": {"S": execution}, ":ended": {"S": holder}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if code(error) != "ConditionalCheckFailedException":
                raise
            answer: Any = error.response
            item = {name: str(value["S"]) for name, value in answer["Item"].items()}
            holder = item["holder"]
            if runs(holder, item.get("taken_at", ""), now):
                return holder
        else:
            return execution
    raise AwsUnavailable(f"The lease of {subject} changes hands too quickly.")


def holder_of(subject: str) -> str:
    """The ARN of the execution that has the lease; empty when none has (`dynamodb:GetItem`)."""
    found = client("dynamodb").get_item(TableName=environment.registry_table, Key=key(subject), ConsistentRead=True)
    return str(found.get("Item", {}).get("holder", {}).get("S", ""))


def give_back(subject: str, execution: str) -> None:
    """Give the lease back, if the execution has it (`dynamodb:DeleteItem`)."""
    try:
        client("dynamodb").delete_item(
            TableName=environment.registry_table,
            Key=key(subject),
            ConditionExpression="holder = :execution",
            ExpressionAttributeValues={":execution": {"S": execution}},
        )
    except ClientError as error:
        if code(error) != "ConditionalCheckFailedException":
            raise


def key(subject: str) -> dict[str, Any]:
    """The key of a lease's item; a cluster's own item has its ARN alone."""
    return {"arn": {"S": f"{PREFIX}{subject}"}}


def runs(execution: str, taken_at: str, now: str) -> bool:
    """Whether the execution may still change something (`states:DescribeExecution`).

    That call is eventually consistent: an execution that it does not know runs, while its lease is young.
    """
    found = described(execution)
    if found is None:
        return bool(taken_at) and datetime.fromisoformat(now) - datetime.fromisoformat(taken_at) < YOUNG
    return found["status"] in RUNS


def running_since(execution: str) -> datetime | None:
    """When the execution began that may still change something; None when it has ended (`states:DescribeExecution`)."""
    found = described(execution)
    began: datetime | None = found["startDate"] if found and found["status"] in RUNS else None
    return began


def described(execution: str) -> Mapping[str, Any] | None:
    """The execution, as Step Functions describes it; None when it knows of none (any more, or yet)."""
    try:
        found: Mapping[str, Any] = client("stepfunctions").describe_execution(executionArn=execution)
    except ClientError as error:
        if code(error) != "ExecutionDoesNotExist":
            raise
        return None
    return found
