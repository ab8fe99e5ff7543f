"""Who answers at the cluster's address has to prove that it is the cluster, before it gets anything of a login."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from aurora_kerberos import authorities
from aurora_kerberos.database.master import connect
from local.cloud import AUTHORITIES, Cloud
from local.scenario.format import AtStart, Cluster
from local.scenario.prepare import prepare
from local.servers.authority import Authority, authority
from local.servers.server import LOOPBACK
from local.services.rds.backend import cluster_of
from tests.steps.conftest import Step, StepFailed
from tests.steps.test_database_steps import allow_secret

NOBODY: dict[str, Any] = {"principals": [], "mappings": [], "groups": []}

OTHER = Authority("Another CA")

CLEARTEXT, MD5, SCRAM, GSS = 3, 5, 10, 7  # "Message Formats", PostgreSQL documentation
ADDED = {MD5: b"salt", SCRAM: b"SCRAM-SHA-256\0\0"}


class Impostor:
    """Listens at a port of its own, asks for a login by a method, and keeps all that it is sent.

    Args:
        folder: with `server.crt` and `server.key`; None offers no TLS.
        method: of an authentication request.
    """

    def __init__(self, folder: Path | None, method: int = CLEARTEXT) -> None:
        self._method, self.heard = method, b""
        self._context: ssl.SSLContext | None = None
        if folder:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(folder / "server.crt", folder / "server.key")
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Impostor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=30)
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # until the listener is shut
            while True:
                client, _ = self._listener.accept()
                client.settimeout(30)
                with client, contextlib.suppress(OSError):
                    self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        while (asked := client.recv(8)[4:]) == b"\x04\xd2\x16\x30":  # GSSENCRequest
            client.sendall(b"N")
        assert asked == b"\x04\xd2\x16\x2f"  # SSLRequest
        if self._context is None:
            client.sendall(b"N")
            self.heard += client.recv(4096)
            return
        client.sendall(b"S")
        with self._context.wrap_socket(client, server_side=True) as encrypted:
            self.heard += encrypted.recv(4096)
            content = self._method.to_bytes(4) + ADDED.get(self._method, b"")
            encrypted.sendall(b"R" + (4 + len(content)).to_bytes(4) + content)
            self.heard += encrypted.recv(4096)


@contextlib.contextmanager
def impostor(folder: Path, signed_by: Authority, names: Sequence[str], method: int = CLEARTEXT) -> Iterator[Impostor]:
    """One with a certificate for these names."""
    signed_by.issue(folder, names)
    with Impostor(folder, method) as listening:
        yield listening


@pytest.fixture
def target(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = step("ValidateRequest", request={"cluster": "orders"})["outputs"]["plan"]["cluster"]
    return found


def password_of(cloud: Cloud, target: dict[str, Any]) -> bytes:
    secret = cloud.client("secretsmanager").get_secret_value(SecretId=target["master_secret"])["SecretString"]
    password: str = json.loads(secret)["password"]
    return password.encode()


def test_somebody_in_between_would_get_the_password_of_a_client_that_does_not_look(
    cloud: Cloud, target: dict[str, Any], tmp_path: Path
) -> None:
    """What this file is about: encrypted is not enough. libpq answers a request for the password itself."""
    password = password_of(cloud, target).decode()
    with impostor(tmp_path, OTHER, [target["endpoint"]]) as listening, pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(
            host=target["endpoint"],
            hostaddr=LOOPBACK,
            port=listening.port,
            user="postgres",
            password=password,
            sslmode="require",
            gssencmode="disable",
        )
    assert password.encode() in listening.heard


@pytest.mark.parametrize("function", ["CheckDatabase", "EnsureDatabaseUsers", "RevokeDatabaseUsers"])
def test_somebody_in_between_gets_nothing(
    cloud: Cloud, step: Step, target: dict[str, Any], tmp_path: Path, function: str
) -> None:
    with (
        impostor(tmp_path, OTHER, [target["endpoint"]]) as listening,
        pytest.raises(StepFailed) as failed,
    ):  # at once: nothing to wait for
        step(function, cluster={**target, "port": listening.port}, **NOBODY)
    assert failed.value.error == "DatabaseNotTrusted"
    assert "certificate verify failed" in failed.value.text
    assert "https://truststore.pki.rds.amazonaws.com/eu-central-1/eu-central-1-bundle.pem" in failed.value.text
    assert listening.heard == b""
    assert password_of(cloud, target).decode() not in failed.value.text


def test_an_authority_that_only_has_the_right_name_is_refused(
    step: Step, target: dict[str, Any], tmp_path: Path
) -> None:
    with (
        impostor(tmp_path, Authority(), [target["endpoint"]]) as listening,
        pytest.raises(StepFailed, match=r"DatabaseNotTrusted: .*SSL error: .*signature"),
    ):
        step("CheckDatabase", cluster={**target, "port": listening.port}, **NOBODY)
    assert listening.heard == b""


def test_the_data_api_does_not_hide_somebody_in_between(
    cloud: Cloud, step: Step, target: dict[str, Any], tmp_path: Path
) -> None:
    cluster_of(cloud, "orders")._enable_http_endpoint = True
    with (
        impostor(tmp_path, OTHER, [target["endpoint"]]) as listening,
        pytest.raises(StepFailed, match="DatabaseNotTrusted"),
    ):
        step("CheckDatabase", cluster={**target, "port": listening.port, "http_endpoint": True}, **NOBODY)
    assert not [call for call in cloud.calls if call.name.startswith("rds-data:")]


def test_a_certificate_of_the_authority_for_another_host_is_refused(
    step: Step, target: dict[str, Any], tmp_path: Path
) -> None:
    other = target["endpoint"].replace("orders", "invoices")
    with (
        impostor(tmp_path, authority(), [other]) as listening,
        pytest.raises(StepFailed, match=r'DatabaseNotTrusted: .*"invoices\..*does not match host name "orders\.'),
    ):
        step("CheckDatabase", cluster={**target, "port": listening.port}, **NOBODY)
    assert listening.heard == b""


def test_a_real_server_is_refused_under_another_name(step: Step, target: dict[str, Any]) -> None:
    assert step("CheckDatabase", cluster=target, **NOBODY)["ready"]
    other = target["endpoint"].replace("cluster-", "cluster-x")
    with pytest.raises(StepFailed, match=r"DatabaseNotTrusted: .*does not match host name"):
        step("CheckDatabase", cluster={**target, "endpoint": other}, **NOBODY)


def test_no_password_is_sent_to_a_server_without_tls(step: Step, target: dict[str, Any]) -> None:
    said = r"(?s)DatabaseNotTrusted: .*SSL was required.*cluster has TLS"
    with Impostor(None) as listening, pytest.raises(StepFailed, match=said):
        step("CheckDatabase", cluster={**target, "port": listening.port}, **NOBODY)
    assert listening.heard == b""  # not even who wants to log in


@pytest.mark.parametrize(
    ("method", "said", "remedy"),
    [
        (CLEARTEXT, "server requested a cleartext password", "REVOKE rds_iam"),
        (GSS, "server requested GSSAPI authentication", "REVOKE rds_iam and rds_ad"),
        (MD5, "server requested a hashed password", "set password_encryption to scram-sha-256"),
    ],
)
def test_the_cluster_itself_gets_no_more_than_a_scram_proof(  # noqa: PLR0917  a table
    cloud: Cloud, step: Step, target: dict[str, Any], tmp_path: Path, method: int, said: str, remedy: str
) -> None:
    with (
        impostor(tmp_path, authority(), [target["endpoint"]], method) as listening,
        pytest.raises(StepFailed) as failed,
    ):
        step("CheckDatabase", cluster={**target, "port": listening.port}, **NOBODY)
    assert failed.value.error == "DatabaseRefused"
    assert said in failed.value.text
    assert remedy in failed.value.text
    assert b"user\0postgres\0" in listening.heard  # it is the cluster, and knows who wants to log in
    assert listening.heard.count(b"\0p\0") == listening.heard.count(password_of(cloud, target)) == 0


def test_a_password_that_a_real_cluster_has_stored_as_md5_is_told_with_a_remedy(
    cloud: Cloud, step: Step, target: dict[str, Any]
) -> None:
    """The default of Aurora PostgreSQL before 14, and what an upgrade leaves as it was."""
    server, password = cloud.databases.server("orders"), password_of(cloud, target).decode()
    for encryption, said in {"md5": "DatabaseRefused: .*hashed password", "scram-sha-256": ""}.items():
        server.sql(f"SET password_encryption = '{encryption}'; ALTER ROLE postgres PASSWORD '{password}'")
        if said:
            with pytest.raises(StepFailed, match=said):
                step("CheckDatabase", cluster=target, **NOBODY)
        else:
            assert step("CheckDatabase", cluster=target, **NOBODY)["ready"]


def check(cloud: Cloud) -> dict[str, str]:
    name = "aurora-kerberos/kerberos-check"
    cloud.directories.realm("corp.example.com").set_password("kerberos-check", "Right-password-7")
    content = json.dumps({"password": "Right-password-7"})
    cloud.client("secretsmanager").create_secret(Name=name, SecretString=content)
    allow_secret(cloud, name)
    return {"principal": "kerberos-check@CORP.EXAMPLE.COM", "secret": name}


def test_the_check_principal_s_ticket_is_not_shown_to_somebody_in_between(
    cloud: Cloud, step: Step, target: dict[str, Any], tmp_path: Path
) -> None:
    asked = {"check": check(cloud), "krb5_conf": ""}
    with (
        impostor(tmp_path, OTHER, [target["endpoint"]], GSS) as listening,
        pytest.raises(StepFailed, match=r"DatabaseNotTrusted: .*certificate verify failed"),
    ):
        step("VerifyLogin", cluster={**target, "port": listening.port}, **asked)
    assert listening.heard == b""


@pytest.mark.parametrize("method", [CLEARTEXT, MD5, SCRAM])
def test_the_check_principal_logs_in_by_kerberos_only(
    cloud: Cloud, step: Step, target: dict[str, Any], tmp_path: Path, method: int
) -> None:
    asked = {"check": check(cloud), "krb5_conf": ""}
    with impostor(tmp_path, authority(), [target["endpoint"]], method) as listening:
        at = {**target, "port": listening.port}
        reason = step("VerifyLogin", cluster=at, **asked)["reason"]
        with pytest.raises(StepFailed, match=r'(?s)LoginRefused: .*requirement "gss" failed.*The role lacks rds_ad'):
            step("VerifyLogin", cluster=at, **asked, polls=100, waiting_for=reason)


# --- whose certificates are trusted -----------------------------------------------------------------------------------


def test_without_a_secret_only_rds_s_own_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    with Cloud(parameters={"AuthoritiesSecret": ""}) as cloud:
        prepare(cloud, AtStart(clusters=[Cluster(id="orders")]))
        described = cloud.client("rds").describe_db_clusters(DBClusterIdentifier="orders")["DBClusters"][0]
        cloud.databases.start("orders")
        for name, value in {"AUTHORITIES_SECRET": "", "AWS_REGION": "eu-central-1", "PGHOSTADDR": LOOPBACK}.items():
            monkeypatch.setenv(name, value)
        with authorities.trusted() as file:
            assert file == str(authorities.BUNDLE)
        before = len(cloud.calls)
        target: Any = {"endpoint": described["Endpoint"], "port": described["Port"], "database": "postgres"}
        with pytest.raises(Exception, match="certificate verify failed"):
            connect(target, "postgres", password="not-sent", gssencmode="disable")
        assert cloud.calls[before:] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "SecretUnusable: The secret .* cannot be read"),
        ("", "SecretUnusable: The secret .* holds no PEM certificate"),
        ('{"password": "x"}', "SecretUnusable: The secret .* holds no PEM certificate"),
        ("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n", "DatabaseNotTrusted: .*root certificate"),
    ],
)
def test_a_secret_without_authorities_is_named(
    cloud: Cloud, step: Step, target: dict[str, Any], content: str | None, said: str
) -> None:
    if content is None:
        cloud.client("secretsmanager").delete_secret(SecretId=AUTHORITIES)
    else:
        cloud.client("secretsmanager").put_secret_value(SecretId=AUTHORITIES, SecretString=content or " ")
    with pytest.raises(StepFailed, match=said):
        step("CheckDatabase", cluster=target, **NOBODY)


def test_no_file_of_authorities_is_left_behind(
    step: Step, target: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert step("CheckDatabase", cluster=target, **NOBODY)["ready"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("eu-central-1", "https://truststore.pki.rds.amazonaws.com/eu-central-1/eu-central-1-bundle.pem"),
        (
            "us-gov-east-1",
            "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/us-gov-east-1/us-gov-east-1-bundle.pem",
        ),
        ("cn-north-1", "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/cn-north-1/cn-north-1-bundle.pem"),
    ],
)
def test_each_partition_has_a_trust_store_of_its_own(region: str, address: str) -> None:
    assert authorities.address(region) == address
