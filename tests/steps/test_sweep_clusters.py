"""The sweep: what it starts, what it leaves alone, and that one cluster's trouble is not the others'."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from moto.core.responses import ActionResult
from moto.rds.models import DomainMembership
from moto.rds.responses import RDSResponse

from aurora_kerberos import registry
from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.format import Cluster
from local.scenario.prepare import add_cluster
from local.services.rds.backend import cluster_of, members, moto_rds
from tests.steps.conftest import ROLE, Step, StepFailed, believe, set_of_stack

NOW = datetime.fromisoformat("2026-01-05T09:00:00+00:00")
NOTHING: dict[str, list[str]] = {"started": [], "running": [], "waiting": [], "refused": []}
USERS = "/aurora-kerberos/users"
WAITS = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 86_400, "End": True}}}


@pytest.fixture(autouse=True)
def short_machine(cloud: Cloud) -> None:
    """What is started here only waits, and takes no lease."""
    cloud.client("stepfunctions").update_state_machine(
        stateMachineArn=cloud.state_machine, definition=json.dumps(WAITS)
    )


def sweep(step: Step, after: timedelta = timedelta()) -> dict[str, list[str]]:
    """What the sweep says it has done."""
    return step("SweepClusters", time=(NOW + after).strftime("%Y-%m-%dT%H:%M:%SZ"))


def did(what: str, *names: str) -> dict[str, list[str]]:
    return {**NOTHING, what: list(names or ("orders",))}


def cluster(cloud: Cloud, name: str = "orders") -> Any:
    return cluster_of(cloud, name)


def tag(cloud: Cloud, name: str = "orders", **tags: str) -> None:
    cluster(cloud, name).add_tags([{"Key": key.replace("_", "-"), "Value": value} for key, value in tags.items()])


def put(cloud: Cloud, name: str, value: Any) -> None:
    cloud.client("ssm").put_parameter(Name=name, Type="String", Value=json.dumps(value), Overwrite=True)


def record(cloud: Cloud, name: str = "orders", **fields: str) -> None:
    """What the registry says of the cluster's last execution."""
    item = {"arn": cloud.cluster_arn(name), "recorded_at": NOW.isoformat(), **fields}
    cloud.client("dynamodb").put_item(
        TableName=cloud.outputs["Registry"], Item={key: {"S": value} for key, value in item.items()}
    )


def wanted(step: Step, name: str = "orders") -> str:
    """The digest that the cluster's next execution would record."""
    plan = step("ValidateRequest", request={"cluster": name, "action": "enable"})["outputs"]["plan"]
    return str(plan["desired"])


def directory(cloud: Cloud) -> str:
    return str(cloud.directories.find("corp.example.com").directory_id)


def member(cloud: Cloud, name: str = "orders", domain: str = "", role: str = ROLE) -> None:
    for each in members(cluster(cloud, name)):
        each.domain_memberships = [DomainMembership(domain or directory(cloud), role)]
        each.domain_memberships[0].status = "kerberos-enabled"


def executions(cloud: Cloud) -> list[Any]:
    """What Step Functions knows of the cluster's executions."""
    states = cloud.client("stepfunctions")
    listed = states.list_executions(stateMachineArn=cloud.state_machine)["executions"]
    return [states.describe_execution(executionArn=each["executionArn"]) for each in listed]


def seen(cloud: Cloud) -> str:
    """The digest of what the only execution that was started has been started for."""
    (started,) = executions(cloud)
    request = json.loads(started["input"])
    assert request["cluster"] == cloud.cluster_arn("orders")
    return str(request["swept"])


@pytest.fixture
def as_wanted(cloud: Cloud, step: Step) -> Cloud:
    """The last execution has enabled the cluster, and nothing has happened since."""
    tag(cloud, kerberos="enabled", kerberos_status="enabled")
    member(cloud)
    record(cloud, outcome="enabled", desired=wanted(step), domain=directory(cloud))
    return cloud


def test_an_outcome_that_somebody_waits_for_is_written_again(as_wanted: Cloud, step: Step) -> None:
    """A rollout takes the status off, and its event may be lost."""
    cluster(as_wanted).remove_tags(["kerberos-status"])
    assert sweep(step) == did("started")


