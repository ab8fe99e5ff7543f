"""The end of every path: what is written for every kind of end, and that one failure keeps nothing else from it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from local.core.calls import fakes
from local.core.faults import Fault, Faults
from local.scenario.expectations import registry_item
from local.services.rds.backend import cluster_of
from tests.steps.conftest import Step, StepFailed

ROOT = Path(__file__).parents[2]
EXECUTION = "arn:aws:states:eu-central-1:123456789012:execution:machine:run"
STEPS = {
    "directory": {"realm": "CORP.EXAMPLE.COM"},
    "users": {"roles": ["alice@CORP.EXAMPLE.COM", "check@CORP.EXAMPLE.COM"]},
    "login": {"verified": True, "principal": "check@CORP.EXAMPLE.COM"},
    "share": {"id": "d-1234567890"},
}


def arguments(**changes: Any) -> dict[str, Any]:
    return {
        "execution": EXECUTION,
        "request": {"cluster": "orders"},
        "plan": {"action": "enable", "check": {"principal": "check@CORP.EXAMPLE.COM"}},
        "steps": STEPS,
        "end": {},
        "failure": {},
        "started_at": "2026-01-05T08:00:00.500Z",
        "now": "2026-01-05T09:00:00Z",
        **changes,
    }


def failure(error: str, message: str = "", cause: str | None = None) -> dict[str, str]:
    return {"Error": error, "Cause": json.dumps({"errorMessage": message}) if cause is None else cause}


def tags(cloud: Cloud) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in cluster_of(cloud, "orders").get_tags()}


def sent(cloud: Cloud, name: str = "sns:Publish") -> list[Any]:
    return [call.parameters for call in cloud.calls if call.name == name and not call.error]


def events(cloud: Cloud) -> list[Any]:
    return [entry for parameters in sent(cloud, "events:PutEvents") for entry in parameters["Entries"]]


def test_a_success_is_written_everywhere(cloud: Cloud, step: Step) -> None:
    outputs = step("RecordOutcome", **arguments())["outputs"]
    assert outputs["outcome"] == "enabled"
    assert outputs["message"] == (
        "Kerberos is enabled: 1 principals of CORP.EXAMPLE.COM may log in. "
        "check@CORP.EXAMPLE.COM logged in with a ticket"
    )
    assert registry_item(cloud, "orders")["outcome"] == "enabled"
    assert tags(cloud)["kerberos-status"] == "enabled"
    assert sent(cloud)[0]["Subject"] == "Kerberos enabled: orders"
    assert EXECUTION in sent(cloud)[0]["Message"]
    assert '"Enabled":[1.0]' in cloud.functions.logs()
    assert '"Error"' not in cloud.functions.logs()  # the total of all is a metric of its own


def test_a_failure_is_written_with_its_remedy(cloud: Cloud, step: Step) -> None:
    cause = "No connection, port 5432.\nRemedy: Let sg-1 in."
    outputs = step("RecordOutcome", **arguments(failure=failure("DatabaseUnreachable", cause)))["outputs"]
    assert (outputs["error"], outputs["message"], outputs["remedy"]) == (
        "DatabaseUnreachable",
        "No connection, port 5432.",
        "Let sg-1 in.",
    )
    assert registry_item(cloud, "orders")["remedy"] == "Let sg-1 in."
    assert tags(cloud) == {
        "kerberos-status": "DatabaseUnreachable",
        "kerberos-message": "No connection port 5432.",
        "kerberos-remedy": "Let sg-1 in.",
    }
    assert "What to do: Let sg-1 in." in sent(cloud)[0]["Message"]
    assert '"Error":"DatabaseUnreachable"' in cloud.functions.logs()


@pytest.mark.parametrize(
    ("failed", "message", "remedy"),
    [
        (failure("KeyError", "'Endpoint'"), "'Endpoint'", "not an error the workflow knows"),
        (failure("States.Timeout", cause=""), "States.Timeout", "did not answer in time"),
        ({"Error": "States.Timeout"}, "States.Timeout", "did not answer in time"),
        (failure("Sandbox.Timedout", "Task timed out after 45.00 seconds"), "Task timed out", "did not answer in time"),
        (failure("States.QueryEvaluationError", cause="not json {"), "not json {", "not an error the workflow knows"),
        (failure("Lambda.Unknown", cause='["a list"]'), '["a list"]', "not an error the workflow knows"),
    ],
)
def test_an_error_that_is_not_ours_is_recorded_as_well(
    step: Step, failed: dict[str, str], message: str, remedy: str
) -> None:
    outputs = step("RecordOutcome", **arguments(failure=failed))["outputs"]
    assert message in outputs["message"]
    assert remedy in outputs["remedy"]


@pytest.mark.parametrize("request_", [{}, [], "x", {"cluster": 7}, {"cluster": "no such\nname" + "x" * 300}])
def test_a_request_that_names_no_cluster_is_notified_of(cloud: Cloud, step: Step, request_: Any) -> None:
    outputs = step("RecordOutcome", **arguments(request=request_, failure=failure("InvalidRequest", "x")))["outputs"]
    assert outputs["outcome"] == "failed"
    assert len(sent(cloud)) == 1
    assert len(sent(cloud)[0]["Subject"]) <= 100
    assert "\n" not in sent(cloud)[0]["Subject"]


def test_what_is_out_of_date_leaves_no_mark_on_the_cluster(cloud: Cloud, step: Step) -> None:
    assert step(
        "RecordOutcome", **arguments(end={"outcome": "superseded", "message": "Nothing to do: the tag is gone."})
    )["ready"]
    assert registry_item(cloud, "orders") == {}
    assert tags(cloud) == {}
    assert sent(cloud) == events(cloud) == []


WRITES = {"dynamodb:PutItem", "rds:AddTagsToResource", "events:PutEvents", "sns:Publish"}


@pytest.mark.parametrize("call", sorted(WRITES))
def test_one_failure_keeps_nothing_else_from_being_written(cloud: Cloud, step: Step, call: str) -> None:
    cloud.faults = Faults([Fault(call=call, error="InvalidParameterValue", times=1)])
    with pytest.raises(StepFailed, match="AwsRefused"):
        step("RecordOutcome", **arguments())
    done = {call.name for call in cloud.calls if call.function and call.changes and not call.error}
    assert done == WRITES - {call}


@pytest.mark.parametrize("call", ["dynamodb:PutItem", "rds:AddTagsToResource", "events:PutEvents"])
def test_what_is_tried_again_is_not_sent_and_counted_twice(cloud: Cloud, step: Step, call: str) -> None:
    cloud.faults = Faults([Fault(call=call, error="InternalFailure", status=500, times=1)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        step("RecordOutcome", **arguments())
    assert sent(cloud) == []
    assert step("RecordOutcome", **arguments())["ready"]
    assert len(sent(cloud)) == len(events(cloud)) == 1
    assert cloud.functions.logs().count('"Enabled":[1.0]') == 1


def test_a_cluster_of_another_account_is_not_taken_for_one_of_this(cloud: Cloud, step: Step) -> None:
    foreign = {"cluster": "arn:aws:rds:eu-central-1:999999999999:cluster:orders"}
    step("RecordOutcome", **arguments(request=foreign, failure=failure("InvalidRequest", "x")))
    assert registry_item(cloud, "orders") == {}
    assert tags(cloud) == {}
    assert len(sent(cloud)) == 1


def test_a_cluster_is_found_in_whatever_case_it_was_asked_for(cloud: Cloud, step: Step) -> None:
    step("RecordOutcome", **arguments(request={"cluster": "Orders"}, failure=failure("InvalidRequest", "x")))
    assert registry_item(cloud, "orders")["outcome"] == "failed"
    assert tags(cloud)["kerberos-status"] == "InvalidRequest"


def test_a_very_long_cause_is_no_trouble(step: Step) -> None:
    outputs = step("RecordOutcome", **arguments(failure=failure("AwsRefused", "x" * 30_000)))["outputs"]
    assert outputs["outcome"] == "failed"


# --- who left, who had nothing to do, and whose lease it is -----------------------------------------------------------

LEFT = {
    "share": {},
    "left": {"left": "d-1234567890"},
    "revoked": {"revoked": ["alice@CORP.EXAMPLE.COM", "bob@CORP.EXAMPLE.COM"]},
}
UNCHANGED = {"outcome": "unchanged", "message": "The tag kerberos has been taken off, which changes nothing."}
SUPERSEDED = {"outcome": "superseded", "message": "Nothing to do: another is at work."}
DISABLE = {"action": "disable", "desired": "0123456789abcdef", "cluster": {"id": "orders"}}


def lease(cloud: Cloud, holder: str = EXECUTION) -> None:
    item = {"arn": {"S": f"lease:{cloud.cluster_arn('orders')}"}, "holder": {"S": holder}}
    cloud.client("dynamodb").put_item(TableName=cloud.outputs["Registry"], Item=item)


def holder(cloud: Cloud) -> str:
    key = {"arn": {"S": f"lease:{cloud.cluster_arn('orders')}"}}
    found = cloud.client("dynamodb").get_item(TableName=cloud.outputs["Registry"], Key=key)
    return str(found.get("Item", {}).get("holder", {}).get("S", ""))


@pytest.mark.parametrize(
    ("left", "said"),
    [("d-1234567890", "the cluster has left the domain of d-1234567890"), ("", "the cluster was in no domain")],
)
def test_who_has_left_is_disabled(cloud: Cloud, step: Step, left: str, said: str) -> None:
    asked = arguments(plan=DISABLE, steps={**LEFT, "left": {"left": left}})
    outputs = step("RecordOutcome", **asked)["outputs"]
    assert outputs["outcome"] == "disabled"
    assert outputs["message"] == f"Kerberos is disabled: {said}. 2 database roles have lost rds_ad"
    item = registry_item(cloud, "orders")
    assert (item["outcome"], item["desired"], item["domain"]) == ("disabled", "0123456789abcdef", "")
    assert tags(cloud)["kerberos-status"] == "disabled"
    assert sent(cloud)[0]["Subject"] == "Kerberos disabled: orders"
    assert '"Disabled":[1.0]' in cloud.functions.logs()


def test_that_a_tag_was_taken_off_is_told(cloud: Cloud, step: Step) -> None:
    assert step("RecordOutcome", **arguments(plan={}, end=UNCHANGED, steps={"share": {}}))["ready"]
    assert registry_item(cloud, "orders")["outcome"] == "unchanged"
    assert tags(cloud)["kerberos-status"] == "unchanged"
    assert UNCHANGED["message"] in sent(cloud)[0]["Message"]


def test_the_registry_holds_what_the_sweep_compares(cloud: Cloud, step: Step) -> None:
    plan = {**arguments()["plan"], "desired": "0123456789abcdef"}
    request = {"cluster": cloud.cluster_arn("orders"), "swept": "fedcba9876543210"}
    step("RecordOutcome", **arguments(plan=plan, request=request))
    item = registry_item(cloud, "orders")
    assert (item["desired"], item["domain"], item["swept"], item["recorded_at"], item["step"]) == (
        "0123456789abcdef",
        "d-1234567890",
        "fedcba9876543210",
        "2026-01-05T09:00:00Z",
        "",
    )
    failed = {**failure("NetworkBlocked", "x"), "Step": "EnsureNetwork"}
    step("RecordOutcome", **arguments(plan=plan, request=request, failure=failed))
    item = registry_item(cloud, "orders")
    assert (item["outcome"], item["step"], item["swept"]) == ("failed", "EnsureNetwork", "fedcba9876543210")


ENDS: dict[str, dict[str, Any]] = {
    "enabled": {},
    "disabled": {"plan": DISABLE, "steps": LEFT},
    "failed": {"failure": failure("NetworkBlocked", "x")},
    "unchanged": {"end": UNCHANGED},
    "superseded": {"end": SUPERSEDED},
}


@pytest.mark.parametrize("end", ENDS)
def test_however_it_ends_the_lease_is_given_back(cloud: Cloud, step: Step, end: str) -> None:
    lease(cloud)
    assert step("RecordOutcome", **arguments(**ENDS[end]))["ready"]
    assert holder(cloud) == ""


@pytest.mark.parametrize("end", ENDS)
def test_what_another_execution_has_taken_over_is_its_to_record(cloud: Cloud, step: Step, end: str) -> None:
    lease(cloud, f"{EXECUTION}-2")
    outputs = step("RecordOutcome", **arguments(**ENDS[end]))["outputs"]
    assert outputs["outcome"] == end  # the execution itself says how it has ended
    # To have found another at work is an end to be counted; to have lost the lease is odd.
    assert ('"Superseded":[1.0]' in cloud.functions.logs()) == (end == "superseded")
    assert ("Another execution has taken over" in cloud.functions.logs()) == (end != "superseded")
    assert holder(cloud) == f"{EXECUTION}-2"
    assert registry_item(cloud, "orders") == {}
    assert tags(cloud) == {}
    assert sent(cloud) == []


def test_who_had_nothing_to_do_leaves_the_registry_to_who_had(cloud: Cloud, step: Step) -> None:
    lease(cloud, f"{EXECUTION}-2")
    step("RecordOutcome", **arguments(execution=f"{EXECUTION}-2"))
    before = registry_item(cloud, "orders")
    step("RecordOutcome", **arguments(end=SUPERSEDED))
    assert registry_item(cloud, "orders") == before
    assert tags(cloud)["kerberos-status"] == "enabled"
    assert len(sent(cloud)) == 1


@pytest.mark.parametrize(("error", "status"), [("InternalServerError", 500), ("AccessDeniedException", 400)])
def test_what_cannot_be_given_back_is_no_failure(cloud: Cloud, step: Step, error: str, status: int) -> None:
    """All is written already; when this execution has ended, whoever wants the lease takes it."""
    lease(cloud)
    cloud.faults = Faults([Fault(call="dynamodb:DeleteItem", error=error, status=status)])
    assert step("RecordOutcome", **arguments())["ready"]
    assert holder(cloud) == EXECUTION
    assert registry_item(cloud, "orders")["outcome"] == "enabled"
    assert len(sent(cloud)) == 1
    assert "Could not give the lease back" in cloud.functions.logs()


@pytest.mark.parametrize("call", ["dynamodb:PutItem", "rds:AddTagsToResource"])
def test_until_all_is_written_the_lease_is_kept(cloud: Cloud, step: Step, call: str) -> None:
    """It is tried again, and nobody else's outcome may come between."""
    lease(cloud)
    cloud.faults = Faults([Fault(call=call, error="InternalFailure", status=500)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        step("RecordOutcome", **arguments())
    assert holder(cloud) == EXECUTION


def test_when_nobody_can_say_whose_the_lease_is_nothing_is_written(cloud: Cloud, step: Step) -> None:
    lease(cloud)
    cloud.faults = Faults([Fault(call="dynamodb:GetItem", error="InternalServerError", status=500)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        step("RecordOutcome", **arguments())
    assert registry_item(cloud, "orders") == {}
    assert sent(cloud) == []


@pytest.mark.parametrize(
    ("failed", "message", "remedy"),
    [
        (
            {"Error": "ApprovalRefused", "Cause": "Not before the release."},
            "Not before the release.",
            "it asks again",
        ),
        (
            {"Error": "ApprovalExpired", "Cause": "Nobody has approved or refused within 7 days."},
            "Nobody has approved or refused within 7 days.",
            "it asks again",
        ),
        ({"Error": "ApprovalRefused", "Cause": ""}, "ApprovalRefused", "it asks again"),
    ],
)
def test_what_a_person_has_answered_is_recorded(
    cloud: Cloud, step: Step, failed: dict[str, str], message: str, remedy: str
) -> None:
    step("RecordOutcome", **arguments(failure={**failed, "Step": "RequestApproval"}))
    item = registry_item(cloud, "orders")
    assert (item["error"], item["message"]) == (failed["Error"], message)
    assert remedy in item["remedy"]


def test_a_person_s_words_are_no_trouble_for_a_tag_and_a_subject(cloud: Cloud, step: Step) -> None:
    """Whoever answers names the error as well: `--error` is free text."""
    said = {"Error": "Später; bitte\n" + "x" * 200, "Cause": "Nein, «nicht» jetzt!"}
    assert step("RecordOutcome", **arguments(failure=said))["ready"]
    assert registry_item(cloud, "orders")["error"] == said["Error"]
    assert sent(cloud)[0]["Subject"].startswith("Kerberos Sp?ter; bitte?xxx")


# --- events, and what a person is told --------------------------------------------------------------------------------

SENT: dict[str, dict[str, Any]] = {
    "enabled": {},
    "disabled": {"plan": DISABLE, "steps": LEFT},
    "failed": {"failure": failure("NetworkBlocked", "No route from vpc-1 to vpc-2.\nRemedy: Peer the VPCs.")},
}


@pytest.mark.parametrize("end", SENT)
def test_the_documented_event_is_what_is_sent(cloud: Cloud, step: Step, end: str) -> None:
    written = (ROOT / "tests" / "events" / f"kerberos-{end}.json").read_text()
    step("RecordOutcome", **arguments(**SENT[end]))
    (entry,) = events(cloud)
    example = json.loads(written)
    assert {
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "resources": entry["Resources"],
        "detail": json.loads(entry["Detail"]),
        # These EventBridge adds.
        "version": "0",
        "id": example["id"],
        "account": cloud.account,
        "region": cloud.region,
        "time": example["time"],
    } == example
    assert end != "failed" or written.strip() in (ROOT / "docs" / "events.md").read_text()


def test_a_tag_that_was_taken_off_is_an_event_as_well(cloud: Cloud, step: Step) -> None:
    step("RecordOutcome", **arguments(plan={}, end=UNCHANGED, steps={"share": {}}))
    assert [entry["DetailType"] for entry in events(cloud)] == ["Kerberos Unchanged"]


def test_an_event_of_no_cluster_names_no_resource(cloud: Cloud, step: Step) -> None:
    step("RecordOutcome", **arguments(request={}, failure=failure("InvalidRequest", "x")))
    assert [entry["Resources"] for entry in events(cloud)] == [[]]


@pytest.mark.parametrize(
    ("said", "raised"), [("ThrottlingException", "AwsUnavailable"), ("NotAuthorized", "AccessDenied")]
)
def test_an_event_that_eventbridge_has_not_taken_is_not_taken_for_sent(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch, said: str, raised: str
) -> None:
    """PutEvents succeeds, and says in its answer which events it has not taken."""
    answer = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": said, "ErrorMessage": "Too many."}]}
    monkeypatch.setitem(fakes, ("events", "PutEvents"), lambda *_: answer)
    with pytest.raises(StepFailed, match=rf"{raised}: PutEvents: {said}: Too many\."):
        step("RecordOutcome", **arguments())
    assert bool(sent(cloud)) == (raised == "AccessDenied")  # else it is told when all is tried again


@pytest.mark.parametrize("name", ["run", "sweep-orders-0123456789abcdef", "it's (mine) & yours"])
def test_who_is_told_of_a_failure_is_told_how_to_start_it_again(cloud: Cloud, step: Step, name: str) -> None:
    """The command is run by a shell as it stands; the inner one answers with the input."""
    machine = "arn:aws:states:eu-central-1:123456789012:stateMachine:machine"
    execution = EXECUTION.replace(":run", f":{name}")
    step("RecordOutcome", **arguments(execution=execution, failure=failure("NetworkBlocked", "No route.")))
    message = sent(cloud)[0]["Message"]
    (command,) = [line for line in message.splitlines() if line.startswith("aws ")]
    script = f"aws() {{ printf '<%s>' \"$@\"; }}\n{command}"
    run = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, check=True, text=True, timeout=60)
    inner = f"<stepfunctions><describe-execution><--region><eu-central-1><--execution-arn><{execution}>"
    asked = f"{inner}<--query><input><--output><text>"
    assert run.stdout == (
        f"<stepfunctions><start-execution><--region><eu-central-1><--state-machine-arn><{machine}><--input><{asked}>"
    )


def test_who_is_told_of_a_success_has_nothing_to_start(cloud: Cloud, step: Step) -> None:
    step("RecordOutcome", **arguments())
    assert "start-execution" not in sent(cloud)[0]["Message"]


def test_how_long_it_took_from_the_request_to_the_success_is_counted(cloud: Cloud, step: Step) -> None:
    step("RecordOutcome", **arguments())
    assert '"Lag":[3599.5]' in cloud.functions.logs()


@pytest.mark.parametrize("end", ["disabled", "failed", "unchanged", "superseded"])
def test_what_is_no_success_has_no_lag(cloud: Cloud, step: Step, end: str) -> None:
    step("RecordOutcome", **arguments(**ENDS[end]))
    assert "Lag" not in cloud.functions.logs()


def test_an_execution_of_an_earlier_definition_is_recorded_without_its_lag(cloud: Cloud, step: Step) -> None:
    """It does not say when it began."""
    earlier = {name: value for name, value in arguments().items() if name != "started_at"}
    assert step("RecordOutcome", **earlier)["outputs"]["outcome"] == "enabled"
    assert "Lag" not in cloud.functions.logs()
