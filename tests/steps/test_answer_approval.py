"""Who may answer a question for approval, what becomes of the answer, and what those are told who may not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from aurora_kerberos import questions
from local.cloud import Cloud
from local.core.cloud import person
from local.core.faults import Fault, Faults
from local.scenario.expectations import registry_item
from local.scenario.format import AtStart, Cluster
from local.scenario.prepare import prepare
from local.services.event_bridge import DefaultBus

ASKING = {
    "QueryLanguage": "JSONata",
    "StartAt": "Ask",
    "States": {
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "TimeoutSeconds": 86400,
            "Arguments": {
                "FunctionName": "RequestApproval",
                "Payload": {
                    "cluster": {"id": "orders"},
                    "what": "The cluster joins.",
                    "token": "{% $states.context.Task.Token %}",
                    "days": 1,
                    "execution": "{% $states.context.Execution.Id %}",
                },
            },
            "End": True,
        }
    },
}
TAGGED = {
    "detail-type": "Tag Change on Resource",
    "resources": ["arn:aws:rds:eu-central-1:123456789012:cluster:orders"],
    "detail": {"tags": {"kerberos": "enabled"}},
}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A cluster, and a state machine that only asks, as that of the version before does."""
    with Cloud() as running:
        prepare(running, AtStart(clusters=[Cluster(id="orders")]))
        machine = json.dumps(ASKING).replace("RequestApproval", running.functions.name("RequestApproval"))
        running.client("stepfunctions").update_state_machine(stateMachineArn=running.state_machine, definition=machine)
        yield running


def ask(cloud: Cloud, by: str = "alice", request: Any = None) -> str:
    """Start an execution that asks; its name."""
    with cloud.acting(person(by)):
        name = cloud.start(request or {"cluster": "orders"})
    cloud.run(until=cloud.clock.now + 1)
    return name


def question(cloud: Cloud) -> Mapping[str, str]:
    """What is kept of the question."""
    return registry_item(cloud, "orders", questions.PREFIX)


def say(cloud: Cloud, text: str, by: str = "bob", until: float = 3600) -> None:
    """Send a message to the queue of answers, `{}` being the question's id; then time passes."""
    with cloud.acting(person(by)):
        body = text.format(question(cloud)["id"])
        cloud.client("sqs").send_message(QueueUrl=cloud.outputs["Answers"], MessageBody=body)
    cloud.run(until=cloud.clock.now + until)


def told(cloud: Cloud) -> list[str]:
    """The notifications about answers that were not taken."""
    sent = [call.parameters for call in cloud.calls if call.name == "sns:Publish"]
    return [str(each["Message"]) for each in sent if each["Subject"] == "Kerberos: an answer was not taken"]


def dead(cloud: Cloud) -> int:
    """How many answers are dead letters."""
    sqs = cloud.client("sqs")
    (queue,) = [url for url in sqs.list_queues()["QueueUrls"] if "LostAnswers" in url]
    got = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
    return int(got["Attributes"]["ApproximateNumberOfMessages"])


def test_an_approval_is_written_with_its_sender_and_wakes_the_execution(cloud: Cloud) -> None:
    execution = cloud.executions[ask(cloud)]
    cloud.run(until=600)
    say(cloud, "approve orders {}")
    assert execution.status == "SUCCEEDED"
    assert (question(cloud)["answer"], question(cloud)["by"]) == ("approved", "AIDABOB")
    assert question(cloud)["at"] == "2026-01-05T08:10:00+00:00"
    assert told(cloud) == []


def test_a_refusal_ends_an_execution_of_the_definition_before_with_its_sender(cloud: Cloud) -> None:
    execution = cloud.executions[ask(cloud)]
    say(cloud, "refuse ORDERS {} not\n before Monday ")
    assert (execution.status, execution.error) == ("FAILED", "ApprovalRefused")
    assert execution.cause == "not before Monday (AIDABOB, 2026-01-05T08:00:01+00:00)"
    assert question(cloud)["why"] == "not before Monday"


def test_a_message_cannot_say_who_has_sent_it(cloud: Cloud) -> None:
    ask(cloud)
    say(cloud, "refuse orders {} AIDAALICE")
    assert question(cloud)["by"] == "AIDABOB"


def test_who_has_started_it_cannot_approve_it_but_others_can(cloud: Cloud) -> None:
    execution = cloud.executions[ask(cloud)]
    cloud.run(until=600)
    say(cloud, "approve orders {}", by="alice")
    assert execution.status == "RUNNING"
    assert question(cloud)["answer"] == ""
    (message,) = told(cloud)
    assert "cannot approve it" in message
    assert message.endswith("AIDAALICE")
    say(cloud, "approve orders {}")
    assert execution.status == "SUCCEEDED"


def test_who_has_started_it_may_refuse_it(cloud: Cloud) -> None:
    execution = cloud.executions[ask(cloud)]
    say(cloud, "refuse orders {}", by="alice")
    assert execution.status == "FAILED"


