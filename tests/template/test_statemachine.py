"""The state machine's definition as a graph: blocks, targets, retries, time-outs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from aurora_kerberos import errors
from aurora_kerberos.step import DAY, LONGEST_EXECUTION, LONGEST_WAIT, MOST_POLLS, wait_seconds
from deploy import templates
from tools.docs import steps

STATES: Mapping[str, Mapping[str, Any]] = templates.definition()["States"]
TASKS = [name for name, state in STATES.items() if state["Type"] == "Task"]
STEPS = [name for name in TASKS if name not in {"RecordOutcome", "RequestApproval"}]


ROLLOUT = templates.definition("statemachine/rollout.asl.yaml")
IN_MAPS = [state["ItemProcessor"] for state in ROLLOUT["States"].values() if state["Type"] == "Map"]
ROLLOUT_TASKS = {
    name: state
    for machine in [ROLLOUT, *IN_MAPS]
    for name, state in machine["States"].items()
    if state["Type"] == "Task"
}


def targets(state: Mapping[str, Any]) -> Iterator[str]:
    yield from (state[key] for key in ("Next", "Default") if key in state)
    for branch in [*state.get("Choices", []), *state.get("Catch", [])]:
        yield branch["Next"]


MACHINES = {"cluster": templates.definition(), "rollout": ROLLOUT, "accounts": IN_MAPS[0], "wave": IN_MAPS[1]}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_next_exists(machine: str) -> None:
    states = MACHINES[machine]["States"]
    missing = {(name, target) for name, state in states.items() for target in targets(state) if target not in states}
    assert not missing


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_is_reached(machine: str) -> None:
    reached, waiting = set[str](), [MACHINES[machine]["StartAt"]]
    while waiting:
        if (name := waiting.pop()) not in reached:
            reached.add(name)
            waiting += targets(MACHINES[machine]["States"][name])
    assert reached == set(MACHINES[machine]["States"])


@pytest.mark.parametrize("machine", MACHINES)
def test_every_state_has_a_way_on_or_is_an_end(machine: str) -> None:
    for name, state in MACHINES[machine]["States"].items():
        assert bool(list(targets(state))) != (state["Type"] in {"Succeed", "Fail"} or "End" in state), name


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_three_states(step: str) -> None:
    choice = STATES[STATES[step]["Next"]]
    assert choice["Type"] == "Choice"
    assert "{% $answer.ready %}" in [each["Condition"] for each in choice["Choices"]]
    wait = STATES[choice["Default"]]
    assert wait == {"Type": "Wait", "Seconds": "{% $answer.wait_seconds %}", "Next": step}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_hands_back_what_it_is_waiting_for_and_for_how_long(step: str) -> None:
    payload = STATES[step]["Arguments"]["Payload"]
    assert payload["polls"] == "{% $answer.polls %}"
    assert payload["waiting_for"] == "{% $answer.reason %}"
    assert payload["waited"] == "{% $answer.waited %}"
    assert payload["polled"] == "{% $answer.polled %}"
    assert payload["since"] == "{% $answer.since %}"
    assert payload["step"] == "{% $states.context.State.Name %}"
    assert STATES[step]["Assign"] == {"answer": "{% $states.result.Payload %}"}


@pytest.mark.parametrize("step", STEPS)
def test_every_failing_path_is_recorded(step: str) -> None:
    failure = {"failure": "{% $merge([$states.errorOutput, {'Step': $states.context.State.Name}]) %}"}
    assert STATES[step]["Catch"] == [{"ErrorEquals": ["States.ALL"], "Assign": failure, "Next": "RecordOutcome"}]


def test_the_question_for_approval_ends_recorded_whatever_comes() -> None:
    expired, superseded, refused = catches = STATES["RequestApproval"]["Catch"]
    assert [each["ErrorEquals"] for each in catches] == [["States.Timeout"], ["ApprovalSuperseded"], ["States.ALL"]]
    assert {each["Next"] for each in catches} == {"RecordOutcome"}
    assert ("failure" in expired["Assign"], "failure" in refused["Assign"]) == (True, True)
    assert superseded["Assign"]["end"]["outcome"] == "superseded"


def test_what_was_approved_is_confirmed_before_anything_else() -> None:
    assert STATES["RequestApproval"]["Next"] == "ConfirmApproval"


def test_the_question_waits_for_as_long_as_it_says() -> None:
    assert (
        STATES["RequestApproval"]["TimeoutSeconds"] == STATES["RequestApproval"]["Arguments"]["Payload"]["days"] * DAY
    )


def test_all_retries_are_the_same() -> None:
    """But for the question for approval, whose time-out is a person's silence and no reason to ask again."""
    states = {**{name: STATES[name] for name in TASKS}, **ROLLOUT_TASKS}
    retries = {json.dumps(state["Retry"]) for task, state in states.items() if task != "RequestApproval"}
    assert len(retries) == 1
    (retry,) = json.loads(retries.pop())
    (asking,) = STATES["RequestApproval"]["Retry"]
    patient = [error for error in retry["ErrorEquals"] if error != "States.Timeout"]
    assert asking == {**retry, "ErrorEquals": patient}
    assert retry["JitterStrategy"] == "FULL"
    ours = [name for name in retry["ErrorEquals"] if "." not in name]
    assert ours == ["AwsUnavailable"]
    assert all(hasattr(errors, name) for name in ours)


