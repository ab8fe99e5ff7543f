"""Watching a rollout: real clients whose calls are answered here, checked against AWS's own description of them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.validate import ParamValidator
from rich.console import Console

from aurora_kerberos import aws
from tools.watch.watch import watch

BEGIN = datetime(2025, 3, 4, 9, tzinfo=UTC)
MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:aurora-kerberos-rollout"
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:aurora-kerberos-rollout:march"
LINK = "https://eu-central-1.console.aws.amazon.com/s3/object/rollouts?region=eu-central-1&prefix=march/report.html"
OUTPUTS = {"RolloutStateMachine": MACHINE, "RolloutTable": "table", "RolloutBucket": "rollouts", "Registry": "r"}
REMEDY = "See the DNS of the directory."


def at(minutes: float) -> str:
    return (BEGIN + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def refusal(code: str, operation: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def plan(*, dry_run: bool = False, refused: str = "") -> dict[str, Any]:
    """Two waves of one and two clusters, in two accounts."""
    clusters = [
        {
            "arn": f"arn:aws:rds:eu-central-1:{account}:cluster:{name}",
            "id": name,
            "account": account,
            "region": "eu-central-1",
            "tags": {},
            "state": "to do",
            "why": "",
            "wave": wave,
        }
        for name, account, wave in (("one", "1" * 12, 1), ("two", "1" * 12, 2), ("three", "2" * 12, 2))
    ]
    return {
        "rollout": "digest",
        "execution": EXECUTION,
        "began_at": at(0),
        "request": {"dry_run": dry_run},
        "waves": [{"number": 1, "size": 1}, {"number": 2, "size": 2}],
        "clusters": clusters,
        "refused": [{"account": "9" * 12, "region": "us-east-1", "refused": refused, "clusters": []}]
        if refused
        else [],
    }


def became(number: int, outcome: str, minutes: float, **more: str) -> dict[str, str]:
    """An item of the table for a cluster of the plan."""
    cluster = plan()["clusters"][number]
    told = {"error": "", "message": "", "remedy": "", "began_at": at(minutes - 1), "recorded_at": at(minutes), **more}
    kept = {key: str(cluster[key]) for key in ("account", "region", "wave")}
    return {"rollout": "digest", "cluster": cluster["arn"], **kept, "outcome": outcome, **told}


FAILED = became(1, "failed", 20, error="MembershipFailed", message="It is [b]failed[/b].\x1b[2J", remedy=REMEDY)


class World:
    """What AWS answers; `then` has what changes with each pause of who watches."""

    def __init__(self) -> None:
        self.outputs = dict(OUTPUTS)
        self.execution: dict[str, Any] = {"status": "RUNNING"}
        self.executions = [EXECUTION]
        self.objects: dict[str, Any] = {}
        self.items: list[dict[str, str]] = []
        self.raises: dict[str, Exception] = {}
        self.then: list[Callable[[], None]] = []
        self.calls: Counter[str] = Counter()
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        assert self.then, "it goes on after the end"
        self.then.pop(0)()

    def now(self, **changed: Any) -> Callable[[], None]:
        return lambda: self.__dict__.update(changed)

    def call(self, client: BaseClient, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        shape = client.meta.service_model.operation_model(operation).input_shape
        assert shape
        assert not ParamValidator().validate(parameters, shape).has_errors()
        self.calls[f"{operation} {parameters.get('Key', '')}".strip()] += 1
        if operation in self.raises:
            raise self.raises[operation]
        answer: dict[str, Any] = getattr(self, operation)(**parameters)
        return answer

    def DescribeStacks(self, StackName: str) -> dict[str, Any]:  # noqa: N802, N803  AWS's names
        if StackName != "aurora-kerberos":
            raise refusal("ValidationError", "DescribeStacks", f"Stack with id {StackName} does not exist")
        return {"Stacks": [{"Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in self.outputs.items()]}]}

    def ListExecutions(self, stateMachineArn: str, maxResults: int) -> dict[str, Any]:  # noqa: N802, N803
        assert stateMachineArn == MACHINE
        return {"executions": [{"executionArn": each} for each in self.executions[:maxResults]]}

    def DescribeExecution(self, executionArn: str) -> dict[str, Any]:  # noqa: N802, N803
        if executionArn not in self.executions:
            raise refusal("ExecutionDoesNotExist", "DescribeExecution")
        ended = {} if self.execution["status"] == "RUNNING" else {"stopDate": BEGIN + timedelta(minutes=90)}
        return {"executionArn": executionArn, "startDate": BEGIN, **ended, **self.execution}

    def GetObject(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N802, N803
        assert Bucket == "rollouts"
        if Key not in self.objects:
            raise refusal("NoSuchKey", "GetObject")
        return {"Body": io.BytesIO(json.dumps(self.objects[Key]).encode())}

    def Query(self, TableName: str, **_: Any) -> dict[str, Any]:  # noqa: N802, N803
        assert TableName == "table"
        return {"Items": [{name: {"S": value} for name, value in item.items()} for item in self.items]}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    made = World()
    config = tmp_path / "config"
    config.write_text("[profile far]\nregion = eu-west-1\naws_access_key_id = FAR\naws_secret_access_key = s\n")
    environment = {
        "AWS_ACCESS_KEY_ID": "NEAR",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def call(client: BaseClient, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return made.call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    monkeypatch.setattr(time, "sleep", made.pause)
    with mock.patch.dict(os.environ, environment, clear=True):
        forget()
        yield made
    forget()


def forget() -> None:
    aws.client.cache_clear()
    aws.session.cache_clear()


def seen(execution: str = "", terminal: bool = False, **more: Any) -> tuple[int, str]:
    """The exit status, and what was shown."""
    told = {"stack": "aurora-kerberos", "profile": "", "region": "", **more}
    out = io.StringIO()
    console = Console(file=out, width=160, height=60, force_terminal=terminal, color_system=None)
    return watch(execution, console=console, **told), out.getvalue()


def succeeds(world: World) -> None:
    """From looking for clusters to the end."""
    world.then = [
        lambda: world.objects.update({"march/plan.json": plan(refused="AccessDenied: no role")}),
        world.now(items=[became(0, "enabled", 10), FAILED]),
        world.now(items=[became(0, "enabled", 10), FAILED, became(2, "enrolling", 30)]),
        world.now(
            items=[became(0, "enabled", 10), FAILED, became(2, "enabled", 60)],
            execution={"status": "SUCCEEDED", "output": json.dumps({"report": LINK})},
        ),
    ]


def test_in_a_terminal_all_is_shown_until_it_has_ended(world: World) -> None:
    succeeds(world)
    status, text = seen(terminal=True)
    assert status == 0
    assert "Looking for clusters in accounts and Regions." in text
    assert "RUNNING" in text
    last = text[text.rindex("Kerberos rollout march") :]
    assert "SUCCEEDED  1 h 30 min" in last
    assert "3 clusters: 2 enabled, 1 failed; 1 account or Region could not be looked at." in last
    assert LINK in last
    assert f"two ({'1' * 12}, eu-central-1) failed: MembershipFailed: It is [b]failed[/b]. [2J" in last
    assert REMEDY in last
    assert "Could not be looked at: 999999999999, us-east-1: AccessDenied: no role" in last
    waves = [line.split() for line in last.splitlines() if "━" in line]
    assert [[wave[0], *wave[2:]] for wave in waves] == [
        ["1", "1/1", "1", "1", "min"],
        ["2", "2/2", "1", "1", "41", "min"],
    ]
    assert [line.split() for line in last.splitlines() if line.startswith(("111", "222"))] == [
        ["1" * 12, "1", "1"],
        ["2" * 12, "1"],
    ]


def test_without_a_terminal_there_is_a_line_for_each_change(world: World) -> None:
    succeeds(world)
    world.then[2:2] = [lambda: None, lambda: None]  # nothing changes
    status, text = seen()
    assert status == 0
    assert "\x1b" not in text
    lines = [line.split(maxsplit=1)[1] for line in text.splitlines()]  # without the time
    assert len(lines) == len(set(lines)) == 8
    assert lines[0] == "RUNNING: Looking for clusters in accounts and Regions."
    assert "RUNNING: 3 clusters: 3 to do; 1 account or Region could not be looked at." in lines
    assert any(line.startswith("two (") and line.endswith(f"What to do: {REMEDY}") for line in lines)
    assert any("wave 2 of 2, 1 of 2 done. 3 clusters: 1 enabled, 1 enrolling, 1 failed" in line for line in lines)
    assert lines[-1] == f"Report: {LINK}"


def test_it_asks_politely(world: World) -> None:
    succeeds(world)
    seen()
    assert world.pauses == [5, 5, 5, 5]
    assert world.calls["DescribeExecution"] == world.calls["Query"] + 1 == 5
    assert world.calls["GetObject march/plan.json"] == 2  # not there yet, then kept
    assert world.calls["ListExecutions"] == world.calls["DescribeStacks"] == 1


def test_a_look_that_takes_long_is_not_repeated_soon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 1000, 3))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(times)))
    world.then = [world.now(execution={"status": "SUCCEEDED"})]
    assert seen()[0] == 0
    assert world.pauses == [30]


@pytest.mark.parametrize("terminal", [True, False])
def test_stopped_by_its_gate(world: World, terminal: bool) -> None:
    """What is shown is the report as it was written, whatever later starts have recorded since."""
    world.objects["march/plan.json"] = plan()
    written = {**plan(), "made_at": at(90), "dry_run": False, "stopped": "After wave 1, 1 clusters have failed."}
    row = {"outcome": "", "error": "", "message": "", "remedy": "", "began_at": "", "recorded_at": ""}
    written |= {"counts": {"to do": 3}, "clusters": [{**row, **each} for each in written["clusters"]]}
    world.objects["march/report.json"] = written
    world.items = [became(0, "enabled", 900)]
    world.execution = {"status": "FAILED", "error": "RolloutStopped", "cause": f"After wave 1. Report: {LINK}"}
    status, text = seen(terminal=terminal)
    assert status == 1
    assert "Stopped: After wave 1, 1 clusters have failed." in text
    assert "3 clusters: 3 to do." in text
    assert LINK in text


@pytest.mark.parametrize(
    ("execution", "why"),
    [
        ({"status": "ABORTED"}, "A person has stopped the execution."),
        ({"status": "ABORTED", "cause": "Not today."}, "Not today."),
        ({"status": "TIMED_OUT"}, "It has taken longer than it may."),
        ({"status": "FAILED", "error": "AccessDenied", "cause": "PutObject"}, "AccessDenied: PutObject"),
    ],
)
def test_ended_without_a_report(world: World, execution: dict[str, Any], why: str) -> None:
    world.objects["march/plan.json"] = plan()
    world.execution = execution
    status, text = seen()
    assert status == 1
    assert f"Stopped: {why}" in text


def test_a_dry_run(world: World) -> None:
    world.objects["march/plan.json"] = plan(dry_run=True)
    world.execution = {"status": "SUCCEEDED", "output": "{}"}
    status, text = seen(terminal=True)
    assert status == 0
    assert "Dry run, nothing is changed: of 3 clusters, 3 would be enrolled in 2 waves: 3 to do." in text


@pytest.mark.parametrize("named", ["april", EXECUTION.replace("march", "april")])
def test_one_that_is_named(world: World, named: str) -> None:
    world.executions.append(EXECUTION.replace("march", "april"))
    world.execution = {"status": "SUCCEEDED"}
    assert seen(named, terminal=True)[1].count("Kerberos rollout april")
    assert not world.calls["ListExecutions"]


def test_the_region_of_the_execution_and_the_profile_of_the_person(world: World) -> None:
    world.execution = {"status": "SUCCEEDED"}
    assert seen(EXECUTION, profile="far")[0] == 0
    assert aws.region() == "eu-central-1"
    credentials = aws.session("").get_credentials()
    assert credentials
    assert credentials.access_key == "FAR"


@pytest.mark.parametrize(
    ("told", "environment", "region"),
    [
        ({"region": "us-east-1"}, {}, "us-east-1"),
        ({"profile": "far"}, {}, "eu-central-1"),
        ({"profile": "far"}, {"AWS_REGION": ""}, "eu-west-1"),
        ({}, {"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
    ],
)
def test_where(world: World, told: dict[str, Any], environment: dict[str, str], region: str) -> None:
    world.execution = {"status": "SUCCEEDED"}
    os.environ.update(environment)
    assert seen(**told)[0] == 0
    assert aws.region() == region


def test_what_is_in_vain_is_told_and_repeated(world: World) -> None:
    lost = EndpointConnectionError(endpoint_url="https://states.eu-central-1.amazonaws.com/")
    world.objects["march/plan.json"] = plan()
    world.then = [
        world.now(raises={"DescribeExecution": lost}),
        world.now(raises={"Query": refusal("ThrottlingException", "Query")}),
        world.now(raises={}),
        world.now(execution={"status": "SUCCEEDED"}),
    ]
    status, text = seen()
    assert status == 0
    assert "The last look was in vain, and is repeated: AWS could not be reached" in text
    assert "Query: ThrottlingException: no" in text


def test_permission_that_is_lost_ends_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.then = [world.now(raises={"DescribeExecution": refusal("ExpiredTokenException", "DescribeExecution")})]
    assert seen()[0] == 2
    assert "Log in" in capsys.readouterr().err


def test_interrupted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world.then = [interrupt]
    assert seen(terminal=True)[0] == 130
    assert "The rollout goes on" in capsys.readouterr().err


def off(world: World) -> None:
    world.outputs = {"Registry": "r"}


def none_started(world: World) -> None:
    world.executions = []


def nothing(_: World) -> None:
    """All is as it should be."""


def nowhere(_: World) -> None:
    os.environ["AWS_REGION"] = ""


def raises(operation: str, error: Exception) -> Callable[[World], None]:
    return lambda world: world.raises.update({operation: error})


LOST = EndpointConnectionError(endpoint_url="https://cloudformation.eu-nowhere-1.amazonaws.com/")


@pytest.mark.parametrize(
    ("prepare", "told", "saw", "remedy"),
    [
        (nothing, {"stack": "other"}, "There is no stack other in this account and eu-central-1.", "--stack"),
        (off, {}, "The stack aurora-kerberos in eu-central-1 starts no rollouts.", "Rollout=on"),
        (none_started, {}, "No rollout has been started yet.", f"Start an execution of {MACHINE} with {{}}."),
        (nothing, {"execution": "may"}, "There is no execution arn:", "without one, the newest is shown"),
        (nothing, {"execution": EXECUTION.replace("-rollout", "")}, "is not a rollout of the stack", "--stack"),
        (nowhere, {}, "No Region is known.", "--region"),
        (nothing, {"profile": "unknown"}, "The config profile (unknown) could not be found.", "list-profiles"),
        (raises("DescribeStacks", NoCredentialsError()), {}, "Unable to locate credentials.", "aws sso login"),
        (raises("DescribeStacks", refusal("ExpiredToken", "DescribeStacks")), {}, "AWS does not know you", "Log in"),
        (raises("DescribeStacks", LOST), {}, "AWS could not be reached", "the Region's name"),
        (raises("ListExecutions", refusal("AccessDeniedException", "ListExecutions")), {}, "no permission", "states:"),
        (raises("GetObject", refusal("AccessDenied", "GetObject")), {}, "You have no permission", "s3:ListBucket"),
        (raises("Query", refusal("ResourceNotFoundException", "Query")), {}, "Query: ResourceNotFoundException", ""),
    ],
)
def test_what_cannot_be_watched_is_one_line_with_a_remedy(  # noqa: PLR0917  what differs, by name
    world: World,
    capsys: pytest.CaptureFixture[str],
    prepare: Callable[[World], None],
    told: dict[str, Any],
    saw: str,
    remedy: str,
) -> None:
    world.objects["march/plan.json"] = plan()
    prepare(world)
    status, text = seen(**told)
    assert (status, text) == (2, "")
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert saw in line
    assert remedy in line


def test_the_command_does_without_the_local_cloud() -> None:
    program = """
import runpy, sys
sys.argv = ["tools", "watch"]
try:
    runpy.run_module("tools", run_name="__main__")
except SystemExit as end:
    assert end.code == 2, end.code
assert "tools.watch.watch" in sys.modules
assert "moto" not in sys.modules
"""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "No Region is known. Name the stack's with --region.\n"
