"""Step 4: users, groups and who is in them; interrupted anywhere, and what must never be done to a user."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import botocore.session
import pytest

from aurora_kerberos import made_groups, passwords, plan
from local.cloud import Cloud
from local.core.calls import fakes
from local.core.faults import AwsError, Fault, Faults
from local.scenario.format import Directory
from local.scenario.prepare import add_directory, add_groups, create_users
from local.services.directory import data as directory_fakes
from tests.steps import arguments as given
from tests.steps.conftest import FAR, FAR_ROLE, Step, StepFailed, allow_far_role, run_step

DS = botocore.session.get_session().get_service_model("ds")
DATA = botocore.session.get_session().get_service_model("ds-data")
CALLED = ["DescribeUser", "CreateUser", "UpdateUser", "DescribeGroup", "CreateGroup", "AddGroupMember"]

SECRET = "aurora-kerberos/corp.example.com/users/{}"
GRANT = {"principal": "zoe@CORP.EXAMPLE.COM", "roles": ["r"], "named": True, "groups": []}


@pytest.fixture(autouse=True)
def data_access(cloud: Cloud) -> None:
    data(cloud).access = "Enabled"


def data(cloud: Cloud) -> Any:
    return cloud.directories.data(cloud.directories.find("corp.example.com").directory_id)


def directory(cloud: Cloud, **changes: Any) -> plan.Directory:
    return given.directory(**{"id": cloud.directories.find("corp.example.com").directory_id, **changes})


def user(name: str, **attributes: str) -> dict[str, str]:
    return {"name": name, "given_name": "", "surname": "", "email": "", "secret": SECRET.format(name), **attributes}


def wanted(**parts: Any) -> plan.DirectoryUsers:
    return given.directory_users(**parts)


def listed(group: str, *roles: str, map_to: str | None = None) -> dict[str, Any]:
    return {"group": group, "roles": list(roles), "map_to": map_to, "weight": 1}


def run(cloud: Cloud, step: Step, **parts: Any) -> dict[str, Any]:
    """The outputs when it is ready."""
    arguments = {"directory": directory(cloud), "wanted": wanted(**parts), "principals": [GRANT]}
    outputs: dict[str, Any] = run_step(cloud, step, "EnsureDirectoryUsers", **arguments)["outputs"]
    return outputs


def once(cloud: Cloud, step: Step, **parts: Any) -> dict[str, Any]:
    """One look."""
    arguments = {"directory": directory(cloud), "wanted": wanted(**parts), "principals": []}
    return step("EnsureDirectoryUsers", **arguments, progress={})


def changed(cloud: Cloud) -> list[str]:
    return [call.name for call in cloud.calls if call.function and call.changes and not call.error]


def secret_of(cloud: Cloud, name: str) -> dict[str, str]:
    value = cloud.client("secretsmanager").get_secret_value(SecretId=SECRET.format(name))["SecretString"]
    content: dict[str, str] = json.loads(value)
    return content


def tags_of(cloud: Cloud, name: str) -> dict[str, str]:
    tags = cloud.client("secretsmanager").describe_secret(SecretId=SECRET.format(name))["Tags"]
    return {tag["Key"]: tag["Value"] for tag in tags}


# --- nothing to do, and where it cannot be done -----------------------------------------------------------------------


def test_nothing_wanted_is_ready_without_a_call(cloud: Cloud, step: Step) -> None:
    assert run(cloud, step) == {"principals": [GRANT], "mappings": [], "groups": [], "made": []}
    assert not [call for call in cloud.calls if call.function]


@pytest.mark.parametrize("part", [{"users": [user("x")]}, {"principal_groups": [listed("g")]}])
def test_a_shared_directory_s_users_need_a_role_in_its_account(cloud: Cloud, step: Step, part: dict[str, Any]) -> None:
    shared = directory(cloud, shared=True, owner_account=FAR)
    with pytest.raises(StepFailed, match=rf"DirectoryAccountRoleMissing.*{FAR}(?s:.*)DirectoryAccountRole"):
        step("EnsureDirectoryUsers", directory=shared, wanted=wanted(**part), principals=[], progress={})
    assert not [call for call in cloud.calls if call.function]


def test_in_another_account_the_role_is_used_and_the_secrets_are_the_stack_s(cloud: Cloud, step: Step) -> None:
    add_directory(cloud, Directory(dns_name="far.example.com", account=FAR))
    allow_far_role(cloud, "EnsureDirectoryUsers")
    far = directory(cloud, id=cloud.directories.find("far.example.com").directory_id, role=FAR_ROLE)
    parts = wanted(users=[user("new")], groups=[{"name": "team", "members": ["new"]}])
    run_step(cloud, step, "EnsureDirectoryUsers", directory=far, wanted=parts, principals=[])
    made = {(call.service, call.account) for call in cloud.calls if call.function and call.service != "sts"}
    assert made == {("ds", FAR), ("ds-data", FAR), ("dynamodb", "123456789012"), ("secretsmanager", "123456789012")}
    assert cloud.directories.realm("far.example.com").has_principal("new")


# --- access -----------------------------------------------------------------------------------------------------------


def test_no_status_of_aws_s_is_forgotten() -> None:
    statuses = {"Disabled", "Disabling", "Enabled", "Enabling", "Failed"}
    assert statuses == set(getattr(DS.shape_for("DataAccessStatus"), "enum", []))


@pytest.mark.parametrize("status", ["Disabled", "Disabling", "Enabling", "Failed"])
def test_it_waits_for_access_and_switches_it_on_when_it_is_off(cloud: Cloud, step: Step, status: str) -> None:
    data(cloud).access = status
    answer = once(cloud, step, users=[user("alice")])
    assert answer["reason"].endswith("is not Enabled yet")
    assert changed(cloud) == (["ds:EnableDirectoryDataAccess"] if status in {"Disabled", "Failed"} else [])
    assert not [call for call in cloud.calls if call.service == "ds-data"]


def test_who_is_slower_than_somebody_else_waits_as_well(cloud: Cloud, step: Step) -> None:
    data(cloud).access = "Disabled"
    cloud.faults = Faults([Fault(call="ds:EnableDirectoryDataAccess", error="DirectoryInDesiredStateException")])
    assert once(cloud, step, users=[user("alice")])["reason"].endswith("is not Enabled yet")


def test_access_that_goes_on_failing_is_an_error(cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    data(cloud).access = "Failed"
    monkeypatch.setattr(directory_fakes, "ENABLING", 10**6)
    with pytest.raises(StepFailed, match=r"DirectoryDataUnavailable: Data access of \S+ \S+ is Enabling after 30"):
        run(cloud, step, users=[user("alice")])


def test_a_directory_that_has_no_such_access_is_an_error(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call="ds:DescribeDirectoryDataAccess", error="UnsupportedOperationException")])
    with pytest.raises(StepFailed, match=r"DirectoryDataUnavailable.*(?s:.*)by hand"):
        once(cloud, step, users=[user("alice")])


# --- users ------------------------------------------------------------------------------------------------------------


def test_a_new_user_can_get_a_ticket_with_the_secret_s_password(cloud: Cloud, step: Step) -> None:
    outputs = run(cloud, step, users=[user("dave", given_name="Dave", email="dave@example.com")])
    assert outputs["made"] == ["user dave"]
    assert outputs["principals"] == [GRANT]
    made = data(cloud).true["dave"]
    assert made.enabled
    assert made.attributes == {"GivenName": "Dave", "EmailAddress": "dave@example.com"}
    assert secret_of(cloud, "dave")["username"] == "dave"
    (reset,) = [call for call in cloud.calls if call.name == "ds:ResetUserPassword" and not call.error]
    assert reset.parameters["NewPassword"] == secret_of(cloud, "dave")["password"]
    assert tags_of(cloud, "dave") == {"managed-by": "aurora-kerberos"}
    assert cloud.directories.realm("corp.example.com").has_principal("dave")
    assert secret_of(cloud, "dave")["password"] not in json.dumps(outputs) + cloud.functions.logs()


def test_a_second_run_changes_nothing(cloud: Cloud, step: Step) -> None:
    parts = {"users": [user("dave", surname="D")], "groups": [{"name": "team", "members": ["dave"]}]}
    run(cloud, step, **parts)
    cloud.run()
    cloud.calls.clear()
    assert run(cloud, step, **parts)["made"] == []
    assert changed(cloud) == []


def test_a_user_who_was_there_is_left_alone(cloud: Cloud, step: Step) -> None:
    outputs = run(cloud, step, users=[user("alice"), user("admin")])
    assert outputs["made"] == []
    assert changed(cloud) == []


def test_only_attributes_without_a_value_are_completed(cloud: Cloud, step: Step) -> None:
    data(cloud).true["alice"].attributes["Surname"] = "Hers"
    data(cloud).show("alice")
    asked = user("alice", given_name="Alice", surname="Another", email="alice@example.com")
    assert run(cloud, step, users=[asked])["made"] == ["GivenName and EmailAddress of user alice"]
    assert data(cloud).true["alice"].attributes == {
        "GivenName": "Alice",
        "Surname": "Hers",
        "EmailAddress": "alice@example.com",
    }
    # It is not seen yet: AWS says that there is a value.
    assert once(cloud, step, users=[asked])["ready"]
    assert changed(cloud) == ["ds-data:UpdateUser"]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_user_that_somebody_makes_meanwhile_is_not_touched(cloud: Cloud, step: Step, enabled: bool) -> None:
    """Between our look and our call, or before an attempt that was refused is repeated."""
    cloud.faults = Faults([Fault(call="ds-data:CreateUser", error="AccessDeniedException", reason="IAM_AUTH")])
    with pytest.raises(StepFailed, match="AccessDenied"):
        once(cloud, step, users=[user("dave")])
    data(cloud).add("USER", "dave", enabled=enabled)
    data(cloud).show("dave")
    cloud.calls.clear()
    assert run(cloud, step, users=[user("dave")])["made"] == []
    assert changed(cloud) == ["secretsmanager:UntagResource"]
    assert data(cloud).true["dave"].enabled is enabled


def test_nor_is_one_made_anew_under_the_same_name(cloud: Cloud, step: Step) -> None:
    once(cloud, step, users=[user("dave")])
    del data(cloud).true["dave"]
    data(cloud).add("USER", "dave", enabled=False)
    cloud.run()
    data(cloud).show("dave")
    run(cloud, step, users=[user("dave")])
    assert "ds:ResetUserPassword" not in changed(cloud)


def test_a_user_that_was_disabled_stays_so(cloud: Cloud, step: Step) -> None:
    run(cloud, step, users=[user("dave")])
    cloud.run()
    cloud.client("ds-data").disable_user(DirectoryId=directory(cloud)["id"], SAMAccountName="dave")
    cloud.run()
    cloud.calls.clear()
    assert run(cloud, step, users=[user("dave")])["made"] == []
    assert changed(cloud) == []


def test_a_user_that_was_deleted_is_made_anew_with_the_same_password(cloud: Cloud, step: Step) -> None:
    run(cloud, step, users=[user("dave")])
    cloud.run()
    before = secret_of(cloud, "dave")
    cloud.client("ds-data").delete_user(DirectoryId=directory(cloud)["id"], SAMAccountName="dave")
    cloud.run()
    assert run(cloud, step, users=[user("dave")])["made"] == ["user dave"]
    assert data(cloud).true["dave"].enabled
    assert secret_of(cloud, "dave") == before


def test_one_deleted_before_it_had_a_password_is_an_error_that_says_what_to_do(cloud: Cloud, step: Step) -> None:
    once(cloud, step, users=[user("dave")])
    cloud.run()
    cloud.client("ds-data").delete_user(DirectoryId=directory(cloud)["id"], SAMAccountName="dave")
    cloud.run()
    with pytest.raises(StepFailed, match=f"DirectoryUserUnfit.*(?s:.*){passwords.MARK} off the secret"):
        run(cloud, step, users=[user("dave")])
    passwords_secret = SECRET.format("dave")
    cloud.client("secretsmanager").untag_resource(SecretId=passwords_secret, TagKeys=[passwords.MARK])
    assert run(cloud, step, users=[user("dave")])["made"] == ["user dave"]


def test_a_name_taken_by_a_group_is_an_error(cloud: Cloud, step: Step) -> None:
    data(cloud).add("GROUP", "dave")
    data(cloud).show("dave")
    with pytest.raises(StepFailed, match="DirectoryUserUnfit: There is something of the name dave"):
        run(cloud, step, users=[user("dave")])
    assert passwords.MARK not in tags_of(cloud, "dave")


def test_a_password_that_the_directory_refuses_is_not_told(cloud: Cloud, step: Step) -> None:
    cloud.client("secretsmanager").create_secret(Name=SECRET.format("dave"), SecretString='{"password": "dave-1"}')
    with pytest.raises(StepFailed) as failed:
        run(cloud, step, users=[user("dave")])
    assert failed.value.error == "SecretUnusable"
    assert "The password *** does not meet the directory's policy." in failed.value.text
    assert "dave-1" not in failed.value.text + cloud.functions.logs()
    cloud.client("secretsmanager").put_secret_value(
        SecretId=SECRET.format("dave"), SecretString='{"password": "Good-enough-7"}'
    )
    run(cloud, step, users=[user("dave")])
    assert data(cloud).true["dave"].enabled


def test_a_secret_of_somebody_s_without_a_password_is_named(cloud: Cloud, step: Step) -> None:
    cloud.client("secretsmanager").create_secret(Name=SECRET.format("dave"), SecretString='{"keytab": "x"}')
    with pytest.raises(StepFailed, match=r"SecretUnusable: The secret .*users/dave has no 'password'"):
        once(cloud, step, users=[user("dave")])
    assert "dave" not in data(cloud).true


def test_two_executions_at_once_make_one_user(cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one does all its work between this one's look and its own secret."""
    create_secret: list[Any] = []

    def other_first(_: Cloud, parameters: Mapping[str, Any]) -> None:
        if not create_secret:
            create_secret.append(parameters)
            cloud.client("secretsmanager").create_secret(**parameters)
            made = cloud.client("ds-data").create_user(
                DirectoryId=directory(cloud)["id"], SAMAccountName="dave", ClientToken="the-other-s"
            )
            tag = {"Key": passwords.MARK, "Value": made["SID"]}
            cloud.client("secretsmanager").tag_resource(SecretId=parameters["Name"], Tags=[tag])

    monkeypatch.setitem(fakes, ("secretsmanager", "CreateSecret"), other_first)
    run(cloud, step, users=[user("dave")])
    assert data(cloud).true["dave"].enabled
    assert passwords.MARK not in tags_of(cloud, "dave")


