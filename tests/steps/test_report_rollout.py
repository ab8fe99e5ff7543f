"""A rollout's end: what the report and the notification say, whatever the end is."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from moto.sns.models import sns_backends

from aurora_kerberos.rollout import work
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.core.places import HOME
from tests.steps.conftest import Step, StepFailed
from tests.steps.rollouts import (
    EXECUTION,
    FAR,
    ID,
    LATER,
    NOW,
    arn,
    called,
    read,
    read_text,
    record,
    recorded,
    rollout_cloud,
    write,
)

REQUEST = {"dry_run": False, "max_failures": 0, "waves": [1, "100%"]}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with rollout_cloud() as running:
        yield running


def cluster(name: str, state: str = "to do", wave: int = 0, why: str = "") -> dict[str, Any]:
    where = {"account": Cloud.home, "region": HOME.region}
    return {"arn": arn(name), "id": name, **where, "tags": {}, "state": state, "why": why, "wave": wave}


def plan(cloud: Cloud, *clusters: dict[str, Any], dry_run: bool = False, refused: list[Any] | None = None) -> None:
    """What `plan_waves` has written."""
    numbers = sorted({each["wave"] for each in clusters} - {0})
    waves = [{"number": number, "size": sum(each["wave"] == number for each in clusters)} for number in numbers]
    made = {"rollout": ID, "execution": EXECUTION, "began_at": NOW, "request": {**REQUEST, "dry_run": dry_run}}
    write(cloud, "plan.json", {**made, "waves": waves, "clusters": clusters, "refused": refused or []})


def end(
    step: Step, stopped: str = "", failure: dict[str, str] | None = None, execution: str = EXECUTION
) -> dict[str, Any]:
    outputs: dict[str, Any] = step(
        "ReportRollout", execution=execution, now=LATER, stopped=stopped, failure=failure or {}
    )["outputs"]
    return outputs


def mail(cloud: Cloud) -> tuple[str, str]:
    """Subject and text of the only notification."""
    topic = sns_backends[cloud.home][cloud.region].topics[cloud.outputs["Notifications"]]
    ((_, text, subject, *_),) = topic.sent_notifications
    return subject, text


def rows(cloud: Cloud) -> dict[str, dict[str, str]]:
    """The table, by the clusters' names."""
    return {row["id"]: row for row in csv.DictReader(io.StringIO(read_text(cloud, "report.csv")))}


FAR_AWAY = {"account": FAR, "region": "eu-west-1", "refused": "AssumeRole: AccessDenied: no", "clusters": []}


@pytest.fixture
def ended(cloud: Cloud) -> Cloud:
    """One of each kind."""
    plan(
        cloud,
        cluster("orders", wave=1),
        cluster("sales", wave=2),
        cluster("stock", wave=2),
        cluster("mail", wave=2),
        cluster("web", "unfit", why="It runs aurora-mysql."),
        cluster("old", "already enabled", why="It is in the domain of d-1234567890."),
        refused=[FAR_AWAY],
    )
    record(cloud, "orders", "enabled", message="alice may log in")
    record(cloud, "sales", "failed", error="NetworkBlocked", message="No route.", remedy="Add a route.")
    record(cloud, "stock", "refused", error="PrincipalUsesIam", message="alice has rds_iam.", remedy="Revoke it.")
    return cloud


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_report_has_each_cluster_with_what_has_become_of_it(ended: Cloud, step: Step) -> None:
    outputs = end(step)
    report = read(ended, "report.json")
    assert (report["rollout"], report["execution"], report["began_at"], report["made_at"]) == (
        ID,
        EXECUTION,
        NOW,
        LATER,
    )
    assert (report["dry_run"], report["stopped"], report["refused"]) == (False, "", [FAR_AWAY])
    counts = {"enabled": 1, "failed": 1, "refused": 1, "to do": 1, "unfit": 1, "already enabled": 1}
    assert report["counts"] == outputs["counts"] == counts
    found = {each["id"]: each for each in report["clusters"]}
    sales = found["sales"]
    assert (sales["wave"], sales["outcome"], sales["error"]) == (2, "failed", "NetworkBlocked")
    assert (sales["message"], sales["remedy"]) == ("No route.", "Add a route.")
    assert (found["mail"]["state"], found["mail"]["outcome"], found["mail"]["began_at"]) == ("to do", "", "")