def test_every_task_invokes_the_function_of_its_name() -> None:
    functions = templates.functions()
    for task, state in {**{name: STATES[name] for name in TASKS}, **ROLLOUT_TASKS}.items():
        assert state["Arguments"]["FunctionName"] == f"${{{task}}}"
        folder = re.sub(r"(?<!^)(?=[A-Z])", "_", task).lower()
        assert functions[task]["CodeUri"] == f"functions/{folder}"
    assert set(functions) == {*TASKS, *ROLLOUT_TASKS, "SweepClusters", "AnswerApproval"}


INVOKED = [("Cluster", task) for task in TASKS] + [("Rollout", task) for task in ROLLOUT_TASKS]


def missing(task: str, functions: Mapping[str, Any], machine: Mapping[str, Any]) -> list[str]:
    """What template.yaml lacks for a task of a state machine, of which these are the properties."""
    substitution = machine["DefinitionSubstitutions"].get(task)
    permission = {"LambdaInvokePolicy": {"FunctionName": {"Ref": task}}}
    there = {
        f"the function {task}": task in functions,
        f"{task}: !GetAtt {task}.Arn under DefinitionSubstitutions": substitution == {"Fn::GetAtt": [task, "Arn"]},
        f"LambdaInvokePolicy: {{FunctionName: !Ref {task}}} under Policies": permission in machine["Policies"],
    }
    return [what for what, is_there in there.items() if not is_there]


@pytest.mark.parametrize(("machine", "task"), INVOKED)
def test_the_template_has_all_that_a_task_needs(machine: str, task: str) -> None:
    properties = templates.source()["Resources"][f"{machine}StateMachine"]["Properties"]
    assert not missing(task, templates.functions(), properties), f"for {task} of {machine}StateMachine in template.yaml"


def test_what_the_template_lacks_for_a_task_is_named() -> None:
    machine = templates.source()["Resources"]["ClusterStateMachine"]["Properties"]
    substitutions = {name: arn for name, arn in machine["DefinitionSubstitutions"].items() if name != "EnsureTrust"}
    policies = [each for each in machine["Policies"] if "EnsureTrust" not in str(each)]
    bare = {"DefinitionSubstitutions": substitutions, "Policies": policies}
    functions = {name: each for name, each in templates.functions().items() if name != "EnsureTrust"}
    assert missing("EnsureTrust", functions, bare) == [
        "the function EnsureTrust",
        "EnsureTrust: !GetAtt EnsureTrust.Arn under DefinitionSubstitutions",
        "LambdaInvokePolicy: {FunctionName: !Ref EnsureTrust} under Policies",
    ]
    assert missing("EnsureNetwork", functions, bare) == []


