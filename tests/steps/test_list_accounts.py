"""Which accounts and Regions a rollout looks at, and what it says of an input that means none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto.organizations.models import FakeAccount, organizations_backends

from local.cloud import Cloud
from local.core.faults import Fault, Faults
from local.services.organizations import Organization, establish
from tests.steps.conftest import Step, StepFailed
from tests.steps.rollouts import EXECUTION, FAR, called, read, rollout_cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with rollout_cloud() as running:
        yield running


Ids = dict[str, str]  # accounts and units of an organization, by names of the tests' own


def close(cloud: Cloud, account: str) -> None:
    cloud.client("organizations").close_account(AccountId=account)


SHARED, ORDERS, PAYROLL, LAB = (digit * 12 for digit in "1234")
UNITS = {"live": [ORDERS], "live/apart": [PAYROLL], "test": [LAB]}


@pytest.fixture
def ids(cloud: Cloud) -> Ids:
    """Beside home: `shared`; in the unit live `orders`, in apart, which is in live, `payroll`; in test `lab`."""
    establish(cloud, Organization(management=cloud.home, units=UNITS), [SHARED])
    (root,) = cloud.client("organizations").list_roots()["Roots"]
    units = {name.rpartition("/")[2]: cloud.named[name] for name in UNITS}
    accounts = {"home": cloud.home, "shared": SHARED, "orders": ORDERS, "payroll": PAYROLL, "lab": LAB}
    return accounts | units | {"root": root["Id"]}


def asked(cloud: Cloud, step: Step, **request: Any) -> list[str]:
    """The accounts that a request means, as they stand in the bucket, each with the home Region alone."""
    outputs = step("ListAccounts", request=request, execution=EXECUTION)["outputs"]
    assert outputs["targets"] == "first/targets.json"
    targets = read(cloud, "targets.json")
    assert outputs["accounts"] == len(targets)
    assert {target["region"] for target in targets} == {cloud.region}
    return [target["account"] for target in targets]


def test_an_empty_input_means_all_accounts(cloud: Cloud, step: Step, ids: Ids) -> None:
    everybody = [ids[name] for name in ("home", "shared", "orders", "payroll", "lab")]
    assert sorted(asked(cloud, step)) == sorted(everybody)


def test_what_is_asked_for_is_handed_on_with_its_defaults(step: Step, ids: Ids) -> None:
    request = {"accounts": [ids["lab"]], "max_failures": 2}
    outputs = step("ListAccounts", request=request, execution=EXECUTION)["outputs"]
    assert outputs["request"]["accounts"] == [ids["lab"]]
    assert (outputs["request"]["max_failures"], outputs["request"]["dry_run"]) == (2, True)
    again = step("ListAccounts", request={**request, "dry_run": False}, execution=EXECUTION)["outputs"]
    assert again["rollout"] == outputs["rollout"]


def test_a_unit_means_the_accounts_below_it_however_deep(cloud: Cloud, step: Step, ids: Ids) -> None:
    assert asked(cloud, step, organizational_units=[ids["live"]]) == [ids["orders"], ids["payroll"]]
    assert asked(cloud, step, organizational_units=[ids["apart"]]) == [ids["payroll"]]
    assert len(asked(cloud, step, organizational_units=[ids["root"]])) == 5


def test_accounts_and_units_add_up_and_nobody_counts_twice(cloud: Cloud, step: Step, ids: Ids) -> None:
    listed = asked(
        cloud,
        step,
        accounts=[ids["lab"], ids["orders"], ids["lab"]],
        organizational_units=[ids["live"], ids["apart"]],
    )
    assert sorted(listed) == sorted([ids["orders"], ids["payroll"], ids["lab"]])


@pytest.mark.parametrize("known_by", ["Status", "State"])
@pytest.mark.parametrize("unit", ["", "live", "root"])
def test_closed_accounts_are_left_out(
    cloud: Cloud, step: Step, ids: Ids, monkeypatch: pytest.MonkeyPatch, *, known_by: str, unit: str
) -> None:
    """AWS says so in `Status`, and from September 2026 in `State` alone."""
    all_of_it = FakeAccount.describe
    gone = {"Status", "State"} - {known_by}
    monkeypatch.setattr(
        FakeAccount,
        "describe",
        lambda self: {key: value for key, value in all_of_it(self).items() if key not in gone},
    )
    close(cloud, ids["payroll"])
    listed = asked(cloud, step, **({"organizational_units": [ids[unit]]} if unit else {}))
    assert ids["orders"] in listed
    assert ids["payroll"] not in listed


@pytest.mark.parametrize("state", ["PENDING_ACTIVATION", "SUSPENDED", "PENDING_CLOSURE", "CLOSED"])
def test_of_the_states_only_one_is_active(cloud: Cloud, step: Step, ids: Ids, state: str) -> None:
    """`Status` has fewer words, and says ACTIVE of an account that cannot be used yet."""
    organizations_backends[cloud.home]["aws"].get_account_by_id(ids["lab"]).state = state
    assert ids["lab"] not in asked(cloud, step)


def test_a_unit_that_is_not_there_is_named(step: Step, ids: Ids) -> None:
    units = [ids["live"], "ou-ab12-cd34ef56"]
    with pytest.raises(StepFailed, match="InvalidRequest: There is no organizational unit ou-ab12-cd34ef56") as failed:
        step("ListAccounts", request={"organizational_units": units}, execution=EXECUTION)
    assert "Check organizational_units." in failed.value.text


def test_accounts_that_are_not_there_are_named_all_of_them(cloud: Cloud, step: Step, ids: Ids) -> None:
    close(cloud, ids["lab"])
    accounts = ["999999999999", ids["orders"], ids["lab"]]
    with pytest.raises(StepFailed, match="InvalidRequest: Not active accounts of the organization: ") as failed:
        step("ListAccounts", request={"accounts": accounts}, execution=EXECUTION)
    said = failed.value.text
    assert "999999999999" in said
    assert ids["lab"] in said
    assert ids["orders"] not in said


def test_a_unit_without_accounts_is_nothing_to_do(cloud: Cloud, step: Step, ids: Ids) -> None:
    close(cloud, ids["lab"])
    with pytest.raises(StepFailed, match="InvalidRequest: None of the accounts asked for is an active one"):
        step("ListAccounts", request={"organizational_units": [ids["test"]]}, execution=EXECUTION)


def test_an_account_without_an_organization_can_be_named(cloud: Cloud, step: Step) -> None:
    assert asked(cloud, step, accounts=[cloud.home]) == [cloud.home]


def test_all_accounts_of_no_organization_are_not_guessed(step: Step) -> None:
    with pytest.raises(StepFailed, match="AWSOrganizationsNotInUseException"):
        step("ListAccounts", request={}, execution=EXECUTION)


@pytest.mark.parametrize("request_", [{}, {"accounts": [ORDERS]}, {"organizational_units": ["r-ab12"]}])
def test_a_member_account_is_told_where_rollouts_are_started(
    cloud: Cloud, step: Step, request_: dict[str, Any]
) -> None:
    establish(cloud, Organization(management=FAR), [cloud.home])
    with pytest.raises(StepFailed, match="AccessDenied: List") as failed:
        step("ListAccounts", request=request_, execution=EXECUTION)
    assert "management account" in failed.value.text


def test_a_delegated_administrator_may_ask(cloud: Cloud, step: Step) -> None:
    establish(cloud, Organization(management=FAR, administrators=[cloud.home], units={"live": [ORDERS]}))
    assert sorted(asked(cloud, step)) == sorted([FAR, cloud.home, ORDERS])
    assert asked(cloud, step, organizational_units=[cloud.named["live"]]) == [ORDERS]


def test_regions_are_the_rollout_s_own_or_those_asked_for(cloud: Cloud, step: Step, ids: Ids) -> None:
    regions = ["eu-west-1", "eu-central-1", "eu-west-1"]
    outputs = step(
        "ListAccounts", request={"accounts": [ids["lab"], ids["orders"]], "regions": regions}, execution=EXECUTION
    )["outputs"]
    assert outputs["accounts"] == 2
    listed = [(target["account"], target["region"]) for target in read(cloud, "targets.json")]
    each = [(ids[name], region) for name in ("lab", "orders") for region in ("eu-central-1", "eu-west-1")]
    assert sorted(listed) == sorted(each)


@pytest.mark.parametrize("unit", ["", "test"])
def test_more_accounts_than_a_page_holds_are_all_found(cloud: Cloud, step: Step, unit: str) -> None:
    many = [f"5{number:011}" for number in range(41)]
    establish(cloud, Organization(management=cloud.home, units={"test": many}))
    listed = asked(cloud, step, **({"organizational_units": [cloud.named[unit]]} if unit else {}))
    assert sorted(listed) == sorted([*many, *([] if unit else [cloud.home])])
    listing = "ListAccountsForParent" if unit else "ListAccounts"
    assert len(called(cloud, f"organizations:{listing}")) == 3


def test_more_units_than_a_page_holds_are_all_found(cloud: Cloud, step: Step) -> None:
    units: dict[str, list[str]] = {f"test/team-{number:02}": [] for number in range(41)}
    establish(cloud, Organization(management=cloud.home, units={**units, "test/team-40": [LAB]}))
    assert asked(cloud, step, organizational_units=[cloud.named["test"]]) == [LAB]


@pytest.mark.usefixtures("ids")
def test_when_organizations_is_busy_the_state_machine_asks_again(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call="organizations:ListAccounts", error="TooManyRequestsException")])
    with pytest.raises(StepFailed, match="AwsUnavailable"):
        step("ListAccounts", request={}, execution=EXECUTION)
    assert asked(cloud, step)


def test_an_input_that_is_wrong_changes_nothing(cloud: Cloud, step: Step) -> None:
    with pytest.raises(StepFailed, match="InvalidRequest: The input is not valid: acounts"):
        step("ListAccounts", request={"acounts": []}, execution=EXECUTION)
    assert not called(cloud, "s3:PutObject")
