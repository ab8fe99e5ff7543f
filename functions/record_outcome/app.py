"""The end of every execution: writes the outcome to the registry, the tags, an event, a notification and the metrics.

The lease of the cluster is given back last. If another execution has taken the lease over, nothing is recorded.

If one of the five cannot be written, the others still are, and the error is raised at the end. If AWS is unavailable,
however, the step stops at once and is tried again. Event, notification and metrics come last, since another attempt
would send and count them twice.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from aws_lambda_powertools.metrics import MetricUnit, single_metric
from botocore.exceptions import ClientError

from aurora_kerberos import aws, errors, items, leases, names, questions
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import client
from aurora_kerberos.environment import environment
from aurora_kerberos.step import Ready, logger, step

ENABLED, DISABLED, FAILED, SUPERSEDED = "enabled", "disabled", "failed", "superseded"

# Errors that are not ours to name, and what they mean here.
REMEDIES = {
    "States.Timeout": "A function did not answer in time: see its log, then start the execution again.",
    "Sandbox.Timedout": "A function did not answer in time: see its log, then start the execution again.",
    "States.DataLimitExceeded": "Fewer principals per cluster; the state machine's payload is limited to 256 KiB.",
}
NOT_FOR_SUBJECTS = re.compile(r"[^ -~]")  # of a mail; a person who refuses can give the error any name
DEFECT = "This is not an error the workflow knows. See the function's log, and report it with the execution's history."


class Arguments(TypedDict):
    """`request`: the execution's input; `plan` and `steps` as far as they came; `failure`: error and cause, or {}.

    `end`: outcome and message of an execution that had nothing to do, or {}; `started_at`, `now`: ISO 8601.
    """

    execution: str
    request: Any
    plan: Mapping[str, Any]
    steps: Mapping[str, Any]
    end: Mapping[str, str]
    failure: Mapping[str, str]
    started_at: NotRequired[str]  # unknown to executions that began with an earlier definition
    now: str


class Outcome(TypedDict):
    """What is recorded, and what the execution returns.

    `answered_by` and `answered_at` are of the answer to the question for approval; empty when nobody was asked.
    """

    outcome: str
    cluster: str
    message: str
    error: str
    remedy: str
    execution: str
    recorded_at: str
    answered_by: str
    answered_at: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready with the outcome, when all five are written and the lease of the cluster is given back."""
    outcome, execution = outcome_of(arguments), arguments["execution"]
    arn = names.cluster_arn(outcome["cluster"], execution)
    if arguments["plan"].get("apply") == "approval" and (answer := answered(arn, execution)):
        outcome = {**outcome, "answered_by": answer.by, "answered_at": answer.at}
    of_steps = [each for outputs in arguments["steps"].values() for each in (outputs or {}).get("warnings", [])]
    warnings = [*arguments["plan"].get("warnings", []), *of_steps]
    result = Ready({**outcome, "steps": arguments["steps"], "warnings": warnings})
    if arn and outcome["outcome"] != SUPERSEDED and leases.holder_of(arn) not in ("", execution):
        logger.warning("Another execution has taken over: the outcome is its to record")
        return result
    unwritten = []
    for write in (write_registry, write_tags, send_event, notify, write_metrics):
        try:
            write(outcome, arn, arguments)
        except aws.ERRORS as error:
            logger.exception("Could not %s", write.__name__)
            unwritten.append(aws.translate(error))
            if isinstance(unwritten[-1], errors.AwsUnavailable):
                break
    if unwritten:
        raise unwritten[-1]
    try:
        leases.give_back(arn, execution)
    except aws.ERRORS:
        logger.exception("Could not give the lease back: whoever wants it takes it when this execution has ended")
    return result


def outcome_of(arguments: Arguments) -> Outcome:
    """The outcome with one sentence; for a failure, with the error's name and its remedy as well."""
    plan, steps = arguments["plan"], arguments["steps"]
    cluster = plan.get("cluster", {}).get("id") or names.requested_cluster(arguments["request"], arguments["execution"])
    result = Outcome(
        outcome=ENABLED,
        cluster=cluster,
        message="",
        error="",
        remedy="",
        execution=arguments["execution"],
        recorded_at=arguments["now"],
        answered_by="",
        answered_at="",
    )
    if failure := arguments["failure"]:
        message, remedy = what_happened(failure["Error"], failure.get("Cause", ""))
        return {**result, "outcome": FAILED, "error": failure["Error"], "message": message, "remedy": remedy}
    if end := arguments["end"]:
        return {**result, "outcome": end["outcome"], "message": end["message"]}
    if plan["action"] == "disable":
        return {**result, "outcome": DISABLED, "message": disabled(steps)}
    login = steps["login"]
    proof = f"{login['principal']} logged in with a ticket" if login["verified"] else login["reason"]
    people = [role for role in steps["users"]["roles"] if role != plan["check"]["principal"]]
    roles = f"{len(people)} principals of {steps['directory']['realm']} may log in"
    return {**result, "message": f"Kerberos is enabled: {roles}. {proof}"}


def answered(arn: str, execution: str) -> questions.Question | None:
    """The answer to the question of this execution, if it has asked one."""
    question = questions.find(arn)
    return question if question and question.execution == execution and question.answer else None


def disabled(steps: Mapping[str, Any]) -> str:
    """The sentence about a cluster on which Kerberos was switched off."""
    left = steps["left"]["left"]
    where = f"the cluster has left the domain of {left}" if left else "the cluster was in no domain"
    return f"Kerberos is disabled: {where}. {len(steps['revoked']['revoked'])} database roles have lost rds_ad"


