"""Step 1: every stage and type a directory can have, and the ways to find one."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.endpoint import Endpoint
from botocore.exceptions import ReadTimeoutError

from aurora_kerberos.passwords import new_password
from local.cloud import Cloud
from local.core.calls import aftermaths
from local.core.faults import Fault, Faults
from local.scenario.format import Directory
from local.scenario.prepare import add_directory
from local.services.directory import sharing
from tests.steps.conftest import FAR, FAR_ROLE, Step, StepFailed, allow_far_role, polls_in

STAGES = getattr(botocore.session.get_session().get_service_model("ds").shape_for("DirectoryStage"), "enum", [])
WAITING = {"Requested", "Creating", "Created", "Impaired", "Restoring", "Updating"}
STRANGER = "666666666666"
BROKEN = {"Inoperable", "RestoreFailed", "Deleting", "Failed", "Deleted"}


def wanted(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    return {
        "id": "",
        "dns_name": "corp.example.com",
        "edition": "Standard",
        "vpc_id": cloud.vpc,
        "subnet_ids": cloud.subnets,
        "admin_secret": "aurora-kerberos/corp.example.com/admin",
        "role": "",
        **changes,
    }


def new_directory(cloud: Cloud) -> dict[str, Any]:
    return wanted(cloud, dns_name="new.example.com", admin_secret="aurora-kerberos/new.example.com/admin")


def test_no_stage_of_aws_s_is_forgotten() -> None:
    assert {"Active"} | WAITING | BROKEN == set(STAGES)


def test_an_active_directory_is_ready_with_what_later_steps_need(cloud: Cloud, step: Step) -> None:
    outputs = step("EnsureDirectory", directory=wanted(cloud))["outputs"]
    assert outputs["id"].startswith("d-")
    assert (outputs["realm"], outputs["dns_name"]) == ("CORP.EXAMPLE.COM", "corp.example.com")
    assert len(outputs["dns_ips"]) == 2
    assert outputs["vpc_id"] == cloud.vpc
    assert outputs["security_group"].startswith("sg-")


def test_it_waits_in_every_stage_that_ends_by_itself(cloud: Cloud, step: Step) -> None:
    found = cloud.directories.find("corp.example.com")
    for found.stage in sorted(WAITING):
        answer = step("EnsureDirectory", directory=wanted(cloud))
        assert not answer["ready"], found.stage
        assert found.directory_id in answer["reason"]


def test_a_new_directory_is_not_asked_for_again_within_ten_minutes(cloud: Cloud, step: Step) -> None:
    cloud.directories.find("corp.example.com").stage = "Creating"
    assert step("EnsureDirectory", directory=wanted(cloud))["wait_seconds"] == 1200


def test_a_directory_that_is_never_there_is_given_up_after_an_hour_and_a_half(cloud: Cloud, step: Step) -> None:
    cloud.directories.find("corp.example.com").stage = "Creating"
    reason = step("EnsureDirectory", directory=wanted(cloud))["reason"]
    last = polls_in(90, at_least=1200)
    assert not step("EnsureDirectory", directory=wanted(cloud), polls=last - 1, waiting_for=reason)["ready"]
    with pytest.raises(StepFailed, match=r"StepTimedOut: Gave up after 9\d minutes: Directory d-\w+ is being created"):
        step("EnsureDirectory", directory=wanted(cloud), polls=last, waiting_for=reason)


@pytest.mark.parametrize("by_id", [True, False])
def test_it_refuses_every_stage_that_does_not_end(cloud: Cloud, step: Step, by_id: bool) -> None:
    found = cloud.directories.find("corp.example.com")
    for found.stage in sorted(BROKEN - ({"Deleted"} if not by_id else set())):
        with pytest.raises(StepFailed) as failed:
            step("EnsureDirectory", directory=wanted(cloud, id=found.directory_id if by_id else ""))
        assert failed.value.error == "DirectoryUnusable"
        assert found.stage in failed.value.text


def test_a_deleted_directory_is_none(cloud: Cloud, step: Step) -> None:
    cloud.directories.find("corp.example.com").stage = "Deleted"
    assert "is being created" in step("EnsureDirectory", directory=wanted(cloud))["reason"]
    assert len(cloud.directories.all()) == 2


@pytest.mark.parametrize("kind", ["SimpleAD", "ADConnector"])
def test_a_directory_of_another_type_is_refused_by_id_and_passed_over_by_name(
    cloud: Cloud, step: Step, kind: str
) -> None:
    found = cloud.directories.find("corp.example.com")
    found.directory_type = kind
    with pytest.raises(StepFailed, match=f"DirectoryUnusable.*is of type {kind}"):
        step("EnsureDirectory", directory=wanted(cloud, id=found.directory_id))
    assert "is being created" in step("EnsureDirectory", directory=wanted(cloud))["reason"]


def test_the_name_is_found_in_whatever_case(cloud: Cloud, step: Step) -> None:
    cloud.directories.find("corp.example.com").name = "Corp.Example.COM"
    assert step("EnsureDirectory", directory=wanted(cloud))["outputs"]["realm"] == "CORP.EXAMPLE.COM"


def test_two_directories_of_one_name_are_ambiguous_unless_only_one_lives(cloud: Cloud, step: Step) -> None:
    add_directory(cloud, Directory(dns_name="corp.example.com", stage="Creating"))
    with pytest.raises(StepFailed, match="DirectoryAmbiguous"):
        step("EnsureDirectory", directory=wanted(cloud))
    cloud.directories.all()[1].stage = "Failed"
    assert step("EnsureDirectory", directory=wanted(cloud))["ready"]


def test_an_unknown_id_is_named(cloud: Cloud, step: Step) -> None:
    with pytest.raises(StepFailed, match="DirectoryNotFound: There is no directory d-0123456789"):
        step("EnsureDirectory", directory=wanted(cloud, id="d-0123456789"))


def test_a_new_directory_gets_two_zones_the_asked_edition_and_a_secret(cloud: Cloud, step: Step) -> None:
    step("EnsureDirectory", directory=new_directory(cloud))
    (call,) = [call for call in cloud.calls if call.name == "ds:CreateMicrosoftAD"]
    assert call.parameters["Edition"] == "Standard"
    zones = cloud.client("ec2").describe_subnets(SubnetIds=call.parameters["VpcSettings"]["SubnetIds"])["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in zones}) == 2
    secret = cloud.client("secretsmanager").get_secret_value(SecretId="aurora-kerberos/new.example.com/admin")
    assert call.parameters["Password"] in secret["SecretString"]


@pytest.mark.parametrize("error", ["InvalidParameterException", "SomethingNew"])
def test_the_password_is_not_shown_when_aws_quotes_it(cloud: Cloud, step: Step, error: str) -> None:
    new = new_directory(cloud)
    content = json.dumps({"username": "Admin", "password": "Of-the-admin-7"})
    cloud.client("secretsmanager").create_secret(Name=new["admin_secret"], SecretString=content)
    cloud.faults = Faults([Fault(call="ds:CreateMicrosoftAD", error=error, message="Value 'Of-the-admin-7' is bad.")])
    with pytest.raises(StepFailed, match=r"AwsRefused: .*Value '\*\*\*' is bad") as failed:
        step("EnsureDirectory", directory=new)
    assert "Of-the-admin-7" not in failed.value.text + cloud.functions.logs()


def test_an_answer_that_is_lost_does_not_make_two_directories(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: Any = vars(Endpoint)["_get_response"]

    def lost(endpoint: Any, request: Any, operation: Any, context: Any) -> Any:
        answer = answered(endpoint, request, operation, context)
        if operation.name != "CreateMicrosoftAD":
            return answer
        return None, ReadTimeoutError(endpoint_url=request.url)

    monkeypatch.setattr(Endpoint, "_get_response", lost)
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        step("EnsureDirectory", directory=new_directory(cloud))
    assert step("EnsureDirectory", directory=new_directory(cloud))
    assert [each.name for each in cloud.directories.all()].count("new.example.com") == 1


def test_subnets_of_one_zone_are_refused_and_nothing_is_made(cloud: Cloud, step: Step) -> None:
    new = wanted(cloud, dns_name="new.example.com", subnet_ids=cloud.subnets[:1])
    with pytest.raises(StepFailed, match="all in one Availability Zone"):
        step("EnsureDirectory", directory=new)
    assert not [call for call in cloud.calls if call.changes and call.service != "dynamodb"]


@pytest.mark.parametrize("status", ["Shared", "PendingAcceptance"])
def test_what_another_account_shares_is_described_by_its_owner(cloud: Cloud, step: Step, status: str) -> None:
    add_directory(cloud, Directory(dns_name="far.example.com", account="210987654321", shared=status))
    outputs = step("EnsureDirectory", directory=wanted(cloud, dns_name="far.example.com", owners=[FAR]))["outputs"]
    owner = cloud.directories.find("far.example.com")
    assert outputs["id"] != owner.directory_id
    assert (outputs["shared"], outputs["owner_account"], outputs["role"]) == (True, "210987654321", "")
    assert outputs["dns_ips"] == owner.dns_ip_addrs
    assert outputs["vpc_id"] == owner.vpc_settings["VpcId"]
    assert outputs["security_group"] == owner.vpc_settings["SecurityGroupId"]


# --- whose directory it is --------------------------------------------------------------------------------------------


def stranger(cloud: Cloud, status: str = "PendingAcceptance", account: str = STRANGER, **more: Any) -> str:
    """Somebody else's directory that is shared with this account under our DNS name; the id it has here."""
    add_directory(cloud, Directory(dns_name="corp.example.com", account=account, shared=status, **more))
    return str(cloud.directories.shares[-1].shared_id)


