"""A rollout over a large organization, in a process of its own, whose memory is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from deploy import templates
from tools.bench.fleet import ACCOUNTS, CLUSTERS
from tools.bench.page import Goal, Section


def sections() -> Iterator[Section]:
    """What a rollout takes, beside AWS's quotas."""
    command = [sys.executable, "-m", "tools.bench.fleet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=templates.ROOT)
    rows = json.loads(done.stdout)
    yield Section(
        f"A rollout: {CLUSTERS:,} clusters in {ACCOUNTS} accounts",
        "The rollout's own functions are real, all else is stubbed, and time is virtual.",
        ("what", "measured", "at most"),
        [(what, f"{got:,.0f} {unit}", f"{most:,.0f} {unit}") for what, got, most, unit in rows],
        [Goal("figures above their limit", sum(got > most for _, got, most, _ in rows), at_most=0, digits=0)],
    )
