"""The real servers of the local run."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from local.servers.active_directory import ActiveDirectory
from local.servers.kdc import Kdc
from local.servers.postgres import Postgres
from local.servers.server import LOOPBACK


@pytest.mark.parametrize(
    "made",
    [
        lambda folder: Kdc("CORP.EXAMPLE.COM", folder),
        lambda folder: ActiveDirectory("CORP.EXAMPLE.COM", folder),
        lambda folder: Postgres(folder, "postgres", "of-the-master-user", ["orders"]),
    ],
)
def test_nobody_else_gets_the_port_of_a_server_that_starts_later(
    made: Callable[[Path], Kdc | ActiveDirectory | Postgres], tmp_path: Path
) -> None:
    """A cluster's server starts when a function first needs it, thousands of connections after its port is known."""
    server = made(tmp_path / "data")
    with socket.socket() as somebody, pytest.raises(OSError, match="in use"):
        somebody.bind((LOOPBACK, server.port))
