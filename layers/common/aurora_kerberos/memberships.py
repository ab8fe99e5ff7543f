"""What step 6 gets and has done already, and what has to be waited for before a cluster is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from botocore.exceptions import ClientError

from aurora_kerberos import clusters, names, registry
from aurora_kerberos.aws import code, message
from aurora_kerberos.errors import DirectoryNotFound, ServiceRoleInvalid
from aurora_kerberos.plan import Cluster, Creation
from aurora_kerberos.step import MINUTE, Waiting, unapproved


class Progress(TypedDict):
    """What this execution has done already; handed back by the state machine."""

    made: bool
    asked: bool
    reattempted: bool
    corrected: bool
    restarted: list[str]
    last_pending: str


NOTHING_DONE: Progress = {
    "made": False,
    "asked": False,
    "reattempted": False,
    "corrected": False,
    "restarted": [],
    "last_pending": "",
}


class Arguments(TypedDict):
    """`cluster`, `way`, `apply` and `move` of the plan; `directory`: an id; `role`: a name.

    `approved`: whether somebody has; `now`: ISO 8601; `progress`: {} at first.
    """

    cluster: Cluster
    way: Creation
    apply: str
    move: bool
    approved: bool
    directory: str
    role: str
    execution: str
    now: str
    progress: Progress | dict[str, Any]


def busy(cluster: Mapping[str, Any], instances: list[dict[str, Any]], progress: Progress) -> Waiting | None:
    """What has to be waited for before the cluster is changed; None when all is available."""
    reason = clusters.busy(cluster, instances)
    restarts = reason.endswith(" is rebooting")
    return Waiting(reason, at_least=MINUTE if restarts else 0, outputs=progress) if reason else None


def restart_due(cluster: Mapping[str, Any], progress: Progress) -> str:
    """Since when a restart is due, as `registry.restart_due`."""
    if since := registry.restart_due(cluster):
        return since
    # For one release: before the registry knew of restarts, an execution that had asked to join wrote the tag alone. It
    # is the execution's own memory that is believed here. A tag alone restarts nothing.
    return clusters.AFTER_JOINING if progress["asked"] and names.RESTART_TAG in names.tags(cluster) else ""


def undisturbed(what: str, arguments: Arguments, progress: Progress) -> Waiting | None:
    """The question for approval; None when it may be done, as to a cluster that is made here."""
    return unapproved(arguments, what, progress) if arguments["way"]["way"] == "modify" else None


def refusal(error: ClientError, arguments: Arguments, progress: Progress) -> Waiting | Exception:
    """What RDS means by refusing to change or make the cluster: it may accept later, or here is the error to raise.

    The error is AWS's own when waiting does not help and nothing better can be said.
    """
    name, role = arguments["cluster"]["id"], arguments["role"]
    if code(error) in {"InvalidDBClusterStateFault", "InvalidDBInstanceState"}:
        return Waiting(f"Cluster {name} is busy", outputs=progress)
    if code(error) == "DomainNotFoundFault":
        return DirectoryNotFound(
            f"RDS does not know the directory {arguments['directory']}: {message(error)}",
            "It must be in this Region and account, or shared with it and accepted.",
        )
    if code(error) == "InvalidParameterCombination" and "IAM role" in message(error):
        # A role that is seconds old is refused in these words as well.
        refused = ServiceRoleInvalid(
            f"RDS refuses the role {role}: {message(error)}",
            "Compare its trust policy and path with step 3 of the guide.",
        )
        return Waiting("RDS does not accept the role yet", deadline=5 * MINUTE, otherwise=refused, outputs=progress)
    return error


def waited_for(error: ClientError, arguments: Arguments, progress: Progress) -> Waiting:
    """What RDS may accept later.

    Raises:
        DirectoryNotFound: RDS does not know the directory.
        ClientError: all that waiting does not help.
    """
    refused = refusal(error, arguments, progress)
    if isinstance(refused, Waiting):
        return refused
    raise refused from (None if refused is error else error)
