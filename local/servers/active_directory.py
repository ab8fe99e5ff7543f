"""A real Active Directory for one realm, on loopback: a Samba domain controller that can stand in for the MIT KDC.

What Active Directory does and MIT does not: it finds names whatever their case, has groups with security identifiers,
and trusts other forests one way or both, by an object for each of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from local.servers.server import Port, Server
from setup import packages

TEMPLATE = packages.FOLDER / "active-directory"
PROGRAM = Path(__file__).parent / "samba_directory.py"

# Only the KDC is served, and nothing of the system's own Samba is read or written. Provisioning asks for the shares.
SETTINGS = """\
[global]
  realm = {realm}
  workgroup = {netbios_name}
  netbios name = DC
  server role = active directory domain controller
  server services = kdc
  interfaces = 127.0.0.1
  bind interfaces only = yes
  krb5 port = {port}
  kpasswd port = 0
  private dir = {folder}/private
  state directory = {folder}/state
  cache directory = {folder}/cache
  lock directory = {folder}/lock
  pid directory = {folder}/lock
  binddns dir = {folder}/dns
  ncalrpc dir = {folder}/rpc
  ntp signd socket directory = {folder}/ntp
[sysvol]
  path = {folder}/state/sysvol
[netlogon]
  path = {folder}/state/sysvol/{domain}/scripts
"""
CLIENT = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
"""


class ActiveDirectory:
    """One domain, the only one of its forest, with its database in `folder`; to be used like a `Kdc`.

    Attributes:
        realm: upper-case; its first label is the NetBIOS name.
        port: TCP, on 127.0.0.1.
    """

    def __init__(self, realm: str, folder: Path) -> None:
        self.realm = realm
        self._held = Port()
        self.port = self._held.number
        self._folder = folder
        self._running = contextlib.ExitStack()

    def start(self) -> None:
        """Make the domain and serve it; returns when it is served. A second call does nothing.

        Raises:
            ServerError: the domain controller does not start.
        """
        if self._folder.exists():
            return
        shutil.copytree(template(self.realm), self._folder)
        write_settings(self._folder, self.realm, self.port)
        command: list[str | Path] = [
            *(packages.require("samba"), f"--configfile={self._folder / 'smb.conf'}"),
            *("--foreground", "--no-process-group", "--model=single"),  # one process: nothing is left behind it
            *("--debug-stdout", "--debuglevel=5"),  # no log file; and it says at 5 that it is ready
        ]
        self._held.release()
        server = Server(command, "ready to serve connections", environment(self._folder))
        self._running.callback(server.stop)
        self._database = self._running.enter_context(contextlib.closing(Database(self._folder)))

    def stop(self) -> None:
        """End the domain controller; a second call does nothing."""
        self._running.close()

    def add_principal(self, name: str, password: str | None = None) -> None:
        """A user, or for `service/host` an account with that service principal name.

        Raises:
            RuntimeError: it exists already, or the password is too weak.
        """
        kind = "add_service" if "/" in name else "add_user"
        self._do(kind, name=name, password=password or random_password())

    def delete_principal(self, name: str) -> None:
        """Delete a user or a service, by its name."""
        self._do("delete", name=name)

    def has_principal(self, name: str) -> bool:
        """Whether the realm has the principal, in whatever case."""
        return bool(self._do("has", name=name))

    def keytab(self, path: Path, *names: str) -> None:
        """Write the present keys of principals to a keytab; nobody's key changes."""
        self._do("export", path=str(path), names=names)
        path.chmod(0o600)

    def trust(self, other: ActiveDirectory, password: str, *, both_ways: bool = True) -> None:
        """Trust the other forest: its users may then use this one's services; both ways, the reverse as well."""
        here, there = self._do("domain"), other._do("domain")
        self._do("add_trust", other=there, password=password, trusting=True, trusted=both_ways)
        other._do("add_trust", other=here, password=password, trusting=both_ways, trusted=True)

    def end_trust(self, other: ActiveDirectory) -> None:
        """End the trust between the forests, on both sides."""
        here, there = self._do("domain"), other._do("domain")
        self._do("end_trust", other=there)
        other._do("end_trust", other=here)

    def client_conf(self, *others: ActiveDirectory) -> str:
        """The [realms] of a krb5.conf for this machine; final, as the `Kdc`'s."""
        realms = "".join(f"  {each.realm} = {{\n    kdc = 127.0.0.1:{each.port}\n  }}*\n" for each in (self, *others))
        return f"[realms]\n{realms}"

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password."""
        self._do("set_password", name=name, password=password)

    def disable(self, name: str) -> None:
        """Switch a user off."""
        self._do("disable", name=name)

    def enable(self, name: str) -> None:
        """Switch a user on again."""
        self._do("enable", name=name)

    def add_group(self, name: str) -> None:
        """A global security group."""
        self._do("add_group", name=name)

    def add_member(self, group: str, name: str) -> None:
        """Add a user or a group to a group.

        Raises:
            RuntimeError: either does not exist, or it is a member already.
        """
        self._do("add_member", group=group, name=name)

    def remove_member(self, group: str, name: str) -> None:
        """Remove a user or a group from a group.

        Raises:
            RuntimeError: it is no member.
        """
        self._do("remove_member", group=group, name=name)

    def members(self, group: str, *, nested: bool = False) -> list[str]:
        """The names of a group's members, users and groups; nested, all users in it and in the groups in it."""
        names: list[str] = self._do("members", group=group, nested=nested)
        return names

    def sid(self, name: str) -> str:
        """The security identifier of a user or a group."""
        return str(self._do("sid", name=name))

    def _do(self, operation: str, **arguments: object) -> Any:
        self.start()
        return self._database.do(operation, **arguments)


