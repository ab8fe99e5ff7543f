"""PostgreSQL and MIT Kerberos for the local run, and Samba for some tests: where they are, and how they get here.

`python3 setup/packages.py` installs what is missing. It runs before there is a virtual environment, with the standard
library alone. As root on Debian or Ubuntu it installs the system's packages; without root it unpacks the same packages
into the project's own ignored folder; elsewhere it says what to install.

`python3 setup/packages.py active-directory` does so for Samba, as root on Debian or Ubuntu alone: its programs look for
their modules where the packages put them. Who cannot have it is told, and goes without the tests that need it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / ".local"
UNPACKED = FOLDER / "packages"

PROGRAMS = ("initdb", "postgres", "krb5kdc", "kdb5_util", "kadmin.local")
PACKAGES = ("postgresql", "krb5-kdc", "krb5-admin-server", "python3-venv")

# From Debian 12 and Ubuntu 24.04 on. Nothing of a file server or of winbind is used; samba-ad-dc depends on them.
ACTIVE_DIRECTORY_PACKAGES = ("samba-ad-dc", "samba-ad-provision")
SAMBA_FILES = Path("/usr/share/samba/setup/provision.ldif")
SAMBA_SERVICES = ("nmbd", "samba-ad-dc", "smbd", "winbind")
SYSTEM_PYTHON = Path("/usr/bin/python3")  # the one that has Samba's modules

NO_SERVICES = Path("/usr/sbin/policy-rc.d")


@cache
def folders() -> tuple[Path, ...]:
    """Where to look for programs: PostgreSQL's own folders before PATH, which may hold links to its clients only."""
    roots = (Path("/"), UNPACKED)
    servers = [path for root in roots for path in root.glob("usr/lib/postgresql/*/bin") if (path / "initdb").exists()]
    newest_first = sorted(servers, key=lambda path: int(path.parent.name), reverse=True)
    path = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    homebrew = [Path("/opt/homebrew/opt/krb5/sbin"), Path("/usr/local/opt/krb5/sbin")]
    others = [root / folder for root in roots for folder in ("usr/sbin", "usr/bin")]
    return (*newest_first, *path, *others, *homebrew)


def find(program: str) -> Path | None:
    """The program's file, or None."""
    return next((folder / program for folder in folders() if os.access(folder / program, os.X_OK)), None)


def require(program: str) -> Path:
    """The program's file.

    Raises:
        FileNotFoundError: it is not installed.
    """
    if found := find(program):
        return found
    raise FileNotFoundError(f"{program} is not installed; `make setup` installs it or says how.")


def version(program: str) -> str:
    """The version that a program tells of itself."""
    told = subprocess.run(
        [require(program), "--version"], capture_output=True, text=True, check=True, env={**os.environ, **environment()}
    )
    found = re.search(r"\d+(\.\d+)*", told.stdout)
    return found[0] if found else "unknown"


def environment() -> dict[str, str]:
    """What unpacked programs need in their environment; empty when the system's are used."""
    libraries = [path for path in UNPACKED.glob("usr/lib/*-linux-gnu") if path.is_dir()]
    return {"LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))} if libraries else {}


def kdc_modules() -> Path:
    """The folder with the KDC's database module, which the libraries would look for in the system's alone."""
    found = [*UNPACKED.glob("usr/lib/*/krb5/plugins/kdb"), *Path("/usr/lib").glob("*/krb5/plugins/kdb")]
    return found[0] if found else require("krb5kdc").parent.parent / "lib/krb5/plugins/kdb"


def missing() -> list[str]:
    """The programs that are not there, and `python3-venv` when this Python lacks what makes a virtual environment."""
    folders.cache_clear()
    importlib.invalidate_caches()
    venv = [] if importlib.util.find_spec("ensurepip") else ["python3-venv"]
    return [*(program for program in PROGRAMS if find(program) is None), *venv]


def main() -> int:
    """Install what is missing; 0 when all is there."""
    absent = missing()
    if not absent:
        return 0
    print(f"The local run needs PostgreSQL, MIT Kerberos and venv; not here: {', '.join(absent)}.", flush=True)
    if shutil.which("apt-get") is None:
        print(
            "Install Python's venv, a PostgreSQL server built with GSSAPI, and MIT Kerberos with its KDC:\n"
            "  Fedora, RHEL:  dnf install postgresql-server krb5-server krb5-workstation\n"
            "  Arch:          pacman -S postgresql krb5\n"
            "  macOS:         brew install postgresql@16 krb5\n"
            "or use a Debian or Ubuntu, where this installs them by itself.",
            file=sys.stderr,
        )
        return 1
    try:
        if os.geteuid() == 0:
            install(PACKAGES)
        elif "python3-venv" in absent:
            print("Without root it cannot be had: ask for the package python3-venv to be installed.", file=sys.stderr)
            return 1
        else:
            unpack()
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(map(str, error.cmd))} failed:\n{error.stderr or error.stdout}", file=sys.stderr)
        return 1
    if remaining := missing():
        print(f"Still not here: {', '.join(remaining)}. Install {' '.join(PACKAGES)} by hand.", file=sys.stderr)
        return 1
    return 0


