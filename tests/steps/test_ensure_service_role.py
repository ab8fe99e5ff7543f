"""Step 3: the role as the guide has it, made once; whose trust is not right is told what is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aurora_kerberos.service_role import trust_policy
from local.cloud import Cloud
from local.core.calls import fakes
from local.core.faults import Fault, Faults
from local.services import lambda_functions
from local.services.lambda_functions import surroundings
from tests.steps.conftest import ROLE, Step, StepFailed

POLICY = "service-role/AmazonRDSDirectoryServiceAccess"


def changes(cloud: Cloud) -> list[str]:
    return [call.name for call in cloud.calls if call.function and call.changes and not call.error]


def detach(cloud: Cloud) -> None:
    cloud.client("iam").detach_role_policy(RoleName=ROLE, PolicyArn=f"arn:aws:iam::aws:policy/{POLICY}")


def test_a_role_as_in_the_guide_is_left_alone(cloud: Cloud, step: Step) -> None:
    outputs = step("EnsureServiceRole", role=ROLE)["outputs"]
    assert outputs == {"name": ROLE, "arn": f"arn:aws:iam::123456789012:role/{ROLE}"}
    assert changes(cloud) == []


def test_a_role_that_is_missing_is_made_once(cloud: Cloud, step: Step) -> None:
    detach(cloud)
    cloud.client("iam").delete_role(RoleName=ROLE)
    step("EnsureServiceRole", role=ROLE)
    made = cloud.client("iam").get_role(RoleName=ROLE)["Role"]
    assert made["AssumeRolePolicyDocument"] == json.loads(trust_policy(cloud.region))
    assert changes(cloud) == ["iam:CreateRole", "iam:AttachRolePolicy"]
    step("EnsureServiceRole", role=ROLE)
    assert len(changes(cloud)) == 2


def test_a_role_that_another_execution_makes_at_the_same_time_is_taken(cloud: Cloud, step: Step) -> None:
    cloud.faults = Faults([Fault(call="iam:GetRole", error="NoSuchEntity")])
    assert step("EnsureServiceRole", role=ROLE)["outputs"]["name"] == ROLE
    assert changes(cloud) == []


def test_a_role_that_aurora_cannot_assume_is_refused_and_gets_no_policy(cloud: Cloud, step: Step) -> None:
    detach(cloud)
    trust = trust_policy(cloud.region).replace("directoryservice.rds", "ds")
    cloud.client("iam").update_assume_role_policy(RoleName=ROLE, PolicyDocument=trust)
    with pytest.raises(StepFailed, match=r"(?s)ServiceRoleInvalid: .*Add directoryservice\.rds\.amazonaws\.com as"):
        step("EnsureServiceRole", role=ROLE)
    assert changes(cloud) == []


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_the_policy_is_that_of_the_region_s_partition(
    cloud: Cloud, step: Step, monkeypatch: pytest.MonkeyPatch, partition: str
) -> None:
    def identity(*_: Any) -> dict[str, Any]:
        return {"Arn": f"arn:{partition}:sts::{cloud.home}:assumed-role/functions/f"}

    monkeypatch.setitem(fakes, ("sts", "GetCallerIdentity"), identity)
    with pytest.raises(StepFailed):  # the local cloud is of another partition, and refuses it
        step("EnsureServiceRole", role=ROLE)
    (call,) = [call for call in cloud.calls if call.name == "iam:AttachRolePolicy" and call.function]
    assert call.parameters["PolicyArn"] == f"arn:{partition}:iam::aws:policy/{POLICY}"


BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"


def test_a_role_that_is_made_has_the_stack_s_boundary() -> None:
    with Cloud({"PermissionsBoundary": BOUNDARY}) as bounded:
        failed, answer = make_role(bounded)
        assert not failed, answer
        made = bounded.client("iam").get_role(RoleName=ROLE)["Role"]
        assert made["PermissionsBoundary"]["PermissionsBoundaryArn"] == BOUNDARY


def test_no_role_can_be_made_without_the_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    with Cloud({"PermissionsBoundary": BOUNDARY}) as bounded:
        monkeypatch.setattr(lambda_functions, "surroundings", without_boundary)
        failed, answer = make_role(bounded)
        assert failed
        assert "not authorized to perform: iam:CreateRole" in answer


def without_boundary(cloud: Cloud, *where: Any) -> dict[str, str]:
    return {**surroundings(cloud, *where), "PERMISSIONS_BOUNDARY": ""}


def make_role(cloud: Cloud) -> tuple[bool, str]:
    event = json.dumps({"execution": "arn:aws:states:eu-central-1:123456789012:execution:m:e", "role": ROLE})
    failed, answer = cloud.functions.invoke(cloud.functions.name("EnsureServiceRole"), event)
    return failed, answer.decode()
