"""The simulated fleet: small enough to be tested, and with figures that follow from it."""

from __future__ import annotations

from collections import Counter

from tools.bench.fleet import AT_ONCE, Fleet, simulated


def test_every_cluster_of_every_account_gets_what_its_own_workflow_made_of_it() -> None:
    fleet = Fleet(accounts=9, clusters=600)
    figures, _ = simulated(fleet)
    kinds = {"enabled": "enabled", "PrincipalUsesIam": "refused", "NetworkBlocked": "failed"}
    assert figures.counts == Counter(kinds[end] for end in fleet.ends.values())
    assert {item["outcome"]["S"] for item in fleet.table.values()} == set(figures.counts)
    assert figures.most_at_once <= AT_ONCE
    assert sum(figures.starts.values()) == 600
    assert figures.virtual_seconds > max(fleet.takes.values())