def what_happened(error: str, cause: str) -> tuple[str, str]:
    """Message and remedy of a failure, from the Cause that Step Functions passes on."""
    try:
        text = str(json.loads(cause)["errorMessage"])
    except (ValueError, TypeError, KeyError):
        text = cause or error
    message, _, remedy = text.partition(errors.REMEDY)
    known = getattr(errors, error, None)
    default = known.remedy if isinstance(known, type) and issubclass(known, errors.KerberosError) else DEFECT
    # What was asked for may be quoted in them, and has no lines of its own in a mail.
    return names.plain(message), names.plain(remedy) or REMEDIES.get(error, default)


def write_metrics(outcome: Outcome, _arn: str, arguments: Arguments) -> None:
    """Count the outcome, and a failure by its error's name as well. Measure the time from the start to `enabled`."""
    count: Any = {"unit": MetricUnit.Count, "value": 1, "namespace": names.METRICS}
    with single_metric(name=outcome["outcome"].capitalize(), **count):
        pass
    if outcome["outcome"] == ENABLED and "started_at" in arguments:
        took = datetime.fromisoformat(arguments["now"]) - datetime.fromisoformat(arguments["started_at"])
        with single_metric("Lag", MetricUnit.Seconds, took.total_seconds(), namespace=names.METRICS):
            pass
    if outcome["error"]:
        with single_metric(name=FAILED.capitalize(), **count) as metric:
            metric.add_dimension(name="Error", value=outcome["error"])


def write_registry(outcome: Outcome, arn: str, arguments: Arguments) -> None:
    """Write the cluster's outcome, with the digests that the sweep compares (`dynamodb:PutItem`).

    An execution that had nothing to do is not an outcome of the cluster.
    """
    if not arn or outcome["outcome"] == SUPERSEDED:
        return
    request, failed = arguments["request"], arguments["failure"]
    known = {
        **outcome,
        "step": failed.get("Step", ""),
        "desired": arguments["plan"].get("desired", ""),
        "domain": arguments["steps"]["share"].get("id", ""),
        "swept": request.get("swept", "") if isinstance(request, Mapping) else "",
    }
    item = {**items.key(arn), **items.written({name: str(value) for name, value in known.items()})}
    client("dynamodb").put_item(TableName=environment.registry_table, Item=item)


def write_tags(outcome: Outcome, arn: str, _arguments: Arguments) -> None:
    """Status, message and remedy on the cluster (`rds:AddTagsToResource`), when there is one and it is still meant."""
    if not arn or outcome["outcome"] == SUPERSEDED:
        return
    status = outcome["error"] or outcome["outcome"]
    tags = {names.STATUS_TAG: status, names.MESSAGE_TAG: outcome["message"], names.REMEDY_TAG: outcome["remedy"]}
    try:
        client("rds").add_tags_to_resource(
            ResourceName=arn, Tags=[{"Key": key, "Value": names.tag_value(value)} for key, value in tags.items()]
        )
    except client("rds").exceptions.DBClusterNotFoundFault:
        logger.info("No cluster to tag", cluster=outcome["cluster"])


def send_event(outcome: Outcome, arn: str, _arguments: Arguments) -> None:
    """An event for whoever has a rule (`events:PutEvents`); none of what was out of date. docs/events.md has its shape.

    Raises:
        ClientError: EventBridge has not taken it, which it says in its answer.
    """
    if outcome["outcome"] == SUPERSEDED:
        return
    region, account = Arn.parse(outcome["execution"]).place
    detail = {
        "cluster": outcome["cluster"],
        "account": account,
        "region": region,
        "error": outcome["error"],
        "message": outcome["message"],
        "remedy": outcome["remedy"],
        "execution": outcome["execution"],
        "at": outcome["recorded_at"],
        "answered_by": outcome["answered_by"],
        "answered_at": outcome["answered_at"],
    }
    event = {
        "Source": names.EVENTS,
        "DetailType": f"Kerberos {outcome['outcome'].capitalize()}",
        "Resources": [arn] if arn else [],
        "Detail": json.dumps(detail),
    }
    answer = client("events").put_events(Entries=[event])
    if answer["FailedEntryCount"]:
        (refused,) = answer["Entries"]
        said: Any = {"Error": {"Code": refused["ErrorCode"], "Message": refused.get("ErrorMessage", "")}}
        raise ClientError(said, "PutEvents")


def notify(outcome: Outcome, _arn: str, _arguments: Arguments) -> None:
    """Send a notification that says what to do (`sns:Publish`), but none for an execution that had nothing to do."""
    if outcome["outcome"] == SUPERSEDED:
        return
    subject = f"Kerberos {outcome['error'] or outcome['outcome']}: {outcome['cluster'] or 'no cluster'}"
    subject = NOT_FOR_SUBJECTS.sub("?", subject)[:100]
    lines = [
        outcome["message"],
        f"Answered by {outcome['answered_by']}, {outcome['answered_at']}" if outcome["answered_by"] else "",
        f"What to do: {outcome['remedy']}" if outcome["remedy"] else "",
        f"Then start it again:\n{again(outcome['execution'])}" if outcome["outcome"] == FAILED else "",
        f"Execution: {names.execution_link(outcome['execution'])}",
    ]
    client("sns").publish(
        TopicArn=environment.notification_topic, Subject=subject, Message="\n\n".join(filter(None, lines))
    )


def again(execution: str) -> str:
    """The command that starts the execution again with the same input."""
    arn = Arn.parse(execution)
    region, (_, machine_name, _) = arn.region, arn.resource.split(":")
    machine = arn._replace(resource=f"stateMachine:{machine_name}")
    execution = shlex.quote(execution)  # a person can give an execution any name
    asked = f"aws stepfunctions describe-execution --region {region} --execution-arn {execution}"
    return (
        f"aws stepfunctions start-execution --region {region} --state-machine-arn {machine} "
        f'--input "$({asked} --query input --output text)"'
    )
