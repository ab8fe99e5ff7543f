"""Real Kerberos logins, and real refusals: psycopg2 against the local run's PostgreSQL and KDC."""

from __future__ import annotations

import os
import shlex
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from aurora_kerberos.authorities import BUNDLE
from local.cloud import temporary_folder
from local.servers.kdc import Kdc
from local.servers.postgres import Postgres
from local.services.lambda_functions import ROOT, load
from setup import packages
from tests.kerberos.conftest import HOST, REALM, login, refusal

pytestmark = pytest.mark.xdist_group("logins")

PASSWORD = "of-the-master-user"


class World:
    """A directory's KDC, another realm that it trusts, and a cluster that has joined."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kdc = Kdc(REALM, folder / "corp")
        self.onprem = Kdc("ONPREM.EXAMPLE.COM", folder / "onprem")
        self.server = Postgres(folder / "orders", "postgres", PASSWORD, [HOST])

    def start(self) -> None:
        for kdc in (self.kdc, self.onprem):
            kdc.start()
        self.kdc.trust(self.onprem, "the-same-on-both-sides")
        for name in ("alice", "bob", "carol", f"postgres/{HOST}"):
            self.kdc.add_principal(name)
        self.onprem.add_principal("bob")
        self.server.start()
        service = self.folder / "service.keytab"
        self.kdc.keytab(service, f"postgres/{HOST}")
        self.server.join(service.read_bytes(), self.kdc.client_conf(self.onprem))
        self.server.restart()
        for role in (f"alice@{REALM}", f"bob@{REALM}", "bob@ONPREM.EXAMPLE.COM"):
            self.server.sql(f'CREATE ROLE "{role}" LOGIN IN ROLE rds_ad')
        self.server.sql(f'CREATE ROLE "carol@{REALM}" LOGIN')

    def kdcs(self) -> str:
        return self.kdc.client_conf(self.onprem)

    def stop(self) -> None:
        for server in (self.server, self.kdc, self.onprem):
            server.stop()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with temporary_folder() as folder:
        made = World(Path(folder))
        try:
            made.start()
            yield made
        finally:
            made.stop()


def key_of(world: World, folder: Path, name: str) -> None:
    world.kdc.keytab(folder / "keytab", name)


def test_alice_logs_in_with_a_ticket(world: World, client: Path) -> None:
    key_of(world, client, "alice")
    assert login(world, f"alice@{REALM}", gssencmode="require") == (True, f"alice@{REALM}", True)


def test_a_login_over_tls_is_a_kerberos_login_as_well(world: World, client: Path) -> None:
    key_of(world, client, "alice")
    assert login(world, f"alice@{REALM}", gssencmode="disable") == (True, f"alice@{REALM}", False)


def test_nobody_logs_in_without_a_ticket(world: World, client: Path) -> None:
    assert not (client / "keytab").exists()
    assert "No Kerberos credentials available" in refusal(world, f"alice@{REALM}")
    assert "no credential cache" in refusal(world, f"alice@{REALM}", gssencmode="require")


def test_nobody_logs_in_with_an_expired_ticket(world: World, client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_of(world, client, "alice")
    login(world, f"alice@{REALM}")
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{client / 'none'}")  # no new ticket instead
    assert login(world, f"alice@{REALM}")[0]
    let_tickets_expire(client / "ccache")
    assert "expired" in refusal(world, f"alice@{REALM}", gssencmode="require").lower()


def let_tickets_expire(ccache: Path) -> None:
    """Have the client believe that its KDC's clock is two days ahead: a field of the cache's header (file format 4)."""
    content = bytearray(ccache.read_bytes())
    version, header_length, tag, tag_length = struct.unpack_from(">HHHH", content)
    assert (version, header_length, tag, tag_length) == (0x0504, 12, 1, 8)
    struct.pack_into(">ii", content, 8, 2 * 86400, 0)
    ccache.write_bytes(content)


def test_a_principal_that_was_not_granted_rds_ad_is_refused(world: World, client: Path) -> None:
    key_of(world, client, "carol")
    assert "no password supplied" in refusal(world, f"carol@{REALM}")


def test_nobody_logs_in_with_another_person_s_ticket(world: World, client: Path) -> None:
    key_of(world, client, "bob")
    assert f'GSSAPI authentication failed for user "alice@{REALM}"' in refusal(world, f"alice@{REALM}")
    assert login(world, f"bob@{REALM}")[1] == f"bob@{REALM}"


def test_bob_of_the_trusted_realm_is_another_bob(world: World, client: Path) -> None:
    world.onprem.keytab(client / "keytab", "bob")
    assert login(world, "bob@ONPREM.EXAMPLE.COM") == (True, "bob@ONPREM.EXAMPLE.COM", True)
    assert "GSSAPI authentication failed" in refusal(world, f"bob@{REALM}")


def test_a_name_in_the_wrong_case_is_refused(world: World, client: Path) -> None:
    key_of(world, client, "alice")
    world.server.sql(f'CREATE ROLE "Alice@{REALM}" LOGIN IN ROLE rds_ad')
    assert "GSSAPI authentication failed" in refusal(world, f"Alice@{REALM}")


def test_the_asterisk_keeps_a_client_from_other_domain_controllers(world: World, client: Path) -> None:
    """Without the overlay the client would ask the addresses of its own file, where nobody is."""
    key_of(world, client, "alice")
    assert login(world, f"alice@{REALM}")[0]
    (client / "ccache").unlink()
    (client / "kdcs.conf").write_text("")
    assert "Cannot contact any KDC" in refusal(world, f"alice@{REALM}", gssencmode="require")


def test_a_password_is_no_way_in_for_who_has_rds_ad(world: World, client: Path) -> None:
    assert client
    world.server.sql(f"ALTER ROLE \"alice@{REALM}\" PASSWORD 'a-password'")
    assert "gss" in refusal(world, f"alice@{REALM}", password="a-password", gssencmode="disable").lower()


def test_the_master_user_is_as_aurora_s(world: World, client: Path) -> None:
    assert client
    connection = psycopg2.connect(
        host=HOST,
        hostaddr="127.0.0.1",
        port=world.server.port,
        user="postgres",
        password=PASSWORD,
        dbname="postgres",
        sslmode="verify-full",
        sslrootcert=str(world.server.authorities),
        gssencmode="disable",
    )
    with connection.cursor() as session:
        session.execute("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user")
        assert session.fetchone() == (False, True)
        session.execute('CREATE ROLE "dave@CORP.EXAMPLE.COM" LOGIN')
        session.execute('GRANT rds_ad TO "dave@CORP.EXAMPLE.COM"')
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            session.execute("CREATE ROLE mighty SUPERUSER")
    connection.close()


def test_nothing_goes_over_the_wire_in_the_clear(world: World, client: Path) -> None:
    assert client
    said = refusal(world, "postgres", password=PASSWORD, sslmode="disable", gssencmode="disable")
    assert "no encryption" in said


def published(world: World, said: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the psql line that step 8 publishes for the cluster as a shell reads it, with what a person writes in."""
    function = load(ROOT / "functions" / "publish_client_config").__wrapped__.__globals__  # type: ignore[attr-defined]  # wraps() sets it
    cluster = {"endpoint": HOST, "port": world.server.port, "database": "postgres"}
    line = function["connection_strings"](cluster, {"realm": REALM}, [])["psql"]
    for name, value in said.items():
        line = line.replace(name, value)
    command: list[str | Path] = [packages.require("psql"), *shlex.split(line)[1:], "-Atc", "SELECT current_user"]
    environment = {**os.environ, **packages.environment(), "PGHOSTADDR": "127.0.0.1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("gssencmode", ["prefer", "disable"])
def test_the_published_line_logs_in(
    world: World, client: Path, monkeypatch: pytest.MonkeyPatch, gssencmode: str
) -> None:
    key_of(world, client, "alice")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("PGGSSENCMODE", gssencmode)
    done = published(world, {"<user>": "alice", "<authorities>": str(world.server.authorities)})
    assert (done.stdout, done.stderr) == (f"alice@{REALM}\n", "")


def test_the_published_line_does_not_log_in_to_somebody_in_between(
    world: World, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_of(world, client, "alice")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("PGGSSENCMODE", "disable")  # with it the KDC vouches for the server, and TLS is not needed
    done = published(world, {"<user>": "alice", "<authorities>": str(BUNDLE)})  # which has not signed for this server
    assert "certificate verify failed" in done.stderr
