"""How fast the local run is."""

from __future__ import annotations

from collections.abc import Iterator

from deploy import templates
from local.scenario.format import read
from local.scenario.run import rehearse
from local.views.durations import spoken
from tools.bench.page import Section

SCENARIO = "tag-to-login"


def sections() -> Iterator[Section]:
    """Virtual seconds per real second; alone in its process, the first run also imports what it needs."""
    wanted = read(templates.ROOT / "scenarios" / f"{SCENARIO}.yaml")
    first, second = rehearse(wanted), rehearse(wanted)
    yield Section(
        f"The local run: {SCENARIO}",
        "With a real KDC, a real PostgreSQL and real logins, twice in one process.",
        ("run", "virtual time", "real time", "virtual seconds in a real one"),
        [
            (
                name,
                spoken(result.virtual_seconds),
                f"{result.real_seconds:.1f} s",
                f"{result.virtual_seconds / result.real_seconds:,.0f}",
            )
            for name, result in {"first": first, "second": second}.items()
        ],
    )
