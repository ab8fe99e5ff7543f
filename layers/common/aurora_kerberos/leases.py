"""Leases: only one execution at a time works on a cluster, or creates a directory.

A lease is an item of the registry's table, owned by an execution's ARN. It is taken by a conditional write, given back
at the end, and taken over only when the execution that holds it no longer runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from aurora_kerberos import items
from aurora_kerberos.aws import client, code
from aurora_kerberos.environment import environment
from aurora_kerberos.errors import AwsUnavailable

PREFIX = "lease:"  # of the keys; that of a cluster's last outcome is its ARN alone
YOUNG = timedelta(minutes=10)
RUNS = {"RUNNING", "PENDING_REDRIVE"}


def take(subject: str, execution: str, now: str) -> str:
    """Take the lease for an execution, if it is free; return the ARN of its holder (`dynamodb:PutItem`).

    Args:
        subject: what the lease is for: the ARN of a cluster, or a directory.
        execution: the ARN of the execution.
        now: ISO 8601. Step Functions may not know the holder yet if the lease was taken a moment ago.

    Raises:
        AwsUnavailable: other executions took the lease and ended too quickly.
    """
    holder = execution
    for _ in range(3):
        try:
            client("dynamodb").put_item(
                TableName=environment.registry_table,
                Item={**items.key(f"{PREFIX}{subject}"), **items.written({"holder": execution, "taken_at": now})},
                ConditionExpression="attribute_not_exists(holder) OR holder IN (:execution, :ended)",
                ExpressionAttributeValues={":execution": {"S": execution}, ":ended": {"S": holder}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if code(error) != "ConditionalCheckFailedException":
                raise
            answer: Any = error.response
            item = items.texts(answer["Item"])
            holder = item["holder"]
            if runs(holder, item.get("taken_at", ""), now):
                return holder
        else:
            return execution
    raise AwsUnavailable(f"The lease of {subject} changes hands too quickly.")


def holder_of(subject: str) -> str:
    """The ARN of the execution that holds the lease; empty when none does (`dynamodb:GetItem`)."""
    return items.read(f"{PREFIX}{subject}").get("holder", "")


def give_back(subject: str, execution: str) -> None:
    """Give the lease back, if the execution holds it (`dynamodb:DeleteItem`)."""
    items.delete(f"{PREFIX}{subject}", "holder = :execution", {":execution": execution})


def runs(execution: str, taken_at: str, now: str) -> bool:
    """Whether the execution still runs, or may run again (`states:DescribeExecution`).

    That call is eventually consistent. An execution that it does not know counts as running while its lease is young.
    """
    found = described(execution)
    if found is None:
        return bool(taken_at) and datetime.fromisoformat(now) - datetime.fromisoformat(taken_at) < YOUNG
    return found["status"] in RUNS


def running_since(execution: str) -> datetime | None:
    """When a running execution began; None when the execution has ended (`states:DescribeExecution`)."""
    found = described(execution)
    began: datetime | None = found["startDate"] if found and found["status"] in RUNS else None
    return began


def described(execution: str) -> Mapping[str, Any] | None:
    """The execution as Step Functions describes it; None when it does not know it yet, or not any more."""
    try:
        found: Mapping[str, Any] = client("stepfunctions").describe_execution(executionArn=execution)
    except ClientError as error:
        if code(error) != "ExecutionDoesNotExist":
            raise
        return None
    return found