def test_nor_does_one_take_the_other_s_user_for_somebody_else_s(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one makes the user and marks the secret just before this one's call."""
    create_user, calls = fakes["ds-data", "CreateUser"], []

    def other_first(running: Cloud, parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
        calls.append(parameters)
        if len(calls) == 1:
            made = create_user(running, {**parameters, "ClientToken": "the-other-s"}) or {}
            tag = {"Key": passwords.MARK, "Value": made["SID"]}
            cloud.client("secretsmanager").tag_resource(SecretId=SECRET.format("dave"), Tags=[tag])
        return create_user(running, parameters)

    monkeypatch.setitem(fakes, ("ds-data", "CreateUser"), other_first)
    run(cloud, step, users=[user("dave")])
    assert data(cloud).true["dave"].enabled


def test_passwords_never_hold_the_user_s_name() -> None:
    for name in ("abc", "dave"):
        assert not [made for made in (passwords.new_password(name) for _ in range(500)) if name in made.lower()]


# --- interrupted ------------------------------------------------------------------------------------------------------

WRITES = [
    "ds:EnableDirectoryDataAccess",
    "ds-data:CreateUser",
    "ds:ResetUserPassword",
    "ds-data:CreateGroup",
    "ds-data:AddGroupMember",
]
WRITES_OF_SECRETS = ["secretsmanager:CreateSecret", "secretsmanager:TagResource", "secretsmanager:UntagResource"]
READS = [
    "secretsmanager:DescribeSecret",
    "ds-data:DescribeUser",
    "ds-data:DescribeGroup",
    "ds-data:ListGroupMembers",
]


@pytest.fixture
def answer_lost(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a call be done once, and its answer be lost."""

    def lose(call: str) -> None:
        service, operation = call.split(":")
        original = fakes[service, operation]
        lost: list[str] = []

        def once_lost(running: Cloud, parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
            answer = original(running, parameters)
            if not lost:
                lost.append(call)
                raise AwsError("InternalServerException", "The answer was lost.", 500)
            return answer

        monkeypatch.setitem(fakes, (service, operation), once_lost)

    return lose


def interrupted_run(cloud: Cloud, step: Step, parts: dict[str, Any]) -> None:
    """Run to the failure, then as a new execution to the end; everything is there once."""
    data(cloud).access = "Disabled"
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        run(cloud, step, **parts)
    outputs = run(cloud, step, **parts)
    made = data(cloud).true["dave"]
    assert made.enabled
    assert data(cloud).true["team"].members == ["dave"]
    assert outputs["principals"][0]["principal"] == "dave@CORP.EXAMPLE.COM"
    assert tags_of(cloud, "dave") == {"managed-by": "aurora-kerberos"}
    password = secret_of(cloud, "dave")["password"]
    assert {call.parameters["NewPassword"] for call in cloud.calls if call.name == "ds:ResetUserPassword"} == {password}
    for name in ("ds-data:CreateGroup", "ds-data:AddGroupMember"):
        assert sum(call.name == name and not call.error for call in cloud.calls) <= 1


PARTS = {
    "users": [user("dave", given_name="Dave")],
    "groups": [{"name": "team", "members": ["dave"]}],
    "principal_groups": [listed("team")],
}


@pytest.mark.parametrize(
    ("call", "after"),
    [
        *((call, 0) for call in [*WRITES, *WRITES_OF_SECRETS, *READS, "secretsmanager:GetSecretValue"]),
        *((call, 1) for call in READS),
    ],
)
def test_interrupted_before_any_call_the_next_run_finishes(cloud: Cloud, step: Step, call: str, after: int) -> None:
    cloud.faults = Faults([Fault(call=call, error="InternalServiceError", status=500, after=after)])
    interrupted_run(cloud, step, PARTS)


@pytest.mark.parametrize("call", WRITES)
def test_interrupted_after_any_call_the_next_run_finishes(
    cloud: Cloud, step: Step, call: str, answer_lost: Callable[[str], None]
) -> None:
    answer_lost(call)
    interrupted_run(cloud, step, PARTS)


def test_a_password_set_by_an_administrator_meanwhile_stays(cloud: Cloud, step: Step) -> None:
    """Interrupted between setting the first password and taking the mark off."""
    cloud.faults = Faults([Fault(call="secretsmanager:UntagResource", error="InternalServiceError", status=500)])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        run(cloud, step, users=[user("dave")])
    cloud.run()
    cloud.calls.clear()
    run(cloud, step, users=[user("dave")])
    assert changed(cloud) == ["secretsmanager:UntagResource"]


def test_an_attempt_of_long_ago_is_not_known_any_more_and_nothing_is_done_to_the_user(
    cloud: Cloud, step: Step, answer_lost: Callable[[str], None]
) -> None:
    """AWS forgets client tokens after eight hours: whose user it is cannot be told."""
    answer_lost("ds-data:CreateUser")
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        once(cloud, step, users=[user("dave")])
    cloud.run()
    data(cloud).tokens.clear()
    run(cloud, step, users=[user("dave")])
    assert not data(cloud).true["dave"].enabled
    assert passwords.MARK not in tags_of(cloud, "dave")


# --- groups -----------------------------------------------------------------------------------------------------------


def test_a_group_is_made_with_its_members_and_nobody_is_taken_out(cloud: Cloud, step: Step) -> None:
    outputs = run(cloud, step, groups=[{"name": "team", "members": ["alice"]}])
    assert outputs["made"] == ["group team", "alice in group team"]
    (call,) = [call for call in cloud.calls if call.name == "ds-data:CreateGroup"]
    assert (call.parameters["GroupType"], call.parameters["GroupScope"]) == ("Security", "Global")
    cloud.run()
    run(cloud, step, groups=[{"name": "team", "members": ["kerberos-check"]}])
    assert data(cloud).true["team"].members == ["alice", "kerberos-check"]


def registry(cloud: Cloud, name: str) -> dict[str, str]:
    """What is known of a group."""
    key = {"arn": {"S": f"group:{directory(cloud)['id']}/{name}"}}
    found = cloud.client("dynamodb").get_item(TableName=cloud.outputs["Registry"], Key=key).get("Item", {})
    return {field: value["S"] for field, value in found.items()}


def test_which_groups_were_made_here_is_known_by_their_sid(cloud: Cloud, step: Step) -> None:
    run(cloud, step, groups=[{"name": "Team", "members": []}])
    assert registry(cloud, "team")["group_sid"] == data(cloud).true["team"].sid
    assert registry(cloud, "team")["client_token"] == ""


def test_one_that_somebody_has_made_gets_no_members_unless_it_is_allowed(cloud: Cloud, step: Step) -> None:
    add_groups(cloud, directory(cloud)["id"], {"payroll": ["alice"]})
    assert run(cloud, step, groups=[{"name": "payroll", "members": ["alice"]}])["made"] == []
    said = "(?s)DirectoryGroupNotAllowed: The group payroll was not made here: kerberos-check is not.*AllowedGroups"
    group = {"name": "payroll", "members": ["alice", "kerberos-check"]}
    for each in (group, {**group, "allowed": False}):  # a plan of the version before says nothing
        with pytest.raises(StepFailed, match=said):
            run(cloud, step, groups=[each])
    assert data(cloud).true["payroll"].members == ["alice"]
    run(cloud, step, groups=[{"name": "payroll", "members": ["kerberos-check"], "allowed": True}])
    assert data(cloud).true["payroll"].members == ["alice", "kerberos-check"]


def test_nor_does_one_of_the_same_name_as_one_that_was_made_here_and_deleted(cloud: Cloud, step: Step) -> None:
    run(cloud, step, groups=[{"name": "team", "members": []}])
    cloud.run()
    del data(cloud).true["team"]
    add_groups(cloud, directory(cloud)["id"], {"team": []})
    with pytest.raises(StepFailed, match="DirectoryGroupNotAllowed: The group team was not made here"):
        run(cloud, step, groups=[{"name": "team", "members": ["alice"]}])


def test_one_that_was_deleted_is_made_anew(cloud: Cloud, step: Step) -> None:
    run(cloud, step, groups=[{"name": "team", "members": []}])
    cloud.run()
    del data(cloud).true["team"], data(cloud).seen["team"]
    assert run(cloud, step, groups=[{"name": "team", "members": ["alice"]}])["made"] == [
        "group team",
        "alice in group team",
    ]


@pytest.mark.parametrize("name", ["Domain Admins", "DnsAdmins", "aws delegated administrators", "Administrators"])
def test_no_group_with_rights_over_the_directory_ever_gets_members(cloud: Cloud, step: Step, name: str) -> None:
    if name == "Administrators":
        add_groups(cloud, directory(cloud)["id"], {name: []})
        data(cloud).seen[name.lower()].sid = "S-1-5-32-544"
    group = {"name": name, "members": ["alice"], "allowed": True}
    with pytest.raises(StepFailed, match=r"DirectoryGroupNotAllowed: .* is one of Active Directory's or AWS's own"):
        run(cloud, step, groups=[group])
    assert data(cloud).true[name.lower()].members == []


@pytest.fixture
def interrupted(cloud: Cloud, step: Step, answer_lost: Callable[[str], None]) -> dict[str, Any]:
    """A group that an attempt has made which did not get AWS's answer."""
    answer_lost("ds-data:CreateGroup")
    group = {"name": "team", "members": ["alice"]}
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        once(cloud, step, groups=[group])
    cloud.run()
    return group


def test_a_group_whose_making_was_interrupted_is_known_to_be_ours(
    cloud: Cloud, step: Step, interrupted: dict[str, Any]
) -> None:
    run(cloud, step, groups=[interrupted])
    assert data(cloud).true["team"].members == ["alice"]


def test_one_whose_making_was_interrupted_long_ago_is_not(
    cloud: Cloud, step: Step, interrupted: dict[str, Any]
) -> None:
    """AWS forgets client tokens after eight hours: whose group it is cannot be told."""
    data(cloud).tokens.clear()
    with pytest.raises(StepFailed, match="DirectoryGroupNotAllowed"):
        run(cloud, step, groups=[interrupted])


def test_two_executions_at_once_make_one_group(cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one does all its work between this one's look and its call."""
    before, calls = made_groups.read, []

    def other_first(directory_id: str, name: str) -> made_groups.Made:
        known = before(directory_id, name)
        calls.append(name)
        if len(calls) == 1:
            sid = cloud.client("ds-data").create_group(
                DirectoryId=directory(cloud)["id"],
                SAMAccountName="team",
                GroupType="Security",
                GroupScope="Global",
                ClientToken="the-other-s",
            )["SID"]
            assert made_groups.write(directory_id, name, made_groups.Made(), made_groups.Made(sid))
        return known

    monkeypatch.setattr(made_groups, "read", other_first)
    run(cloud, step, groups=[{"name": "team", "members": ["alice"]}])
    assert data(cloud).true["team"].members == ["alice"]
    assert sum(call.name == "ds-data:CreateGroup" and not call.error for call in cloud.calls) == 1


def test_an_execution_that_began_with_the_version_before_knows_its_group(cloud: Cloud, step: Step) -> None:
    add_groups(cloud, directory(cloud)["id"], {"team": []})
    parts = wanted(groups=[{"name": "team", "members": ["alice"]}])
    arguments = {"directory": directory(cloud), "wanted": parts, "principals": []}
    step("EnsureDirectoryUsers", **arguments, progress={"made": ["group team"]})
    assert data(cloud).true["team"].members == ["alice"]


def test_members_are_compared_whatever_their_case_and_on_all_pages(cloud: Cloud, step: Step) -> None:
    for number in range(120):
        data(cloud).add("USER", f"User{number}")
        data(cloud).show(f"User{number}")
    add_groups(cloud, directory(cloud)["id"], {"team": [f"user{number}" for number in range(120)]})
    assert run(cloud, step, groups=[{"name": "team", "members": ["user119"]}])["made"] == []
    assert len(run(cloud, step, principal_groups=[listed("team")])["principals"]) == 121


def test_an_unknown_member_is_named_after_a_while(cloud: Cloud, step: Step) -> None:
    with pytest.raises(StepFailed, match=r"DirectoryUserUnfit: nobody cannot be seen among the members of .* team"):
        run(cloud, step, groups=[{"name": "team", "members": ["alice", "nobody"]}])


def test_a_name_taken_by_a_user_is_an_error(cloud: Cloud, step: Step) -> None:
    with pytest.raises(StepFailed, match="DirectoryGroupUnfit: There is something of the name alice"):
        run(cloud, step, groups=[{"name": "alice", "members": []}])


def test_members_of_nested_groups_become_principals_once_and_computers_do_not(cloud: Cloud, step: Step) -> None:
    data(cloud).add("COMPUTER", "PC-1$")
    data(cloud).show("PC-1$")
    groups = {"Team": ["Alice", "inner", "pc-1$"], "inner": ["kerberos-check", "alice", "deep"], "deep": ["team"]}
    add_groups(cloud, directory(cloud)["id"], groups)
    outputs = run(cloud, step, principal_groups=[listed("team", "app_read"), listed("deep", "app_write")])
    assert outputs["groups"] == ["Team", "deep"]
    assert outputs["mappings"] == []
    assert outputs["principals"] == [
        {
            "principal": "alice@CORP.EXAMPLE.COM",
            "roles": ["app_read", "app_write"],
            "named": False,
            "groups": ["Team", "deep"],
        },
        {
            "principal": "kerberos-check@CORP.EXAMPLE.COM",
            "roles": ["app_read", "app_write"],
            "named": False,
            "groups": ["Team", "deep"],
        },
        GRANT,
    ]
    assert changed(cloud) == []


def test_who_is_listed_by_name_and_by_group_has_both_s_roles(cloud: Cloud, step: Step) -> None:
    create_users(cloud, directory(cloud)["id"], ["zoe"])
    add_groups(cloud, directory(cloud)["id"], {"team": ["zoe"]})
    (grant,) = run(cloud, step, principal_groups=[listed("team", "s")])["principals"]
    assert grant == {"principal": "zoe@CORP.EXAMPLE.COM", "roles": ["r", "s"], "named": True, "groups": ["team"]}


def test_a_mapped_group_is_not_expanded(cloud: Cloud, step: Step) -> None:
    add_groups(cloud, directory(cloud)["id"], {"team": ["alice"]})
    outputs = run(cloud, step, principal_groups=[listed("team", "app_read", map_to="orders_team")])
    assert outputs["principals"] == [GRANT]
    sid = data(cloud).true["team"].sid
    assert sid.startswith("S-1-5-21-")
    assert outputs["mappings"] == [
        {"group": "team", "sid": sid, "role": "orders_team", "roles": ["app_read"], "weight": 1}
    ]


def test_only_a_security_group_can_be_mapped(cloud: Cloud, step: Step) -> None:
    add_groups(cloud, directory(cloud)["id"], {"team": ["alice"]})
    data(cloud).seen["team"].group_type = "Distribution"
    with pytest.raises(StepFailed, match="DirectoryGroupUnfit: The group team is a Distribution group"):
        run(cloud, step, principal_groups=[listed("team", map_to="x")])
    assert len(run(cloud, step, principal_groups=[listed("team")])["principals"]) == 2


def test_a_group_that_does_not_exist_is_named_after_a_while(cloud: Cloud, step: Step) -> None:
    assert not once(cloud, step, principal_groups=[listed("nobodies")])["ready"]
    with pytest.raises(StepFailed, match="DirectoryGroupUnfit: The directory has no group nobodies"):
        run(cloud, step, principal_groups=[listed("nobodies")])


def test_a_new_group_is_waited_for_with_its_members(cloud: Cloud, step: Step) -> None:
    outputs = run(
        cloud,
        step,
        users=[user("dave")],
        groups=[{"name": "team", "members": ["dave", "alice"]}],
        principal_groups=[listed("team")],
    )
    assert [grant["principal"].partition("@")[0] for grant in outputs["principals"]] == ["alice", "dave", "zoe"]
    assert outputs["made"] == ["user dave", "group team", "dave in group team", "alice in group team"]


def test_a_member_with_too_long_a_name_is_told_and_keeps_nobody_else_out(cloud: Cloud, step: Step) -> None:
    create_users(cloud, directory(cloud)["id"], ["zoe-of-the-far-north"])
    add_groups(cloud, directory(cloud)["id"], {"team": ["alice", "zoe-of-the-far-north"]})
    far = directory(cloud, realm="A" * 50)
    outputs = step(
        "EnsureDirectoryUsers",
        directory=far,
        wanted=wanted(principal_groups=[listed("team")]),
        principals=[],
        progress={},
    )["outputs"]
    assert [grant["principal"] for grant in outputs["principals"]] == [f"alice@{'A' * 50}"]
    (warning,) = outputs["warnings"]
    assert warning.startswith("The principal 'zoe-of-the-far-north@AAA")
    assert warning.endswith("has 71 bytes. This member of the group team cannot log in.")


# --- what Directory Service Data may say ------------------------------------------------------------------------------


def test_every_error_of_the_model_is_handled_or_translated() -> None:
    shapes = {error.name for name in [*CALLED, "ListGroupMembers"] for error in DATA.operation_model(name).error_shapes}
    assert shapes == {
        "AccessDeniedException",
        "ConflictException",
        "DirectoryUnavailableException",
        "InternalServerException",
        "ResourceNotFoundException",
        "ThrottlingException",
        "ValidationException",
    }


def test_every_reason_of_a_denial_has_a_remedy() -> None:
    assert set(getattr(DATA.shape_for("AccessDeniedReason"), "enum", [])) == {
        "IAM_AUTH",
        "DIRECTORY_AUTH",
        "DATA_DISABLED",
    }


def fault(code: str, reason: str = "", status: int = 400, times: int = 99) -> Faults:
    return Faults([Fault(call="ds-data:DescribeUser", error=code, reason=reason, status=status, times=times)])


@pytest.mark.parametrize(
    ("code", "reason", "status", "error", "text"),
    [
        ("AccessDeniedException", "IAM_AUTH", 403, "AccessDenied", "ds-data:DescribeUser and ds:AccessDSData"),
        ("AccessDeniedException", "DIRECTORY_AUTH", 403, "AccessDenied", "organizational unit"),
        ("AccessDeniedException", "", 403, "AccessDenied", "service control policy"),
        ("ValidationException", "INVALID_SECONDARY_REGION", 400, "AwsRefused", "primary Region"),
        ("ValidationException", "INVALID_ATTRIBUTE_VALUE", 400, "AwsRefused", "lists of users and groups"),
        ("ThrottlingException", "", 429, "AwsUnavailable", "tried again"),
        ("InternalServerException", "", 500, "AwsUnavailable", "tried again"),
    ],
)
def test_what_waiting_does_not_help_is_an_error(  # noqa: PLR0917  a table
    cloud: Cloud, step: Step, code: str, reason: str, status: int, error: str, text: str
) -> None:
    cloud.faults = fault(code, reason, status)
    with pytest.raises(StepFailed) as failed:
        once(cloud, step, users=[user("alice")])
    assert failed.value.error == error
    assert text in failed.value.text


UNAVAILABLE = sorted(getattr(DATA.shape_for("DirectoryUnavailableReason"), "enum", []))


def test_what_passes_is_waited_for_and_quoted_at_the_end(cloud: Cloud, step: Step) -> None:
    passing = [("AccessDeniedException", "DATA_DISABLED")]
    for code, reason in [*passing, *(("DirectoryUnavailableException", each) for each in UNAVAILABLE)]:
        cloud.faults = fault(code, reason, times=3)
        run(cloud, step, users=[user("alice")])
        cloud.faults = fault(code, reason)
        with pytest.raises(StepFailed, match=f"DirectoryDataUnavailable: DescribeUser: {code} {reason}"):
            run(cloud, step, users=[user("alice")])


def test_an_unavailable_directory_is_waited_for_when_a_password_is_set(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call="ds:ResetUserPassword", error="DirectoryUnavailableException", times=2)])
    run(cloud, step, users=[user("dave")])
    assert data(cloud).true["dave"].enabled


def test_the_password_is_in_no_error_of_any_step(cloud: Cloud, step: Step) -> None:
    once(cloud, step, users=[user("dave")])
    cloud.run()
    password = secret_of(cloud, "dave")["password"]
    cloud.faults = Faults([Fault(call="ds:ResetUserPassword", error="ClientException", message=f"No {password}!")])
    with pytest.raises(StepFailed, match=r"AwsRefused: ResetUserPassword: ClientException: No \*\*\*!"):
        once(cloud, step, users=[user("dave")])
    assert password not in cloud.functions.logs()
