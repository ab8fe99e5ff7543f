"""Step 5, sharing: every status, both methods, by role and by hand, and who must do what when it is refused."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.scenario.format import Directory
from local.scenario.prepare import add_directory
from local.services.directory import sharing
from local.services.directory.directories import Share
from local.services.organizations import Accounts, Organization
from tests.steps.conftest import FAR, FAR_ROLE, Step, StepFailed, allow_far_role, run_step

HOME = "123456789012"
MODEL = botocore.session.get_session().get_service_model("ds")
WAITING = {"Sharing", "Deleting"}
REFUSED = {"Rejecting", "Rejected", "RejectFailed", "ShareFailed"}


@pytest.fixture
def far(cloud: Cloud) -> dict[str, Any]:
    """A directory of another account, as `ensure_directory` describes it, found by the role there."""
    add_directory(cloud, Directory(dns_name="far.example.com", account=FAR))
    allow_far_role(cloud, "EnsureDirectoryShare")
    found = cloud.directories.find("far.example.com")
    return {"id": found.directory_id, "owner_account": FAR, "shared": False, "role": FAR_ROLE}


def shared(cloud: Cloud, status: str, account: str = HOME) -> Share:
    """A share that was made long ago."""
    owner = cloud.directories.find("far.example.com")
    share = sharing.new_share(cloud, owner, account, method="HANDSHAKE", status=status)
    sharing.show(cloud, share)
    return share


def by_hand(cloud: Cloud, status: str, **changes: Any) -> dict[str, Any]:
    """What `ensure_directory` says of a share that was made without a role in the other account."""
    return {"id": shared(cloud, status).shared_id, "owner_account": FAR, "shared": True, "role": "", **changes}


def look(step: Step, directory: dict[str, Any], method: str = "HANDSHAKE") -> dict[str, Any]:
    return step("EnsureDirectoryShare", directory=directory, method=method)


def changed(cloud: Cloud) -> list[tuple[str, str]]:
    return [(call.name, call.account) for call in cloud.calls if call.function and call.changes and not call.error]


def test_no_status_of_aws_s_is_forgotten() -> None:
    statuses = {"Shared", "PendingAcceptance", "Deleted"} | WAITING | REFUSED
    assert statuses == set(getattr(MODEL.shape_for("ShareStatus"), "enum", []))


@pytest.mark.parametrize("owner", ["", HOME])
def test_the_account_s_own_directory_needs_no_share(cloud: Cloud, step: Step, owner: str) -> None:
    own = {"id": "d-0123456789", "owner_account": owner, "shared": False, "role": FAR_ROLE if owner else ""}
    assert look(step, own)["outputs"] == {"id": "d-0123456789"}
    assert not [call for call in cloud.calls if call.function and call.service == "ds"]


def test_a_handshake_is_made_there_and_accepted_here(cloud: Cloud, step: Step, far: dict[str, Any]) -> None:
    outputs = run_step(cloud, step, "EnsureDirectoryShare", directory=far, method="HANDSHAKE")["outputs"]
    (share,) = cloud.directories.shares
    assert outputs == {"id": share.shared_id}
    assert outputs["id"] != far["id"]
    assert (share.status, share.method, share.account) == ("Shared", "HANDSHAKE", HOME)
    assert changed(cloud) == [("ds:ShareDirectory", FAR), ("ds:AcceptSharedDirectory", HOME)]
    cloud.calls.clear()
    assert look(step, far)["outputs"] == outputs
    assert changed(cloud) == []


def test_within_an_organization_nobody_has_to_accept(cloud: Cloud, step: Step, far: dict[str, Any]) -> None:
    cloud.part(Accounts).organization = Organization(management=FAR)
    run_step(cloud, step, "EnsureDirectoryShare", directory=far, method="ORGANIZATIONS")
    assert changed(cloud) == [("ds:ShareDirectory", FAR)]
    (call,) = [call for call in cloud.calls if call.name == "ds:ShareDirectory"]
    assert "ShareNotes" not in call.parameters


@pytest.mark.parametrize("status", sorted(WAITING))
def test_it_waits_while_aws_works(cloud: Cloud, step: Step, far: dict[str, Any], status: str) -> None:
    shared(cloud, status)
    assert look(step, far)["reason"].endswith(f"of the directory is {status}")
    assert changed(cloud) == []


@pytest.mark.parametrize("status", sorted(REFUSED))
@pytest.mark.parametrize("with_role", [True, False])
def test_a_refused_share_says_who_must_do_what(
    cloud: Cloud, step: Step, far: dict[str, Any], status: str, with_role: bool
) -> None:
    directory = by_hand(cloud, status)
    with pytest.raises(StepFailed) as failed:
        look(step, far if with_role else directory)
    assert failed.value.error == "ShareRefused"
    assert f"is {status}." in failed.value.text
    assert f"In the account {FAR}, end this share" in failed.value.text
    assert (f"somebody in the account {HOME}" in failed.value.text.lower()) == status.startswith("Reject")
    assert ("share the directory with the account" in failed.value.text) is not with_role
    assert changed(cloud) == []


def test_one_that_is_on_its_way_out_is_no_obstacle_to_another(cloud: Cloud, step: Step, far: dict[str, Any]) -> None:
    for status in ("Deleted", "Rejected", "Deleting"):
        shared(cloud, status)
    good = shared(cloud, "Shared")
    assert look(step, far)["outputs"] == {"id": good.shared_id}


def test_a_deleted_share_is_none_and_other_accounts_shares_are_others(
    cloud: Cloud, step: Step, far: dict[str, Any]
) -> None:
    shared(cloud, "Deleted")
    shared(cloud, "Shared", account="111111111111")
    assert "is being shared" in look(step, far)["reason"]
    assert changed(cloud) == [("ds:ShareDirectory", FAR)]


def test_a_share_on_a_later_page_is_found(cloud: Cloud, step: Step, far: dict[str, Any]) -> None:
    for number in range(23):
        shared(cloud, "Shared", account=f"1111111111{number:02}")
    mine = shared(cloud, "Shared")
    assert look(step, far)["outputs"] == {"id": mine.shared_id}


def test_ready_only_when_it_is_seen_here(cloud: Cloud, step: Step, far: dict[str, Any]) -> None:
    owner = cloud.directories.find("far.example.com")
    share = sharing.new_share(cloud, owner, HOME, method="ORGANIZATIONS", status="Shared")
    assert not look(step, far)["ready"]
    sharing.show(cloud, share)
    assert look(step, far)["ready"]


# --- shared by hand ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", [FAR, ""])
def test_what_was_shared_by_hand_is_ready_when_it_is_shared(
    cloud: Cloud, step: Step, far: dict[str, Any], owner: str
) -> None:
    assert far
    directory = by_hand(cloud, "Shared", owner_account=owner)
    assert look(step, directory)["outputs"] == {"id": directory["id"]}
    assert not [call for call in cloud.calls if call.account == FAR and call.function]


def test_and_accepted_when_it_waits_for_that(cloud: Cloud, step: Step, far: dict[str, Any]) -> None:
    assert far
    directory = by_hand(cloud, "PendingAcceptance")
    outputs = run_step(cloud, step, "EnsureDirectoryShare", directory=directory, method="HANDSHAKE")["outputs"]
    assert outputs == {"id": directory["id"]}
    assert changed(cloud) == [("ds:AcceptSharedDirectory", HOME)]


@pytest.mark.parametrize("status", ["Shared", "PendingAcceptance"])
def test_a_share_of_another_owner_than_step_1_has_found_is_neither_used_nor_accepted(
    cloud: Cloud, step: Step, far: dict[str, Any], status: str
) -> None:
    assert far
    with pytest.raises(StepFailed, match=rf"DirectoryNotTrusted: The share \S+ is of the account {FAR}"):
        look(step, by_hand(cloud, status, owner_account="666666666666"))
    assert changed(cloud) == []


@pytest.mark.parametrize("status", ["Deleting", "Deleted"])
def test_one_that_has_ended_has_to_be_made_again_by_hand(
    cloud: Cloud, step: Step, far: dict[str, Any], status: str
) -> None:
    assert far
    with pytest.raises(
        StepFailed, match=f"ShareRefused.*is {status}(?s:.*)share the directory with the account {HOME}"
    ):
        look(step, by_hand(cloud, status, owner_account=""))


def test_a_share_whose_status_is_not_told_is_waited_for(cloud: Cloud, step: Step, far: dict[str, Any]) -> None:
    directory = by_hand(cloud, "Shared")
    assert far
    cloud.directories.shares.clear()
    assert not look(step, directory)["ready"]


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("OrganizationsException", "DirectoryShareMethod to HANDSHAKE"),
        ("ShareLimitExceededException", "quota"),
        ("InvalidTargetException", "DirectoryAccountRole empty"),
    ],
)
def test_what_aws_refuses_for_good_has_a_remedy(
    cloud: Cloud, step: Step, far: dict[str, Any], code: str, remedy: str
) -> None:
    cloud.faults = Faults([Fault(call="ds:ShareDirectory", error=code, message="In its words.")])
    with pytest.raises(StepFailed) as failed:
        look(step, far)
    assert failed.value.error == "ShareRefused"
    assert f"{code}: In its words." in failed.value.text
    assert remedy in failed.value.text


def test_an_account_that_is_not_the_organization_s_management_account_is_refused(
    cloud: Cloud, step: Step, far: dict[str, Any]
) -> None:
    assert cloud
    with pytest.raises(StepFailed, match=r"ShareRefused.*by ORGANIZATIONS: OrganizationsException"):
        look(step, far, "ORGANIZATIONS")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("ds:ShareDirectory", "DirectoryAlreadySharedException"),
        ("ds:AcceptSharedDirectory", "DirectoryAlreadySharedException"),
        ("ds:AcceptSharedDirectory", "EntityDoesNotExistException"),
    ],
)
def test_what_is_not_seen_yet_or_done_meanwhile_is_waited_for(
    cloud: Cloud, step: Step, far: dict[str, Any], call: str, code: str
) -> None:
    cloud.faults = Faults([Fault(call=call, error=code)])
    run_step(cloud, step, "EnsureDirectoryShare", directory=far, method="HANDSHAKE")


@pytest.mark.parametrize("call", ["ds:ShareDirectory", "ds:AcceptSharedDirectory"])
def test_a_denial_is_one(cloud: Cloud, step: Step, far: dict[str, Any], call: str) -> None:
    cloud.faults = Faults([Fault(call=call, error="AccessDeniedException", status=403)])
    with pytest.raises(StepFailed, match="AccessDenied"):
        run_step(cloud, step, "EnsureDirectoryShare", directory=far, method="HANDSHAKE")


def test_a_cluster_joins_only_what_its_account_may_use(cloud: Cloud, far: dict[str, Any]) -> None:
    join = cloud.client("rds").modify_db_cluster
    share = shared(cloud, "PendingAcceptance")
    for domain in (far["id"], share.shared_id):
        with pytest.raises(cloud.client("rds").exceptions.DomainNotFoundFault):
            join(DBClusterIdentifier="orders", Domain=domain, DomainIAMRoleName="aurora-kerberos-directory-access")
    share.status = "Shared"
    join(DBClusterIdentifier="orders", Domain=share.shared_id, DomainIAMRoleName="aurora-kerberos-directory-access")
