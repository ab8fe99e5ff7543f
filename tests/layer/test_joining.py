"""Step 6's decisions: what is next for a membership, what is noted, and what a refusal of RDS means."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from aurora_kerberos.errors import DirectoryNotFound, ServiceRoleInvalid
from aurora_kerberos.joining import Next, decided, noted
from aurora_kerberos.memberships import NOTHING_DONE, refusal
from aurora_kerberos.step import Waiting

ON, OFF, FAILED, COMING = "kerberos-enabled", "", "enable-kerberos-failed", "enabling-kerberos"


@pytest.mark.parametrize(
    ("statuses", "elsewhere", "wrong_role", "done", "then"),
    [
        ((OFF, OFF, OFF), False, False, {}, Next("join", "orders")),
        ((OFF, ON, ON), True, False, {}, Next("join", "orders")),  # it moves
        ((FAILED, FAILED, FAILED), True, False, {}, Next("join", "orders")),  # what failed was another domain's
        ((FAILED, FAILED, ON), False, False, {}, Next("reattempt", "orders")),
        ((ON, ON, FAILED), False, False, {}, Next("reattempt", "two")),
        ((ON, "failed", ON), False, False, {"reattempted": True}, Next("fail", "one")),
        ((FAILED, COMING, ON), False, False, {"reattempted": True}, Next("fail", "orders")),
        ((COMING, COMING, COMING), False, False, {}, Next("wait", "orders")),
        ((ON, ON, COMING), False, True, {}, Next("wait", "two")),  # the role is looked at later
        ((ON, OFF, ON), False, False, {}, Next("wait", "one")),  # not listed yet
        ((ON, "pending-maintenance-enable-kerberos", ON), False, False, {}, Next("wait", "one")),
        ((ON, ON, ON), False, True, {}, Next("correct", "orders")),
        ((ON, ON, ON), False, True, {"corrected": True}, Next("keep", "orders")),
        ((ON, "joined", ON), False, False, {"corrected": True, "reattempted": True}, Next("restart", "orders")),
    ],
)
def test_what_is_next(
    statuses: tuple[str, str, str], elsewhere: bool, wrong_role: bool, done: dict[str, Any], then: Next
) -> None:
    named = dict(zip(("orders", "one", "two"), statuses, strict=True))
    progress: Any = {**NOTHING_DONE, **done}
    assert decided("orders", named, elsewhere, wrong_role, progress) == then


@pytest.mark.parametrize(
    ("before", "again", "after"),
    [
        ({}, "", {"asked": True}),
        ({}, "reattempted", {"asked": True, "reattempted": True}),
        ({}, "corrected", {"asked": True, "corrected": True}),
        ({"reattempted": True}, "corrected", {"asked": True, "reattempted": True, "corrected": True}),
        ({"corrected": True, "restarted": ["one"]}, "", {"asked": True, "corrected": True, "restarted": ["one"]}),
    ],
)
def test_what_is_noted_when_rds_has_been_asked(before: Any, again: Any, after: Any) -> None:
    assert noted({**NOTHING_DONE, **before}, again) == {**NOTHING_DONE, **after}


ROLE_REFUSED = "IAM role provided is not valid. Check that the role exists and has the correct policies."


@pytest.mark.parametrize(
    ("code", "message", "means"),
    [
        ("InvalidDBClusterStateFault", "", "Cluster orders is busy"),
        ("InvalidDBInstanceState", "", "Cluster orders is busy"),
        ("InvalidParameterCombination", ROLE_REFUSED, "RDS does not accept the role yet"),
        ("DomainNotFoundFault", "", DirectoryNotFound),
        ("InvalidParameterCombination", "Something else.", ClientError),
        ("Throttling", "", ClientError),
        ("AccessDenied", "", ClientError),
    ],
)
def test_what_a_refusal_means(code: str, message: str, means: Any) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "ModifyDBCluster")
    arguments: Any = {"cluster": {"id": "orders"}, "directory": "d-1", "role": "a-role"}
    progress: Any = {**NOTHING_DONE, "asked": True}
    found = refusal(error, arguments, progress)
    if isinstance(means, str):
        assert isinstance(found, Waiting)
        assert (found.reason, found.outputs) == (means, progress)
        assert found.otherwise is None or isinstance(found.otherwise, ServiceRoleInvalid)
    else:
        assert type(found) is means
