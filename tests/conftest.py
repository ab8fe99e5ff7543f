"""For all tests."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import settings

# A cloud is many small objects that live as long as their test; the search for garbage among them took a third of it.
gc.set_threshold(100_000, 50, 100)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Let `--dist loadgroup` keep the tests of a group in one process, so that what they share is made once.

    pytest-xdist 3.8 writes a test's group where pytest 9.2 no longer reads it (issue 1386 of pytest-xdist), and says
    nothing.
    """
    for item in items:
        if "_nodeid" in vars(item):
            item._id = type(item.id).parse(item._nodeid)


# `--hypothesis-profile=thorough` draws anew and more where a test asks for it.
settings.register_profile("thorough")
