"""A real PostgreSQL server modelled on one Aurora PostgreSQL cluster: its roles, its TLS, its Kerberos."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection, cursor

from local.servers.authority import authority
from local.servers.server import Port, Server, user_group
from setup import packages

SUPERUSER = "rdsadmin"
EXTENSION = Path(__file__).parent / "pg_ad_mapping"
TEMPLATE = packages.FOLDER / "postgres"

# Small, for it is copied for each server.
INITDB = ("--no-sync", "--wal-segsize=1", "--encoding=UTF8", "--locale=C", "--auth=trust")

# Aurora's own roles. Those that reach programs and files of the machine nobody can have there, and here least of all.
ROLES = """
CREATE ROLE rds_superuser NOLOGIN;
CREATE ROLE rds_ad NOLOGIN;
CREATE ROLE rds_iam NOLOGIN;
CREATE ROLE rds_password NOLOGIN;
DELETE FROM pg_authid WHERE rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files');
GRANT CREATE ON DATABASE postgres TO rds_superuser;
GRANT pg_monitor TO rds_superuser;
"""
# From PostgreSQL 16 on CREATEROLE alone does not let the master user grant them.
GRANTABLE = "GRANT rds_ad, rds_iam, rds_password TO rds_superuser WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;\n"

# No line without encryption: Aurora has rds.force_ssl on. RDS's line for passwords has the method `md5`, which takes a
# SCRAM proof of a password that is stored for it, and asks for an MD5 hash of one that is stored as such.
ACCESS = """
local all rdsadmin trust
hostssl all "{master}" 127.0.0.1/32 md5
{kerberos}
hostssl all all 127.0.0.1/32 md5
"""
JOINED = """
hostgssenc all +rds_ad 127.0.0.1/32 gss include_realm=1
hostssl all +rds_ad 127.0.0.1/32 gss include_realm=1
"""
MAPPED = """
hostgssenc all "{role}" 127.0.0.1/32 gss include_realm=1 map=groups
hostssl all "{role}" 127.0.0.1/32 gss include_realm=1 map=groups
"""
NOT_JOINED = "hostssl all +rds_ad 127.0.0.1/32 reject"

SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
port = {port}
password_encryption = scram-sha-256
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
krb_server_keyfile = '{folder}/server.keytab'
fsync = off
full_page_writes = off
max_wal_size = 8MB
min_wal_size = 2MB
shared_buffers = 16MB
max_connections = 20
jit = off
logging_collector = off
"""