def delete_own(cloud: Cloud) -> None:
    cloud.directories.find("corp.example.com").stage = "Deleted"


@pytest.mark.parametrize("status", ["Shared", "PendingAcceptance"])
def test_a_stranger_s_directory_of_the_same_name_is_ignored_and_reported(cloud: Cloud, step: Step, status: str) -> None:
    theirs = stranger(cloud, status)
    for looked_for in (wanted(cloud), wanted(cloud, owners=[]), wanted(cloud, owners=[FAR])):
        outputs = step("EnsureDirectory", directory=looked_for)["outputs"]
        assert (outputs["id"], outputs["shared"]) == (cloud.directories.find("corp.example.com").directory_id, False)
        (warning,) = outputs["warnings"]
        assert f"{theirs} of the account {STRANGER}" in warning


def test_however_many_there_are_few_are_named(cloud: Cloud, step: Step) -> None:
    for number in range(8):
        stranger(cloud, account=f"66666666666{number}")
    (warning,) = step("EnsureDirectory", directory=wanted(cloud))["outputs"]["warnings"]
    assert warning.count("of the account 66666666666") == 5
    assert "like 3 more" in warning


def test_of_two_that_are_shared_the_named_account_s_is_taken(cloud: Cloud, step: Step) -> None:
    delete_own(cloud)
    stranger(cloud)
    named = stranger(cloud, account=FAR)
    outputs = step("EnsureDirectory", directory=wanted(cloud, owners=[FAR]))["outputs"]
    assert (outputs["id"], outputs["owner_account"]) == (named, FAR)
    assert STRANGER in outputs["warnings"][0]