@pytest.mark.parametrize("machine", ["Cluster", "Rollout"])
def test_the_template_substitutes_and_invokes_nothing_that_is_no_task(machine: str) -> None:
    properties = templates.source()["Resources"][f"{machine}StateMachine"]["Properties"]
    tasks = {task for invoking, task in INVOKED if invoking == machine}
    permitted = {each["LambdaInvokePolicy"]["FunctionName"]["Ref"] for each in properties["Policies"] if len(each) == 1}
    assert permitted == tasks
    assert set(properties["DefinitionSubstitutions"]) - {"RolloutBucket"} == tasks


def test_a_function_times_out_before_its_state_does() -> None:
    default = templates.source()["Globals"]["Function"]["Timeout"]
    for task, state in {**{name: STATES[name] for name in TASKS}, **ROLLOUT_TASKS}.items():
        assert templates.functions()[task].get("Timeout", default) < state["TimeoutSeconds"]


def worst_case(task: str) -> int:
    """Seconds that a task takes at the very most: each attempt times out, each back-off is as long as it can be."""
    state = STATES[task]
    (retry,) = state["Retry"]
    back_offs = [
        min(retry["MaxDelaySeconds"], retry["IntervalSeconds"] * retry["BackoffRate"] ** attempt)
        for attempt in range(retry["MaxAttempts"])
    ]
    return int(state["TimeoutSeconds"] * (retry["MaxAttempts"] + 1) + sum(back_offs))


def test_the_machine_outlives_the_worst_case() -> None:
    """Its own time-out would leave no record, so nothing may ever come to it."""
    asked = max(worst_case(task) for task in STEPS)
    approval = STATES["RequestApproval"]["TimeoutSeconds"]
    once_each = sum(worst_case(task) for task in [*STEPS, "RecordOutcome"])
    worst = LONGEST_EXECUTION + LONGEST_WAIT + MOST_POLLS * asked + once_each + approval
    assert worst < templates.definition()["TimeoutSeconds"] < 365 * DAY


def test_the_deadlines_of_all_steps_add_up_to_less_than_an_execution_may_wait() -> None:
    deadlines = {step: steps.deadlines(step) for step in STEPS}
    leaving = {"LeaveDomain", "RevokeDatabaseUsers", "WithdrawClientConfig"}
    enabling = sum(sum(each) for step, each in deadlines.items() if step not in leaving)
    disabling = sum(
        sum(deadlines[step]) for step in leaving | {"ValidateRequest", "EnsureDatabaseAccess", "CheckDatabase"}
    )
    assert 16 * DAY < enabling <= LONGEST_EXECUTION
    assert 8 * DAY < disabling <= LONGEST_EXECUTION


def test_a_history_has_room_for_all_polls_and_a_retry_for_every_third_of_them() -> None:
    poll, retry, quota, steps_themselves = 9, 3, 25_000, 9 * len(STATES)  # events
    assert polls_within(LONGEST_EXECUTION, things=10) <= MOST_POLLS
    assert MOST_POLLS * poll + MOST_POLLS // 3 * retry + steps_themselves < quota


def polls_within(seconds: int, things: int) -> int:
    """The polls of an execution that waits that long, for so many things one after the other."""
    waited = polls = 0
    while waited < seconds / things:
        waited += wait_seconds(waited)
        polls += 1
    short = polls - round((seconds / things) / LONGEST_WAIT)
    return round(seconds / LONGEST_WAIT) + short * things


@pytest.mark.parametrize("state", ["ListAccounts", "DiscoverAccounts", "PlanWaves", "RunWave", "JudgeWave"])
def test_every_failing_path_of_a_rollout_comes_to_its_report(state: str) -> None:
    (catch,) = ROLLOUT["States"][state]["Catch"]
    assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "ReportRollout")


def test_what_one_cluster_or_account_fails_at_stops_no_other() -> None:
    for state in ROLLOUT["States"].values():
        assert state["Type"] != "Map" or state["ToleratedFailurePercentage"] == 100


def test_a_variable_is_there_before_it_is_read() -> None:
    """JSONata has no undefined: what a state reads must have been assigned on every path to it."""
    assigned = set(STATES["Begin"]["Assign"])
    text = json.dumps({name: state for name, state in STATES.items() if name != "OutcomeNotRecorded"})
    read = set(re.findall(r"\$(?!states\b|exists\b|string\b|not\b|merge\b|substring\b)([a-z_]\w*)", text))
    assert read <= assigned
