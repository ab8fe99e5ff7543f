"""A rollout's step for one cluster: it tags the cluster, and the workflow of the cluster's own account does the rest.

The tag `kerberos` says what is wanted. The tag `kerberos-rollout` names the rollout's execution, so that outcomes of
earlier rollouts are ignored. The member account's workflow writes its outcome on the cluster as tags. This step copies
the outcome to the rollout's table, so that it is not lost when the rollout's execution ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import aws, clusters, names
from aurora_kerberos.aws import client, code
from aurora_kerberos.errors import (
    AwsUnavailable,
    ClusterNotFound,
    ClusterUnfit,
    KerberosError,
    MembershipLost,
    StepTimedOut,
)
from aurora_kerberos.rollout import work
from aurora_kerberos.rollout.work import ENABLED, ENROLLING, Ending, Outcome
from aurora_kerberos.step import DAY, MINUTE, Ready, Waiting, step

PATIENT = 5  # attempts: the rollout calls AWS for many clusters at the same time
DEADLINE = 16 * DAY  # a maintenance window or an approval may take days
TAKES_AT_LEAST = 5 * MINUTE
SEE_THERE = "See the executions of the state machine in the cluster's own account."
OF_AN_OUTCOME = [names.STATUS_TAG, names.MESSAGE_TAG, names.REMEDY_TAG]


class Arguments(TypedDict):
    """`cluster`: an item of a wave; `rollout`: its id; `parent`: the ARN of its execution; `now`: ISO 8601.

    `progress`: {} at first.
    """

    cluster: Mapping[str, Any]
    rollout: str
    parent: str
    now: str
    progress: Mapping[str, Any]


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready when the outcome of the cluster is recorded. A failure is an outcome too, and stops no other cluster."""
    began = arguments["progress"].get("began_at", arguments["now"])
    try:
        outcome = looked_at(arguments, began)
    except (KerberosError, *aws.ERRORS) as raised:
        error = raised if isinstance(raised, KerberosError) else aws.translate(raised)
        if isinstance(error, AwsUnavailable):
            raise error from raised
        name = type(error).__name__
        outcome = outcome_of(arguments, began, work.kind_of(name), name, error.message, error.remedy)
    work.record(outcome)
    if outcome["outcome"] != ENROLLING:
        return Ready({"outcome": outcome["outcome"]})
    reason = f"The workflow of {outcome['account']} is at work on {arguments['cluster']['id']}"
    # Once the deadline has passed, `refuse_silence` has made it a failure, which is recorded above.
    return Waiting(reason, TAKES_AT_LEAST, deadline=DEADLINE + DAY, outputs={"began_at": began})


def looked_at(arguments: Arguments, began: str) -> Outcome:
    """Tag the cluster if it is not tagged yet, and return its outcome so far.

    Raises:
        ClusterNotFound: the cluster does not exist any more.
        ClusterUnfit: somebody has switched Kerberos off for it.
        MembershipLost: it has been enabled, but is not a member of a domain any more.
        StepTimedOut: its account has written no outcome before the deadline.
    """
    wanted, asking = arguments["cluster"], names.tag_value(work.name_of(arguments["parent"]))
    cluster = described(wanted)
    tags, joined = names.tags(cluster), clusters.membership(cluster)
    status, message = tags.get(names.STATUS_TAG, ""), tags.get(names.MESSAGE_TAG, "")
    if tags.get(names.TAG) == names.DISABLED:
        raise ClusterUnfit(f"The tag {names.TAG} is {names.DISABLED}.", "Take it off, if it is to be enrolled.")
    # If another rollout has tagged the cluster since, it wants the same: its outcome counts for this rollout as well.
    asked = arguments["progress"] or tags.get(names.ROLLOUT_TAG) == asking
    if not asked or tags.get(names.TAG) != names.ENABLED:
        ask(wanted, asking)
        return outcome_of(arguments, began, ENROLLING)
    if not status:
        refuse_silence(began, arguments["now"])
        return outcome_of(arguments, began, ENROLLING)
    if status == names.ENABLED:
        refuse_lost(joined)
        return outcome_of(arguments, began, ENABLED, message=message)
    remedy = tags.get(names.REMEDY_TAG) or SEE_THERE
    return outcome_of(arguments, began, work.kind_of(status), status, message, remedy)


def refuse_silence(began: str, now: str) -> None:
    """Give up when the deadline has passed. A time-out of the state machine would leave no record.

    Raises:
        StepTimedOut: the deadline has passed.
    """
    if datetime.fromisoformat(now) - datetime.fromisoformat(began) >= timedelta(seconds=DEADLINE):
        raise StepTimedOut(
            f"The cluster's account has not said within {DEADLINE // DAY} days what has become of it.",
            "See its state machine there.",
        )


def refuse_lost(joined: Mapping[str, Any] | None) -> None:
    """Compare the outcome that the cluster's account has written with the membership that RDS describes.

    Raises:
        MembershipLost: the cluster is not a member of a domain any more.
    """
    membership = joined["Status"] if joined else "none"
    if membership not in clusters.ENABLED:
        raise MembershipLost(
            f"It was enabled, and its membership is {membership} now.",
            "See who has taken it out of the domain. Its account's sweep lets it join again; so does another start.",
        )


def described(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The cluster as its account describes it (`rds:DescribeDBClusters`).

    Raises:
        ClusterNotFound: the cluster does not exist any more.
    """
    role, region = work.member(wanted)
    try:
        found = client("rds", role, PATIENT, region).describe_db_clusters(DBClusterIdentifier=wanted["id"])
    except ClientError as error:
        if code(error) != "DBClusterNotFoundFault":
            raise
        raise ClusterNotFound(f"There is no cluster {wanted['id']} any more.", "Nothing is left to do.") from error
    return dict(found["DBClusters"][0])


def ask(wanted: Mapping[str, Any], asking: str) -> None:
    """Remove the tags of an earlier outcome, then tag the cluster (`rds:AddTagsToResource`)."""
    role, region = work.member(wanted)
    rds, arn = client("rds", role, PATIENT, region), wanted["arn"]
    rds.remove_tags_from_resource(ResourceName=arn, TagKeys=OF_AN_OUTCOME)
    tags = {names.TAG: names.ENABLED, names.ROLLOUT_TAG: asking}
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])


def outcome_of(  # noqa: PLR0913, PLR0917  the fields of an outcome
    arguments: Arguments, began: str, outcome: Any, error: str = "", message: str = "", remedy: str = ""
) -> Outcome:
    """The item of the rollout's table."""
    ending = Ending(
        outcome=outcome, error=error, message=message, remedy=remedy, began_at=began, recorded_at=arguments["now"]
    )
    return work.outcome_of(arguments["rollout"], arguments["cluster"], ending)
