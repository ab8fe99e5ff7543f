"""The calls that a lease is made of, and whose execution runs, may run again, or is over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aurora_kerberos import items, leases
from aurora_kerberos.errors import AwsUnavailable

ME, OTHER = "arn:aws:states:eu-central-1:123456789012:execution:machine:me", "arn:other"
BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
NOW = "2026-01-05T09:10:00+00:00"
KEY = {"arn": {"S": "lease:orders"}}


class Aws:
    """DynamoDB with answers in a row, and Step Functions with one execution; what they were called with."""

    def __init__(self, *puts: str, status: str = "", item: dict[str, Any] | None = None, fails: str = "") -> None:
        self.puts, self.status, self.item, self.fails = list(puts), status, item, fails
        self.calls: list[dict[str, Any]] = []

    def put_item(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        if self.puts and (holder := self.puts.pop(0)):
            answer: Any = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": {"holder": {"S": holder}}}
            raise ClientError(answer, "PutItem")
        return self.answer()

    def get_item(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        return {"Item": self.item} if self.item else {}

    def delete_item(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(arguments)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        if self.fails:
            raise ClientError({"Error": {"Code": self.fails}}, "Call")
        return {}

    def describe_execution(self, **_: str) -> dict[str, Any]:
        if not self.status:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist"}}, "DescribeExecution")
        if self.status == "denied":
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "DescribeExecution")
        return {"status": self.status, "startDate": BEGAN}


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("REGISTRY_TABLE", "registry")

    def used(aws: Aws) -> Aws:
        for module in (leases, items):
            monkeypatch.setattr(module, "client", lambda _: aws)
        return aws

    return used


def test_the_holder_is_read_consistently(use: Any) -> None:
    """What was written a moment ago counts: who reads an older state would work beside the holder."""
    aws = use(Aws(item={"holder": {"S": OTHER}}))
    assert leases.holder_of("orders") == OTHER
    assert aws.calls == [{"TableName": "registry", "Key": KEY, "ConsistentRead": True}]
    use(Aws())
    assert leases.holder_of("orders") == ""


def test_a_lease_is_taken_by_one_conditional_write(use: Any) -> None:
    aws = use(Aws())
    assert leases.take("orders", ME, NOW) == ME
    (call,) = aws.calls
    assert call["Item"] == {**KEY, "holder": {"S": ME}, "taken_at": {"S": NOW}}
    assert call["ConditionExpression"] == "attribute_not_exists(holder) OR holder IN (:execution, :ended)"
    assert call["ExpressionAttributeValues"] == {":execution": {"S": ME}, ":ended": {"S": ME}}


@pytest.mark.parametrize("status", ["RUNNING", "PENDING_REDRIVE"])
def test_who_runs_or_may_run_again_keeps_it(use: Any, status: str) -> None:
    aws = use(Aws(OTHER, status=status))
    assert leases.take("orders", ME, NOW) == OTHER
    assert len(aws.calls) == 1


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])
def test_whose_execution_is_over_loses_it_and_nobody_else_does(use: Any, status: str) -> None:
    aws = use(Aws(OTHER, status=status))
    assert leases.take("orders", ME, NOW) == ME
    assert aws.calls[1]["ExpressionAttributeValues"][":ended"] == {"S": OTHER}


@pytest.mark.parametrize(("races", "taken"), [(2, True), (3, False)])
def test_a_race_is_run_three_times(use: Any, races: int, taken: bool) -> None:
    aws = use(Aws(*[f"arn:{number}" for number in range(races)], status="FAILED"))
    if taken:
        assert leases.take("orders", ME, NOW) == ME
    else:
        with pytest.raises(AwsUnavailable, match="The lease of orders changes hands too quickly"):
            leases.take("orders", ME, NOW)
    assert len(aws.calls) == 3


def test_what_dynamodb_does_not_let_pass_is_no_lease(use: Any) -> None:
    use(Aws(fails="AccessDeniedException"))
    with pytest.raises(ClientError, match="AccessDenied"):
        leases.take("orders", ME, NOW)
    with pytest.raises(ClientError, match="AccessDenied"):
        leases.give_back("orders", ME)


def test_only_the_holder_gives_it_back_and_it_may_be_gone(use: Any) -> None:
    aws = use(Aws(fails="ConditionalCheckFailedException"))
    leases.give_back("orders", ME)
    assert aws.calls == [
        {
            "TableName": "registry",
            "Key": KEY,
            "ConditionExpression": "holder = :execution",
            "ExpressionAttributeValues": {":execution": {"S": ME}},
        }
    ]


@pytest.mark.parametrize(
    ("taken_at", "counts"),
    [("2026-01-05T09:00:01+00:00", True), ("2026-01-05T09:00:00+00:00", False), ("", False)],
)
def test_an_execution_that_aws_does_not_know_has_ten_minutes(use: Any, taken_at: str, counts: bool) -> None:
    use(Aws())
    assert leases.runs(OTHER, taken_at, NOW) is counts


def test_whether_an_execution_runs_is_not_guessed(use: Any) -> None:
    use(Aws(status="denied"))
    with pytest.raises(ClientError, match="AccessDenied"):
        leases.runs(OTHER, NOW, NOW)


@pytest.mark.parametrize(
    ("status", "since"),
    [("RUNNING", BEGAN), ("PENDING_REDRIVE", BEGAN), ("FAILED", None), ("SUCCEEDED", None), ("", None)],
)
def test_since_when_an_execution_runs(use: Any, status: str, since: datetime | None) -> None:
    use(Aws(status=status))
    assert leases.running_since(OTHER) == since
