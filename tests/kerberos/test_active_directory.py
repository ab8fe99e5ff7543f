"""Logins with a real Active Directory, and what of it is not so with MIT Kerberos: names, groups, forest trusts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import temporary_folder
from local.scenario.format import read
from local.scenario.run import rehearse
from local.servers.active_directory import ActiveDirectory
from local.servers.postgres import Postgres
from local.services.directory import directories
from setup import packages
from tests.kerberos.conftest import CLIENT, HOST, REALM, login, refusal

pytestmark = [pytest.mark.active_directory, pytest.mark.xdist_group("active_directory")]

ONPREM = "ONPREM.EXAMPLE.COM"
ONPREM_HOST = "legacy.onprem.example.com"  # another name of the same server, as a service of the other forest
PASSWORDS = {"alice": "Ten-Green-Bottles-1", "bob": "Nine-Green-Bottles-1", "carol": "Eight-Green-Bottles-1"}
TRUST_PASSWORD = "the-same-on-both-sides"


class World:
    """Two forests, the first of which trusts the second, and a cluster that has joined."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.corp = ActiveDirectory(REALM, folder / "corp")
        self.onprem = ActiveDirectory(ONPREM, folder / "onprem")
        self.server = Postgres(folder / "orders", "postgres", "of-the-master-user", [HOST, ONPREM_HOST])

    def start(self) -> None:
        for directory in (self.corp, self.onprem):
            directory.start()
        for name in ("alice", "carol"):
            self.corp.add_principal(name, PASSWORDS[name])
        self.onprem.add_principal("bob", PASSWORDS["bob"])
        self.corp.add_principal(f"postgres/{HOST}")
        self.onprem.add_principal(f"postgres/{ONPREM_HOST}")
        self.corp.trust(self.onprem, TRUST_PASSWORD, both_ways=False)
        self.server.start()
        service = self.folder / "service.keytab"
        self.corp.keytab(service, f"postgres/{HOST}")
        self.onprem.keytab(service, f"postgres/{ONPREM_HOST}")
        self.server.join(service.read_bytes(), self.corp.client_conf(self.onprem))
        self.server.restart()
        for role in (f"alice@{REALM}", f"carol@{REALM}", f"bob@{ONPREM}"):
            self.server.sql(f'CREATE ROLE "{role}" LOGIN IN ROLE rds_ad')

    def kdcs(self) -> str:
        return self.corp.client_conf(self.onprem)

    def stop(self) -> None:
        for server in (self.server, self.corp, self.onprem):
            server.stop()


@pytest.fixture(scope="module")
def samba() -> None:
    """Samba is here; else the tests are skipped, but not in CI."""
    if absent := packages.missing_for_active_directory():
        said = f"no real Active Directory is tested: {', '.join(absent)} not here; as root on Debian, run `make test`"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)


@pytest.fixture(scope="module")
def world(samba: None) -> Iterator[World]:  # noqa: ARG001  first of all
    with temporary_folder() as folder:
        made = World(Path(folder))
        try:
            made.start()
            yield made
        finally:
            made.stop()


