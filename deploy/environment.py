"""The environment of a process that is to know nothing of the person at this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from local.services import sns as _sns  # noqa: F401  registers its fakes
from local.services.iam import sts as _sts  # noqa: F401  registers its fakes
from local.services.rds import data_api as _data_api  # noqa: F401  registers its fakes
from local.services.rds import new_clusters as _new_clusters  # noqa: F401  registers its fakes
from local.services.rds import parameter_groups as _parameter_groups  # noqa: F401  registers its fakes


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
