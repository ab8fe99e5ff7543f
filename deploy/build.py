"""`make build`: `sam build` without Docker, with the very Python that the functions run on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


def runtime() -> str:
    """The functions' Python, such as `3.13`, as `template.yaml` says."""
    found = re.search(r"Runtime: python(3\.\d+)", (ROOT / "template.yaml").read_text())
    if found is None:
        raise LookupError("template.yaml names no Python runtime.")
    return found[1]


def candidates(version: str) -> list[Path]:
    """Where such a Python may be: on PATH, or among the ones pyenv has installed (its shims do not do)."""
    on_path = [Path(folder) / f"python{version}" for folder in os.environ.get("PATH", "").split(os.pathsep)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return [*on_path, *sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)]


def find(version: str) -> Path | None:
    """The first candidate that runs and is of the version."""
    for path in candidates(version):
        if path.is_file():
            asked = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
            if asked.returncode == 0 and asked.stdout.startswith(f"Python {version}."):
                return path
    return None


def run(arguments: Sequence[str]) -> int:
    """Build, or say which Python is missing; its exit code. The arguments go to `sam build`."""
    version = runtime()
    python = find(version)
    if python is None:
        print(
            f"`sam build` needs Python {version}, the functions' runtime, and there is none on PATH or in pyenv. "
            f"Install it (pyenv install {version}, or your system's package python{version}), then try again. "
            "With Docker: sam build --use-container.",
            file=sys.stderr,
        )
        return 1
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
    environment["PATH"] = os.pathsep.join([str(python.parent), environment.get("PATH", "")])
    sam = Path(sys.executable).parent / "sam"
    return subprocess.run([sam, "build", *arguments], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