class Postgres:
    """One server with its data in `folder`, and a certificate for its `names` in DNS.

    Attributes:
        port: TCP, on 127.0.0.1.
        master: name and password of the master user.
        authorities: a PEM file with the authority of its certificate.
        group_mapping: whether it loads pg_ad_mapping when it starts the next time.
    """

    def __init__(self, folder: Path, master: str, password: str, names: Sequence[str]) -> None:
        self._held = Port()
        self.port = self._held.number
        self._names = names
        self._folder = folder
        self.authorities = folder / "authorities.pem"
        self.master = (master, password)
        self._server: Server | None = None
        self._joined = False
        self._let_in: dict[str, list[str]] = {}
        self.group_mapping = False

    def start(self) -> None:
        """Make the server with the master user on it; returns when it takes connections.

        Raises:
            ServerError: it does not start.
        """
        self._folder.mkdir(parents=True)
        shutil.copytree(template(), self._folder / "data")
        (self._folder / "data" / "postgresql.conf").write_text(SETTINGS.format(folder=self._folder, port=self.port))
        authority().issue(self._folder, self._names)
        self.authorities.write_text(authority().pem)
        self._serve()
        name, password = self.master
        create = sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}")
        self.sql(create.format(sql.Identifier(name), sql.Literal(password)))
        # With ADMIN, without which PostgreSQL 16 and later do not let it grant what it has.
        self.sql(sql.SQL("GRANT rds_superuser TO {} WITH ADMIN OPTION").format(sql.Identifier(name)))

    def stop(self) -> None:
        """End it; a second call does nothing."""
        if self._server:
            self._server.stop()

    def restart(self) -> None:
        """Restart it; a domain joined or left meanwhile takes effect."""
        self.stop()
        self._serve()

    def join(self, keytab: bytes, krb5_conf: str) -> None:
        """What AWS does on a domain join; it takes effect with the next restart."""
        (self._folder / "server.keytab").write_bytes(keytab)
        (self._folder / "server.keytab").chmod(0o600)
        (self._folder / "krb5.conf").write_text(krb5_conf)
        self._joined = True

    def leave(self) -> None:
        """What AWS does when a cluster leaves its domain; it takes effect with the next restart."""
        (self._folder / "server.keytab").unlink()
        self._joined = False

    def let_in(self, members: dict[str, list[str]]) -> None:
        """What Aurora's pg_ad_mapping does at a login: the members (principals) of each role's group may take it."""
        self._let_in = members
        self._write_access()
        self.sql("SELECT pg_reload_conf()")

    def sql(
        self, statement: str | sql.Composable, parameters: Sequence[object] | None = None, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run a statement as AWS's own superuser; its rows."""
        with closing(self._connect(database)) as opened, opened.cursor() as session:
            opened.autocommit = True  # a database cannot be made in a transaction
            session.execute(statement, parameters)
            return list(session.fetchall()) if session.description else []

    def sql_of_a_person(self, statement: str) -> None:
        """Run a statement that a person has written, as the master user: it reaches nothing of this machine."""
        name, password = self.master
        opened = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=name, password=password, dbname="postgres", gssencmode="disable"
        )
        with closing(opened), opened.cursor() as session:
            opened.autocommit = True
            session.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[cursor]:
        """A transaction of AWS's own superuser, which is rolled back at the end."""
        with closing(self._connect("postgres")) as opened, opened.cursor() as session:
            yield session

    def _connect(self, database: str) -> connection:
        return psycopg2.connect(host=str(self._folder), port=self.port, user=SUPERUSER, dbname=database)

    def _serve(self) -> None:
        self._write_access()
        program = self._with_group_mapping() if self.group_mapping else packages.require("postgres")
        give_away(self._folder)
        command: list[str | Path] = [program, "-D", self._folder / "data"]
        if self.group_mapping:
            command += ["-c", "shared_preload_libraries=pg_stat_statements, pg_ad_mapping"]
        environment = {**packages.environment(), "KRB5_CONFIG": str(self._folder / "krb5.conf")}
        self._held.release()
        # SIGTERM would have it wait for who is connected, which neither a restart nor a failure of Aurora's does.
        self._server = Server(command, "ready to accept connections", environment, server_user(), signal.SIGINT)

    def _write_access(self) -> None:
        kerberos = JOINED if self._joined else NOT_JOINED
        mapped = "".join(MAPPED.format(role=role) for role in self._let_in) if self._joined else ""
        access = ACCESS.format(master=self.master[0], kerberos=mapped + kerberos)
        (self._folder / "data" / "pg_hba.conf").write_text(access)
        lines = [f'groups "{who}" "{role}"\n' for role, members in self._let_in.items() for who in members]
        (self._folder / "data" / "pg_ident.conf").write_text("".join(lines))

    def _with_group_mapping(self) -> Path:
        """A copy of PostgreSQL that has the extension, for the system's own is not ours to change.

        PostgreSQL looks for its files relative to its program. The library is another one of PostgreSQL's, which does
        nothing: what counts is that it has to be loaded.
        """
        program = packages.require("postgres").resolve()
        version, prefix = program.parents[1], program.parents[4]
        copy = self._folder / "engine"
        if not copy.exists():
            share = Path("share") / "postgresql" / version.name
            bitcode = shutil.ignore_patterns("bitcode")
            shutil.copytree(version / "lib", copy / version.relative_to(prefix) / "lib", ignore=bitcode)
            shutil.copytree(prefix / share, copy / share)
            (copy / version.relative_to(prefix) / "bin").mkdir()
            shutil.copy(program, copy / program.relative_to(prefix))
            library = copy / version.relative_to(prefix) / "lib" / "auto_explain.so"
            shutil.copy(library, library.with_name("pg_ad_mapping.so"))
            for file in EXTENSION.iterdir():
                shutil.copy(file, copy / share / "extension")
        return copy / program.relative_to(prefix)


def server_user() -> str | None:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415  not on every system, and only needed by root

    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


def give_away(folder: Path) -> None:
    """Let the server's user own the folder and all in it, and nobody else look into it."""
    folder.chmod(0o700)
    if user := server_user():
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, user, user_group(user))


def template() -> Path:
    """A data directory with Aurora's roles, made once: initdb takes most of the time of a start."""
    version = packages.version("postgres")
    roles = ROLES + (GRANTABLE if int(version.partition(".")[0]) >= 16 else "")
    path = TEMPLATE / f"{version}-{zlib.crc32(' '.join([roles, *INITDB]).encode()):08x}"
    if not path.exists():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            give_away(folder)
            data = folder / "data"
            run("initdb", "-D", data, "-U", SUPERUSER, *INITDB)
            run("postgres", "--single", "-D", data, "postgres", text=roles)
            TEMPLATE.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(dir=TEMPLATE))
            shutil.copytree(data, beside / "data")
            # Whoever is first wins; another run's copy is as good.
            if not path.exists():
                (beside / "data").rename(path)
            shutil.rmtree(beside)
    return path


def run(program: str, *arguments: str | Path, text: str = "") -> None:
    """Run one of PostgreSQL's programs as the server's user.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    user = server_user()
    identity = {"user": user, "group": user_group(user), "extra_groups": []} if user else {}
    done = subprocess.run(
        [packages.require(program), *arguments],
        input=text,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", **packages.environment()},
        check=False,
        **identity,  # type: ignore[call-overload]  # user, group and extra_groups, or none of them
    )
    if done.returncode != 0 or "ERROR" in done.stderr:
        raise RuntimeError(f"{program}: {done.stderr.strip()}")