@pytest.mark.parametrize("status", ["Shared", "Sharing", "PendingAcceptance"])
def test_where_only_a_stranger_has_one_none_is_used_and_none_is_created(cloud: Cloud, step: Step, status: str) -> None:
    delete_own(cloud)
    stranger(cloud, status)
    with pytest.raises(StepFailed, match=rf"DirectoryNotTrusted.*(?s:.*){STRANGER}.*set it to 123456789012") as failed:
        step("EnsureDirectory", directory=wanted(cloud))
    assert "DirectoryOwnerAccounts" in failed.value.text
    assert not [call for call in cloud.calls if call.function and call.changes]


def test_but_one_is_created_when_the_stack_names_its_own_account(cloud: Cloud, step: Step) -> None:
    delete_own(cloud)
    stranger(cloud)
    answer = step("EnsureDirectory", directory=wanted(cloud, owners=["123456789012"]))
    assert answer["reason"].endswith("is being created")


@pytest.mark.parametrize("status", ["Rejecting", "Rejected", "Deleting", "Deleted"])
def test_or_when_the_share_has_been_rejected_or_ended(cloud: Cloud, step: Step, status: str) -> None:
    delete_own(cloud)
    stranger(cloud, status)
    assert step("EnsureDirectory", directory=wanted(cloud))["reason"].endswith("is being created")


def test_an_owner_that_aws_does_not_name_is_a_stranger(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger(cloud, "Shared")
    unsaid = aftermaths["ds", "DescribeDirectories"]

    def silent(running: Cloud, parameters: Any, answer: Any) -> None:
        unsaid(running, parameters, answer)
        for each in answer["DirectoryDescriptions"]:
            each.pop("OwnerDirectoryDescription", None)

    monkeypatch.setitem(aftermaths, ("ds", "DescribeDirectories"), silent)
    outputs = step("EnsureDirectory", directory=wanted(cloud, owners=["", FAR]))["outputs"]
    assert not outputs["shared"]
    assert "that AWS does not name" in outputs["warnings"][0]


def test_a_directory_that_the_stack_names_by_its_id_is_used_whoever_owns_it(cloud: Cloud, step: Step) -> None:
    theirs = stranger(cloud, "Shared")
    outputs = step("EnsureDirectory", directory=wanted(cloud, id=theirs))["outputs"]
    assert (outputs["id"], outputs["owner_account"], outputs["warnings"]) == (theirs, STRANGER, [])


def test_in_the_account_of_the_role_a_share_of_a_third_one_does_not_count_either(cloud: Cloud, step: Step) -> None:
    add_directory(cloud, Directory(dns_name="far.example.com", account=FAR))
    add_directory(cloud, Directory(dns_name="far.example.com", account=STRANGER))
    theirs = cloud.directories.all()[-1]
    sharing.show(cloud, sharing.new_share(cloud, theirs, FAR, method="HANDSHAKE", status="Shared"))
    allow_far_role(cloud, "EnsureDirectory")
    looked_for = wanted(cloud, dns_name="far.example.com", role=FAR_ROLE, owners=[FAR])
    outputs = step("EnsureDirectory", directory=looked_for)["outputs"]
    assert (outputs["owner_account"], outputs["shared"]) == (FAR, False)
    assert STRANGER in outputs["warnings"][0]


def test_passwords_are_as_the_directory_wants_them() -> None:
    passwords = {new_password() for _ in range(300)}
    assert len(passwords) == 300
    for password in passwords:
        assert 8 <= len(password) <= 64
        assert "admin" not in password.lower()
        assert sum(any(test(c) for c in password) for test in (str.islower, str.isupper, str.isdigit)) == 3