def test_the_table_has_a_row_for_each_cluster(ended: Cloud, step: Step) -> None:
    end(step)
    found = rows(ended)
    assert set(found) == {"orders", "sales", "stock", "mail", "web", "old"}
    assert found["sales"] == {
        "account": ended.home,
        "region": ended.region,
        "id": "sales",
        "wave": "2",
        "state": "to do",
        "why": "",
        "outcome": "failed",
        "error": "NetworkBlocked",
        "message": "No route.",
        "remedy": "Add a route.",
        "began_at": NOW,
        "recorded_at": NOW,
    }
    assert (found["web"]["state"], found["web"]["why"]) == ("unfit", "It runs aurora-mysql.")


@pytest.mark.parametrize(
    "begins", ["=", "+", "-", "@", "\t=", "\r=", " =", "x;=", "x; =", "x,@", "x|+", "x\t-", "\uff1d"]
)
def test_no_cell_of_the_table_is_a_formula(cloud: Cloud, step: Step, begins: str) -> None:
    """Whoever may tag a cluster of a member account decides what stands here, and whose spreadsheet opens it?"""
    evil = f"{begins}HYPERLINK(0)"
    plan(cloud, cluster("orders", wave=1, why=evil))
    record(cloud, "orders", "failed", error=evil, message=evil, remedy=evil)
    end(step)
    (row,) = rows(cloud).values()
    for name in ("why", "error", "message", "remedy"):
        assert not re.search(r"(^|[;,\t|])\s*[=+\-@\uff1d]", row[name])
        assert row[name].endswith("HYPERLINK(0)")


def test_a_cell_holds_what_csv_has_its_own_mind_about(cloud: Cloud, step: Step) -> None:
    said = 'No route, says "sales";\nadd one – ä'
    plan(cloud, cluster("orders", wave=1))
    record(cloud, "orders", "failed", message=said)
    end(step)
    assert rows(cloud)["orders"]["message"] == said.replace("\n", " ")


def test_what_is_written_is_opened_as_what_it_is(ended: Cloud, step: Step) -> None:
    end(step)
    types = {
        name: ended.client("s3").get_object(Bucket=ended.outputs["RolloutBucket"], Key=f"first/report.{name}")[
            "ContentType"
        ]
        for name in ("json", "csv", "html")
    }
    assert types == {
        "json": "application/json",
        "csv": "text/csv; charset=utf-8",
        "html": "text/html; charset=utf-8",
    }


# --- the link and the notification ------------------------------------------------------------------------------------


def test_the_link_leads_to_the_page(ended: Cloud, step: Step) -> None:
    link = urlsplit(end(step)["report"])
    assert (link.scheme, link.netloc) == ("https", "eu-central-1.console.aws.amazon.com")
    assert link.path == f"/s3/object/{ended.outputs['RolloutBucket']}"
    assert parse_qs(link.query) == {"region": ["eu-central-1"], "prefix": ["first/report.html"]}
    assert read_text(ended, "report.html").startswith("<!doctype html>")


def test_the_link_leads_to_the_page_whatever_the_execution_s_name(step: Step) -> None:
    """Step Functions takes these in a name; in a link they mean something else, or end it."""
    name = "orders+sales=(2)'ä"
    link = end(step, execution=EXECUTION.replace("first", name))["report"]
    assert link.isascii()
    assert parse_qs(urlsplit(link).query)["prefix"] == [f"{name}/report.html"]


@pytest.mark.parametrize(
    ("dry_run", "stopped", "subject"),
    [
        (True, "", "Kerberos rollout planned"),
        (False, "", "Kerberos rollout done"),
        (False, "After wave 1, 1 cluster has failed.", "Kerberos rollout stopped"),
        (True, "ListAccounts: AccessDenied: no", "Kerberos rollout stopped"),
    ],
)
def test_the_subject_says_how_it_ended(cloud: Cloud, step: Step, dry_run: bool, stopped: str, subject: str) -> None:
    plan(cloud, cluster("orders", wave=1), dry_run=dry_run)
    end(step, stopped)
    assert mail(cloud)[0] == subject


def test_the_notification_says_what_there_is_why_it_stopped_and_where_to_read_on(ended: Cloud, step: Step) -> None:
    outputs = end(step, "After wave 2, 1 cluster has failed, more than 0: sales.")
    counts = "1 already enabled, 1 enabled, 1 failed, 1 refused, 1 to do, 1 unfit"
    sentence = f"6 clusters: {counts}; 1 account or Region could not be looked at."
    assert outputs["message"] == sentence
    assert mail(ended)[1].split("\n\n") == [
        sentence,
        "After wave 2, 1 cluster has failed, more than 0: sales.",
        f"Report: {outputs['report']}",
        "Execution: https://eu-central-1.console.aws.amazon.com/states/home?region=eu-central-1"
        f"#/v2/executions/details/{EXECUTION}",
    ]


