"""Watch a rollout from a laptop, in the real AWS, until it has ended. It only reads."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    LoginError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from rich.console import Console

from aurora_kerberos import aws
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import AwsUnavailable, KerberosError
from aurora_kerberos.rollout import work
from aurora_kerberos.rollout.work import Plan, Report
from tools.watch.view import Log, Screen, Snapshot

EVERY = 5  # seconds, or ten times what a look takes: a fleet's table is not read without a pause
CALLS = (
    "cloudformation:DescribeStacks, states:ListExecutions, states:DescribeExecution, dynamodb:Query, s3:GetObject and "
    "s3:ListBucket"
)
ENDED = {"SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"}
OUTPUTS = ("RolloutStateMachine", "RolloutTable", "RolloutBucket")
NOT_LOGGED_IN = (
    CredentialRetrievalError,
    LoginError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
NOT_VALID = {
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class CannotWatch(KerberosError):
    """There is nothing to be shown before a person has done something about it."""


def watch(execution: str, stack: str, profile: str, region: str, console: Console | None = None) -> int:
    """Show a rollout until it has ended.

    Args:
        execution: its name or ARN; empty for the newest.
        stack: the name of the stack that starts rollouts.
        profile: of the AWS configuration; empty for what the environment says.
        region: of the stack; empty for the execution's, the environment's or the profile's.
        console: where it is shown.

    Returns:
        The exit status: 0 when the rollout has succeeded, 1 when it was stopped or has failed, 2 when there is nothing
        to be shown, 130 when the watching was interrupted.
    """
    console = console or Console()
    try:
        use(profile, region or Arn.parse(execution).region)
        watched = Watched(execution_of(execution, stack))
        with Screen(console) if console.is_terminal else Log(console) as show:
            return 0 if follow(watched, show).status == "SUCCEEDED" else 1
    except (KerberosError, *aws.ERRORS) as raised:
        error = raised if isinstance(raised, KerberosError) else explained(raised)
        print(f"{error.message} {error.remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("The rollout goes on; watch it again with the same command.", file=sys.stderr)
        return 130


# What is watched


def use(profile: str, region: str) -> None:
    """Let the clients of `aurora_kerberos.aws` be those of a profile and a Region.

    Raises:
        CannotWatch: no Region is known.
    """
    if profile:
        for name in KEYS:
            os.environ.pop(name, None)  # they would go before the profile
        os.environ["AWS_PROFILE"] = profile
    region = region or os.environ.get("AWS_REGION") or boto3.Session().region_name or ""
    if not region:
        raise CannotWatch("No Region is known.", "Name the stack's with --region.")
    os.environ["AWS_REGION"] = region


def execution_of(execution: str, stack: str) -> str:
    """The ARN of the execution, whose table and bucket are those of the environment from now on.

    Raises:
        CannotWatch: no such stack or execution, or rollouts are not started there.
    """
    outputs = outputs_of(stack)
    machine = outputs["RolloutStateMachine"]
    os.environ["ROLLOUT_TABLE"], os.environ["ROLLOUT_BUCKET"] = outputs["RolloutTable"], outputs["RolloutBucket"]
    if not execution:
        return newest(machine)
    executions = machine.replace(":stateMachine:", ":execution:")
    if not execution.startswith("arn:"):
        return f"{executions}:{execution}"
    if execution.rpartition(":")[0] != executions:
        raise CannotWatch(f"{execution} is not a rollout of the stack {stack}.", "Name its stack with --stack.")
    return execution


def outputs_of(stack: str) -> dict[str, str]:
    """The outputs of a stack that starts rollouts (`cloudformation:DescribeStacks`).

    Raises:
        CannotWatch: there is none, or it does not.
    """
    try:
        described = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if code(error) != "ValidationError":
            raise
        raise CannotWatch(
            f"There is no stack {stack} in this account and {aws.region()}.",
            "Name it with --stack, its Region with --region, and with --profile one of the account that starts "
            "rollouts.",
        ) from error
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    if not outputs.keys() >= set(OUTPUTS):
        raise CannotWatch(
            f"The stack {stack} in {aws.region()} starts no rollouts.",
            "Name the one that does with --stack, --region and --profile, or deploy this one with Rollout=on.",
        )
    return outputs


def newest(machine: str) -> str:
    """The ARN of the rollout that was started last (`states:ListExecutions`).

    Raises:
        CannotWatch: there is none.
    """
    executions = client("stepfunctions").list_executions(stateMachineArn=machine, maxResults=1)["executions"]
    if not executions:
        raise CannotWatch("No rollout has been started yet.", f"Start an execution of {machine} with {{}}.")
    return str(executions[0]["executionArn"])


# Watching


class Watched:
    """A rollout; its plan is read once, when it is there."""

    def __init__(self, execution: str) -> None:
        self.execution = execution
        self._plan: Plan | None = None

    def look(self) -> Snapshot:
        """The rollout as it is now (`states:DescribeExecution`, `s3:GetObject`, `dynamodb:Query`).

        Raises:
            CannotWatch: there is no such execution.
        """
        described = self._described()
        end = described.get("stopDate") or datetime.now(UTC)
        return Snapshot(
            report=self._report(described, end.astimezone(UTC)),
            status=described["status"],
            seconds=(end - described["startDate"]).total_seconds(),
            link=link_of(described),
        )

    def _described(self) -> dict[str, Any]:
        try:
            return dict(client("stepfunctions").describe_execution(executionArn=self.execution))
        except ClientError as error:
            if code(error) not in {"ExecutionDoesNotExist", "InvalidArn"}:
                raise
            remedy = "Look for its name in the console; without one, the newest is shown."
            raise CannotWatch(f"There is no execution {self.execution}.", remedy) from error

    def _report(self, described: dict[str, Any], now: datetime) -> Report:
        """The report that the rollout has written at its end; else what it would be by now."""
        if described["status"] in {"SUCCEEDED", "FAILED"}:
            written: Report | None = work.read(self.execution, "report.json")
            if written:
                return written
        self._plan = self._plan or work.planned(self.execution)
        known = work.outcomes(self._plan["rollout"]) if self._plan else {}
        return work.reported(self.execution, self._plan, known, now.isoformat(), stopped(described))


def follow(watched: Watched, show: Callable[[Snapshot], None]) -> Snapshot:
    """Show the rollout again and again, until it has ended; how it has.

    Raises:
        KerberosError: it cannot be looked at any more.
    """
    begin = time.monotonic()
    snapshot = watched.look()
    while True:
        show(snapshot)
        if snapshot.status in ENDED:
            return snapshot
        time.sleep(max(EVERY, 10 * (time.monotonic() - begin)))
        begin = time.monotonic()
        snapshot = again(watched, snapshot)


def again(watched: Watched, last: Snapshot) -> Snapshot:
    """Another look; the last one, and why this one was in vain, when AWS may well answer the next."""
    try:
        return watched.look()
    except aws.ERRORS as error:
        reason = explained(error)
        if not isinstance(reason, AwsUnavailable):
            raise reason from error
        return replace(last, trouble=reason.message)


def stopped(described: dict[str, Any]) -> str:
    """Why an execution did not come to its end; empty when it did, or may yet."""
    said = ": ".join(described[part] for part in ("error", "cause") if described.get(part))
    if described["status"] == "ABORTED":
        return said or "A person has stopped the execution."
    if described["status"] == "TIMED_OUT":
        return said or "It has taken longer than it may."
    return said if described["status"] == "FAILED" else ""


def link_of(described: dict[str, Any]) -> str:
    """Where the report is, as the execution's output or cause says; empty when it does not."""
    link = re.search(r'https://[^\s"]+', described.get("output") or described.get("cause") or "")
    return link[0] if link else ""


def explained(error: ClientError | BotoCoreError) -> KerberosError:
    """What an error of AWS means to whoever watches, and what to do about it."""
    if isinstance(error, NOT_LOGGED_IN) or code(error) in NOT_VALID:
        remedy = "Log in, for example with `aws sso login`, or name a profile of `aws configure list-profiles`."
        return CannotWatch(f"AWS does not know you: {error}.".replace("..", "."), remedy)
    if code(error) in aws.DENIED:
        return CannotWatch(f"You have no permission: {error}.".replace("..", "."), f"Watching needs {CALLS}.")
    if isinstance(error, ConnectionError | HTTPClientError):
        return AwsUnavailable(f"AWS could not be reached: {error}", "Look at the network, and at the Region's name.")
    return aws.translate(error)
