"""A scenario: the cloud at the start, what happens, and what must be true at the end.

The demo, the workflow tests and a user's own rehearsal all run scenarios. `docs/scenarios.md` is made from the models
here.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass
from typing import Any

from local import deployment
from local.cloud import Cloud
from local.core import places
from local.core.calls import Call
from local.core.executions import Execution
from local.core.moments import Listener, Moment
from local.scenario import secrecy
from local.scenario.expectations import Check, changes, checks
from local.scenario.format import Scenario
from local.scenario.happenings import happen_all
from local.scenario.login import Login, login
from local.scenario.prepare import prepare
from local.services import scheduler


@dataclass
class Result:
    """What came of a scenario.

    `leaked` are the secrets that can be read afterwards in histories, logs, tags, registry, notifications or reports.
    `logs` is all that the functions have written.
    """

    scenario: Scenario
    checks: list[Check]
    executions: list[Execution]
    logins: list[Login]
    moments: list[Moment]
    calls: list[Call]
    leaked: list[str]
    logs: str
    virtual_seconds: float
    real_seconds: float

    @property
    def passed(self) -> bool:
        """Whether all is true that must be."""
        return all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON, for `--json` and the report."""
        return {
            "scenario": self.scenario.scenario,
            "passed": self.passed,
            "checks": [vars(check) for check in self.checks],
            "executions": [
                {**each.as_dict(), "changes": changes(call for call in self.calls if call.execution == each.name)}
                for each in self.executions
            ],
            "logins": [each.as_dict() for each in self.logins],
            "calls": [f"{call.function} {call.name} {call.error}".rstrip() for call in self.calls],
            "changes": changes(self.calls),
            "virtual_seconds": self.virtual_seconds,
            "real_seconds": round(self.real_seconds, 3),
        }


def rehearse(scenario: Scenario, listener: Listener | None = None) -> Result:
    """Run a scenario in a cloud of its own."""
    began = clock.monotonic()
    with Cloud(scenario.settings, scenario.takes, listener) as cloud:
        prepare(cloud, scenario.cloud)
        if scenario.schedules:
            begin_schedules(cloud)
        impossible = happen_all(cloud, scenario.happens)
        cloud.run()
        logins = [login(cloud, each.cluster, each.principal, each.role) for each in scenario.expect.logins]
        return Result(
            scenario=scenario,
            checks=[*impossible, *checks(cloud, scenario.expect, logins)],
            executions=list(cloud.executions.values()),
            logins=logins,
            moments=cloud.moments,
            calls=[call for call in cloud.calls if call.function],
            logs=cloud.functions.logs(),
            leaked=secrecy.leaked(secrecy.secrets(cloud), secrecy.written(cloud)),
            virtual_seconds=cloud.clock.now,
            real_seconds=clock.monotonic() - began,
        )


def begin_schedules(cloud: Cloud) -> None:
    """Let every stack's schedules run."""
    for place, deployed in cloud.deployed.items():
        with places.at(place):
            scheduler.begin(cloud, scheduler.schedules(deployment.plain(), deployed.parameters))