def test_the_state_machine_is_told_how_it_ended(ended: Cloud, step: Step) -> None:
    assert end(step)["stopped"] == ""
    assert end(step, "Enough.")["stopped"] == "Enough."
    assert read(ended, "report.json")["stopped"] == "Enough."


# --- other ends -------------------------------------------------------------------------------------------------------


def test_a_dry_run_reports_what_would_be_done(cloud: Cloud, step: Step) -> None:
    plan(cloud, cluster("orders", wave=1), cluster("web", "unfit", why="It is stopped."), dry_run=True)
    outputs = end(step)
    report = read(cloud, "report.json")
    assert (report["dry_run"], report["counts"]) == (True, {"to do": 1, "unfit": 1})
    assert report["waves"] == [{"number": 1, "size": 1}]
    assert (
        outputs["message"]
        == "Dry run, nothing is changed: of 2 clusters, 1 would be enrolled in 1 wave: 1 to do, 1 unfit."
    )
    assert recorded(cloud) == {}


def test_an_organization_without_clusters_is_said_to_have_none(cloud: Cloud, step: Step) -> None:
    plan(cloud)
    assert end(step)["message"] == "0 clusters: none."
    assert read_text(cloud, "report.csv").count("\n") == 1


FAILURES = [
    (
        {"Error": "InvalidRequest", "Cause": json.dumps({"errorMessage": "The input is not valid.\nRemedy: Mend it."})},
        "InvalidRequest: The input is not valid.\nRemedy: Mend it.",
    ),
    ({"Error": "States.ItemReaderFailed", "Cause": "NoSuchKey"}, "States.ItemReaderFailed: NoSuchKey"),
    ({"Error": "States.Timeout"}, "States.Timeout: nothing more is known"),
    ({"Error": "Sandbox.Timedout", "Cause": "null"}, "Sandbox.Timedout: null"),
]


@pytest.mark.parametrize(("failure", "said"), FAILURES)
def test_a_step_that_failed_is_named_with_its_error(
    cloud: Cloud, step: Step, failure: dict[str, str], said: str
) -> None:
    outputs = end(step, failure={**failure, "Step": "ListAccounts"})
    assert outputs["stopped"] == f"ListAccounts: {said}"
    subject, text = mail(cloud)
    assert (subject, outputs["stopped"] in text) == ("Kerberos rollout stopped", True)


def test_a_failure_before_there_is_a_plan_has_a_report(cloud: Cloud, step: Step) -> None:
    record(cloud, "orders", "enabled")
    outputs = end(step, failure={"Error": "AccessDenied", "Cause": "ListAccounts", "Step": "ListAccounts"})
    report = read(cloud, "report.json")
    assert (report["rollout"], report["execution"], report["clusters"], report["waves"]) == ("", EXECUTION, [], [])
    assert (report["began_at"], report["made_at"]) == (LATER, LATER)
    assert outputs["message"] == "No cluster has been looked at."
    assert read_text(cloud, "report.html")
    assert not called(cloud, "dynamodb:Query")


def test_a_failure_in_the_middle_has_what_there_was(ended: Cloud, step: Step) -> None:
    record(ended, "mail", "enrolling")
    end(step, failure={"Error": "States.ItemReaderFailed", "Cause": "no", "Step": "RunWave"})
    counts = {"enabled": 1, "failed": 1, "refused": 1, "enrolling": 1, "unfit": 1, "already enabled": 1}
    assert read(ended, "report.json")["counts"] == counts


def test_it_can_be_written_again(ended: Cloud, step: Step) -> None:
    ended.faults = Faults([Fault(call="sns:Publish", error="Throttling")])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        end(step)
    assert end(step)["counts"]["enabled"] == 1
    assert mail(ended)[0] == "Kerberos rollout done"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ClusterUnfit", "refused"),
        ("InvalidRequest", "refused"),
        ("ApprovalRefused", "refused"),
        ("ApprovalExpired", "failed"),
        ("AccessDenied", "failed"),
        ("AwsUnavailable", "failed"),
        ("NobodyKnows", "failed"),
        ("annotations", "failed"),
        ("", "failed"),
    ],
)
def test_what_counts_is_what_the_workflow_could_not_do(error: str, kind: str) -> None:
    assert work.kind_of(error) == kind
