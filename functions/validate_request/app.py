"""Turns a tag event or a person's input, the stack's settings and the live cluster into one plan, or refuses.

The only reader of events and inputs. It changes nothing; each later step gets the parts of the plan its state names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from aurora_kerberos import availability, clusters, desired, names, planning, service_role
from aurora_kerberos.arns import Arn
from aurora_kerberos.aws import region
from aurora_kerberos.errors import ClusterNotFound, InvalidRequest
from aurora_kerberos.fitness import being_made, refuse_another_domain, refuse_not_allowed, refuse_unfit
from aurora_kerberos.plan import JoinPlan, Plan
from aurora_kerberos.principals import Grant, merged
from aurora_kerberos.request import Principal, Request, Settings, TagEvent, parse
from aurora_kerberos.step import Ready, Waiting, step

SUPERSEDED, UNCHANGED = "superseded", "unchanged"


class Arguments(TypedDict):
    """`request`: the execution's input as it came, which may be anything that is JSON; `execution`: its ARN."""

    request: Any
    execution: str


@step
def handler(arguments: Arguments) -> Ready | Waiting:
    """Ready with the plan; waiting while the cluster is being created or changed; or refused."""
    settings, warnings = desired.settings()
    given = arguments["request"]
    tagged = isinstance(given, Mapping) and given.get("detail-type") == names.TAG_EVENT
    request = requested(given, tagged)
    refuse_foreign(request, arguments["execution"])
    refuse_not_allowed(request, settings.creation)
    by_tag = tagged or bool(request.swept)
    cluster = looked_up(request, by_tag)
    tags = names.tags(cluster or {})
    if by_tag and cluster is None:
        return nothing_to_do(SUPERSEDED, "Nothing to do: the cluster no longer exists.")
    value = tags.get(names.TAG)
    out_of_date = value != given["detail"].get("tags", {}).get(names.TAG) if tagged else value is None
    if by_tag and out_of_date:
        return nothing_to_do(SUPERSEDED, f"Nothing to do: the tag {names.TAG} is now {value or 'gone'!r}.")
    action = desired.action(tags) if by_tag else request.action
    if not action:
        return nothing_to_do(UNCHANGED, untagged(cluster or {}))

    if cluster:
        refuse_unfit(cluster, request)
        planning.refuse_contradicted(action, tags)
        if unfinished := being_made(cluster, request, by_tag):
            return unfinished
    service_role.sts_partition()
    plan = (
        to_leave(cluster, request, settings, tags)
        if action == "disable" and cluster
        else to_join(cluster, request, settings, tags)
    )
    plan["warnings"] += warnings
    return Ready({"end": {}, "plan": plan})


def nothing_to_do(outcome: str, message: str) -> Ready:
    """Nothing is left to do, and that is no failure."""
    return Ready({"end": {"outcome": outcome, "message": message}, "plan": {}})


def untagged(cluster: Mapping[str, Any]) -> str:
    """What is said when somebody has taken the tag off."""
    joined = clusters.membership(cluster)
    where = f"The cluster stays in the domain of {joined['Domain']}" if joined else "The cluster is in no domain"
    return (
        f"The tag {names.TAG} has been taken off, which changes nothing. {where}, and is not looked after any more. "
        f"To let it leave its domain, set the tag to {names.DISABLED}."
    )


def to_join(cluster: dict[str, Any] | None, request: Request, settings: Settings, tags: Mapping[str, str]) -> JoinPlan:
    """The plan for a cluster that is to be a member of the domain."""
    directory = planning.wanted_directory(settings)
    if role := service_role.find(settings.service_role_name):  # else ensure_service_role creates it
        service_role.refuse_untrusting(role)
    move = request.move or settings.move
    if cluster and not move:
        refuse_another_domain(cluster, directory)
    name = request.cluster.rpartition(":")[2]
    listed = request.principals if request.principals is not None else desired.principals(name, settings, tags)
    principals = [each for each in listed if isinstance(each, Principal)]
    checked = [settings.check_principal] if settings.check_secret else []
    realm = directory["dns_name"].upper()
    creation = planning.wanted_creation(request, cluster, directory["id"], settings.service_role_name)
    planned = (
        planning.existing(cluster, request, settings, tags)
        if cluster
        else planning.to_be_made(creation, request, settings)
    )
    planning.refuse_mapping(listed, planned["engine_version"])
    planning.refuse_reserved(listed, settings)
    return {
        "action": "enable",
        "desired": desired.wanted("enable", listed, settings, tags),
        "apply": desired.apply(tags, settings, request.apply),
        "move": move,
        "cluster": planned,
        "way": creation,
        "directory": directory,
        "trusts": [planning.wanted_trust(trust, settings) for trust in settings.trusts],
        "service_role": settings.service_role_name,
        "directory_users": planning.wanted_users(listed, settings, directory["dns_name"]),
        "allowed_roles": settings.allowed_roles,
        "principals": merged(
            Grant(principal=each.written(realm), roles=each.roles, named=True, groups=[])
            for each in [*principals, *checked]
        ),
        "network": planning.wanted_network(settings),
        "client_parameters": f"{settings.parameter_prefix}/clients/{planned['id']}",
        "share_method": settings.directory_share_method,
        "check": {"principal": settings.check_principal.written(realm), "secret": settings.check_secret},
        "warnings": [
            *availability.warnings(region(), planned["engine_version"]),
            *([] if listed else ["No principals are listed: nobody will be able to log in."]),
            *planning.unknown_realms([*principals, *checked], realm, settings.trusts),
            *planning.unknown_restart(cluster),
            *desired.too_careless(tags, settings, request.apply),
        ],
    }


def to_leave(cluster: dict[str, Any], request: Request, settings: Settings, tags: Mapping[str, str]) -> Plan:
    """The plan for a cluster that is to be in no domain."""
    planned = planning.existing(cluster, request, settings, tags)
    return {
        "action": "disable",
        "desired": desired.wanted("disable", [], settings, tags),
        "apply": desired.apply(tags, settings, request.apply),
        "cluster": planned,
        "principals": [],
        "network": planning.wanted_network(settings),
        "client_parameters": f"{settings.parameter_prefix}/clients/{planned['id']}",
        "warnings": desired.too_careless(tags, settings, request.apply),
    }


def requested(value: Any, tagged: bool) -> Request:
    """The request behind the execution's input."""
    if not tagged:
        return parse(Request, value, "The input")
    event = parse(TagEvent, value, "The tag event")
    if (event.detail.service, event.detail.resource_type) != ("rds", "cluster"):
        raise InvalidRequest(
            f"The tag event is for {event.detail.service} {event.detail.resource_type}.",
            "The EventBridge rule must let only tags of RDS clusters through, as the template's does.",
        )
    return event.request()


def looked_up(request: Request, by_tag: bool) -> dict[str, Any] | None:
    """The live cluster; None when it has yet to be made, or has gone since it was tagged."""
    try:
        return clusters.describe(request.cluster)
    except ClusterNotFound:
        if by_tag or request.creations:
            return None
        raise


def refuse_foreign(request: Request, execution: str) -> None:
    """Refuse a cluster of another account or Region, which this stack can neither see nor tag."""
    if request.cluster.startswith("arn:") and not names.same_place(request.cluster, execution):
        raise InvalidRequest(
            f"The cluster {request.cluster} is of another account or Region.",
            f"Start the execution there; this stack is for {' '.join(Arn.parse(execution).place)}.",
        )
