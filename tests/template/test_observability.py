"""What is told when nobody looks: every alarm and graph is of a metric that exists, and nothing is dropped unseen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy import templates
from deploy.environment import environment_of
from local import deployment
from local.cloud import Cloud
from local.scenario.format import AtStart, Cluster, Directory
from local.scenario.prepare import prepare

ROOT = Path(__file__).parents[2]
OURS = "AuroraKerberos"
SEARCH = r"""SEARCH\('\{(\w+),([\w,]+)\} MetricName="(\w+)"'"""
FORTNIGHT = 14 * 24 * 60 * 60

Metric = tuple[str, str, frozenset[str]]  # namespace, name, names of the dimensions

# "Amazon SQS metrics", "Viewing metrics for Lambda functions", "Monitoring Step Functions metrics using CloudWatch".
OF_AWS = {
    "AWS/Lambda": ("FunctionName", {"Errors", "Invocations"}),
    "AWS/SQS": ("QueueName", {"ApproximateNumberOfMessagesVisible"}),
    "AWS/States": (
        "StateMachineArn",
        {
            "ExecutionThrottled",
            "ExecutionsAborted",
            "ExecutionsFailed",
            "ExecutionsStarted",
            "ExecutionsSucceeded",
            "ExecutionsTimedOut",
        },
    ),
}
THEIRS = {(space, name, frozenset({dimension})) for space, (dimension, names) in OF_AWS.items() for name in names}


def plain() -> dict[str, Any]:
    with environment_of("eu-central-1"):
        return dict(deployment.plain()["Resources"])


def of_type(kind: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in plain().items() if r["Type"] == kind}


ALARMS = of_type("AWS::CloudWatch::Alarm")
QUEUES = {name: each for name, each in of_type("AWS::SQS::Queue").items() if name != "Answers"}  # of dead letters


# --- what there is to look at -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emitted() -> set[Metric]:
    """What the functions write, over executions with every outcome and sweeps with every result."""
    with Cloud() as cloud:
        sales = Cluster(id="sales", secondary=True, tags={"kerberos": "soon"})
        stock = Cluster(id="stock", secondary=True, tags={"kerberos": "enabled", "kerberos-principals": "/nowhere"})
        directories = [Directory(dns_name="corp.example.com", users=["alice"])]
        prepare(cloud, AtStart(clusters=[Cluster(id="orders"), sales, stock], directories=directories))
        first = cloud.start({"cluster": "orders"})
        cloud.start({"cluster": "orders"})  # superseded
        cloud.start({"cluster": "nobody"})  # failed
        cloud.run(60)
        cloud.client("rds").add_tags_to_resource(
            ResourceName=cloud.cluster_arn("orders"), Tags=[{"Key": "kerberos", "Value": "disabled"}]
        )
        sweep(cloud, "2026-01-05T09:00:00Z")  # running, refused, started, which fails
        cloud.run()
        assert cloud.executions[first].status == "SUCCEEDED", cloud.executions[first].output
        sweep(cloud, "2026-01-05T10:00:00Z")  # started, waiting
        cloud.run()
        cloud.client("rds").remove_tags_from_resource(ResourceName=cloud.cluster_arn("orders"), TagKeys=["kerberos"])
        cloud.run()
        return set(written(cloud.functions.logs()))


def sweep(cloud: Cloud, time: str) -> None:
    failed, answer = cloud.functions.invoke(cloud.functions.name("SweepClusters"), json.dumps({"time": time}))
    assert not failed, answer


def written(log: str) -> Iterator[Metric]:
    """The metrics in a log (embedded metric format)."""
    for line in log.splitlines():
        for directive in json.loads(line).get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                yield from ((directive["Namespace"], metric["Name"], frozenset(d)) for d in directive["Dimensions"])


def watched() -> Iterator[Metric]:
    """The metrics of all alarms."""
    for alarm in ALARMS.values():
        dimensions = frozenset(each["Name"] for each in alarm.get("Dimensions", []))
        yield alarm["Namespace"], alarm["MetricName"], dimensions


def drawn() -> Iterator[Metric]:
    """The metrics of the dashboard; a search stands for all of a name with its dimensions."""
    for widget in dashboard()["widgets"]:
        for row in widget["properties"]["metrics"]:
            names = [each for each in row if isinstance(each, str)]
            if names:
                yield names[0], names[1], frozenset(names[2::2])
            (options,) = [each for each in row if isinstance(each, dict)] or [{}]
            for found in re.finditer(SEARCH, options.get("expression", "")):
                yield found[1], found[3], frozenset(found[2].split(","))


def dashboard() -> Any:
    return json.loads(of_type("AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]["Fn::Sub"])


def test_every_metric_of_ours_is_on_the_dashboard_and_no_other(emitted: set[Metric]) -> None:
    assert {metric for metric in drawn() if metric[0] == OURS} == emitted


def test_every_alarm_is_of_a_metric_that_exists(emitted: set[Metric]) -> None:
    assert set(watched()) <= emitted | THEIRS


def test_our_metrics_are_those_of_our_service() -> None:
    """Powertools adds the service's name as a dimension."""
    service = templates.source()["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    (wanted,) = ALARMS["LeaseHeld"]["Dimensions"]
    assert wanted == {"Name": "service", "Value": service}
    rows = [row for widget in dashboard()["widgets"] for row in widget["properties"]["metrics"] if row[0] == OURS]
    assert {tuple(row[2:4]) for row in rows} == {("service", service)}


def test_the_dashboard_is_of_metrics_that_exist(emitted: set[Metric]) -> None:
    assert set(drawn()) <= emitted | THEIRS
    assert {metric for metric in drawn() if metric[0] != OURS} >= {
        metric for metric in THEIRS if metric[0] != "AWS/SQS"
    }


def test_the_widgets_do_not_overlap() -> None:
    places = [(each["x"], each["y"]) for each in dashboard()["widgets"]]
    assert len(set(places)) == len(places)
    assert all(each["x"] + each["width"] <= 24 for each in dashboard()["widgets"])


def test_the_documentation_names_every_metric_alarm_and_queue(emitted: set[Metric]) -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    assert [name for name in {*(m[1] for m in emitted), *ALARMS, *QUEUES} if f"`{name}`" not in page] == []


# --- who is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_what_it_means_and_takes_silence_for_what_it_is(name: str) -> None:
    alarm = ALARMS[name]
    assert alarm["AlarmActions"] == [{"Ref": "Notifications"}]
    assert len(alarm["AlarmDescription"]) <= 1024
    assert alarm["TreatMissingData"] == ("breaching" if name == "SweepMissing" else "notBreaching")


def test_alarms_may_publish_to_the_encrypted_topic() -> None:
    key = of_type("AWS::SNS::Topic")["Notifications"]["KmsMasterKeyId"]["Ref"]
    (allowed,) = [
        statement
        for statement in of_type("AWS::KMS::Key")[key]["KeyPolicy"]["Statement"]
        if statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ]
    assert allowed["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert "Condition" not in allowed  # what CloudWatch tells KMS of itself is documented nowhere


@pytest.mark.parametrize("name", QUEUES)
def test_what_is_in_a_queue_is_kept_encrypted_and_told(name: str) -> None:
    assert QUEUES[name]["MessageRetentionPeriod"] == FORTNIGHT
    assert QUEUES[name]["SqsManagedSseEnabled"] is True
    assert [{"Name": "QueueName", "Value": {"Fn::GetAtt": [name, "QueueName"]}}] in [
        alarm.get("Dimensions") for alarm in ALARMS.values()
    ]


def test_wherever_something_can_be_dropped_there_is_a_queue_of_its_own() -> None:
    rules = [target for rule in of_type("AWS::Events::Rule").values() for target in rule["Targets"]]
    schedules = [schedule["Target"] for schedule in of_type("AWS::Scheduler::Schedule").values()]
    queues = [each["DeadLetterConfig"]["Arn"] for each in [*rules, *schedules]]
    invoked = {json.dumps(target["Arn"]) for target in schedules if "Function" in kind_of(target["Arn"])}
    configured = of_type("AWS::Lambda::EventInvokeConfig").values()
    assert {json.dumps({"Fn::GetAtt": [each["FunctionName"]["Ref"], "Arn"]}) for each in configured} == invoked
    queues += [each["DestinationConfig"]["OnFailure"]["Destination"] for each in configured]
    queues += [each["RedrivePolicy"]["deadLetterTargetArn"] for each in of_type("AWS::SNS::Subscription").values()]
    queues += [of_type("AWS::SQS::Queue")["Answers"]["RedrivePolicy"]["deadLetterTargetArn"]]
    assert sorted(names_of(queues)) == sorted(QUEUES)


def test_an_answer_comes_again_for_as_long_as_cloudtrail_may_be_behind() -> None:
    answers, (reader,) = of_type("AWS::SQS::Queue")["Answers"], of_type("AWS::Lambda::EventSourceMapping").values()
    assert answers["VisibilityTimeout"] * answers["RedrivePolicy"]["maxReceiveCount"] == 3600
    # "Configuring a queue to use with Lambda": six times the function's time-out.
    assert answers["VisibilityTimeout"] >= 6 * plain()["AnswerApproval"]["Properties"]["Timeout"]
    assert reader["EventSourceArn"] == {"Fn::GetAtt": ["Answers", "Arn"]}
    assert reader["BatchSize"] == 1
    assert answers["SqsManagedSseEnabled"] is True


def names_of(values: Iterable[Mapping[str, list[str]]]) -> list[str]:
    return [value["Fn::GetAtt"][0] for value in values]


def kind_of(value: Mapping[str, list[str]]) -> str:
    (name,) = names_of([value])
    return str(plain()[name]["Type"])


def test_who_fills_a_queue_may_and_nobody_else() -> None:
    """EventBridge and SNS by the queue's policy; EventBridge Scheduler and Lambda by their roles."""
    by_policy = {}
    for policy in of_type("AWS::SQS::QueuePolicy").values():
        (queue,) = policy["Queues"]
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Resource"] == {"Fn::GetAtt": [queue["Ref"], "Arn"]}
            if statement["Effect"] == "Allow":
                assert list(statement["Condition"]["ArnEquals"]) == ["aws:SourceArn"]
                by_policy[queue["Ref"]] = statement["Principal"]["Service"]
    assert by_policy == {"LostEvents": "events.amazonaws.com", "UndeliveredNotifications": "sns.amazonaws.com"}
    by_role = {
        (name, statement["Resource"]["Fn::GetAtt"][0])
        for name, role in of_type("AWS::IAM::Role").items()
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "sqs:SendMessage"
    }
    assert by_role == {("SweepClustersScheduleRole", "LostSchedules"), ("SweepClustersRole", "FailedSweeps")}


# --- logs and traces --------------------------------------------------------------------------------------------------


def test_every_log_has_an_end() -> None:
    groups = of_type("AWS::Logs::LogGroup")
    assert len(groups) == 3
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


def test_state_machines_log_errors_and_nothing_of_their_inputs() -> None:
    machines = of_type("AWS::StepFunctions::StateMachine")
    for name, machine in machines.items():
        logging = machine["LoggingConfiguration"]
        assert (logging["Level"], logging["IncludeExecutionData"]) == ("ERROR", False)
        (destination,) = logging["Destinations"]
        assert destination["CloudWatchLogsLogGroup"]["LogGroupArn"] == {"Fn::GetAtt": [f"{name}Logs", "Arn"]}
    assert len(machines) == 2


def test_one_trace_goes_through_state_machines_and_functions() -> None:
    assert all(
        m["TracingConfiguration"] == {"Enabled": True} for m in of_type("AWS::StepFunctions::StateMachine").values()
    )
    assert all(f["TracingConfig"] == {"Mode": "Active"} for f in of_type("AWS::Lambda::Function").values())
