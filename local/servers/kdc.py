"""A real MIT KDC for one realm, on loopback, as the domain controllers of a directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

from local.servers.server import LOOPBACK, Port, Server
from setup import packages

ENCRYPTION = "aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96"  # what Active Directory has


def section(realm: str, port: int, address: str = LOOPBACK) -> str:
    """A realm in the [realms] of a krb5.conf."""
    return f"  {realm} = {{\n    kdc = {address}:{port}\n  }}*\n"


class Kdc:
    """One realm with its database in `folder`.

    Attributes:
        realm: upper-case.
        port: TCP, on 127.0.0.1.
    """

    def __init__(self, realm: str, folder: Path) -> None:
        self.realm = realm
        self._held = Port()
        self.port = self._held.number
        self._folder = folder
        self._server: Server | None = None
        self._later: list[tuple[str, str | None]] = []
        self._environment = {
            **packages.environment(),
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
        }

    def start(self) -> None:
        """Make the realm's database and serve it; returns when it is served. A second call does nothing.

        Raises:
            ServerError: the KDC does not start.
        """
        if self._server:
            return
        self._folder.mkdir(parents=True)
        (self._folder / "krb5.conf").write_text(f"[libdefaults]\n  default_realm = {self.realm}\n{self.client_conf()}")
        (self._folder / "kdc.conf").write_text(
            f'[kdcdefaults]\n  kdc_listen = ""\n  kdc_tcp_listen = 127.0.0.1:{self.port}\n'
            f"[realms]\n  {self.realm} = {{\n"
            f"    database_name = {self._folder / 'principal'}\n"
            f"    key_stash_file = {self._folder / 'stash'}\n"
            f"    acl_file = {self._folder / 'acl'}\n"
            f"    supported_enctypes = {ENCRYPTION}\n"
            f"    default_principal_flags = +preauth\n  }}\n"  # as Active Directory has it
            f"[logging]\n  kdc = STDERR\n"
            f"[dbmodules]\n  db_module_dir = {packages.kdc_modules()}\n"
        )
        self._run("kdb5_util", "create", "-s", "-P", "of-the-local-run-alone")
        command: list[str | Path] = [packages.require("krb5kdc"), "-n", "-r", self.realm]
        self._held.release()
        self._server = Server(command, "commencing operation", self._environment)
        for name, password in self._later:
            self.add_principal(name, password)

    def stop(self) -> None:
        """End the KDC; a second call does nothing."""
        if self._server:
            self._server.stop()

    def add_principal(self, name: str, password: str | None = None) -> None:
        """A principal with a password, or with a random key; before the KDC has started, it is noted for then.

        Raises:
            RuntimeError: it exists already.
        """
        if self._server is None:
            self._later.append((name, password))
            return
        self._admin("addprinc", *(["-pw", password] if password else ["-randkey"]), name)

    def delete_principal(self, name: str) -> None:
        """Delete a principal."""
        self._admin("delprinc", "-force", name)

    def set_password(self, name: str, password: str) -> None:
        """Give a principal another password."""
        self._admin("cpw", "-pw", password, name)

    def disable(self, name: str) -> None:
        """Let a principal get no more tickets."""
        self._admin("modprinc", "-allow_tix", name)

    def enable(self, name: str) -> None:
        """Let a principal get tickets again."""
        self._admin("modprinc", "+allow_tix", name)

    def has_principal(self, name: str) -> bool:
        """Whether the realm has the principal."""
        return f"{name}@{self.realm}" in self._admin("listprincs").splitlines()

    def keytab(self, path: Path, *names: str) -> None:
        """Write the present keys of principals to a keytab; nobody's key changes."""
        for name in names:
            self._admin("ktadd", "-k", str(path), "-norandkey", name)
        path.chmod(0o600)

    def trust(self, other: Kdc, password: str) -> None:
        """Trust between the realms, both ways."""
        for kdc in (self, other):
            kdc.add_principal(f"krbtgt/{self.realm}@{other.realm}", password)
            kdc.add_principal(f"krbtgt/{other.realm}@{self.realm}", password)

    def client_conf(self, *others: Kdc) -> str:
        """The [realms] of a krb5.conf for this machine.

        The asterisk makes them final: a later file of KRB5_CONFIG's list cannot add the domain controllers of its own.
        """
        return f"[realms]\n{''.join(section(kdc.realm, kdc.port) for kdc in (self, *others))}"

    def _admin(self, *query: str) -> str:
        self.start()
        return self._run("kadmin.local", *query)

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [packages.require(program), "-r", self.realm, *arguments],
            env={"PATH": "/usr/bin:/bin", **self._environment},
            capture_output=True,
            text=True,
            check=False,
        )
        # kadmin.local may end with 0 whatever became of a query.
        complaints = [line for line in done.stderr.splitlines() if line.startswith(program) or " while " in line]
        if done.returncode != 0 or complaints:
            raise RuntimeError(f"{program} {arguments[0]}: {done.stderr.strip()}")
        return done.stdout
