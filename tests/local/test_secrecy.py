"""The search for secrets finds them: wherever a function lets one out, and in whatever form."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from aurora_kerberos.aws import client, secret
from aurora_kerberos.errors import DatabaseRefused
from aurora_kerberos.step import Ready, logger, step
from local.cloud import Cloud
from local.scenario import secrecy
from local.scenario.format import AtStart, Cluster, Directory
from local.scenario.prepare import MASTER_PASSWORD, prepare
from local.services import lambda_functions

NAME = "aurora-kerberos/orders/master"
ARN = "arn:aws:rds:eu-central-1:123456789012:cluster:orders"
FAR = "210987654321"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A cluster whose master password is in a secret."""
    with Cloud() as running:
        at_start = AtStart(
            clusters=[Cluster(id="orders", master_secret=NAME)], directories=[Directory(dns_name="corp.example.com")]
        )
        prepare(running, at_start)
        yield running


def leaked(cloud: Cloud) -> list[str]:
    return secrecy.leaked(secrecy.secrets(cloud), secrecy.written(cloud))


def in_output(password: str) -> Ready:
    return Ready({"password": password})


def in_log(password: str) -> Ready:
    logger.info("Logging in", password=password)
    return Ready()


def in_print(password: str) -> Ready:
    print(password)
    return Ready()


def in_stderr(password: str) -> Ready:
    print(password, file=sys.stderr)
    return Ready()


def in_error(password: str) -> Ready:
    raise DatabaseRefused(f"FATAL: {password} is wrong.", "Mend the secret.")


def in_error_of_python(password: str) -> Ready:
    raise KeyError(password)


def in_refused_tag(password: str) -> Ready:
    """A call that is refused has been logged by AWS CloudTrail."""
    client("rds").add_tags_to_resource(ResourceName=ARN, Tags=[{"Key": "last", "Value": password}])
    return Ready()


def in_nothing(password: str) -> Ready:
    return Ready({"length": len(password)})


@pytest.mark.parametrize(
    "leak",
    [in_output, in_log, in_print, in_stderr, in_error, in_error_of_python, in_refused_tag],
)
def test_a_function_that_lets_a_secret_out_is_found(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, leak: Callable[[str], Ready]
) -> None:
    assert run_with(cloud, monkeypatch, leak) == [MASTER_PASSWORD]


def test_a_function_that_lets_none_out_is_not(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with(cloud, monkeypatch, in_nothing) == []


def run_with(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, leak: Callable[[str], Ready]) -> list[str]:
    """What is found after an execution in which CheckDatabase reads a secret, and does that with it."""

    @step
    def check_database(arguments: Any) -> Ready:
        return leak(secret(arguments["cluster"]["master_secret"], "password")["password"])

    @step
    def ensure_directory(arguments: Any) -> Ready:  # noqa: ARG001  as any handler
        raise DatabaseRefused("It is enough.", "Go home.")

    monkeypatch.setitem(lambda_functions._handlers, "CheckDatabase", check_database)
    monkeypatch.setitem(lambda_functions._handlers, "EnsureDirectory", ensure_directory)
    execution = cloud.executions[cloud.start({"cluster": "orders"})]
    cloud.run()
    assert "CheckDatabase" in execution.steps
    return leaked(cloud)


def in_tag(cloud: Cloud, text: str) -> None:
    cloud.client("rds").add_tags_to_resource(ResourceName=ARN, Tags=[{"Key": "kerberos-message", "Value": text}])


def in_registry(cloud: Cloud, text: str) -> None:
    item = {"arn": {"S": ARN}, "message": {"S": text}}
    cloud.client("dynamodb").put_item(TableName=cloud.outputs["Registry"], Item=item)


def in_parameter(cloud: Cloud, text: str) -> None:
    cloud.client("ssm").put_parameter(Name="/aurora-kerberos/clients/orders/krb5.conf", Type="String", Value=text)


def in_report(cloud: Cloud, text: str) -> None:
    """Of a rollout of another account, in another Region."""
    s3 = cloud.client("s3", FAR, "eu-west-1")
    s3.create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="reports", Key="run-1/report.html", Body=f"<p>{text}</p>".encode())


@pytest.mark.parametrize("place", [in_tag, in_registry, in_parameter, in_report])
def test_a_secret_is_found_wherever_people_can_read_it(cloud: Cloud, place: Callable[[Cloud, str], None]) -> None:
    assert leaked(cloud) == []
    place(cloud, f"the password is {MASTER_PASSWORD}")
    assert leaked(cloud) == [MASTER_PASSWORD]


def test_secrets_of_all_accounts_regions_and_versions_are_looked_for(cloud: Cloud) -> None:
    far = cloud.client("secretsmanager", FAR, "eu-west-1")
    far.create_secret(Name="first", SecretString=json.dumps({"username": "someone", "password": "One-of-old-7"}))
    far.put_secret_value(SecretId="first", SecretString=json.dumps({"username": "someone", "keytab": "One-of-now-7"}))
    far.create_secret(Name="second", SecretString="A text of its own")
    far.delete_secret(SecretId="second")
    assert {"One-of-old-7", "One-of-now-7", "A text of its own"} <= secrecy.secrets(cloud)
    assert "someone" not in secrecy.secrets(cloud)


@pytest.mark.parametrize("value", ["Pass word/7", 'quoted "7"', "grüße+mehr=7", "back\\slash&7"])
def test_a_secret_is_found_in_every_form(value: str) -> None:
    written = [
        value,
        json.dumps({"password": value}),
        json.dumps({"message": json.dumps({"password": value})}),
        json.dumps({"password": value}, ensure_ascii=False),
        f"postgresql://postgres:{quote(value, safe='')}@orders",
        *(
            base64.b64encode(f"{before}{value}{after}".encode()).decode()
            for before in ("", "u:", "user:", "x")
            for after in ("", "\n")
        ),
    ]
    for text in written:
        assert secrecy.leaked([value], f"before {text} after") == [value], text
    assert not secrecy.leaked([value], json.dumps({"password": value[1:]}))