def test_while_cloudtrail_does_not_say_who_has_started_it_the_answer_comes_again(cloud: Cloud) -> None:
    execution = cloud.executions[ask(cloud)]
    say(cloud, "approve orders {}", until=1)
    assert execution.status == "RUNNING"
    assert "CloudTrail does not show yet who has started" in cloud.functions.logs()
    cloud.run(until=400)
    assert execution.status == "SUCCEEDED"


def test_an_answer_that_cloudtrail_never_explains_is_a_dead_letter(cloud: Cloud) -> None:
    cloud.takes.trail = 7200
    execution = cloud.executions[ask(cloud)]
    say(cloud, "approve orders {}")
    assert (execution.status, dead(cloud)) == ("RUNNING", 1)


def tag(cloud: Cloud, by: str, **tags: str) -> None:
    written = [{"Key": key.replace("_", "-"), "Value": value} for key, value in tags.items()]
    with cloud.acting(person(by)):
        cloud.client("rds").add_tags_to_resource(ResourceName=cloud.cluster_arn("orders"), Tags=written)


@pytest.mark.parametrize("request_", [TAGGED, {"cluster": "orders", "action": "enable", "swept": "0"}])
def test_what_the_stack_has_started_those_have_started_who_set_the_tags(cloud: Cloud, request_: Any) -> None:
    cloud.part(DefaultBus).delivery = "lost"
    tag(cloud, "carol", kerberos_principals="/aurora-kerberos/principals/all")
    cloud.run(until=60 * 86400)
    tag(cloud, "alice", kerberos="enabled")
    tag(cloud, "dora", team="sales")  # which is none of the workflow's
    cloud.run(until=cloud.clock.now + 600)
    with cloud.acting("AROARULE:events"):
        name = cloud.start(request_)
    cloud.run(until=cloud.clock.now + 600)
    for who in ("alice", "carol"):
        say(cloud, "approve orders {}", by=who, until=60)
    assert len(told(cloud)) == 2
    assert cloud.executions[name].status == "RUNNING"
    say(cloud, "approve orders {}", by="dora")
    assert question(cloud)["by"] == "AIDADORA"


def test_an_event_that_nobody_is_known_to_have_tagged_for_is_not_approved(cloud: Cloud) -> None:
    ask(cloud, request=TAGGED)
    cloud.run(until=600)
    say(cloud, "approve orders {}", until=4000)
    assert (question(cloud)["answer"], dead(cloud)) == ("", 1)


def test_what_the_sweep_has_started_long_after_the_tags_everybody_may_approve(cloud: Cloud) -> None:
    """CloudTrail's event history keeps 90 days."""
    ask(cloud, by="sweep", request={"cluster": "orders", "swept": "0"})
    cloud.run(until=600)
    say(cloud, "approve orders {}")
    assert question(cloud)["by"] == "AIDABOB"


@pytest.mark.parametrize(
    "text",
    ["yes", "approve", "approve orders", "approve orders XYZ", "approve sales {}", "approve orders " + "0" * 16],
)
def test_what_is_no_answer_to_the_question_is_said_once(cloud: Cloud, text: str) -> None:
    execution = cloud.executions[ask(cloud)]
    say(cloud, text)
    assert (execution.status, len(told(cloud)), dead(cloud)) == ("RUNNING", 1, 0)
    assert question(cloud)["answer"] == ""


def test_the_first_of_two_answers_counts(cloud: Cloud) -> None:
    ask(cloud)
    say(cloud, "refuse orders {} no", until=0)
    say(cloud, "approve orders {}", by="carol")
    assert (question(cloud)["answer"], question(cloud)["by"]) == ("refused", "AIDABOB")
    (message,) = told(cloud)
    assert "has been answered before, or is superseded" in message


def test_an_answer_that_was_written_and_wakes_nobody_yet_comes_again(cloud: Cloud) -> None:
    """The same message, after Step Functions was not available."""
    execution = cloud.executions[ask(cloud)]
    cloud.run(until=600)
    cloud.faults = Faults([Fault(call="stepfunctions:SendTaskSuccess", error="ServiceUnavailable", status=503)])
    say(cloud, "approve orders {}", until=1)
    assert (question(cloud)["answer"], execution.status) == ("approved", "RUNNING")
    cloud.run(until=cloud.clock.now + 400)
    assert (execution.status, told(cloud)) == ("SUCCEEDED", [])


def test_the_answer_to_an_execution_that_was_stopped_wakes_nobody(cloud: Cloud) -> None:
    name = ask(cloud)
    cloud.run(until=600)
    cloud.stop(name)
    say(cloud, "approve orders {}")
    assert (cloud.executions[name].status, dead(cloud)) == ("ABORTED", 0)


def test_no_token_is_logged(cloud: Cloud) -> None:
    ask(cloud)
    cloud.run(until=600)
    say(cloud, "approve orders {}")
    assert question(cloud)["token"] not in cloud.functions.logs()
