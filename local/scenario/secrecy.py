"""What the local cloud holds in secret, what can be read of it, and whether the one stands in the other."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from moto.dynamodb.models import dynamodb_backends
from moto.rds.models import rds_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

from local.cloud import Cloud
from local.core.calls import Call

# Where a call hands a secret to who is to have it; whatever else calls say may be read by people.
SECRET_PARAMETERS = {
    "ds:CreateMicrosoftAD": "Password",
    "ds:CreateTrust": "TrustPassword",
    "ds:ResetUserPassword": "NewPassword",
    "rds:CreateDBCluster": "MasterUserPassword",
    "secretsmanager:CreateSecret": "SecretString",
}
NO_SECRET = {"username"}  # what stands beside it in the JSON of a secret


def secrets(cloud: Cloud) -> set[str]:  # noqa: ARG001  moto's backends are those of the cloud that runs
    """What Secrets Manager holds and has held, in all accounts and Regions: passwords, keytabs, texts without JSON."""
    return {
        value
        for backend in in_all_places(secretsmanager_backends)
        for secret in backend.secrets.values()
        for version in secret.versions.values()
        for value in values(str(version.get("secret_string") or ""))
    }


def values(text: str) -> Iterator[str]:
    """The secret values of a secret's text."""
    try:
        content = json.loads(text)
    except ValueError:
        content = text
    fields = content if isinstance(content, dict) else {"": content}
    yield from (str(value) for name, value in fields.items() if value and name not in NO_SECRET)


def leaked(secret_values: Iterable[str], text: str) -> list[str]:
    """The secrets that stand in a text, in whatever form."""
    return [value for value in secret_values if any(form in text for form in forms(value))]


def forms(value: str) -> set[str]:
    """A value as it is, as JSON (also within JSON), in a URL, and in base64 behind whatever it may stand in there."""
    in_json = json.dumps(value)[1:-1]
    return {value, in_json, json.dumps(in_json)[1:-1], quote(value, safe=""), quote_plus(value), *in_base64(value)}


def in_base64(value: str) -> Iterator[str]:
    """What is the same in the base64 of every text with the value in it: three bytes are four characters."""
    content = value.encode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + content + b"\0" * 3).decode()
        # The characters that hold bits of the value alone.
        yield encoded[-(-before * 4 // 3) : (before + len(content)) * 4 // 3]


def written(cloud: Cloud) -> str:
    """All that executions have left where people can read it, in all accounts and Regions.

    Histories, of Distributed Maps' children too; logs; what the functions' calls have said, be it of tags,
    notifications or events; and what is found in tags of clusters, tables, buckets, parameters and the stacks' outputs.
    """
    histories = [execution.history for execution in (*cloud.executions.values(), *cloud.children.values())]
    said = [[call.name, *public(call)] for call in cloud.calls if call.function]
    tags = [cluster.get_tags() for rds in in_all_places(rds_backends) for cluster in rds.clusters.values()]
    tables = [table for dynamodb in in_all_places(dynamodb_backends) for table in dynamodb.tables.values()]
    items = [item.to_json() for table in tables for item in table.all_items()]
    buckets = [bucket for s3 in in_all_places(s3_backends) for bucket in s3.buckets.values()]
    objects = [(key.name, key.value.decode(errors="replace")) for bucket in buckets for key in bucket.keys.values()]
    found = [each for ssm in in_all_places(ssm_backends) for versions in ssm._parameters.values() for each in versions]
    parameters = [(each.name, each.value, each.description) for each in found]
    outputs = [(deployed.parameters, deployed.outputs) for deployed in cloud.deployed.values()]
    everything = [histories, said, tags, items, objects, parameters, outputs]
    return json.dumps(everything, default=readable, ensure_ascii=False) + cloud.functions.logs()


def public(call: Call) -> Iterator[tuple[str, Any]]:
    """The parameters of a call, less what hands a secret over."""
    secret = SECRET_PARAMETERS.get(call.name)
    yield from ((name, value) for name, value in call.parameters.items() if name != secret)


def in_all_places(backends: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
    """moto's backends of a service, of each account and Region that has been used."""
    for regions in backends.values():
        yield from regions.values()


def readable(value: Any) -> str:
    """What JSON does not know, as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
