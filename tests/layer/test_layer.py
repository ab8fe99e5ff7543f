"""The small things that steps share: names and tags, the trust policy, what AWS documents where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_kerberos import availability, clusters, names, service_role
from aurora_kerberos.arns import Arn


@given(st.text())
def test_whatever_is_said_is_legal_as_a_tag(text: str) -> None:
    value = names.tag_value(text)
    assert len(value) <= 256
    assert all(each.isalnum() or each in " _.:/=+-@" for each in value)


def test_a_tag_keeps_what_can_be_read() -> None:
    assert names.tag_value('Cluster "orders", in {eu}') == "Cluster orders in eu"


@pytest.mark.parametrize(
    ("request_", "cluster"),
    [
        ({"cluster": "orders"}, "orders"),
        ({"cluster": "arn:aws:rds:eu-central-1:123456789012:cluster:orders"}, "orders"),
        ({"resources": ["arn:aws:rds:eu-central-1:123456789012:cluster:orders"]}, "orders"),
        ({"cluster": "Orders"}, "orders"),
        ({"resources": []}, ""),
        ({"cluster": "arn:aws:rds:eu-central-1:999999999999:cluster:orders"}, ""),  # not this account's
        ({"cluster": "arn:aws:rds:eu-west-1:123456789012:cluster:orders"}, ""),  # not this Region's
        ({"cluster": 7}, ""),
        ({"cluster": "no such name"}, ""),
        ({"cluster": "a\nb"}, ""),
        ({}, ""),
        ("orders", ""),
        (None, ""),
    ],
)
def test_the_cluster_an_input_is_about_whatever_the_input(request_: Any, cluster: str) -> None:
    execution = "arn:aws:states:eu-central-1:123456789012:execution:machine:run"
    assert names.requested_cluster(request_, execution) == cluster


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("arn:aws:iam::123456789012:role/a/b", ("aws", "iam", "", "123456789012", "role/a/b")),
        ("arn:aws-cn:states:cn-north-1:1:execution:m:e", ("aws-cn", "states", "cn-north-1", "1", "execution:m:e")),
        ("arn:aws", ("aws", "", "", "", "")),
        ("", ("", "", "", "", "")),
    ],
)
def test_an_arn_in_its_parts(text: str, parts: tuple[str, ...]) -> None:
    assert Arn.parse(text) == parts


@given(st.from_regex(r"arn:[a-z-]*:[a-z]*:[a-z0-9-]*:[0-9]*:[a-z:/]*", fullmatch=True))
def test_an_arn_is_put_together_as_it_was(text: str) -> None:
    assert str(Arn.parse(text)) == text


def role(*services: str, effect: str = "Allow", action: Any = "sts:AssumeRole") -> dict[str, Any]:
    statement = {"Effect": effect, "Principal": {"Service": list(services)}, "Action": action}
    return {"AssumeRolePolicyDocument": {"Statement": [statement]}}


BOTH = ("directoryservice.rds.amazonaws.com", "rds.amazonaws.com")


def test_a_role_as_in_the_guide_lacks_nothing() -> None:
    assert service_role.missing_principals(role(*BOTH), "eu-central-1") == []
    assert service_role.missing_principals(role(*BOTH, action=["sts:AssumeRole"]), "us-gov-west-1") == []


@pytest.mark.parametrize(
    ("found", "missing"),
    [
        (role("rds.amazonaws.com"), ["directoryservice.rds.amazonaws.com"]),
        (role(*BOTH, effect="Deny"), list(BOTH)),
        (role(*BOTH, action="sts:TagSession"), list(BOTH)),
        ({"AssumeRolePolicyDocument": {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*"}}}, list(BOTH)),
    ],
)
def test_a_role_that_lacks_a_principal_is_told_which(found: dict[str, Any], missing: list[str]) -> None:
    assert service_role.missing_principals(found, "eu-central-1") == missing


def test_an_opt_in_region_needs_its_own_principals_as_well() -> None:
    assert service_role.missing_principals(role(*BOTH), "af-south-1") == [
        "directoryservice.rds.af-south-1.amazonaws.com",
        "rds.af-south-1.amazonaws.com",
    ]


def test_an_unknown_region_or_version_is_a_warning() -> None:
    assert availability.warnings("eu-central-1", "16.4") == []
    assert len(availability.warnings("xx-nowhere-1", "9.6")) == 2


def test_no_status_is_both_usable_and_stuck() -> None:
    assert not clusters.AVAILABLE & (clusters.STUCK_CLUSTER | clusters.STUCK_INSTANCE)


@pytest.mark.parametrize(
    ("request_", "action"),
    [
        ({"cluster": "orders"}, "enable"),
        ({"cluster": "orders", "action": "disable"}, "disable"),
        ({"cluster": "orders", "swept": "0"}, ""),  # of the sweep of the version before
        ({"cluster": "orders", "action": "disable", "swept": "0"}, "disable"),
        ({"detail-type": names.TAG_EVENT, "detail": {"tags": {"kerberos": "disabled"}}}, "disable"),
        ({"detail-type": names.TAG_EVENT, "detail": {"tags": {"kerberos": "perhaps"}}}, ""),
        ({"detail-type": names.TAG_EVENT, "detail": {"tags": {}}}, ""),
        ({"detail-type": names.TAG_EVENT, "detail": {"tags": None}}, ""),
        ({"detail-type": names.TAG_EVENT, "detail": "tags"}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_what_an_input_asks_for_without_a_look_at_the_cluster(request_: Any, action: str) -> None:
    assert names.requested_action(request_) == action
