"""What the tests of a rollout's functions share: a cloud that is its own member, and its bucket and table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local.cloud import Cloud
from local.core.places import HOME
from local.services.rds.backend import cluster_of

NAME = "first"
EXECUTION = f"arn:aws:states:eu-central-1:{Cloud.home}:execution:aurora-kerberos-rollout:{NAME}"
SECOND = EXECUTION.replace(NAME, "second")
EARLIER, NOW, LATER = "2026-01-04T08:00:00.000Z", "2026-01-05T09:00:00.000Z", "2026-01-05T10:00:00.000Z"
ID = "0123456789abcdef"  # of a rollout
FAR = "210987654321"


@contextmanager
def rollout_cloud() -> Iterator[Cloud]:
    """A home account that starts rollouts, and is a member of them."""
    with Cloud({"Rollout": "on", "ManagementAccountId": Cloud.home}) as running:
        yield running


def read(cloud: Cloud, name: str, execution: str = NAME) -> Any:
    """JSON of the rollout's bucket."""
    return json.loads(read_text(cloud, name, execution))


def read_text(cloud: Cloud, name: str, execution: str = NAME) -> str:
    found = cloud.client("s3").get_object(Bucket=cloud.outputs["RolloutBucket"], Key=f"{execution}/{name}")
    text: str = found["Body"].read().decode()
    return text


def write(cloud: Cloud, name: str, value: Any, execution: str = NAME) -> None:
    """Put JSON into the rollout's bucket."""
    body = json.dumps(value).encode()
    cloud.client("s3").put_object(Bucket=cloud.outputs["RolloutBucket"], Key=f"{execution}/{name}", Body=body)


def arn(cluster: str, account: str = Cloud.home, region: str = HOME.region) -> str:
    return f"arn:aws:rds:{region}:{account}:cluster:{cluster}"


def item(cluster: str, wave: int = 1) -> dict[str, Any]:
    """A cluster as it stands in a wave's file."""
    return {"arn": arn(cluster), "id": cluster, "account": Cloud.home, "region": HOME.region, "wave": wave}


def recorded(cloud: Cloud, rollout: str = ID) -> dict[str, dict[str, str]]:
    """The outcomes in the rollout's table, by the cluster's identifier."""
    scanned = cloud.client("dynamodb").scan(TableName=cloud.outputs["RolloutTable"])["Items"]
    items = [{key: value["S"] for key, value in each.items()} for each in scanned]
    return {each["cluster"].rpartition(":")[2]: each for each in items if each["rollout"] == rollout}


def record(cloud: Cloud, cluster: str, outcome: str, rollout: str = ID, **fields: str) -> None:
    """Write an outcome as `enroll_cluster` does."""
    empty = dict.fromkeys(("error", "message", "remedy"), "")
    known = {"account": Cloud.home, "region": HOME.region, "wave": "1", "began_at": NOW, "recorded_at": NOW}
    written = {"rollout": rollout, "cluster": arn(cluster), "outcome": outcome, **empty, **known, **fields}
    cloud.client("dynamodb").put_item(
        TableName=cloud.outputs["RolloutTable"], Item={key: {"S": value} for key, value in written.items()}
    )


def tags(cloud: Cloud, cluster: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in cluster_of(cloud, cluster).get_tags()}


def tag(cloud: Cloud, cluster: str, **wanted: str) -> None:
    """Put tags on a cluster, of which nobody hears."""
    cluster_of(cloud, cluster).add_tags(
        [{"Key": key.replace("_", "-"), "Value": value} for key, value in wanted.items()]
    )


def untag(cloud: Cloud, cluster: str, *keys: str) -> None:
    cluster_of(cloud, cluster).remove_tags([key.replace("_", "-") for key in keys])


def called(cloud: Cloud, name: str, function: str = "") -> list[Any]:
    """The calls of a name that functions have made."""
    return [call for call in cloud.calls if call.name == name and call.function and function in ("", call.function)]


def forbid(cloud: Cloud, *actions: str) -> None:
    """Somebody denies actions to the member role."""
    statement = {"Effect": "Deny", "Action": list(actions), "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    cloud.client("iam").put_role_policy(
        RoleName=f"aurora-kerberos-member-{cloud.region}", PolicyName="forbidden", PolicyDocument=json.dumps(document)
    )
