"""What the Kerberos tests share: a cluster's name, a client, and a login."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import psycopg2
import pytest

from aurora_kerberos import krb5
from local.servers.postgres import Postgres

HOST = "orders.cluster-abc123.eu-central-1.rds.amazonaws.com"
REALM = "CORP.EXAMPLE.COM"

# What step 8 publishes for clients, with domain controllers at addresses where nobody listens.
NOWHERE = ["127.0.0.2:9"]
CLIENT = krb5.conf({REALM.lower(): NOWHERE, "onprem.example.com": NOWHERE})


class Joined(Protocol):
    """A world with a server that has joined a domain."""

    server: Postgres

    def kdcs(self) -> str:
        """The [realms] of a krb5.conf for this machine."""


@pytest.fixture
def client(world: Joined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a client's Kerberos files; it has no ticket yet."""
    (tmp_path / "kdcs.conf").write_text(world.kdcs())
    (tmp_path / "krb5.conf").write_text(CLIENT)
    monkeypatch.setenv("KRB5_CONFIG", f"{tmp_path / 'kdcs.conf'}:{tmp_path / 'krb5.conf'}")
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'ccache'}")
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{tmp_path / 'keytab'}")
    return tmp_path


def login(world: Joined, user: str, *, host: str = HOST, **options: Any) -> tuple[Any, ...]:
    """Log in as a database user; its row of pg_stat_gssapi."""
    proven = {"sslmode": "verify-full", "sslrootcert": str(world.server.authorities)}
    parameters = {**proven, "dbname": "postgres", **options}
    connection = psycopg2.connect(host=host, hostaddr="127.0.0.1", port=world.server.port, user=user, **parameters)
    try:
        with connection.cursor() as session:
            session.execute(
                "SELECT gss_authenticated, principal, encrypted FROM pg_stat_gssapi WHERE pid = pg_backend_pid()"
            )
            row: tuple[Any, ...] | None = session.fetchone()
            assert row is not None
            return row
    finally:
        connection.close()


def refusal(world: Joined, user: str, **options: Any) -> str:
    """Try to log in as a database user; what is said against it."""
    with pytest.raises(psycopg2.OperationalError) as refused:
        login(world, user, **options)
    return str(refused.value)
