"""Which accounts and Regions a rollout looks at, and what it says of an input that means none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto.organizations.models import FakeAccount, organizations_backends

from local.cloud import Cloud
from local.faults import Fault, Faults
from tests.unit.conftest import Step, StepFailed
from tests.unit.rollouts import EXECUTION, called, read, rollout_cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with rollout_cloud() as running:
        yield running


class Organization:
    """The home account's organization: accounts by their names, units by theirs."""

    def __init__(self, cloud: Cloud) -> None:
        self.client = cloud.client("organizations")
        self.client.create_organization(FeatureSet="ALL")
        (root,) = self.client.list_roots()["Roots"]
        self.ids = {"root": root["Id"], "home": cloud.home}

    def unit(self, name: str, within: str = "root") -> str:
        made = self.client.create_organizational_unit(ParentId=self.ids[within], Name=name)
        unit = self.ids[name] = str(made["OrganizationalUnit"]["Id"])
        return unit

    def account(self, name: str, within: str = "root") -> str:
        made = self.client.create_account(AccountName=name, Email=f"{name}@example.com")
        account = self.ids[name] = str(made["CreateAccountStatus"]["AccountId"])
        self.client.move_account(
            AccountId=account, SourceParentId=self.ids["root"], DestinationParentId=self.ids[within]
        )
        return account

    def close(self, name: str) -> None:
        self.client.close_account(AccountId=self.ids[name])


@pytest.fixture
def organization(cloud: Cloud) -> Organization:
    """Beside home: `shared`; in the unit live `orders`, in apart, which is in live, `payroll`; in test `lab`."""
    made = Organization(cloud)
    made.unit("live")
    made.unit("apart", "live")
    made.unit("test")
    for name, within in {"shared": "root", "orders": "live", "payroll": "apart", "lab": "test"}.items():
        made.account(name, within)
    return made


def asked(cloud: Cloud, step: Step, **request: Any) -> list[str]:
    """The accounts that a request means, as they stand in the bucket, each with the home Region alone."""
    outputs = step("ListAccounts", request=request, execution=EXECUTION)["outputs"]
    assert outputs["targets"] == "first/targets.json"
    targets = read(cloud, "targets.json")
    assert outputs["accounts"] == len(targets)
    assert {target["region"] for target in targets} == {cloud.region}
    return [target["account"] for target in targets]


def test_an_empty_input_means_all_accounts(cloud: Cloud, step: Step, organization: Organization) -> None:
    ids = organization.ids
    everybody = [ids[name] for name in ("home", "shared", "orders", "payroll", "lab")]
    assert sorted(asked(cloud, step)) == sorted(everybody)


def test_what_is_asked_for_is_handed_on_with_its_defaults(step: Step, organization: Organization) -> None:
    request = {"accounts": [organization.ids["lab"]], "max_failures": 2}
    outputs = step("ListAccounts", request=request, execution=EXECUTION)["outputs"]
    assert outputs["request"]["accounts"] == [organization.ids["lab"]]
    assert (outputs["request"]["max_failures"], outputs["request"]["dry_run"]) == (2, True)
    again = step("ListAccounts", request={**request, "dry_run": False}, execution=EXECUTION)["outputs"]
    assert again["rollout"] == outputs["rollout"]


def test_a_unit_means_the_accounts_below_it_however_deep(cloud: Cloud, step: Step, organization: Organization) -> None:
    ids = organization.ids
    assert asked(cloud, step, organizational_units=[ids["live"]]) == [ids["orders"], ids["payroll"]]
    assert asked(cloud, step, organizational_units=[ids["apart"]]) == [ids["payroll"]]
    assert len(asked(cloud, step, organizational_units=[ids["root"]])) == 5


def test_accounts_and_units_add_up_and_nobody_counts_twice(
    cloud: Cloud, step: Step, organization: Organization
) -> None:
    ids = organization.ids
    found = asked(
        cloud,
        step,
        accounts=[ids["lab"], ids["orders"], ids["lab"]],
        organizational_units=[ids["live"], ids["apart"]],
    )
    assert sorted(found) == sorted([ids["orders"], ids["payroll"], ids["lab"]])


@pytest.mark.parametrize("known_by", ["Status", "State"])
@pytest.mark.parametrize("unit", ["", "live", "root"])
def test_closed_accounts_are_left_out(
    cloud: Cloud, step: Step, organization: Organization, monkeypatch: pytest.MonkeyPatch, *, known_by: str, unit: str
) -> None:
    """AWS says so in `Status`, and from September 2026 in `State` alone."""
    all_of_it = FakeAccount.describe
    gone = {"Status", "State"} - {known_by}
    monkeypatch.setattr(
        FakeAccount,
        "describe",
        lambda self: {key: value for key, value in all_of_it(self).items() if key not in gone},
    )
    organization.close("payroll")
    found = asked(cloud, step, **({"organizational_units": [organization.ids[unit]]} if unit else {}))
    assert organization.ids["orders"] in found
    assert organization.ids["payroll"] not in found


