"""Step 8: what stands in SSM for clients, written once; the Kerberos tests log in with this very file."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest

from local.cloud import Cloud
from tests.steps.conftest import Step

PREFIX = "/aurora-kerberos/clients/orders"
CLUSTER = {
    "id": "orders",
    "endpoint": "orders.cluster-abc.eu-central-1.rds.amazonaws.com",
    "port": 5432,
    "database": "postgres",
}
DIRECTORY = {"realm": "CORP.EXAMPLE.COM", "dns_name": "corp.example.com", "dns_ips": ["10.0.0.10", "10.0.1.10"]}
TRUST = {"domain": "onprem.example.com", "dns_ips": ["192.168.0.2"], "direction": "outgoing"}


def publish(step: Step, **changes: Any) -> dict[str, Any]:
    arguments = {"cluster": CLUSTER, "directory": DIRECTORY, "trusts": [], "prefix": PREFIX, **changes}
    outputs: dict[str, Any] = step("PublishClientConfig", **arguments)["outputs"]
    return outputs


def stored(cloud: Cloud, name: str) -> str:
    value: str = cloud.client("ssm").get_parameter(Name=f"{PREFIX}/{name}")["Parameter"]["Value"]
    return value


def written(cloud: Cloud) -> int:
    return len([call for call in cloud.calls if call.name == "ssm:PutParameter"])


def test_what_is_returned_is_what_is_stored_and_a_second_run_writes_nothing(cloud: Cloud, step: Step) -> None:
    first = publish(step)
    assert stored(cloud, "krb5.conf") == first["krb5_conf"]
    assert json.loads(stored(cloud, "connect")) == first["connect"]
    assert first["parameters"] == [f"{PREFIX}/connect", f"{PREFIX}/krb5.conf"]
    assert written(cloud) == 2
    assert publish(step) == first
    assert written(cloud) == 2
    cloud.client("ssm").put_parameter(Name=f"{PREFIX}/krb5.conf", Value="edited by hand", Overwrite=True)
    publish(step)
    assert stored(cloud, "krb5.conf") == first["krb5_conf"]
    assert written(cloud) == 4  # the one by hand, and one to mend it


def test_the_file_names_both_realms_their_controllers_and_aurora_s_domain(step: Step) -> None:
    conf = publish(step, trusts=[TRUST])["krb5_conf"]
    assert "default_realm = CORP.EXAMPLE.COM" in conf
    assert "  CORP.EXAMPLE.COM = {\n    kdc = 10.0.0.10\n    kdc = 10.0.1.10\n" in conf
    assert "  ONPREM.EXAMPLE.COM = {\n    kdc = 192.168.0.2\n" in conf
    assert "  .onprem.example.com = ONPREM.EXAMPLE.COM\n" in conf
    assert "  .rds.amazonaws.com = CORP.EXAMPLE.COM\n" in conf


@pytest.mark.parametrize(
    "host",
    [
        "orders.cluster-abc.eu-central-1.rds.amazonaws.com",
        "orders.cluster-abc.us-gov-west-1.rds.amazonaws.com",
        "orders.cluster-abc.rds.cn-north-1.amazonaws.com.cn",
    ],
)
def test_a_cluster_s_host_is_of_the_directory_s_realm_in_every_partition(step: Step, host: str) -> None:
    _, _, domains = publish(step, cluster={**CLUSTER, "endpoint": host})["krb5_conf"].partition("[domain_realm]\n")
    realms = dict(line.strip().split(" = ") for line in domains.splitlines())
    assert [realm for domain, realm in realms.items() if host.endswith(domain)] == ["CORP.EXAMPLE.COM"]


ODD = [
    "it's \\ odd",
    "my orders",
    "back\\slash",
    "orders",
    "$(touch made)`touch made`",
    'a"b',
    "a;touch made",
    "!!",
    "${HOME}",
]


@pytest.mark.parametrize("odd", ODD)
def test_a_shell_takes_the_line_for_psql_literally(step: Step, tmp_path: Path, odd: str) -> None:
    line = publish(step, cluster={**CLUSTER, "database": odd})["connect"]["psql"]
    told = f'psql() {{ printf "%s" "$1"; }}\n{line}'
    done = subprocess.run(["/bin/sh", "-c", told], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert psycopg2.extensions.parse_dsn(done.stdout)["dbname"] == odd
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("odd", ODD)
def test_a_driver_takes_the_connection_string_whatever_the_database_is_called(step: Step, odd: str) -> None:
    psycopg = publish(step, cluster={**CLUSTER, "database": odd})["connect"]["psycopg"]
    conninfo = ast.literal_eval(psycopg.removeprefix("psycopg.connect(").removesuffix(")"))
    parsed = psycopg2.extensions.parse_dsn(conninfo)
    assert parsed["dbname"] == odd
    assert parsed["user"] == "<user>@CORP.EXAMPLE.COM"
    assert (parsed["host"], parsed["port"]) == (CLUSTER["endpoint"], "5432")
    assert (parsed["sslmode"], parsed["sslrootcert"]) == ("verify-full", "<authorities>")


def test_jdbc_and_psql_know_user_and_host(step: Step) -> None:
    connect = publish(step, cluster={**CLUSTER, "database": "a/b"})["connect"]
    assert connect["jdbc"] == (
        f"jdbc:postgresql://{CLUSTER['endpoint']}:5432/a%2Fb?user=<user>%40CORP.EXAMPLE.COM"
        "&sslmode=verify-full&sslrootcert=<authorities>"
    )
    assert connect["psql"].startswith(f"psql 'host={CLUSTER['endpoint']} ")


def test_whose_certificates_to_trust_is_published_with_the_place_of_the_file(step: Step) -> None:
    address = "https://truststore.pki.rds.amazonaws.com/eu-central-1/eu-central-1-bundle.pem"
    assert publish(step)["connect"]["authorities"] == (
        f"Download {address} once, and write its path in place of <authorities>."
    )


def test_windows_of_a_trusted_domain_gets_the_name_its_forest_knows(step: Step) -> None:
    assert "windows_of_trusted_domains" not in publish(step)["connect"]
    note = publish(step, trusts=[TRUST])["connect"]["windows_of_trusted_domains"]
    assert "orders.cluster-abc.eu-central-1.corp.example.com" in note
