"""Whatever goes wrong in AWS: the run ends, named and recorded, and the next one finishes what it has left.

Fault plans are drawn for the calls that the happy path makes. `pytest --hypothesis-profile=thorough` draws many more.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from aurora_kerberos import errors
from local.cloud import Cloud
from local.core.executions import Execution
from local.core.faults import READS, Fault, Faults
from local.scenario import secrecy
from local.scenario.expectations import registry_item
from tests.workflow.test_interruptions import REQUEST, end_of, world

LATER = [("Throttling", 400), ("ServiceUnavailable", 503), ("InternalFailure", 500), ("RequestLimitExceeded", 503)]
OF_LAMBDA = [("TooManyRequestsException", 429), ("ServiceException", 500), ("ResourceConflictException", 409)]
FOR_GOOD = [("AccessDenied", 403), ("ValidationError", 400)]
# What Step Functions itself names; RecordOutcome has a remedy for the first two.
NOT_OURS = {"Sandbox.Timedout", "States.Timeout", "OutcomeNotRecorded", "Lambda.SdkClientException"} | {
    f"Lambda.{code}" for code, _ in OF_LAMBDA
}
INVOKE = "lambda:Invoke"
RECORDING = {"RecordOutcome"}

THOROUGH = settings.get_current_profile_name() == "thorough"

Calls = dict[tuple[str, str], int]


@pytest.fixture(scope="module")
def happy() -> tuple[Calls, dict[str, Any]]:
    """How often each function makes which call on the happy path, and the end of it."""
    with world() as cloud:
        cloud.start(REQUEST)
        cloud.run()
        calls = Counter((call.function, call.name) for call in cloud.calls if call.function)
        functions = Counter({(function, INVOKE): 1 for function, _ in calls})
        return dict(calls + functions), end_of(cloud)


@st.composite
def fault(draw: DrawFn, calls: Calls) -> Fault:
    """One kind of trouble with one of the calls."""
    function, call = draw(st.sampled_from(sorted(calls)))
    reads = call.partition(":")[2].startswith(READS) and call != "sts:GetCallerIdentity"  # who one is, is never new
    kind = draw(st.sampled_from(["error", "lost", "stall", *(["forget"] if reads else [])]))
    what: dict[str, Any] = {"call": call, "function": function, "kind": kind}
    if kind == "error":
        said = OF_LAMBDA if call == INVOKE else FOR_GOOD if draw(st.integers(0, 3)) == 0 else LATER
        code, status = draw(st.sampled_from(said))
        what |= {"error": code, "status": status}
    after = draw(st.integers(0, calls[function, call] - 1))
    return Fault(**what, after=after, times=draw(st.sampled_from([1, 1, 2, 3, 5, 40])))


def plans(calls: Calls) -> SearchStrategy[list[Fault]]:
    """One to three of them."""
    return st.lists(fault(calls), min_size=1, max_size=3)


@pytest.mark.xdist_group("fault-plans")
@settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    max_examples=200 if THOROUGH else 10,
    derandomize=not THOROUGH,
)
@given(data=st.data())
def test_a_run_with_faults_ends_recorded_and_the_next_one_finishes_it(
    happy: tuple[Calls, dict[str, Any]], data: st.DataObject
) -> None:
    calls, end = happy
    plan = data.draw(plans(calls), label="plan")
    with world() as cloud:
        cloud.faults = Faults(plan)
        first = cloud.executions[cloud.start(REQUEST)]
        cloud.run()
        event(f"{first.status} {first.error}")
        assert_ended_well(cloud, first, plan)
        cloud.faults = Faults([])
        second = cloud.executions[cloud.start(REQUEST)]
        cloud.run()
        assert second.status == "SUCCEEDED", second.cause
        assert not secrecy.leaked(secrecy.secrets(cloud), secrecy.written(cloud))
        assert end_of(cloud) == end


def assert_ended_well(cloud: Cloud, execution: Execution, plan: list[Fault]) -> None:
    """It has ended, with a name that is known, and the registry says so, unless recording itself was hit."""
    assert execution.status in {"SUCCEEDED", "FAILED"}
    if execution.status == "FAILED":
        assert hasattr(errors, execution.error) or execution.error in NOT_OURS, execution.error
        assert execution.error == "OutcomeNotRecorded" or "Remedy: " in execution.cause
    if not any(fault.function in RECORDING for fault in plan):
        recorded = registry_item(cloud, "orders")
        assert recorded["outcome"] == ("enabled" if execution.status == "SUCCEEDED" else "failed")
        assert recorded["error"] == execution.error
    assert not secrecy.leaked(secrecy.secrets(cloud), secrecy.written(cloud))