@pytest.mark.parametrize("state", ["PENDING_ACTIVATION", "SUSPENDED", "PENDING_CLOSURE", "CLOSED"])
def test_of_the_states_only_one_is_active(cloud: Cloud, step: Step, organization: Organization, state: str) -> None:
    """`Status` has fewer words, and says ACTIVE of an account that cannot be used yet."""
    organizations_backends[cloud.home]["aws"].get_account_by_id(organization.ids["lab"]).state = state
    assert organization.ids["lab"] not in asked(cloud, step)


def test_a_unit_that_is_not_there_is_named(step: Step, organization: Organization) -> None:
    units = [organization.ids["live"], "ou-ab12-cd34ef56"]
    with pytest.raises(StepFailed, match="InvalidRequest: There is no organizational unit ou-ab12-cd34ef56") as failed:
        step("ListAccounts", request={"organizational_units": units}, execution=EXECUTION)
    assert "Check organizational_units." in failed.value.text


def test_accounts_that_are_not_there_are_named_all_of_them(step: Step, organization: Organization) -> None:
    organization.close("lab")
    accounts = ["111111111111", organization.ids["orders"], organization.ids["lab"]]
    with pytest.raises(StepFailed, match="InvalidRequest: Not active accounts of the organization: ") as failed:
        step("ListAccounts", request={"accounts": accounts}, execution=EXECUTION)
    said = failed.value.text
    assert "111111111111" in said
    assert organization.ids["lab"] in said
    assert organization.ids["orders"] not in said


def test_a_unit_without_accounts_is_nothing_to_do(step: Step, organization: Organization) -> None:
    organization.close("lab")
    with pytest.raises(StepFailed, match="InvalidRequest: None of the accounts asked for is an active one"):
        step("ListAccounts", request={"organizational_units": [organization.ids["test"]]}, execution=EXECUTION)


def test_an_account_without_an_organization_can_be_named(cloud: Cloud, step: Step) -> None:
    assert asked(cloud, step, accounts=[cloud.home]) == [cloud.home]


def test_all_accounts_of_no_organization_are_not_guessed(step: Step) -> None:
    with pytest.raises(StepFailed, match="AWSOrganizationsNotInUseException"):
        step("ListAccounts", request={}, execution=EXECUTION)


@pytest.mark.parametrize("request_", [{}, {"accounts": ["111111111111"]}, {"organizational_units": ["r-ab12"]}])
def test_a_member_account_is_told_where_rollouts_are_started(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any]
) -> None:
    manager = "210987654321"
    cloud.client("organizations", manager).create_organization(FeatureSet="ALL")
    monkeypatch.setitem(organizations_backends.master_accounts, cloud.home, (manager, "aws"))
    with pytest.raises(StepFailed, match="AccessDenied: List") as failed:
        step("ListAccounts", request=request_, execution=EXECUTION)
    assert "management account" in failed.value.text


def test_regions_are_the_rollout_s_own_or_those_asked_for(cloud: Cloud, step: Step, organization: Organization) -> None:
    ids = organization.ids
    regions = ["eu-west-1", "eu-central-1", "eu-west-1"]
    outputs = step(
        "ListAccounts", request={"accounts": [ids["lab"], ids["orders"]], "regions": regions}, execution=EXECUTION
    )["outputs"]
    assert outputs["accounts"] == 2
    found = [(target["account"], target["region"]) for target in read(cloud, "targets.json")]
    each = [(ids[name], region) for name in ("lab", "orders") for region in ("eu-central-1", "eu-west-1")]
    assert sorted(found) == sorted(each)


@pytest.mark.parametrize("unit", ["", "test"])
def test_more_accounts_than_a_page_holds_are_all_found(
    cloud: Cloud, step: Step, organization: Organization, unit: str
) -> None:
    many = [organization.account(f"many-{number:02}", "test") for number in range(41)]
    found = asked(cloud, step, **({"organizational_units": [organization.ids[unit]]} if unit else {}))
    assert set(many) <= set(found)
    assert len(found) == len(set(found))
    listing = "ListAccountsForParent" if unit else "ListAccounts"
    assert len(called(cloud, f"organizations:{listing}")) == 3


def test_more_units_than_a_page_holds_are_all_found(cloud: Cloud, step: Step, organization: Organization) -> None:
    for number in range(41):
        organization.unit(f"team-{number:02}", "test")
    last = organization.account("last", "team-40")
    assert last in asked(cloud, step, organizational_units=[organization.ids["test"]])


@pytest.mark.usefixtures("organization")
def test_when_organizations_is_busy_the_state_machine_asks_again(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call="organizations:ListAccounts", error="TooManyRequestsException")])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        step("ListAccounts", request={}, execution=EXECUTION)
    assert asked(cloud, step)


def test_an_input_that_is_wrong_changes_nothing(cloud: Cloud, step: Step) -> None:
    with pytest.raises(StepFailed, match="InvalidRequest: The input is not valid: acounts"):
        step("ListAccounts", request={"acounts": []}, execution=EXECUTION)
    assert not called(cloud, "s3:PutObject")
