"""For all tests."""

from __future__ import annotations

import gc

# A cloud is many small objects that live as long as their test; the search for garbage among them took a third of it.
gc.set_threshold(100_000, 50, 100)
