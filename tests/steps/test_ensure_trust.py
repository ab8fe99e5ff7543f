"""Step 2: every state a trust can have, what is there already, and what must never be told."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from local.cloud import Cloud
from local.core.calls import fakes
from local.core.faults import AwsError, Fault, Faults
from local.scenario.format import Directory
from local.scenario.prepare import add_directory
from tests.steps import arguments as given
from tests.steps.conftest import FAR, FAR_ROLE, Step, StepFailed, allow_far_role, run_step

MODEL = botocore.session.get_session().get_service_model("ds")
STATES = getattr(MODEL.shape_for("TrustState"), "enum", [])
CHANGING = {"Creating", "Updating", "Deleting"}
UNVERIFIED = {"Created", "Updated", "VerifyFailed", "Verifying"}
BROKEN = {"Failed", "UpdateFailed"}

DOMAIN = "onprem.example.com"
DNS_IPS = ["10.99.0.10", "10.99.0.11"]
SECRET = f"aurora-kerberos/{DOMAIN}/trust"
PASSWORD = "The same on both sides, 7"


@pytest.fixture(autouse=True)
def trust_secret(cloud: Cloud) -> None:
    cloud.client("secretsmanager").create_secret(Name=SECRET, SecretString=f'{{"password": "{PASSWORD}"}}')
    cloud.calls.clear()


def directory(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    return {**given.directory(**{"id": cloud.directories.find("corp.example.com").directory_id, **changes})}


def wanted(**changes: Any) -> dict[str, Any]:
    return {**given.trust(**{"domain": DOMAIN, "dns_ips": DNS_IPS, "password_secret": SECRET, **changes})}


def changed(cloud: Cloud) -> list[str]:
    return [call.name for call in cloud.calls if call.function and call.changes and not call.error]


def verified(cloud: Cloud) -> int:
    return sum(call.name == "ds:VerifyTrust" for call in cloud.calls)


def trust_there(cloud: Cloud, state: str = "Verified", **changes: Any) -> Any:
    """A trust that was made long ago, with its conditional forwarder."""
    ds = cloud.client("ds")
    options = {"TrustDirection": "One-Way: Outgoing", "TrustType": "Forest", "RemoteDomainName": DOMAIN, **changes}
    ds.create_trust(
        DirectoryId=directory(cloud)["id"],
        TrustPassword=PASSWORD,
        ConditionalForwarderIpAddrs=DNS_IPS,
        **options,
    )
    cloud.run()
    trust = cloud.directories.find("corp.example.com").trusts[-1]
    trust.trust_state = state
    cloud.calls.clear()
    return trust


def test_no_state_of_aws_s_is_forgotten() -> None:
    assert {"Verified", "Deleted"} | CHANGING | UNVERIFIED | BROKEN == set(STATES)


def test_without_trusts_nothing_is_asked(cloud: Cloud, step: Step) -> None:
    assert step("EnsureTrust", directory=directory(cloud), trusts=[])["outputs"] == {"realms": []}
    assert not [call for call in cloud.calls if call.function]


@pytest.mark.parametrize(("direction", "as_aws_has_it"), [("outgoing", "One-Way: Outgoing"), ("two-way", "Two-Way")])
def test_a_new_trust_is_made_verified_and_then_ready(
    cloud: Cloud, step: Step, direction: str, as_aws_has_it: str
) -> None:
    cloud.directories.add_on_premises(DOMAIN, DNS_IPS, PASSWORD)
    arguments = {"directory": directory(cloud), "trusts": [wanted(direction=direction)]}
    answer = step("EnsureTrust", **arguments)
    assert (answer["ready"], answer["reason"]) == (False, f"Trust with {DOMAIN} is Creating")
    (call,) = [call for call in cloud.calls if call.name == "ds:CreateTrust"]
    assert call.parameters["TrustDirection"] == as_aws_has_it
    assert call.parameters["TrustType"] == "Forest"
    assert call.parameters["ConditionalForwarderIpAddrs"] == DNS_IPS
    assert step("EnsureTrust", **arguments)["reason"] == answer["reason"]
    cloud.run()
    assert "not Verified yet" in step("EnsureTrust", **arguments)["reason"]
    cloud.run()
    assert step("EnsureTrust", **arguments)["outputs"] == {"realms": ["ONPREM.EXAMPLE.COM"]}
    assert changed(cloud) == ["ds:CreateTrust"]
    assert verified(cloud) == 1


@pytest.mark.parametrize("state", sorted(CHANGING))
def test_it_waits_while_aws_works(cloud: Cloud, step: Step, state: str) -> None:
    trust_there(cloud, state)
    answer = step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])
    assert (answer["ready"], answer["reason"]) == (False, f"Trust with {DOMAIN} is {state}")
    assert not changed(cloud)
    assert verified(cloud) == 0


@pytest.mark.parametrize("state", sorted(UNVERIFIED))
def test_it_is_verified_unless_it_is_being_verified(cloud: Cloud, step: Step, state: str) -> None:
    trust_there(cloud, state)
    answer = step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])
    # The same reason in all four, or the deadline would begin anew each time.
    assert answer["reason"] == f"Trust with {DOMAIN} is not Verified yet"
    assert verified(cloud) == (state != "Verifying")


@pytest.mark.parametrize("state", sorted(BROKEN))
def test_what_failed_for_good_is_an_error_in_aws_s_words(cloud: Cloud, step: Step, state: str) -> None:
    trust_there(cloud, state).trust_state_reason = f"The domain was unreachable with {PASSWORD}."
    with pytest.raises(StepFailed) as failed:
        step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])
    assert failed.value.error == "TrustFailed"
    assert f"is {state}. AWS says: The domain was unreachable with ***." in failed.value.text
    assert "delete the trust" in failed.value.text
    assert not changed(cloud)


def test_a_verified_trust_changes_nothing_whatever_the_case_of_its_name(cloud: Cloud, step: Step) -> None:
    trust_there(cloud, RemoteDomainName="OnPrem.Example.COM.").remote_domain_name = "OnPrem.Example.COM."
    cloud.directories.forwarders(directory(cloud)["id"])["OnPrem.Example.COM."] = {"DnsIpAddrs": DNS_IPS[::-1]}
    assert step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])["ready"]
    assert not changed(cloud)


def test_a_deleted_trust_is_none(cloud: Cloud, step: Step) -> None:
    trust_there(cloud, "Deleted")
    step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])
    assert changed(cloud) == ["ds:CreateTrust"]


def test_a_trust_on_a_later_page_is_found(cloud: Cloud, step: Step) -> None:
    for number in range(120):
        trust_there(cloud, RemoteDomainName=f"other{number}.example.com")
    trust_there(cloud)
    assert step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])["ready"]


@pytest.mark.parametrize(
    "there", [{"TrustDirection": "Two-Way"}, {"TrustDirection": "One-Way: Incoming"}, {"TrustType": "External"}]
)
def test_another_direction_or_type_is_refused_and_nothing_changed(
    cloud: Cloud, step: Step, there: dict[str, str]
) -> None:
    trust_there(cloud, "VerifyFailed", **there)
    trusts = [wanted(domain="new.example.com"), wanted(dns_ips=["10.1.1.1"])]
    with pytest.raises(StepFailed) as failed:
        step("EnsureTrust", directory=directory(cloud), trusts=trusts)
    assert failed.value.error == "TrustDiffers"
    assert next(iter(there.values())) in failed.value.text
    assert "(Forest, One-Way: Outgoing) is asked for" in failed.value.text
    assert not changed(cloud)
    assert verified(cloud) == 0


def test_one_that_is_being_deleted_may_be_another(cloud: Cloud, step: Step) -> None:
    trust_there(cloud, "Deleting", TrustDirection="Two-Way")
    assert "Deleting" in step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])["reason"]


# --- the conditional forwarder ----------------------------------------------------------------------------------------


def test_a_missing_forwarder_is_made(cloud: Cloud, step: Step) -> None:
    trust_there(cloud)
    cloud.directories.forwarders(directory(cloud)["id"]).clear()
    assert step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])["ready"]
    assert changed(cloud) == ["ds:CreateConditionalForwarder"]


@pytest.mark.parametrize("state", ["Verified", "VerifyFailed", "Deleted"])
def test_a_forwarder_is_not_repointed_and_nothing_else_is_changed(cloud: Cloud, step: Step, state: str) -> None:
    """Whoever writes the list of trusts would else answer for a domain that is trusted already."""
    trust_there(cloud, state)
    trusts = [wanted(domain="new.example.com"), wanted(dns_ips=["10.7.7.7", "fd00::7"])]
    with pytest.raises(StepFailed) as failed:
        step("EnsureTrust", directory=directory(cloud), trusts=trusts)
    assert failed.value.error == "TrustDiffers"
    assert "leads to 10.99.0.10, 10.99.0.11, and 10.7.7.7, fd00::7 is asked for" in failed.value.text
    assert "update-conditional-forwarder" in failed.value.text
    assert not changed(cloud)
    assert verified(cloud) == 0


def test_its_addresses_are_compared_whatever_their_family_and_notation(cloud: Cloud, step: Step) -> None:
    trust_there(cloud)
    there = {"DnsIpAddrs": ["10.7.7.7"], "DnsIpv6Addrs": ["fd00:0::7"]}
    cloud.directories.forwarders(directory(cloud)["id"])[DOMAIN] = there
    arguments = {"directory": directory(cloud), "trusts": [wanted(dns_ips=["fd00::7", "10.7.7.7"])]}
    assert step("EnsureTrust", **arguments)["ready"]


def test_a_missing_forwarder_is_made_with_addresses_of_both_families(cloud: Cloud, step: Step) -> None:
    trust_there(cloud)
    cloud.directories.forwarders(directory(cloud)["id"]).clear()
    step("EnsureTrust", directory=directory(cloud), trusts=[wanted(dns_ips=["10.7.7.7", "fd00::7"])])
    (made,) = cloud.directories.forwarders(directory(cloud)["id"]).values()
    assert made == {"DnsIpAddrs": ["10.7.7.7"], "DnsIpv6Addrs": ["fd00::7"]}


def test_a_forwarder_that_is_there_is_used_for_a_new_trust(cloud: Cloud, step: Step) -> None:
    cloud.directories.forwarders(directory(cloud)["id"])[DOMAIN] = {"DnsIpAddrs": DNS_IPS}
    step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])
    assert changed(cloud) == ["ds:CreateTrust"]
    (call,) = [call for call in cloud.calls if call.name == "ds:CreateTrust"]
    assert "ConditionalForwarderIpAddrs" not in call.parameters


@pytest.mark.parametrize("call", ["DescribeConditionalForwarders", "CreateConditionalForwarder"])
def test_an_unavailable_directory_is_waited_for(cloud: Cloud, step: Step, call: str) -> None:
    trust_there(cloud)
    cloud.directories.forwarders(directory(cloud)["id"]).clear()
    cloud.faults = Faults([Fault(call=f"ds:{call}", error="DirectoryUnavailableException")])
    answer = step("EnsureTrust", directory=directory(cloud), trusts=[wanted(dns_ips=["10.7.7.7"])])
    assert "is busy" in answer["reason"]


def test_who_is_slower_than_somebody_else_waits_as_well(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call="ds:CreateTrust", error="EntityAlreadyExistsException")])
    assert "is Creating" in step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])["reason"]


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["210987654321", ""])
def test_a_shared_directory_s_trusts_need_a_role_in_its_account(cloud: Cloud, step: Step, owner: str) -> None:
    shared = directory(cloud, shared=True, owner_account=owner)
    with pytest.raises(StepFailed, match=r"DirectoryAccountRoleMissing.*(?s:.*)DirectoryAccountRole"):
        step("EnsureTrust", directory=shared, trusts=[wanted()])
    assert step("EnsureTrust", directory=shared, trusts=[])["ready"]
    assert not [call for call in cloud.calls if call.function]


def test_in_another_account_the_role_is_used_and_the_secret_is_the_stack_s(cloud: Cloud, step: Step) -> None:
    add_directory(cloud, Directory(dns_name="far.example.com", account=FAR))
    far = cloud.directories.find("far.example.com")
    allow_far_role(cloud, "EnsureTrust")
    arguments = {"directory": directory(cloud, id=far.directory_id, role=FAR_ROLE), "trusts": [wanted()]}
    step("EnsureTrust", **arguments)
    made = [call for call in cloud.calls if call.function and call.service in {"ds", "secretsmanager"}]
    assert {(call.service, call.account) for call in made} == {
        ("ds", FAR),
        ("secretsmanager", "123456789012"),
    }
    assert len(far.trusts) == 1


@pytest.mark.parametrize("code", ["InvalidParameterException", "ClientException", "UnsupportedOperationException"])
def test_what_aws_refuses_is_quoted_without_the_password(cloud: Cloud, step: Step, code: str) -> None:
    cloud.faults = Faults([Fault(call="ds:CreateTrust", error=code, message=f"Value '{PASSWORD}' is wrong")])
    with pytest.raises(StepFailed) as failed:
        step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])
    assert failed.value.error == "AwsRefused"
    assert "Value '***' is wrong" in failed.value.text
    assert SECRET in failed.value.text


@pytest.mark.parametrize(
    ("code", "error"), [("AccessDeniedException", "AccessDenied"), ("ServiceException", "AwsUnavailable")]
)
def test_nor_is_it_in_the_errors_of_all_steps(cloud: Cloud, step: Step, code: str, error: str) -> None:
    cloud.faults = Faults([Fault(call="ds:CreateTrust", error=code, message=f"Value '{PASSWORD}'")])
    with pytest.raises(StepFailed) as failed:
        step("EnsureTrust", directory=directory(cloud), trusts=[wanted()])
    assert failed.value.error == error
    assert PASSWORD not in failed.value.text + cloud.functions.logs()


def test_past_the_deadline_the_likely_causes_are_named(cloud: Cloud, step: Step) -> None:
    cloud.directories.add_on_premises(DOMAIN, DNS_IPS, "another password")
    arguments: dict[str, Any] = {"directory": directory(cloud), "trusts": [wanted()]}
    with pytest.raises(StepFailed) as failed:
        run_step(cloud, step, "EnsureTrust", **arguments)
    assert failed.value.error == "TrustNotVerified"
    assert "is VerifyFailed after 30 minutes. AWS says: The trust password is not" in failed.value.text
    for cause in (SECRET, "10.99.0.10, 10.99.0.11", "firewall", "clocks", "not made on the on-premises side"):
        assert cause in failed.value.text
    assert PASSWORD not in failed.value.text + cloud.functions.logs()
    assert changed(cloud) == ["ds:CreateTrust"]
    assert 5 < verified(cloud) < 30


def test_a_missing_secret_is_named_before_anything_is_made(cloud: Cloud, step: Step) -> None:
    with pytest.raises(StepFailed, match=r"SecretUnusable.*aurora-kerberos/x/trust"):
        step("EnsureTrust", directory=directory(cloud), trusts=[wanted(password_secret="aurora-kerberos/x/trust")])
    assert not changed(cloud)


def test_two_trusts_are_made_side_by_side(cloud: Cloud, step: Step) -> None:
    trusts = [wanted(), wanted(domain="second.example.com")]
    step("EnsureTrust", directory=directory(cloud), trusts=trusts)
    assert changed(cloud) == ["ds:CreateTrust", "ds:CreateTrust"]


def test_a_trust_without_a_forwarder_fails_in_the_local_cloud_as_well(cloud: Cloud) -> None:
    ds = cloud.client("ds")
    ds.create_trust(
        DirectoryId=directory(cloud)["id"], RemoteDomainName=DOMAIN, TrustPassword=PASSWORD, TrustDirection="Two-Way"
    )
    cloud.run()
    (trust,) = ds.describe_trusts(DirectoryId=directory(cloud)["id"])["Trusts"]
    assert trust["TrustState"] == "Failed"


def test_the_local_cloud_knows_the_operations_it_answers() -> None:
    assert {name for service, name in fakes if service == "ds"} <= set(MODEL.operation_names)
    assert str(AwsError("Code", "text")) == "Code: text"