# --- what is started --------------------------------------------------------------------------------------------------


def test_where_all_is_as_wanted_nothing_is_done(as_wanted: Cloud, step: Step) -> None:
    as_wanted.calls.clear()
    assert sweep(step) == NOTHING
    assert sweep(step, timedelta(days=300)) == NOTHING
    assert not [call for call in as_wanted.calls if call.changes]


def test_a_tag_whose_event_was_lost_is_seen(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    assert sweep(step) == did("started")
    (started,) = executions(cloud)
    assert started["name"].startswith("sweep-orders-")
    assert len(started["name"]) <= 80
    assert step("ValidateRequest", request=json.loads(started["input"]))["outputs"]["plan"]["action"] == "enable"


def test_the_longest_name_of_a_cluster_fits_that_of_an_execution(cloud: Cloud, step: Step) -> None:
    name = "o" * 63
    make(cloud, name, "enabled")
    assert sweep(step) == did("started", name)
    assert len(executions(cloud)[0]["name"]) == 80


def lose_membership(cloud: Cloud) -> None:
    for each in members(cluster(cloud)):
        each.domain_memberships = []


def lose_one_membership(cloud: Cloud) -> None:
    moto_rds(cloud).databases["orders-2"].domain_memberships = []


def fail_membership(cloud: Cloud) -> None:
    moto_rds(cloud).databases["orders-2"].domain_memberships[0].status = "failed"


def leave(cloud: Cloud) -> None:
    cluster(cloud).domain_memberships[0].status = "pending-disable-kerberos"


def move(cloud: Cloud) -> None:
    member(cloud, domain="d-9999999999")


def change_role(cloud: Cloud) -> None:
    member(cloud, role="somebody-else-s")


def owe_restart(cloud: Cloud) -> None:
    believe(cloud, registry.RESTART, since="2026-01-05T08:30:00+00:00")


def list_principals(cloud: Cloud) -> None:
    put(cloud, "/aurora-kerberos/principals/orders", ["alice"])


def list_principals_for_all(cloud: Cloud) -> None:
    put(cloud, "/aurora-kerberos/principals-by-default", ["alice"])


def spoil_principals(cloud: Cloud) -> None:
    cloud.client("ssm").put_parameter(Name="/aurora-kerberos/principals/orders", Type="String", Value="no JSON")


def name_principals(cloud: Cloud) -> None:
    put(cloud, "/aurora-kerberos/principals/team", {"clusters": ["orders"], "principals": ["alice"]})
    tag(cloud, kerberos_principals="/aurora-kerberos/principals/team")


def name_secret(cloud: Cloud) -> None:
    tag(cloud, kerberos_master_secret="aurora-kerberos/orders/master")


def write_users(cloud: Cloud) -> None:
    put(cloud, USERS, [{"name": "dave"}])


def change_setting(cloud: Cloud) -> None:
    set_of_stack(cloud, check_principal="another-check")


@pytest.mark.parametrize(
    "happens",
    [
        lose_membership,
        lose_one_membership,
        fail_membership,
        leave,
        move,
        change_role,
        owe_restart,
        list_principals,
        list_principals_for_all,
        spoil_principals,
        name_principals,
        name_secret,
        write_users,
        change_setting,
    ],
)
def test_what_has_changed_since_the_last_success_is_corrected(as_wanted: Cloud, step: Step, happens: Any) -> None:
    happens(as_wanted)
    assert sweep(step) == did("started")


def test_a_tag_alone_owes_no_restart(as_wanted: Cloud, step: Step) -> None:
    tag(as_wanted, kerberos_restart_due="2026-01-05T08:30:00+00:00")
    assert sweep(step) == NOTHING


@pytest.mark.parametrize("outcome", ["failed", "disabled", "unchanged"])
def test_a_member_whose_last_execution_was_no_success_is_seen_to(as_wanted: Cloud, step: Step, outcome: str) -> None:
    record(as_wanted, outcome=outcome, desired=wanted(step), domain=directory(as_wanted))
    assert sweep(step) == did("started")


def test_when_to_disturb_is_nothing_to_disturb_for(as_wanted: Cloud, step: Step) -> None:
    tag(as_wanted, kerberos_apply="approval", kerberos_status="enabled", team="sales")
    set_of_stack(as_wanted, apply="maintenance-window", move="true")
    assert sweep(step) == NOTHING


def test_what_is_disabled_and_a_member_is_to_leave(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="disabled", kerberos_status="disabled")
    record(cloud, outcome="disabled")
    assert sweep(step) == NOTHING
    moto_rds(cloud).databases["orders-2"].domain_memberships = [DomainMembership(directory(cloud), ROLE)]
    assert sweep(step) == did("started")
    (started,) = executions(cloud)
    assert step("ValidateRequest", request=json.loads(started["input"]))["outputs"]["plan"]["action"] == "disable"


def test_what_was_enabled_and_is_to_be_disabled_is_seen(as_wanted: Cloud, step: Step) -> None:
    tag(as_wanted, kerberos="disabled")
    assert sweep(step) == did("started")


def test_switching_off_does_not_depend_on_who_may_log_in(cloud: Cloud, step: Step) -> None:
    spoil_principals(cloud)
    tag(cloud, kerberos="disabled", kerberos_status="disabled")
    record(cloud, outcome="disabled")
    assert sweep(step) == NOTHING


# --- what is none of its concern --------------------------------------------------------------------------------------


def test_a_cluster_without_the_tag_is_not_looked_after(cloud: Cloud, step: Step) -> None:
    member(cloud)
    tag(cloud, kerberos_apply="now", team="sales")
    assert sweep(step) == NOTHING


def test_a_cluster_of_another_engine_is_left_alone(cloud: Cloud, step: Step) -> None:
    add_cluster(cloud, Cluster(id="shop", engine="aurora-mysql", tags={"kerberos": "enabled"}))
    assert sweep(step) == NOTHING


@pytest.mark.parametrize("value", ["", "Enabled", "yes"])
def test_a_tag_that_says_something_else_is_refused_and_the_others_go_on(cloud: Cloud, step: Step, value: str) -> None:
    add_cluster(cloud, Cluster(id="sales", tags={"kerberos": "enabled"}))
    tag(cloud, kerberos=value)
    assert sweep(step) == {**did("started", "sales"), "refused": ["orders"]}
    assert f"The tag kerberos has the value '{value}'" in cloud.functions.logs()


# --- one at a time, and not again and again ---------------------------------------------------------------------------


def test_while_an_execution_is_at_work_none_is_started(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    holder = cloud.executions[cloud.start({"cluster": "orders"})].arn
    step("AcquireLease", request={"cluster": "orders"}, execution=holder)
    assert sweep(step) == did("running")
    cloud.stop(holder.rpartition(":")[2])
    assert sweep(step) == did("started")
    assert len(executions(cloud)) == 2


def test_two_sweeps_that_see_the_same_start_one_execution(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    assert sweep(step) == did("started")
    sweep(step)
    sweep(step, timedelta(hours=1))
    assert len(executions(cloud)) == 1


def test_what_is_lost_twice_in_a_day_is_corrected_twice(as_wanted: Cloud, step: Step) -> None:
    """Both times all looks the same, but for the success between."""
    lose_membership(as_wanted)
    assert sweep(step) == did("started")
    cloud, later = as_wanted, NOW + timedelta(hours=1)
    cloud.stop(executions(cloud)[0]["name"])
    record(cloud, outcome="enabled", desired=wanted(step), domain=directory(cloud), recorded_at=later.isoformat())
    assert sweep(step, timedelta(hours=2)) == did("started")
    assert len(executions(cloud)) == 2


def test_what_was_stopped_before_it_began_is_started_the_next_day(cloud: Cloud, step: Step) -> None:
    """Its name is taken: Step Functions keeps it for 90 days."""
    tag(cloud, kerberos="enabled")
    sweep(step)
    cloud.stop(executions(cloud)[0]["name"])
    assert sweep(step, timedelta(hours=1)) == did("waiting")
    assert sweep(step, timedelta(days=1)) == did("started")


def test_what_was_stopped_at_work_is_started_at_once(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    sweep(step)
    (first,) = executions(cloud)
    step("AcquireLease", request=json.loads(first["input"]), execution=first["executionArn"])
    cloud.stop(first["name"])
    assert sweep(step, timedelta(hours=1)) == did("started")
    assert len(executions(cloud)) == 2


@pytest.fixture
def failed_alike(cloud: Cloud, step: Step) -> Cloud:
    """An execution of the sweep's has failed, and all is as it was before."""
    tag(cloud, kerberos="enabled")
    sweep(step)
    record(cloud, outcome="failed", error="NetworkBlocked", desired=wanted(step), swept=seen(cloud))
    cloud.stop(executions(cloud)[0]["name"])
    return cloud


def test_what_keeps_failing_is_not_started_again_for_a_day(failed_alike: Cloud, step: Step) -> None:
    assert sweep(step, timedelta(hours=1)) == did("waiting")
    assert sweep(step, timedelta(hours=23, minutes=59)) == did("waiting")
    assert len(executions(failed_alike)) == 1
    assert sweep(step, timedelta(days=1)) == did("started")


def test_what_record_outcome_writes_on_the_cluster_is_no_change(failed_alike: Cloud, step: Step) -> None:
    tag(failed_alike, kerberos_status="NetworkBlocked", kerberos_message="No route.")
    assert sweep(step, timedelta(hours=1)) == did("waiting")


def become_busy(cloud: Cloud) -> None:
    moto_rds(cloud).databases["orders-1"].status = "backing-up"


def test_a_backup_is_no_change(failed_alike: Cloud, step: Step) -> None:
    become_busy(failed_alike)
    assert sweep(step, timedelta(hours=1)) == did("waiting")


def change_groups(cloud: Cloud) -> None:
    cluster(cloud).vpc_security_group_ids = ["sg-0123456789abcdef0"]


def change_version(cloud: Cloud) -> None:
    cluster(cloud).engine_version = "17.4"


def break_instance(cloud: Cloud) -> None:
    moto_rds(cloud).databases["orders-1"].status = "storage-full"


def open_http_endpoint(cloud: Cloud) -> None:
    cluster(cloud)._enable_http_endpoint = True


def tag_otherwise(cloud: Cloud) -> None:
    tag(cloud, kerberos_apply="maintenance-window")


def allow_to_move(cloud: Cloud) -> None:
    set_of_stack(cloud, move="true")


def let_people_approve(cloud: Cloud) -> None:
    set_of_stack(cloud, apply="approval")


@pytest.mark.parametrize(
    "happens",
    [
        change_groups,
        change_version,
        break_instance,
        open_http_endpoint,
        tag_otherwise,
        allow_to_move,
        let_people_approve,
        list_principals,
        write_users,
        owe_restart,
        move,
    ],
)
def test_what_keeps_failing_is_tried_again_when_something_has_changed(
    failed_alike: Cloud, step: Step, happens: Any
) -> None:
    happens(failed_alike)
    assert sweep(step, timedelta(hours=1)) == did("started")


def test_what_has_failed_for_an_event_is_tried_once_more(cloud: Cloud, step: Step) -> None:
    """What was there when it began, nobody has written down."""
    tag(cloud, kerberos="enabled")
    record(cloud, outcome="failed", error="NetworkBlocked", desired=wanted(step), swept="")
    assert sweep(step) == did("started")


def test_what_cannot_be_read_is_an_execution_s_to_say_once_a_day(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    spoil_principals(cloud)
    assert sweep(step) == did("started")
    record(cloud, outcome="failed", error="InvalidRequest", desired="", swept=seen(cloud))
    assert sweep(step, timedelta(hours=1)) == did("waiting")
    put(cloud, "/aurora-kerberos/principals/orders", ["alice"])
    assert sweep(step, timedelta(hours=1)) == did("started")


@pytest.fixture
def refused(cloud: Cloud, step: Step) -> Cloud:
    """A person has refused what the cluster's tag asks for."""
    tag(cloud, kerberos="enabled", kerberos_apply="approval")
    record(cloud, outcome="failed", error="ApprovalRefused", desired=wanted(step))
    return cloud


def test_who_has_refused_is_not_asked_again(refused: Cloud, step: Step) -> None:
    assert sweep(step) == did("waiting")
    assert sweep(step, timedelta(days=30)) == did("waiting")
    assert executions(refused) == []


def test_who_has_refused_is_asked_for_something_else(refused: Cloud, step: Step) -> None:
    list_principals(refused)
    assert sweep(step) == did("started")


def test_a_tag_does_not_lift_the_stack_s_approval(refused: Cloud, step: Step) -> None:
    set_of_stack(refused, apply="approval")
    tag(refused, kerberos_apply="now")
    assert sweep(step) == did("waiting")


def test_a_no_counts_as_long_as_it_is_asked_for(refused: Cloud, step: Step) -> None:
    tag(refused, kerberos_apply="now")
    assert sweep(step) == did("started")


def test_a_no_to_joining_is_no_no_to_leaving(refused: Cloud, step: Step) -> None:
    tag(refused, kerberos="disabled")
    assert sweep(step) == did("started")


def test_whom_nobody_has_answered_is_asked_again_after_a_day(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled", kerberos_apply="approval")
    sweep(step)
    record(cloud, outcome="failed", error="ApprovalExpired", desired=wanted(step), swept=seen(cloud))
    assert sweep(step, timedelta(hours=1)) == did("waiting")
    assert sweep(step, timedelta(days=1)) == did("started")


# --- many, and trouble ------------------------------------------------------------------------------------------------


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto answers DescribeDBClusters in one page; AWS's have at most 100 clusters."""
    all_at_once = RDSResponse.describe_db_clusters

    def a_page(self: Any) -> Any:
        found = all_at_once(self)._result["DBClusters"]
        start = int(self.params.get("Marker", 0))
        more = {"Marker": str(start + 100)} if len(found) > start + 100 else {}
        return ActionResult({"DBClusters": found[start : start + 100], **more})

    monkeypatch.setattr(RDSResponse, "describe_db_clusters", a_page)


@pytest.mark.usefixtures("pages")
def test_more_clusters_than_a_page_holds_are_all_seen(cloud: Cloud, step: Step) -> None:
    """A tag with an unknown value is the cheapest sign of life."""
    names = [f"many-{number:03}" for number in range(201)]
    for name in names:
        make(cloud, name, "soon")
    cloud.calls.clear()
    assert sorted(sweep(step)["refused"]) == names
    assert len([call for call in cloud.calls if call.name == "rds:DescribeDBClusters"]) == 3


def test_the_instances_of_a_cluster_are_found_among_many(as_wanted: Cloud, step: Step) -> None:
    """One without membership is on the last page."""
    make(as_wanted, "shop", "", engine="aurora-mysql")
    for number in range(101):
        make_instance(as_wanted, f"a-{number:03}", "shop", "aurora-mysql")
    assert sweep(step) == NOTHING
    make_instance(as_wanted, "z-last", "orders", "aurora-postgresql")
    moto_rds(as_wanted).databases["z-last"].domain_memberships = []
    as_wanted.calls.clear()
    assert sweep(step) == did("started")
    assert len([call for call in as_wanted.calls if call.name == "rds:DescribeDBInstances"]) == 2


def make(cloud: Cloud, name: str, value: str, engine: str = "aurora-postgresql") -> None:
    """A cluster without instances."""
    cloud.client("rds").create_db_cluster(
        DBClusterIdentifier=name,
        Engine=engine,
        MasterUsername="postgres",
        MasterUserPassword="of no importance",
        Tags=[{"Key": "kerberos", "Value": value}],
    )


def make_instance(cloud: Cloud, name: str, of: str, engine: str) -> None:
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier=name, DBInstanceClass="db.r6g.large", Engine=engine, DBClusterIdentifier=of
    )


@pytest.mark.parametrize("call", ["dynamodb:GetItem", "ssm:GetParameter", "stepfunctions:StartExecution"])
def test_one_cluster_s_error_does_not_stop_the_others(cloud: Cloud, step: Step, call: str) -> None:
    add_cluster(cloud, Cluster(id="sales", tags={"kerberos": "enabled"}))
    tag(cloud, kerberos="enabled")
    # The settings are read first, for all of them.
    fault = Fault(call=call, error="ThrottlingException", after=1 if call.startswith("ssm") else 0)
    cloud.faults = Faults([fault])
    assert sweep(step) == {**did("started", "sales"), "refused": ["orders"]}
    assert "orders" in sweep(step)["started"]


def test_a_holder_that_cannot_be_asked_for_is_not_taken_for_dead(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    holder = cloud.executions[cloud.start({"cluster": "orders"})].arn
    step("AcquireLease", request={"cluster": "orders"}, execution=holder)
    cloud.faults = Faults([Fault(call="stepfunctions:DescribeExecution", error="ThrottlingException")])
    assert sweep(step) == did("refused")


@pytest.mark.parametrize("call", ["rds:DescribeDBClusters", "rds:DescribeDBInstances"])
def test_a_sweep_that_sees_nothing_fails(cloud: Cloud, step: Step, call: str) -> None:
    """EventBridge Scheduler tries it again."""
    tag(cloud, kerberos="enabled")
    cloud.faults = Faults([Fault(call=call, error="Throttling")])
    with pytest.raises(StepFailed, match="Throttling"):
        sweep(step)
    assert executions(cloud) == []


def test_settings_that_cannot_be_read_are_named(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    put(cloud, USERS, [{"nome": "dave"}])
    with pytest.raises(
        StepFailed,
        match=r"InvalidRequest: The parameter /aurora-kerberos/users is not valid: 0: Field required; 0\.nome",
    ):
        sweep(step)


# --- what it tells ----------------------------------------------------------------------------------------------------


def metrics(cloud: Cloud) -> dict[str, float]:
    """The last value of each metric."""
    lines = [json.loads(line) for line in cloud.functions.logs().splitlines() if '"CloudWatchMetrics"' in line]
    return {name: line[name][0] for line in lines for name in line if name.startswith(("Swept", "Lease"))}


def test_what_was_swept_is_counted_by_what_was_done(cloud: Cloud, step: Step) -> None:
    for name, value in {"a": "enabled", "b": "soon", "c": "later"}.items():
        make(cloud, name, value)
    sweep(step)
    assert metrics(cloud) == {"SweptStarted": 1.0, "SweptRefused": 2.0}


def test_where_all_is_as_wanted_nothing_is_counted(as_wanted: Cloud, step: Step) -> None:
    sweep(step)
    assert metrics(as_wanted) == {}


def test_how_long_a_lease_has_kept_a_cluster_from_what_it_wants_is_counted(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    running = cloud.executions[cloud.start({"cluster": "orders"})].arn
    step("AcquireLease", request={"cluster": "orders"}, execution=running)
    began = cloud.client("stepfunctions").describe_execution(executionArn=running)["startDate"]
    step("SweepClusters", time=(began + timedelta(hours=36)).isoformat())
    assert metrics(cloud)["LeaseDays"] == pytest.approx(1.5)
    cloud.stop(running.rpartition(":")[2])
    cloud.functions._log.truncate(0)
    step("SweepClusters", time=(began + timedelta(hours=37)).isoformat())
    assert "LeaseDays" not in metrics(cloud)


@pytest.mark.parametrize(
    ("answer", "action", "did_what"),
    [("", "enable", "started"), ("", "disable", "running"), ("approved", "enable", "running")],
)
def test_who_only_waits_for_an_answer_about_something_else_is_not_waited_for(
    cloud: Cloud, step: Step, answer: str, action: str, did_what: str
) -> None:
    running = cloud.executions[cloud.start({"cluster": "orders"})].arn
    step("AcquireLease", request={"cluster": "orders"}, execution=running)
    question = {"id": "0", "execution": running, "action": action, "token": "t", "answer": answer, "by": "", "at": ""}
    item = {"arn": f"approval:{cloud.cluster_arn('orders')}", "why": "", **question}
    cloud.client("dynamodb").put_item(
        TableName=cloud.outputs["Registry"], Item={name: {"S": value} for name, value in item.items()}
    )
    tag(cloud, kerberos="disabled")
    assert sweep(step) == did(did_what)
    cloud.stop(running.rpartition(":")[2])
