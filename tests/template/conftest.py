"""What the tests of the template share: what `sam build` has made, once, for it takes half a dozen seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from deploy import build


@pytest.fixture(scope="session")
def python() -> Path:
    found = build.find(build.runtime())
    if found is None:
        missing = f"there is no Python {build.runtime()} here, which `sam build` needs"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="session")
def build_for(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder that is built for an architecture. Its tests are of the group "build", to be in one process."""
    assert python

    @cache
    def run_build(architecture: str) -> Path:
        folder = tmp_path_factory.mktemp(architecture)
        arguments = ["--build-dir", str(folder), "--parameter-overrides", f"Architecture={architecture}"]
        command = [sys.executable, "-m", "deploy.build", *arguments]
        done = subprocess.run(command, cwd=build.ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return folder

    return run_build