def install(packages: tuple[str, ...]) -> None:
    """As root: the system's packages, their services not started and no database cluster of the system made."""
    print(f"Installing the system's packages {' '.join(packages)} with apt-get; no service is started.", flush=True)
    with no_services():
        apt("update")
        apt("install", "--yes", "--no-install-recommends", *packages)


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Debian asks this file before it starts a service; whoever has one keeps it."""
    ours = not NO_SERVICES.exists()
    if ours:
        NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
        NO_SERVICES.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            NO_SERVICES.unlink()


def unpack() -> None:
    """Without root: the same packages, and what they need and the system lacks, unpacked into the project's folder."""
    print(f"Unpacking the packages {' '.join(PACKAGES)} into {UNPACKED.relative_to(FOLDER.parent)}.", flush=True)
    downloads = FOLDER / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (downloads / folder).mkdir(parents=True, exist_ok=True)
    ours = (
        f"-oDir::State::Lists={downloads / 'lists'}",
        f"-oDir::Cache={downloads / 'cache'}",
        "-oDebug::NoLocking=1",
        "-oAPT::Sandbox::User=",
    )
    apt(*ours, "update")
    # What an installation would fetch, one line each: 'address' file size hash.
    wanted = apt(*ours, "install", "--print-uris", "--yes", "--no-install-recommends", *PACKAGES)
    names = [file.partition("_")[0] for file in re.findall(r"^'[^']+' (\S+\.deb) ", wanted, re.MULTILINE)]
    apt(*ours, "download", *names, folder=downloads)
    UNPACKED.mkdir(exist_ok=True)
    for package in sorted(downloads.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, UNPACKED], check=True, capture_output=True, text=True)
    shutil.rmtree(downloads)


def missing_for_active_directory() -> list[str]:
    """What Samba as a domain controller lacks here."""
    folders.cache_clear()
    there = {
        "samba": find("samba") is not None,
        "Samba's Python modules": has_samba_modules(),
        "samba-ad-provision": SAMBA_FILES.exists(),
    }
    return [name for name, found in there.items() if not found]


def has_samba_modules() -> bool:
    """Whether the system's Python has what `samba_directory.py` imports."""
    command: list[str | Path] = [SYSTEM_PYTHON, "-I", "-c", "import samba.dckeytab, samba.provision"]
    return SYSTEM_PYTHON.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def active_directory() -> int:
    """Install Samba where it can be had, or say that there will be no tests with it; 0, for the others can be run."""
    absent = missing_for_active_directory()
    if not absent:
        return 0
    print(f"The tests with a real Active Directory need Samba; not here: {', '.join(absent)}.", flush=True)
    if shutil.which("apt-get") and os.geteuid() == 0:
        try:
            install_active_directory()
        except subprocess.CalledProcessError as error:
            print(f"{' '.join(map(str, error.cmd))} failed:\n{error.stderr or error.stdout}", file=sys.stderr)
        absent = missing_for_active_directory()
    if absent:
        command = f"apt-get install --no-install-recommends {' '.join(ACTIVE_DIRECTORY_PACKAGES)}"
        print(
            f"THE TESTS WITH A REAL ACTIVE DIRECTORY ARE SKIPPED: not here: {', '.join(absent)}.\n"
            f"As root on Debian 12, Ubuntu 24.04 or later `make test` installs it: {command}",
            file=sys.stderr,
        )
    return 0


def install_active_directory() -> None:
    """The system's packages; their services, which Debian would start from the next boot on, stay switched off."""
    units = [Path("/lib/systemd/system", f"{name}.service") for name in SAMBA_SERVICES]
    new = [unit for unit in units if not unit.exists()]  # whoever has a service already keeps it
    install(ACTIVE_DIRECTORY_PACKAGES)
    if new and shutil.which("systemctl"):
        subprocess.run(
            ["systemctl", "disable", *(unit.name for unit in new)], check=True, capture_output=True, text=True
        )


def apt(*arguments: str, folder: Path | None = None) -> str:
    """Run apt-get without questions; what it printed."""
    environment_ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        ["apt-get", "-q", *arguments], check=True, capture_output=True, text=True, env=environment_, cwd=folder
    )
    return done.stdout


if __name__ == "__main__":
    sys.exit(active_directory() if sys.argv[1:] == ["active-directory"] else main())
