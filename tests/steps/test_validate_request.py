"""The plan: from what is asked for, the settings and the live cluster; and every refusal before anything is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from moto.rds.models import DomainMembership

from aurora_kerberos import clusters, registry
from aurora_kerberos.request import Settings
from deploy import templates
from local.cloud import Cloud
from local.scenario.format import Directory
from local.scenario.prepare import add_directory
from local.services.rds.backend import cluster_of, members, moto_rds
from tests.steps.conftest import FAR, FAR_ROLE, ROLE, Step, StepFailed, believe, set_of_stack

EVENT = json.loads((Path(__file__).parents[1] / "events" / "tag-change.json").read_text())


def plan(step: Step, **request: Any) -> dict[str, Any]:
    answer = step("ValidateRequest", request={"cluster": "orders", **request})
    assert answer["ready"]
    found: dict[str, Any] = answer["outputs"]["plan"]
    return found


def tag(cloud: Cloud, **tags: str) -> None:
    cluster_of(cloud, "orders").add_tags([{"Key": k.replace("_", "-"), "Value": v} for k, v in tags.items()])


def put(cloud: Cloud, name: str, value: Any) -> None:
    cloud.client("ssm").put_parameter(Name=name, Type="String", Value=json.dumps(value), Overwrite=True)


def names(found: dict[str, Any]) -> list[str]:
    return [each["principal"] for each in found["principals"]]


def test_the_plan_holds_what_later_steps_need(cloud: Cloud, step: Step) -> None:
    found = plan(step, principals=[{"name": "Bob", "roles": ["b", "a"]}, "alice", {"name": "bob", "roles": ["c"]}])
    cluster = found["cluster"]
    assert (cluster["id"], cluster["database"]) == ("orders", "postgres")
    assert cluster["endpoint"].endswith(".eu-central-1.rds.amazonaws.com")
    assert cluster["security_groups"][0].startswith("sg-")
    assert ":secret:rds!cluster-" in cluster["master_secret"]
    assert found["principals"] == [
        {"principal": "alice@CORP.EXAMPLE.COM", "roles": [], "named": True, "groups": []},
        {"principal": "bob@CORP.EXAMPLE.COM", "roles": ["a", "b", "c"], "named": True, "groups": []},
    ]
    assert found["directory"]["dns_name"] == "corp.example.com"
    assert found["directory"]["subnet_ids"] == cloud.subnets
    assert found["warnings"] == []
    assert not [call for call in cloud.calls if call.changes]


def test_the_cluster_may_be_named_by_its_arn(cloud: Cloud, step: Step) -> None:
    assert plan(step, cluster=cloud.cluster_arn("orders"))["cluster"]["id"] == "orders"


def test_principals_come_from_input_tag_cluster_and_stack_in_this_order(cloud: Cloud, step: Step) -> None:
    found = plan(step)
    assert names(found) == []
    assert found["warnings"] == ["No principals are listed: nobody will be able to log in."]
    put(cloud, "/aurora-kerberos/principals-by-default", ["default"])
    assert names(plan(step)) == ["default@CORP.EXAMPLE.COM"]
    put(cloud, "/aurora-kerberos/principals/orders", ["own"])
    assert names(plan(step)) == ["own@CORP.EXAMPLE.COM"]
    put(cloud, "/aurora-kerberos/principals/team", {"clusters": ["orders"], "principals": ["team"]})
    tag(cloud, kerberos_principals="/aurora-kerberos/principals/team")
    assert names(plan(step)) == ["team@CORP.EXAMPLE.COM"]
    assert names(plan(step, principals=["input"])) == ["input@CORP.EXAMPLE.COM"]
    assert names(plan(step, principals=[])) == []


def test_an_empty_list_of_the_cluster_s_own_is_a_list(cloud: Cloud, step: Step) -> None:
    put(cloud, "/aurora-kerberos/principals-by-default", ["default"])
    put(cloud, "/aurora-kerberos/principals/orders", [])
    assert names(plan(step)) == []


def test_the_master_secret_comes_from_input_tag_and_rds_in_this_order(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos_master_secret="aurora-kerberos/shared/master")
    assert plan(step)["cluster"]["master_secret"] == "aurora-kerberos/shared/master"
    assert (
        plan(step, master_secret="aurora-kerberos/x/master")["cluster"]["master_secret"] == "aurora-kerberos/x/master"
    )


def test_a_tag_event_stands_for_its_cluster_while_the_tag_is_there(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    assert step("ValidateRequest", request=EVENT)["outputs"]["plan"]["cluster"]["id"] == "orders"
    tag(cloud, kerberos="later")
    assert "now 'later'" in step("ValidateRequest", request=EVENT)["outputs"]["end"]["message"]


def test_a_tag_event_of_a_cluster_that_is_gone_is_superseded(cloud: Cloud, step: Step) -> None:
    assert cloud
    event = {**EVENT, "resources": ["arn:aws:rds:eu-central-1:123456789012:cluster:gone"]}
    assert "no longer exists" in step("ValidateRequest", request=event)["outputs"]["end"]["message"]


@pytest.mark.parametrize(
    "request_",
    [
        [],
        "orders",
        None,
        7,
        {"detail-type": "Tag Change on Resource"},
        {**EVENT, "resources": []},
        {**EVENT, "resources": ["not-an-arn at all"]},
        {**EVENT, "detail": {"service": "ec2", "resource-type": "instance"}},
        {"detail-type": ["x"], "cluster": "orders"},
    ],
)
def test_whatever_the_input_is_the_error_is_ours(step: Step, request_: Any) -> None:
    with pytest.raises(StepFailed) as failed:
        step("ValidateRequest", request=request_)
    assert failed.value.error == "InvalidRequest"
    assert "Remedy: " in failed.value.text


@pytest.mark.parametrize("status", sorted(clusters.STUCK_CLUSTER))
def test_a_stuck_cluster_is_refused(cloud: Cloud, step: Step, status: str) -> None:
    cluster_of(cloud, "orders").status = status
    with pytest.raises(StepFailed, match=f"ClusterUnusable: Cluster orders is {status}"):
        plan(step)


@pytest.mark.parametrize("status", ["creating", "starting", "upgrading", "something-new"])
def test_a_busy_cluster_is_waited_for(cloud: Cloud, step: Step, status: str) -> None:
    cluster = cluster_of(cloud, "orders")
    type(cluster).status.fset(cluster, status)
    answer = step("ValidateRequest", request={"cluster": "orders"})
    assert (answer["ready"], answer["reason"]) == (False, f"Cluster orders is {status}")


def test_an_instance_that_is_being_created_is_waited_for(cloud: Cloud, step: Step) -> None:
    moto_rds(cloud).databases["orders-2"].status = "creating"
    answer = step("ValidateRequest", request={"cluster": "orders"})
    assert (answer["ready"], answer["reason"]) == (False, "The instances of orders are being created")


@pytest.mark.parametrize("place", ["eu-central-1:999999999999", "eu-west-1:123456789012"])
def test_a_cluster_of_another_account_or_region_is_refused(step: Step, place: str) -> None:
    said = r"(?s)InvalidRequest: .* of another account or Region.*this stack is for eu-central-1 123456789012"
    with pytest.raises(StepFailed, match=said):
        plan(step, cluster=f"arn:aws:rds:{place}:cluster:orders")


@pytest.mark.parametrize("secret", ["payroll", "aurora-kerberos/corp.example.com/admin", "xaurora-kerberos/x/master"])
@pytest.mark.parametrize("by_tag", [True, False])
def test_a_master_secret_of_somebody_else_is_refused(cloud: Cloud, step: Step, secret: str, by_tag: bool) -> None:
    if by_tag:
        tag(cloud, kerberos_master_secret=secret)
    said = f"(?s)InvalidRequest: The master secret {secret} is .* of the form aurora-kerberos/<anything>/master"
    with pytest.raises(StepFailed, match=said):
        plan(step, **({} if by_tag else {"master_secret": secret}))


def test_a_principals_parameter_of_somebody_else_is_refused(cloud: Cloud, step: Step) -> None:
    put(cloud, "/payroll/people", ["alice"])
    tag(cloud, kerberos_principals="/payroll/people")
    with pytest.raises(StepFailed, match=r"(?s)InvalidRequest: .*/payroll/people.*form /aurora-kerberos/principals/"):
        plan(step)


def test_an_old_version_is_a_warning(cloud: Cloud, step: Step) -> None:
    cluster_of(cloud, "orders").engine_version = "10.21"
    assert "Aurora PostgreSQL 10.21" in plan(step, principals=["alice"])["warnings"][0]


def test_a_principal_of_an_unknown_realm_is_a_warning(cloud: Cloud, step: Step) -> None:
    listed = ["alice", "bob@ONPREM.EXAMPLE.COM", "eve@child.onprem.example.com", "mallory@SONPREM.EXAMPLE.COM"]
    warnings = plan(step, principals=listed)["warnings"]
    assert len(warnings) == 3
    assert warnings[0].startswith("The realm of bob@ONPREM.EXAMPLE.COM is neither CORP.EXAMPLE.COM nor")
    put(cloud, "/aurora-kerberos/trusts", [{"domain": "onprem.example.com", "dns_ips": ["10.99.0.10"]}])
    (warning,) = plan(step, principals=listed)["warnings"]
    assert "mallory@SONPREM.EXAMPLE.COM" in warning


# --- leaving, moving, and when to disturb -----------------------------------------------------------------------------


def member(cloud: Cloud, domain: str, status: str = "kerberos-enabled", role: str = ROLE) -> None:
    for each in members(cluster_of(cloud, "orders")):
        each.domain_memberships = [DomainMembership(domain, role)]
        each.domain_memberships[0].status = status


def other_directory(cloud: Cloud) -> str:
    add_directory(cloud, Directory(dns_name="old.example.com"))
    return str(cloud.directories.find("old.example.com").directory_id)


def swept(step: Step, **more: Any) -> dict[str, Any]:
    """The outputs for what the sweep starts."""
    cluster = "arn:aws:rds:eu-central-1:123456789012:cluster:orders"
    outputs: dict[str, Any] = step("ValidateRequest", request={"cluster": cluster, "swept": "0123", **more})["outputs"]
    return outputs


def test_the_plan_to_leave_holds_what_leaving_needs_and_no_more(cloud: Cloud, step: Step) -> None:
    found = plan(step, action="disable")
    assert (found["action"], found["apply"], found["principals"]) == ("disable", "now", [])
    assert found["cluster"] == plan(step)["cluster"]
    assert found["client_parameters"] == "/aurora-kerberos/clients/orders"
    assert found["network"] == plan(step)["network"]
    assert found["warnings"] == []
    assert found.keys() == {
        *("action", "desired", "apply", "cluster", "principals", "network", "client_parameters", "warnings")
    }
    assert not [call for call in cloud.calls if call.changes]


def test_who_leaves_needs_neither_directory_nor_role_nor_principals(cloud: Cloud, step: Step) -> None:
    cloud.directories.find("corp.example.com").stage = "Deleted"
    nobody = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [nobody]})
    cloud.client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=trust)
    with pytest.raises(StepFailed, match="ServiceRoleInvalid"):
        plan(step)
    put(cloud, "/aurora-kerberos/principals/orders", {"no": "list"})
    assert plan(step, action="disable")["action"] == "disable"


def test_a_stuck_cluster_cannot_leave_either(cloud: Cloud, step: Step) -> None:
    cluster_of(cloud, "orders").status = "stopped"
    with pytest.raises(StepFailed, match="ClusterUnusable: Cluster orders is stopped"):
        plan(step, action="disable")


def test_nobody_makes_a_cluster_to_disable_it(step: Step) -> None:
    new = {"parameters": {}, "instances": [{"DBInstanceClass": "db.r6g.large"}]}
    with pytest.raises(StepFailed, match=r"InvalidRequest: .*a cluster cannot create and disable"):
        plan(step, cluster="sales", action="disable", create=new)


@pytest.mark.parametrize("status", ["kerberos-enabled", "pending-maintenance-enable-kerberos", "failed"])
def test_another_domain_is_refused_before_anything_is_done(cloud: Cloud, step: Step, status: str) -> None:
    old = other_directory(cloud)
    member(cloud, old, status)
    said = (
        rf"(?s)AnotherDirectory: Cluster orders is in the domain of {old} \(old\.example\.com\), and corp\.example\.com"
    )
    with pytest.raises(StepFailed, match=said + r' is asked for\..*"move": true'):
        plan(step)


def test_so_is_a_domain_of_the_same_name_that_a_stranger_owns(cloud: Cloud, step: Step) -> None:
    add_directory(cloud, Directory(dns_name="corp.example.com", account="666666666666", shared="Shared"))
    (share,) = cloud.directories.shares
    member(cloud, share.shared_id)
    said = rf"(?s)DirectoryNotTrusted: .*{share.shared_id}.*account 666666666666 shares.*DirectoryOwnerAccounts"
    with pytest.raises(StepFailed, match=said):
        plan(step)
    assert plan(step, move=True)["directory"]["owners"] == []
    assert plan(step, action="disable")["action"] == "disable"
    set_of_stack(cloud, directory_owner_accounts="666666666666,210987654321")
    assert plan(step)["directory"]["owners"] == ["666666666666", "210987654321"]
    set_of_stack(cloud, directory_owner_accounts="", directory_id=share.shared_id)
    assert plan(step)["directory"]["id"] == share.shared_id


def test_with_a_role_in_the_directory_s_account_only_that_account_is_trusted(cloud: Cloud, step: Step) -> None:
    set_of_stack(cloud, directory_account_role=FAR_ROLE, directory_owner_accounts="666666666666")
    assert plan(step)["directory"]["owners"] == [FAR]


def test_who_may_move_says_the_input_or_the_setting(cloud: Cloud, step: Step) -> None:
    member(cloud, other_directory(cloud))
    assert plan(step, move=True)["move"] is True
    set_of_stack(cloud, move="true")
    assert plan(step)["move"] is True


@pytest.mark.parametrize("domain", ["d-9999999999", "corp"])
def test_whose_directory_is_gone_or_the_wanted_one_need_not_say_so(cloud: Cloud, step: Step, domain: str) -> None:
    member(cloud, cloud.directories.find("corp.example.com").directory_id if domain == "corp" else domain)
    assert plan(step)["move"] is False  # step 6 knows whether it is the very one


def test_who_is_leaving_already_is_in_no_domain(cloud: Cloud, step: Step) -> None:
    member(cloud, other_directory(cloud), "disabling-kerberos")
    assert plan(step)["action"] == "enable"


def test_who_leaves_may_be_in_any_domain(cloud: Cloud, step: Step) -> None:
    member(cloud, other_directory(cloud))
    assert plan(step, action="disable")["action"] == "disable"


@pytest.mark.parametrize("action", ["enable", "disable"])
def test_the_setting_is_a_minimum_of_which_tag_and_input_can_only_ask_for_more(
    cloud: Cloud, step: Step, action: str
) -> None:
    assert plan(step, action=action)["apply"] == "now"
    assert plan(step, action=action, apply="approval")["apply"] == "approval"
    tag(cloud, kerberos_apply="maintenance-window")
    assert plan(step, action=action)["apply"] == "maintenance-window"
    set_of_stack(cloud, apply="approval")
    found = plan(step, action=action, apply="now")
    assert found["apply"] == "approval"
    ignored = [warning for warning in found["warnings"] if "less careful" in warning]
    assert ignored == [
        "The tag kerberos-apply asks for maintenance-window, which is less careful than approval: it is ignored.",
        "The input's apply asks for now, which is less careful than approval: it is ignored.",
    ]


# --- what people write, and what only the stack says ------------------------------------------------------------------

OF_STACK = sorted(set(Settings.model_fields) - {"trusts", "users", "groups"})


@pytest.mark.parametrize("field", OF_STACK)
def test_no_setting_of_the_stack_can_be_written_by_people(cloud: Cloud, step: Step, field: str) -> None:
    put(cloud, "/aurora-kerberos/settings", {field: "x", "users": []})
    parameter = field.title().replace("_", "")
    said = rf"(?s)InvalidRequest: The parameter /aurora-kerberos/settings holds {field}, .*set {parameter} among"
    with pytest.raises(StepFailed, match=said):
        plan(step)
    assert field == "function_security_group" or parameter in templates.source()["Parameters"]
    cloud.client("ssm").delete_parameter(Name="/aurora-kerberos/settings")
    before = plan(step)
    for name in (field, "stack"):
        put(cloud, f"/aurora-kerberos/{name}", "x")
    assert plan(step) == before


def test_each_list_has_a_parameter_of_its_own(cloud: Cloud, step: Step) -> None:
    put(cloud, "/aurora-kerberos/trusts", [{"domain": "onprem.example.com", "dns_ips": ["10.99.0.10"]}])
    put(cloud, "/aurora-kerberos/users", [{"name": "dave"}])
    put(cloud, "/aurora-kerberos/groups", [{"name": "team", "members": ["dave"]}])
    found = plan(step, principals=["alice"])
    assert [each["domain"] for each in found["trusts"]] == ["onprem.example.com"]
    assert [each["name"] for each in found["directory_users"]["users"]] == ["dave"]
    assert [each["name"] for each in found["directory_users"]["groups"]] == ["team"]
    assert found["warnings"] == []
    read = [call.parameters["Names"] for call in cloud.calls if call.name == "ssm:GetParameters" and call.function]
    assert len(read) == 1


@pytest.mark.parametrize("action", ["enable", "disable"])
def test_the_parameter_that_held_all_lists_is_read_with_a_warning(cloud: Cloud, step: Step, action: str) -> None:
    put(cloud, "/aurora-kerberos/settings", {"users": [{"name": "dave"}], "groups": [{"name": "team"}]})
    put(cloud, "/aurora-kerberos/groups", [{"name": "new"}])
    found = plan(step, action=action, **({"principals": ["alice"]} if action == "enable" else {}))
    assert found["warnings"] == [
        "The parameter /aurora-kerberos/settings is not read by the next release: write its users into "
        "/aurora-kerberos/users.",
        "The parameter /aurora-kerberos/settings is not read by the next release: write its groups into "
        "/aurora-kerberos/groups.",
    ]
    if action == "enable":
        assert [each["name"] for each in found["directory_users"]["users"]] == ["dave"]
        assert [each["name"] for each in found["directory_users"]["groups"]] == ["new"]


def test_what_is_no_setting_at_all_is_named_too(cloud: Cloud, step: Step) -> None:
    put(cloud, "/aurora-kerberos/settings", {"userz": []})
    with pytest.raises(StepFailed, match=r"holds userz, and only trusts, users, groups(?s:.*)Take userz out of it\.$"):
        plan(step)


@pytest.mark.parametrize(
    ("secret", "taken"),
    [
        ("", True),
        ("aurora-kerberos/onprem.example.com/trust", True),
        ("aurora-kerberos/lab.example.com/trust", False),
        ("aurora-kerberos/corp.example.com/admin", False),
        ("aurora-kerberos/x/onprem.example.com/trust", False),
    ],
)
def test_a_trust_is_made_with_no_other_trust_s_password(cloud: Cloud, step: Step, secret: str, taken: bool) -> None:
    trust = {"domain": "onprem.example.com", "dns_ips": ["10.99.0.10"], "password_secret": secret}
    put(cloud, "/aurora-kerberos/trusts", [trust])
    if taken:
        assert plan(step)["trusts"][0]["password_secret"] == "aurora-kerberos/onprem.example.com/trust"
        return
    said = (
        rf"(?s)InvalidRequest: .* names the secret {secret}\..*in the secret aurora-kerberos/onprem.example.com/trust"
    )
    with pytest.raises(StepFailed, match=said):
        plan(step)


@pytest.mark.parametrize("value", [{"name": "dave"}, [{"nam": "dave"}], ["dave"]])
def test_a_list_that_is_malformed_is_named(cloud: Cloud, step: Step, value: Any) -> None:
    put(cloud, "/aurora-kerberos/users", value)
    with pytest.raises(StepFailed, match="InvalidRequest: The parameter /aurora-kerberos/users is not valid"):
        plan(step)


@pytest.mark.parametrize("value", ["tomorrow", "Now", ""])
@pytest.mark.parametrize("action", ["enable", "disable"])
@pytest.mark.parametrize("asked", [{}, {"apply": "now"}])
def test_an_unknown_time_to_disturb_is_refused_whatever_the_input_asks_for(
    cloud: Cloud, step: Step, value: str, action: str, asked: dict[str, str]
) -> None:
    """It may have been meant to be more careful."""
    tag(cloud, kerberos_apply=value)
    with pytest.raises(StepFailed, match="InvalidRequest: The tag kerberos-apply is not valid"):
        plan(step, action=action, **asked)


@pytest.mark.parametrize("value", ["tomorrow", "", None, 7])
def test_an_input_with_an_unknown_time_to_disturb_is_refused(step: Step, value: Any) -> None:
    if value is None:
        assert plan(step, apply=value)["apply"] == "now"  # null is nothing said
        return
    with pytest.raises(StepFailed, match="InvalidRequest: The input is not valid: apply"):
        plan(step, apply=value)


def test_a_tag_that_says_the_opposite_is_not_gone_against(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="disabled")
    listed = {"principals": ["alice"]}
    with pytest.raises(StepFailed, match=r"InvalidRequest: The tag kerberos of the cluster is disabled.* to enable"):
        plan(step, **listed)
    assert plan(step, action="disable")["warnings"] == []
    tag(cloud, kerberos="enabled")
    with pytest.raises(StepFailed, match=r"InvalidRequest: The tag kerberos of the cluster is enabled.* to disable"):
        plan(step, action="disable")
    assert plan(step, **listed)["warnings"] == []
    tag(cloud, kerberos="soon")
    assert plan(step, **listed)["warnings"] == []


@pytest.mark.parametrize(("value", "action"), [("enabled", "enable"), ("disabled", "disable")])
def test_what_is_swept_follows_the_tag(cloud: Cloud, step: Step, value: str, action: str) -> None:
    tag(cloud, kerberos=value)
    assert swept(step)["plan"]["action"] == action
    event = {**EVENT, "detail": {**EVENT["detail"], "tags": {"kerberos": value}}}
    assert step("ValidateRequest", request=event)["outputs"]["plan"]["action"] == action


def test_what_was_swept_and_has_no_tag_any_more_or_is_gone_is_superseded(cloud: Cloud, step: Step) -> None:
    end = swept(step)["end"]
    assert (end["outcome"], end["message"]) == ("superseded", "Nothing to do: the tag kerberos is now 'gone'.")
    gone = "arn:aws:rds:eu-central-1:123456789012:cluster:gone"
    end = swept(step, cluster=gone)["end"]
    assert (end["outcome"], end["message"]) == ("superseded", "Nothing to do: the cluster no longer exists.")
    assert not [call for call in cloud.calls if call.changes]


def test_a_tag_that_says_neither_is_refused(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="soon")
    event = {**EVENT, "detail": {**EVENT["detail"], "tags": {"kerberos": "soon"}}}
    with pytest.raises(StepFailed, match=r"(?s)InvalidRequest: .*the value 'soon'.*Set it to enabled or disabled"):
        step("ValidateRequest", request=event)
    with pytest.raises(StepFailed, match="InvalidRequest: The tag kerberos has the value 'soon'"):
        swept(step)


def test_taking_the_tag_off_changes_nothing_and_says_so(cloud: Cloud, step: Step) -> None:
    event = {**EVENT, "detail": {**EVENT["detail"], "tags": {"team": "sales"}}}
    end = step("ValidateRequest", request=event)["outputs"]["end"]
    assert end["outcome"] == "unchanged"
    assert "The cluster is in no domain" in end["message"]
    member(cloud, "d-9999999999")
    end = step("ValidateRequest", request=event)["outputs"]["end"]
    assert "stays in the domain of d-9999999999" in end["message"]
    assert "set the tag to disabled" in end["message"]
    assert not [call for call in cloud.calls if call.changes]


# --- which instances restart, and what a digest is of -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("membership", "due", "restart"),
    [
        (("kerberos-enabled", ROLE), False, False),
        (("kerberos-enabled", ROLE), True, True),
        (("kerberos-enabled", "an-older-one"), False, True),
        (("failed", ROLE), False, True),
        ((), False, True),
    ],
)
def test_the_plan_tells_which_instances_restart(
    cloud: Cloud, step: Step, membership: tuple[str, ...], due: bool, restart: bool
) -> None:
    if membership:
        member(cloud, cloud.directories.find("corp.example.com").directory_id, *membership)
    if due:
        believe(cloud, registry.RESTART, since="after joining")
    assert plan(step)["way"]["restarts"] == (["orders-2", "orders-1"] if restart else [])


def test_the_digest_is_of_what_is_wanted_and_not_of_when_and_by_whom(cloud: Cloud, step: Step) -> None:
    tag(cloud, kerberos="enabled")
    before = plan(step)["desired"]
    assert plan(step, apply="approval", move=True)["desired"] == before
    assert swept(step)["plan"]["desired"] == before
    tag(cloud, kerberos_status="enabled", kerberos_apply="approval", team="sales")
    assert plan(step)["desired"] == before
    assert plan(step, principals=["alice"])["desired"] != before
    tag(cloud, kerberos="disabled")
    assert plan(step, action="disable")["desired"] != before
    tag(cloud, kerberos="enabled")
    put(cloud, "/aurora-kerberos/principals/orders", ["alice"])
    assert plan(step)["desired"] == plan(step, principals=["alice"])["desired"]


def test_a_stack_without_its_settings_is_told_as_that(cloud: Cloud, step: Step) -> None:
    cloud.client("ssm").delete_parameter(Name="/aurora-kerberos.stack")
    with pytest.raises(StepFailed, match=r"StackIncomplete: The parameter /aurora-kerberos.stack.* does not exist"):
        plan(step)
