"""Names that people and AWS see: tags, parameters, secrets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from aurora_kerberos.arns import Arn

TAG = "kerberos"
ENABLED = "enabled"
DISABLED = "disabled"
PRINCIPALS_TAG = "kerberos-principals"
MASTER_SECRET_TAG = "kerberos-master-secret"  # noqa: S105  the name of a tag
STATUS_TAG = "kerberos-status"
MESSAGE_TAG = "kerberos-message"
REMEDY_TAG = "kerberos-remedy"
APPLY_TAG = "kerberos-apply"
ROLLOUT_TAG = "kerberos-rollout"
RESTART_TAG = "kerberos-restart-due"  # this and the next are hints to people: see registry.py
MADE_BY_TAG = "kerberos-made-by"

ACTIONS = {ENABLED: "enable", DISABLED: "disable"}  # what the values of the tag stand for

METRICS = "AuroraKerberos"  # namespace in CloudWatch
EVENTS = "aurora-kerberos"  # source in EventBridge

MANAGED_BY = {"Key": "managed-by", "Value": "aurora-kerberos"}  # the tag of what is made here, and policies ask for

TAG_EVENT = "Tag Change on Resource"
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}")
NOT_FOR_TAGS = re.compile(r"[^\w\s.:/=+\-@]")


def tags(resource: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a cluster or an instance as RDS describes it."""
    return {tag["Key"]: tag.get("Value", "") for tag in resource.get("TagList", [])}


def tag_value(text: str) -> str:
    """`text` as AWS takes it for a tag: at most 256 characters, letters, digits, spaces and `_ . : / = + - @`."""
    return " ".join(NOT_FOR_TAGS.sub(" ", text).split())[:256].rstrip()


def plain(text: str) -> str:
    """`text` without what a reader's program would act upon: line feeds, and characters that reorder or hide others."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def requested_cluster(request: object, execution: str) -> str:
    """The identifier of the cluster that an execution's input is about.

    Empty when it names none that could exist in the execution's account and Region.
    """
    if not isinstance(request, Mapping):
        return ""
    named = request.get("cluster")
    if not named and isinstance(resources := request.get("resources"), list):
        named = resources[0] if resources else ""
    if not isinstance(named, str) or (named.startswith("arn:") and not same_place(named, execution)):
        return ""
    name = named.rpartition(":cluster:")[2]
    return name.lower() if IDENTIFIER.fullmatch(name) else ""


def requested_action(request: object) -> str:
    """What an execution's input asks for, `enable` or `disable`; empty when only the live cluster would tell."""
    if not isinstance(request, Mapping):
        return ""
    if request.get("detail-type") != TAG_EVENT:
        return str(request.get("action") or ("" if request.get("swept") else "enable"))
    detail = request.get("detail")
    tags_of_event = detail.get("tags") if isinstance(detail, Mapping) else None
    return ACTIONS.get(str(tags_of_event.get(TAG)), "") if isinstance(tags_of_event, Mapping) else ""


def cluster_arn(cluster: str, execution: str) -> str:
    """The ARN of a cluster of the execution's account and Region; empty when there is no cluster."""
    return str(Arn.parse(execution)._replace(service="rds", resource=f"cluster:{cluster}")) if cluster else ""


def execution_link(execution: str) -> str:
    """Where the console shows an execution."""
    region = Arn.parse(execution).region
    return f"https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"


def client_parameters(prefix: str) -> list[str]:
    """The names of the SSM parameters for clients: krb5.conf and the connection strings."""
    return [f"{prefix}/krb5.conf", f"{prefix}/connect"]


def digest(*parts: Any) -> str:
    """A short name for JSON values that is another one as soon as one of them is."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def same_place(arn: str, other: str) -> bool:
    """Whether two ARNs are of the same account and Region."""
    return Arn.parse(arn).place == Arn.parse(other).place