def kinit(principal: str, password: str, *options: str) -> str:
    """Take a ticket with a password, in place of those at hand; what kinit says against it."""
    done = subprocess.run(
        [packages.require("kinit"), *options, principal],
        input=f"{password}\n",
        env={**os.environ, **packages.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is (done.stderr == ""), done.stderr
    return done.stderr


def test_alice_logs_in_with_her_password(world: World, client: Path) -> None:
    assert client
    assert kinit(f"alice@{REALM}", PASSWORDS["alice"]) == ""
    assert login(world, f"alice@{REALM}", gssencmode="require") == (True, f"alice@{REALM}", True)


def test_a_keytab_of_the_directory_is_as_good(world: World, client: Path) -> None:
    world.corp.keytab(client / "keytab", "alice")
    assert login(world, f"alice@{REALM}") == (True, f"alice@{REALM}", True)


def test_a_wrong_password_gets_no_ticket(world: World, client: Path) -> None:
    assert world.corp.has_principal("alice")
    assert "Password incorrect" in kinit(f"alice@{REALM}", PASSWORDS["bob"])
    assert not (client / "ccache").exists()


def test_the_directory_finds_a_name_in_any_case_and_postgresql_does_not(world: World, client: Path) -> None:
    """Why roles are made in lower case: a client that does not ask for the directory's spelling keeps its own."""
    assert client
    assert world.corp.has_principal("ALICE")
    assert kinit(f"Alice@{REALM}", PASSWORDS["alice"]) == ""
    assert f'GSSAPI authentication failed for user "alice@{REALM}"' in refusal(world, f"alice@{REALM}")
    world.server.sql(f'CREATE ROLE "Alice@{REALM}" LOGIN IN ROLE rds_ad')
    assert login(world, f"Alice@{REALM}")[1] == f"Alice@{REALM}"  # one person, two roles


def test_a_client_that_asks_for_the_directory_s_spelling_gets_it(world: World, client: Path) -> None:
    """As Windows does, `kinit -C`, and `canonicalize = true` in a krb5.conf."""
    assert client
    assert kinit(f"ALICE@{REALM}", PASSWORDS["alice"], "-C") == ""
    assert login(world, f"alice@{REALM}")[1] == f"alice@{REALM}"


def test_a_user_is_there_once_whatever_the_case(world: World) -> None:
    with pytest.raises(RuntimeError, match="already exists"):
        world.corp.add_principal("Alice", PASSWORDS["alice"])


def test_a_user_that_is_switched_off_gets_no_ticket_but_keeps_those_at_hand(world: World, client: Path) -> None:
    name = f"carol@{REALM}"
    assert kinit(name, PASSWORDS["carol"]) == ""
    assert login(world, name)[1] == name
    world.corp.disable("carol")
    assert login(world, name)[1] == name  # no domain controller is asked
    (client / "ccache").unlink()
    assert "revoked" in kinit(name, PASSWORDS["carol"])
    world.corp.keytab(client / "keytab", "carol")
    assert "revoked" in refusal(world, name, gssencmode="require")
    world.corp.enable("carol")
    assert login(world, name)[1] == name


def test_a_keytab_ends_with_the_password(world: World, client: Path) -> None:
    name = f"carol@{REALM}"
    world.corp.keytab(client / "keytab", "carol")
    assert login(world, name)[1] == name
    world.corp.set_password("carol", "Seven-Green-Bottles-1")
    (client / "ccache").unlink()
    assert "Preauthentication failed" in refusal(world, name, gssencmode="require")
    (client / "keytab").unlink()
    world.corp.keytab(client / "keytab", "carol")
    assert login(world, name)[1] == name
    world.corp.set_password("carol", PASSWORDS["carol"])  # for the tests that come after


def test_a_group_has_users_and_groups(world: World) -> None:
    corp = world.corp
    for group in ("Database Users", "Analysts"):
        corp.add_group(group)
    corp.add_member("Database Users", "alice")
    corp.add_member("database users", "Analysts")
    corp.add_member("Analysts", "carol")
    assert corp.members("Database Users") == ["Analysts", "alice"]
    assert corp.members("Database Users", nested=True) == ["alice", "carol"]
    with pytest.raises(RuntimeError):
        corp.add_member("Analysts", "carol")
    corp.remove_member("Analysts", "carol")
    assert corp.members("Analysts") == []
    assert corp.members("Database Users", nested=True) == ["alice"]
    with pytest.raises(RuntimeError, match="no nobody"):
        corp.add_member("Analysts", "nobody")


def test_a_user_made_again_is_another_one(world: World) -> None:
    """What PostgreSQL knows by name the directory knows by a security identifier, which is never used again."""
    corp = world.corp
    corp.add_principal("dave")
    domain, _, number = corp.sid("dave").rpartition("-")
    assert corp.sid("alice").startswith(f"{domain}-")
    assert not world.onprem.sid("bob").startswith(f"{domain}-")
    corp.delete_principal("dave")
    assert not corp.has_principal("dave")
    corp.add_principal("dave")
    assert corp.sid("dave").startswith(f"{domain}-")
    assert corp.sid("dave") != f"{domain}-{number}"


def test_bob_of_the_trusted_forest_logs_in(world: World, client: Path) -> None:
    world.onprem.keytab(client / "keytab", "bob")
    assert login(world, f"bob@{ONPREM}", gssencmode="require") == (True, f"bob@{ONPREM}", True)
    assert "GSSAPI authentication failed" in refusal(world, f"alice@{REALM}")


def test_bob_s_own_domain_controllers_do_not_know_where_aurora_is(world: World, client: Path) -> None:
    """Why a client's krb5.conf has [domain_realm], and Windows needs a host-to-realm mapping."""
    world.onprem.keytab(client / "keytab", "bob")
    conf, _, _ = CLIENT.partition("[domain_realm]")
    (client / "krb5.conf").write_text(conf.replace(f"default_realm = {REALM}", f"default_realm = {ONPREM}"))
    assert "not found in Kerberos database" in refusal(world, f"bob@{ONPREM}", gssencmode="require")


def test_a_trust_goes_one_way_until_it_goes_both(world: World, client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = f"alice@{REALM}"
    world.corp.keytab(client / "keytab", "alice")
    assert "not found in Kerberos database" in refusal(world, alice, host=ONPREM_HOST, gssencmode="require")
    world.corp.end_trust(world.onprem)
    world.corp.trust(world.onprem, TRUST_PASSWORD)
    try:
        assert login(world, alice, host=ONPREM_HOST) == (True, alice, True)
        world.onprem.keytab(client / "bob", "bob")
        monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{client / 'bob'}")
        (client / "ccache").unlink()
        assert login(world, f"bob@{ONPREM}")[1] == f"bob@{ONPREM}"
    finally:
        world.corp.end_trust(world.onprem)
        world.corp.trust(world.onprem, TRUST_PASSWORD, both_ways=False)


def test_bob_is_out_when_the_trust_ends(world: World, client: Path) -> None:
    world.onprem.keytab(client / "keytab", "bob")
    assert login(world, f"bob@{ONPREM}")[0]
    (client / "ccache").unlink()
    world.corp.end_trust(world.onprem)
    try:
        assert "not found in Kerberos database" in refusal(world, f"bob@{ONPREM}", gssencmode="require")
    finally:
        world.corp.trust(world.onprem, TRUST_PASSWORD, both_ways=False)


def test_from_tag_to_login(samba: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  first of all
    """The whole product, with the directory's domain controllers from Samba."""
    monkeypatch.setattr(directories, "Kdc", ActiveDirectory)
    done = rehearse(read(Path(__file__).parents[2] / "scenarios" / "tag-to-login.yaml"))
    assert not [f"{check.check}, but is {check.got}" for check in done.checks if not check.passed]
