"""What the Kerberos tests share: a cluster's name, a client, and a login."""

from __future__ import annotations

from typing import Any, Protocol

import psycopg2
import pytest

from local.postgres import Postgres

HOST = "orders.cluster-abc123.eu-central-1.rds.amazonaws.com"
REALM = "CORP.EXAMPLE.COM"

# What a client's own krb5.conf would say: domain controllers by address. Nobody listens there.
CLIENT = f"""\
[libdefaults]
  default_realm = {REALM}
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  {REALM} = {{
    kdc = 127.0.0.2:9
  }}
[domain_realm]
  .rds.amazonaws.com = {REALM}
"""


class Joined(Protocol):
    """A world with a server that has joined a domain."""

    server: Postgres


def login(world: Joined, user: str, *, host: str = HOST, **options: Any) -> tuple[Any, ...]:
    """Log in as a database user; its row of pg_stat_gssapi."""
    parameters = {"sslmode": "require", "dbname": "postgres", **options}
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
