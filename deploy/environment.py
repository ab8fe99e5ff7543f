"""The environment of a process that is to know nothing of the person at this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def environment_of(region: str) -> Iterator[None]:
    """No profile, no credentials and no ticket of the person at this machine."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("AWS_", "PG", "KRB5"))]:
        del os.environ[name]
    os.environ.update(AWS_DEFAULT_REGION=region, AWS_EC2_METADATA_DISABLED="true", MOTO_EC2_LOAD_DEFAULT_AMIS="false")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
