"""`make build`: what would be deployed is made for the functions' Python and processor, and can be imported."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from aurora_kerberos.authorities import BUNDLE
from deploy import build

pytestmark = pytest.mark.xdist_group("build")

MACHINES = {"arm64": 183, "x86_64": 62}  # e_machine of an ELF file


@pytest.mark.parametrize("architecture", MACHINES)
def test_the_wheels_are_for_the_architecture(build_for: Callable[[str], Path], architecture: str) -> None:
    built = build_for(architecture)
    libraries = list(built.glob("PostgresLayer/python/psycopg2/*.so"))
    libraries += built.glob("ValidateRequest/pydantic_core/*.so")
    assert len(libraries) == 2
    for library in libraries:
        (machine,) = struct.unpack_from("<H", library.read_bytes(), 18)
        assert machine == MACHINES[architecture], library
    assert not list(built.glob("*/**/moto"))
    assert (built / "CommonLayer" / "python" / "aurora_kerberos" / BUNDLE.name).read_bytes() == BUNDLE.read_bytes()


def test_what_is_built_can_be_imported_by_the_runtime(
    python: Path, build_for: Callable[[str], Path], tmp_path: Path
) -> None:
    """With the built layers on the path and nothing else, as in Lambda, but for boto3, which Lambda brings."""
    here = {"aarch64": "arm64", "arm64": "arm64"}.get(os.uname().machine, "x86_64")
    built = build_for(here)
    site_packages = str(Path(str(boto3.__file__)).parents[1])
    for app in sorted(built.glob("*/app.py")):
        layers = [app.parent, built / "CommonLayer" / "python", built / "PostgresLayer" / "python"]
        environment = {
            "PYTHONPATH": os.pathsep.join(map(str, layers)),
            "AWS_REGION": "eu-central-1",
            "PYTHONPYCACHEPREFIX": str(tmp_path),
        }
        code = f"import sys; sys.path.append({site_packages!r}); import app; assert callable(app.handler)"
        done = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{app.parent.name}: {done.stderr}"


def test_a_missing_python_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(build, "candidates", lambda _: [])
    assert build.run([]) == 1
    assert "needs Python 3.13" in capsys.readouterr().err


def test_a_shim_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"shim": "exit 127", "real": "echo Python 3.13.9"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(build, "candidates", lambda _: [tmp_path / "none", tmp_path / "shim", tmp_path / "real"])
    assert build.find("3.13") == tmp_path / "real"
