"""Polling as the design has it, beside fixed intervals, on the same scenarios.

CloudFormation's handler of DB clusters asks every 30 s, Ansible's module every 20 s. How long AWS takes is drawn, the
same for all of them. Time is virtual: the figures are the same on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean

from aurora_kerberos import step
from deploy import templates
from local.core.cloud import Takes
from local.core.moments import Moment
from local.scenario.format import Scenario, read
from local.scenario.run import rehearse
from local.views.durations import spoken
from tools.bench.page import Goal, Section

Policy = Callable[[int, int], int]


def every(seconds: int) -> Policy:
    """The same wait each time."""

    def wait(waited: int, at_least: int = 0) -> int:  # noqa: ARG001  as the policy it takes the place of
        return seconds

    return wait


POLICIES: dict[str, Policy] = {
    "30 s and a tenth": step.wait_seconds,
    "every 30 s": every(30),
    "every 20 s": every(20),
}
OURS, PEER, _ = POLICIES
DRAWS = 6
SCENARIOS = ("tag-to-login", "existing-directory", "moved-to-another-directory")
NEW_DIRECTORY = SCENARIOS[0]
WEEK = 7 * step.DAY
HISTORY = 25_000  # events, of a standard workflow (quotas of AWS Step Functions)
# What is to be reached on the scenario with a new directory, and in a week of a maintenance window.
FEWER_TRANSITIONS = 3
LAG_SHARE, LAG_SECONDS = 0.05, 15
EVENTS_OF_A_WEEK = 7_000


@dataclass(frozen=True)
class Thing:
    """Something that AWS took `took` seconds for, and that was noticed `lag` seconds after it was there."""

    name: str
    took: float
    lag: float


@dataclass(frozen=True)
class Figures:
    """What runs have cost: state transitions, polls, API calls of the functions, events of the longest history."""

    transitions: int
    polls: int
    calls: int
    events: int
    things: list[Thing]

    @property
    def lag(self) -> float:
        """Seconds between AWS being ready and the workflow knowing it, on average."""
        return mean(thing.lag for thing in self.things)

    @property
    def bound(self) -> float:
        """Seconds of lag that are to be reached."""
        return mean(LAG_SHARE * thing.took + LAG_SECONDS for thing in self.things)


def draws() -> list[Takes]:
    """How long AWS may take: a directory 20 to 40 minutes (documented), a membership 8 to 16, a restart 1 to 3."""
    luck = random.Random(7)  # noqa: S311  nobody's secrets are at stake
    return [
        Takes(
            directory=luck.randint(20 * step.MINUTE, 40 * step.MINUTE),
            membership=luck.randint(8 * step.MINUTE, 16 * step.MINUTE),
            restart=luck.randint(step.MINUTE, 3 * step.MINUTE),
        )
        for _ in range(DRAWS)
    ]


@contextmanager
def polling(policy: Policy) -> Iterator[None]:
    """Steps wait as this policy says."""
    before = step.wait_seconds
    step.wait_seconds = policy  # type: ignore[assignment]  # names of arguments are no part of a Callable
    try:
        yield
    finally:
        step.wait_seconds = before


def measured(wanted: Scenario, policy: Policy, durations: list[Takes]) -> Figures:
    """A scenario's figures under a policy, of one run for each of the durations.

    Raises:
        AssertionError: the scenario did not end as it must.
    """
    with polling(policy):
        results = [rehearse(wanted.model_copy(update={"takes": takes})) for takes in durations]
    if failed := [check for result in results for check in result.checks if not check.passed]:
        raise AssertionError(failed)
    executions = [execution for result in results for execution in result.executions]
    return Figures(
        transitions=sum(len(execution.states) + len(execution.retries) for execution in executions),
        polls=sum(len(execution.answers) for execution in executions),
        calls=sum(len(result.calls) for result in results),
        events=max(len(execution.history) for execution in executions),
        things=[thing for result in results for thing in things(result.moments)],
    )


def things(moments: list[Moment]) -> Iterator[Thing]:
    """What was waited for, from the moments of a run with one execution at a time.

    A thing begins when a step answers that it waits, or when the thing before it has been noticed; it is there when AWS
    last did something before the step's next answer.
    """
    began: float | None = None
    there: Moment | None = None
    for moment in moments:
        if moment.kind == "happened" and began is not None:
            there = moment
        elif moment.kind == "answered":
            if there and began is not None:
                yield Thing(there.text, there.at - began, moment.at - there.at)
                began = there = None
            if moment.ready:
                began = None
            elif began is None:
                began = moment.at


def week() -> Figures:
    """A cluster that waits for a week for its maintenance window."""
    wanted = read(templates.ROOT / "scenarios" / "maintenance-window.yaml")
    return measured(wanted, step.wait_seconds, [Takes(maintenance_window=WEEK)])


def sections() -> Iterator[Section]:
    """The figures of each scenario, and of a week's wait."""
    for name in SCENARIOS:
        wanted = read(templates.ROOT / "scenarios" / f"{name}.yaml")
        figures = {policy: measured(wanted, wait, draws()) for policy, wait in POLICIES.items()}
        goals = []
        if name == NEW_DIRECTORY:
            ratio, ours = figures[PEER].transitions / figures[OURS].transitions, figures[OURS]
            goals = [
                Goal(f"transitions, {PEER} to ours", ratio, at_least=FEWER_TRANSITIONS),
                Goal("mean lag, in seconds", ours.lag, at_most=ours.bound),
            ]
        yield Section(
            f"Polling: {wanted.scenario[0].lower()}{wanted.scenario[1:]}, {DRAWS} times",
            "The same durations of AWS, looked at as the steps do it, and at fixed intervals as others do. The lag is "
            "from AWS being ready to the workflow knowing it. Time is virtual: the figures are the same everywhere.",
            ("polling", "transitions", "API calls", "mean lag", "longest lag"),
            [row(policy, found, figures[OURS]) for policy, found in figures.items()],
            goals,
        )
    found = week()
    full = {PEER: 30, "every 20 s": 20}
    yield Section(
        "Polling: a cluster that waits for its maintenance window for a week",
        f"A history takes {HISTORY:,} events at the most.",
        ("polling", "a history is full after"),
        [(OURS, f"more than a week, which takes {found.events:,} events")]
        + [(name, spoken(HISTORY / (found.events / found.polls) * interval)) for name, interval in full.items()],
        [Goal("history events of a week's wait", found.events, at_most=EVENTS_OF_A_WEEK)],
    )


def row(name: str, found: Figures, ours: Figures) -> tuple[str, ...]:
    """A policy's figures, and how many times ours they are."""
    return (
        name,
        f"{found.transitions} (x {found.transitions / ours.transitions:.1f})",
        f"{found.calls} (x {found.calls / ours.calls:.1f})",
        f"{found.lag:.0f} s (x {found.lag / ours.lag:.1f})",
        f"{max(thing.lag for thing in found.things):.0f} s",
    )
