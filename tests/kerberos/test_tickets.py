"""A ticket for a password, by the library that psycopg2 brings along, of a real KDC."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from aurora_kerberos import tickets
from aurora_kerberos.tickets import TicketRefused, take_ticket
from local.cloud import temporary_folder
from local.servers.kdc import Kdc
from local.servers.postgres import Postgres

pytestmark = pytest.mark.xdist_group("tickets")

HOST = "orders.cluster-abc123.eu-central-1.rds.amazonaws.com"
REALM = "CORP.EXAMPLE.COM"
ALICE = f"alice@{REALM}"
PASSWORD = "Right-pässword-7"


@pytest.fixture(scope="module")
def kdc() -> Iterator[Kdc]:
    with temporary_folder() as folder:
        made = Kdc(REALM, Path(folder) / "kdc")
        made.start()
        made.add_principal("alice", PASSWORD)
        yield made
        made.stop()


@pytest.fixture
def cache(kdc: Kdc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a credential cache that is not there yet."""
    (tmp_path / "krb5.conf").write_text(
        "[libdefaults]\n  dns_lookup_kdc = false\n  dns_canonicalize_hostname = false\n  udp_preference_limit = 1\n"
        f"[domain_realm]\n  .rds.amazonaws.com = {REALM}\n{kdc.client_conf()}"
    )
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
    name = f"FILE:{tmp_path / 'ccache'}"
    monkeypatch.setenv("KRB5CCNAME", name)
    return name


def refusal(principal: str, password: str, cache: str) -> str:
    with pytest.raises(TicketRefused) as refused:
        take_ticket(principal, password, cache)
    assert not Path(cache.removeprefix("FILE:")).exists()
    assert password not in str(refused.value)
    return str(refused.value)


def test_psycopg2_logs_in_with_the_ticket(kdc: Kdc, cache: str) -> None:
    service = f"postgres/{HOST}"
    kdc.add_principal(service)
    with temporary_folder() as folder:
        kdc.keytab(Path(folder) / "service.keytab", service)
        server = Postgres(Path(folder) / "orders", "postgres", "of-the-master-user", [HOST])
        server.start()
        try:
            server.join((Path(folder) / "service.keytab").read_bytes(), kdc.client_conf())
            server.restart()
            server.sql(f'CREATE ROLE "{ALICE}" LOGIN IN ROLE rds_ad')
            take_ticket(ALICE, PASSWORD, cache)
            connection = psycopg2.connect(
                host=HOST, hostaddr="127.0.0.1", port=server.port, user=ALICE, dbname="postgres", gssencmode="require"
            )
            with connection, connection.cursor() as session:
                session.execute("SELECT principal FROM pg_stat_gssapi WHERE pid = pg_backend_pid()")
                assert session.fetchone() == (ALICE,)
            connection.close()
        finally:
            server.stop()


def test_a_new_ticket_takes_the_place_of_the_old(cache: str) -> None:
    take_ticket(ALICE, PASSWORD, cache)
    take_ticket(ALICE, PASSWORD, cache)
    assert Path(cache.removeprefix("FILE:")).stat().st_size < 4096


def test_nothing_stays_open(cache: str) -> None:
    take_ticket(ALICE, PASSWORD, cache)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  not a place of files
    for _ in range(5):
        take_ticket(ALICE, PASSWORD, cache)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_wrong_password_is_refused(cache: str) -> None:
    assert "Preauthentication failed" in refusal(ALICE, "wrong-password", cache)
    assert "Preauthentication failed" in refusal(ALICE, "x", cache)


def test_an_unknown_user_is_refused(cache: str) -> None:
    assert "not found in Kerberos database" in refusal(f"nobody@{REALM}", PASSWORD, cache)


def test_who_must_change_the_password_is_refused(kdc: Kdc, cache: str) -> None:
    kdc.add_principal("new", PASSWORD)
    kdc._admin("modprinc", "+needchange", "new")
    assert "Password has expired" in refusal(f"new@{REALM}", PASSWORD, cache)


def test_an_expired_password_is_refused(kdc: Kdc, cache: str) -> None:
    kdc.add_principal("old", PASSWORD)
    kdc._admin("modprinc", "-pwexpire", "1 January 2020", "old")
    assert "Password has expired" in refusal(f"old@{REALM}", PASSWORD, cache)


def test_a_disabled_user_is_refused_until_enabled(kdc: Kdc, cache: str) -> None:
    kdc.add_principal("off", PASSWORD)
    kdc.disable("off")
    assert "credentials have been revoked" in refusal(f"off@{REALM}", PASSWORD, cache)
    kdc.enable("off")
    take_ticket(f"off@{REALM}", PASSWORD, cache)


def test_without_a_kdc_it_says_so(cache: str, tmp_path: Path) -> None:
    (tmp_path / "krb5.conf").write_text(f"[realms]\n  {REALM} = {{\n    kdc = 127.0.0.2:9\n  }}\n")
    assert "Cannot contact any KDC" in refusal(ALICE, PASSWORD, cache)


def test_a_realm_that_nobody_knows_is_refused(cache: str) -> None:
    assert "Cannot find KDC for realm" in refusal("alice@NOWHERE.EXAMPLE.COM", PASSWORD, cache)


def test_a_name_that_is_none_is_refused(cache: str) -> None:
    assert "Malformed" in refusal("a@b@c", PASSWORD, cache)


def test_a_cache_that_cannot_be_written_is_an_error(cache: str) -> None:
    assert cache
    with pytest.raises(TicketRefused):
        take_ticket(ALICE, PASSWORD, "FILE:/nowhere/at/all")


def test_another_psycopg2_has_no_library_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psycopg2, "__file__", str(tmp_path / "psycopg2" / "__init__.py"))
    with pytest.raises(TicketRefused, match="psycopg2-binary"):
        tickets.library.__wrapped__()
