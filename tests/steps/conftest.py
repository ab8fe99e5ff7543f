"""One step against the local cloud: its real handler, under its own role, with arguments of the test's."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aurora_kerberos import items
from aurora_kerberos.step import waited_seconds
from local.cloud import Cloud
from local.scenario.format import AtStart, Cluster, Directory, Role
from local.scenario.prepare import prepare

ROLE = "aurora-kerberos-directory-access"
FAR = "210987654321"
FAR_ROLE = f"arn:aws:iam::{FAR}:role/aurora-kerberos-directory-account"


class StepFailed(Exception):
    """A step raised: the name and text that Step Functions would get."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(f"{error}: {text}")
        self.error, self.text = error, text


Step = Callable[..., dict[str, Any]]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A cluster of two instances, an active directory, and the role, in a stack that may make clusters."""
    with Cloud({"Creation": "private"}) as running:
        directory = Directory(dns_name="corp.example.com", users=["alice", "kerberos-check"])
        prepare(running, AtStart(clusters=[Cluster(id="orders")], directories=[directory], roles={ROLE: Role()}))
        yield running


@pytest.fixture
def step(cloud: Cloud) -> Step:
    """Invoke a function of the template by its logical id; its answer."""

    def invoke(function: str, **arguments: Any) -> dict[str, Any]:
        told = {
            "execution": "arn:aws:states:eu-central-1:123456789012:execution:m:e",
            "now": cloud.clock.time().isoformat(),
        }
        event = json.dumps({**told, **arguments})
        failed, payload = cloud.functions.invoke(cloud.functions.name(function), event)
        cloud.raise_trouble()
        answer: dict[str, Any] = json.loads(payload)
        if failed:
            raise StepFailed(answer["errorType"], answer["errorMessage"])
        return answer

    return invoke


def run_step(cloud: Cloud, step: Step, function: str, **arguments: Any) -> dict[str, Any]:
    """Invoke a function until it is ready, as the state machine does, with its waits; the last answer."""
    answer: dict[str, Any] = {"ready": False, "polls": 0, "reason": "", "wait_seconds": 0, "outputs": {}}
    while not answer["ready"]:
        cloud.run(until=cloud.clock.now + answer["wait_seconds"])
        told = {"polls": answer["polls"], "waiting_for": answer["reason"], "progress": answer["outputs"]}
        answer = step(function, **{**arguments, **told})
    return answer


def polls_in(minutes: int, at_least: int = 0) -> int:
    """The number of the poll at which a thing has been waited for that long, for the first time."""
    return next(polls for polls in itertools.count() if waited_seconds(polls, at_least) >= minutes * 60)


def believe(cloud: Cloud, kind: str, cluster: str = "orders", **fields: str) -> None:
    """The registry has an item about a cluster: `registry.RESTART` or `registry.MADE`."""
    described = cloud.client("rds").describe_db_clusters(DBClusterIdentifier=cluster)["DBClusters"][0]
    item = {"arn": f"{kind}{described['DBClusterArn']}", "resource_id": described["DbClusterResourceId"], **fields}
    cloud.client("dynamodb").put_item(TableName=cloud.outputs["Registry"], Item=items.written(item))


def allow_far_role(cloud: Cloud, function: str) -> None:
    """As if the stack had been deployed with the parameter DirectoryAccountRole."""
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": FAR_ROLE}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("iam").put_role_policy(
        RoleName=cloud.functions.role(function), PolicyName="far", PolicyDocument=document
    )


def set_of_stack(cloud: Cloud, **settings: str) -> None:
    """As if the stack had been deployed with other parameters."""
    ssm, name = cloud.client("ssm"), "/aurora-kerberos.stack"
    text = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    for field, value in settings.items():
        text, times = re.subn(rf"^{field}=.*$", f"{field}={value}", text, flags=re.MULTILINE)
        assert times == 1, field
    ssm.put_parameter(Name=name, Value=text, Type="String", Overwrite=True)
