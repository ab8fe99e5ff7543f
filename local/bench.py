"""`make bench`: polling as the design has it, beside fixed intervals, on the same scenarios.

CloudFormation's handler of DB clusters asks every 30 s, Ansible's module every 20 s. Time is virtual, so the figures are
the same on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean

from rich.console import Console
from rich.table import Table

from aurora_kerberos import step
from local import scenario, stack
from local.durations import spoken
from local.moments import Moment
from local.scenario import Scenario, Takes

Policy = Callable[[int, int], int]

POLICIES: dict[str, Policy] = {
    "30 s and a tenth": step.wait_seconds,
    "every 30 s": lambda waited, at_least=0: 30,  # noqa: ARG005  as the policy it takes the place of
    "every 20 s": lambda waited, at_least=0: 20,  # noqa: ARG005  likewise
}
OURS, PEER, _ = POLICIES
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
    """What one run has cost: state transitions, polls, API calls of the functions, events of the longest history."""

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


@contextmanager
def polling(policy: Policy) -> Iterator[None]:
    """Steps wait as this policy says."""
    before = step.wait_seconds
    step.wait_seconds = policy
    try:
        yield
    finally:
        step.wait_seconds = before


def measured(wanted: Scenario, policy: Policy) -> Figures:
    """A scenario's figures under a policy.

    Raises:
        AssertionError: the scenario did not end as it must.
    """
    with polling(policy):
        result = scenario.rehearse(wanted)
    if not result.passed:
        raise AssertionError([check for check in result.checks if not check.passed])
    return Figures(
        transitions=sum(len(execution.states) + len(execution.retries) for execution in result.executions),
        polls=sum(len(execution.answers) for execution in result.executions),
        calls=len(result.calls),
        events=max(len(execution.history) for execution in result.executions),
        things=list(things(result.moments)),
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
    wanted = scenario.read(stack.ROOT / "scenarios" / "maintenance-window.yaml")
    return measured(wanted.model_copy(update={"takes": Takes(maintenance_window=WEEK)}), step.wait_seconds)


def main() -> int:
    """Print the tables; exit status 1 when something is not reached that is to be."""
    console = Console(width=110)
    reached = []
    for name in SCENARIOS:
        wanted = scenario.read(stack.ROOT / "scenarios" / f"{name}.yaml")
        figures = {policy: measured(wanted, wait) for policy, wait in POLICIES.items()}
        console.print(compared(wanted.scenario, figures))
        if name == NEW_DIRECTORY:
            console.print(waited_for(figures[OURS]))
            ratio = figures[PEER].transitions / figures[OURS].transitions
            reached += [
                told(console, f"transitions, {PEER} to ours", ratio, at_least=FEWER_TRANSITIONS),
                told(console, "mean lag, in seconds", figures[OURS].lag, at_most=figures[OURS].bound),
            ]
    events = week()
    reached.append(told(console, "history events of a week's wait", events.events, at_most=EVENTS_OF_A_WEEK))
    for name, interval in ((PEER, 30), ("every 20 s", 20)):
        full = HISTORY / (events.events / events.polls) * interval
        console.print(f"{name}, a history is full after {spoken(full)}")
    return 0 if all(reached) else 1


def compared(title: str, figures: dict[str, Figures]) -> Table:
    """One scenario: a row for each policy, and how many times ours it is."""
    table = Table(title=title, title_justify="left")
    for column in ("polling", "transitions", "API calls", "mean lag", "longest lag"):
        table.add_column(column, justify="left" if column == "polling" else "right")
    ours = figures[OURS]
    for name, found in figures.items():
        table.add_row(
            name,
            f"{found.transitions} (x {found.transitions / ours.transitions:.1f})",
            f"{found.calls} (x {found.calls / ours.calls:.1f})",
            f"{found.lag:.0f} s (x {found.lag / ours.lag:.1f})",
            f"{max(thing.lag for thing in found.things):.0f} s",
        )
    return table


def waited_for(figures: Figures) -> Table:
    """Each thing that was waited for under our policy."""
    table = Table(title="what was waited for", title_justify="left")
    for column in ("thing", "AWS took", "noticed after"):
        table.add_column(column, justify="left" if column == "thing" else "right")
    for thing in figures.things:
        table.add_row(thing.name, spoken(thing.took), f"{thing.lag:.0f} s")
    return table


def told(console: Console, what: str, got: float, at_least: float = 0, at_most: float = float("inf")) -> bool:
    """Print one figure that is to be reached; whether it is."""
    limit = f"at least {at_least:g}" if at_least else f"at most {at_most:.0f}"
    passed = at_least <= got <= at_most
    console.print(f"{what}: {got:.1f}, to reach {limit}: {'reached' if passed else 'MISSED'}", highlight=False)
    return passed


if __name__ == "__main__":
    sys.exit(main())
