"""The end of every execution: registry, tags, metrics and notification say what became of it and what to do.

Each is written even when another cannot be; what could not be written is raised at the end. Metrics and notification
come last and wait for AWS to be there for the others: a second try would count and send them twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, TypedDict

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from aurora_kerberos import aws, errors, names
from aurora_kerberos.aws import client
from aurora_kerberos.step import Ready, logger, step

SUCCEEDED, FAILED, SUPERSEDED = "enabled", "failed", "superseded"

# Errors that are not ours to name, and what they mean here.
REMEDIES = {
    "States.Timeout": "A function did not answer in time: see its log, then start the execution again.",
    "Sandbox.Timedout": "A function did not answer in time: see its log, then start the execution again.",
    "States.DataLimitExceeded": "Fewer principals per cluster; the state machine's payload is limited to 256 KiB.",
}
DEFECT = "This is not an error the workflow knows. See the function's log, and report it with the execution's history."


class Arguments(TypedDict):
    """`request`: the execution's input; `plan` and `steps` as far as they came; `failure`: error and cause, or {}."""

    execution: str
    request: Any
    plan: Mapping[str, Any]
    steps: Mapping[str, Any]
    superseded: str
    failure: Mapping[str, str]
    now: str


class Outcome(TypedDict):
    """What is recorded, and what the execution returns."""

    outcome: str
    cluster: str
    message: str
    error: str
    remedy: str
    execution: str
    recorded_at: str


@step
def handler(arguments: Arguments) -> Ready:
    """Ready with the outcome, when all four have been written."""
    outcome = outcome_of(arguments)
    arn = arguments["plan"].get("cluster", {}).get("arn") or arn_of(outcome["cluster"], arguments["execution"])
    unwritten = []
    for write in (write_registry, write_tags, notify, write_metric):
        try:
            write(outcome, arn)
        except aws.ERRORS as error:
            logger.exception("Could not %s", write.__name__)
            unwritten.append(aws.translate(error))
            if isinstance(unwritten[-1], errors.AwsUnavailable):
                break
    if unwritten:
        raise unwritten[-1]
    return Ready({**outcome, "steps": arguments["steps"], "warnings": arguments["plan"].get("warnings", [])})


def outcome_of(arguments: Arguments) -> Outcome:
    """One sentence, and for a failure the error's name and its remedy."""
    plan, steps = arguments["plan"], arguments["steps"]
    cluster = plan.get("cluster", {}).get("id") or names.requested_cluster(arguments["request"], arguments["execution"])
    result = Outcome(
        outcome=SUCCEEDED,
        cluster=cluster,
        message="",
        error="",
        remedy="",
        execution=arguments["execution"],
        recorded_at=arguments["now"],
    )
    if failure := arguments["failure"]:
        message, remedy = what_happened(failure["Error"], failure.get("Cause", ""))
        return {**result, "outcome": FAILED, "error": failure["Error"], "message": message, "remedy": remedy}
    if arguments["superseded"]:
        return {**result, "outcome": SUPERSEDED, "message": arguments["superseded"]}
    login = steps["login"]
    proof = f"{login['principal']} logged in with a ticket" if login["verified"] else login["reason"]
    people = [role for role in steps["users"]["roles"] if role != plan["check"]["principal"]]
    roles = f"{len(people)} principals of {steps['directory']['realm']} may log in"
    return {**result, "message": f"Kerberos is enabled: {roles}. {proof}"}


def what_happened(error: str, cause: str) -> tuple[str, str]:
    """Message and remedy of a failure, from the Cause that Step Functions hands on."""
    try:
        text = str(json.loads(cause)["errorMessage"])
    except (ValueError, TypeError, KeyError):
        text = cause or error
    message, _, remedy = text.partition(errors.REMEDY)
    known = isinstance(getattr(errors, error, None), type)
    return message, remedy or REMEDIES.get(error, "" if known else DEFECT)


def arn_of(cluster: str, execution: str) -> str:
    """The ARN of a cluster that was not looked at, from the ARN of the execution."""
    _, partition, _, region, account, *_ = execution.split(":")
    return f"arn:{partition}:rds:{region}:{account}:cluster:{cluster}" if cluster else ""


def write_metric(outcome: Outcome, _: str) -> None:
    """One count per outcome; of failures one per error's name as well."""
    count: Any = {"unit": MetricUnit.Count, "value": 1, "namespace": "AuroraKerberos"}
    with single_metric(name=outcome["outcome"].capitalize(), **count):
        pass
    if outcome["error"]:
        with single_metric(name=FAILED.capitalize(), **count) as metric:
            metric.add_dimension(name="Error", value=outcome["error"])


def write_registry(outcome: Outcome, arn: str) -> None:
    """The last outcome of the cluster (`dynamodb:PutItem`); an event that was out of date is none of its."""
    if arn and outcome["outcome"] != SUPERSEDED:
        item = {"arn": {"S": arn}, **{name: {"S": str(value)} for name, value in outcome.items()}}
        client("dynamodb").put_item(TableName=os.environ["REGISTRY_TABLE"], Item=item)


def write_tags(outcome: Outcome, arn: str) -> None:
    """Status and message on the cluster itself (`rds:AddTagsToResource`), when there is one and it is still meant."""
    if not arn or outcome["outcome"] == SUPERSEDED:
        return
    status = outcome["error"] or outcome["outcome"]
    tags = {names.STATUS_TAG: status, names.MESSAGE_TAG: f"{outcome['message']} {outcome['remedy']}"}
    try:
        client("rds").add_tags_to_resource(
            ResourceName=arn, Tags=[{"Key": key, "Value": names.tag_value(value)} for key, value in tags.items()]
        )
    except client("rds").exceptions.DBClusterNotFoundFault:
        logger.info("No cluster to tag", cluster=outcome["cluster"])


def notify(outcome: Outcome, _: str) -> None:
    """A mail that can be acted on (`sns:Publish`); nobody need know of an event that was out of date."""
    if outcome["outcome"] == SUPERSEDED:
        return
    subject = f"Kerberos {outcome['error'] or outcome['outcome']}: {outcome['cluster'] or 'no cluster'}"
    region = outcome["execution"].split(":")[3]
    console = f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details"
    lines = [
        outcome["message"],
        f"What to do: {outcome['remedy']}" if outcome["remedy"] else "",
        f"Execution: {console}/{outcome['execution']}",
    ]
    client("sns").publish(
        TopicArn=os.environ["NOTIFICATION_TOPIC"], Subject=subject[:100], Message="\n\n".join(filter(None, lines))
    )