class Database:
    """The database of a domain controller, by way of `samba_directory.py`, which runs until `close`."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "database.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [packages.SYSTEM_PYTHON, "-I", PROGRAM, folder / "smb.conf"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": os.defpath, **environment(folder)},
                text=True,
            )
        self._one_at_a_time = threading.Lock()

    def do(self, operation: str, **arguments: object) -> Any:
        """Do one operation; its answer.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        asked, answers, line = self._process.stdin, self._process.stdout, ""
        with self._one_at_a_time, contextlib.suppress(BrokenPipeError):
            print(json.dumps({"do": operation, **arguments}), file=asked, flush=True)
            line = answers.readline() if answers else ""
        if not line:
            raise RuntimeError(f"{operation}: {self._log.read_text().strip()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{operation}: {answer['error']}")
        return answer["answer"]

    def close(self) -> None:
        """End it, and wait until it has ended; a second call does nothing."""
        self._process.communicate()


def template(realm: str) -> Path:
    """A new domain, made once: that takes most of the time of a start."""
    path = TEMPLATE / packages.version("samba") / realm
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as name:
            folder = Path(name) / realm
            folder.mkdir(mode=0o700)
            write_settings(folder, realm, 0)
            with contextlib.closing(Database(folder)) as database:
                database.do("provision")
            # Whoever is first wins; another run's domain is as good.
            if not path.exists():
                folder.rename(path)
    return path


def write_settings(folder: Path, realm: str, port: int) -> None:
    """The smb.conf and krb5.conf of a domain controller with all it has in `folder`."""
    names = {"realm": realm, "domain": realm.lower(), "netbios_name": realm.partition(".")[0]}
    (folder / "smb.conf").write_text(SETTINGS.format(folder=folder, port=port, **names))
    (folder / "krb5.conf").write_text(CLIENT.format(realm=realm))


def environment(folder: Path) -> dict[str, str]:
    """The Kerberos settings of Samba's programs."""
    return {"KRB5_CONFIG": str(folder / "krb5.conf")}


def random_password() -> str:
    """One that satisfies Active Directory's rule of three of four classes."""
    return f"{secrets.token_urlsafe(24)}-Aa1"
