"""Step Functions as far as moto does not know it: an execution is stopped, redriven, or gets the answer to a token."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map import StateMap
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.state_parallel import StateParallel
from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackOutcomeFailure, CallbackOutcomeSuccess
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local.core.calls import Parameters, aftermath, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.services.states.distributed_map import Child, family
from local.services.states.run import answer_token, redrive

REDRIVABLE_FOR = timedelta(days=14)  # since the end
LONGEST = timedelta(days=365)  # since the start
MOST_EVENTS = 24_999  # with so many there is no room for a redrive


def executions_of(cloud: Cloud) -> list[Any]:
    """moto's executions in the cloud's account and Region, with the children of Distributed Maps."""
    backend = stepfunctions_parser_backends[cloud.account][cloud.region]
    parents = [execution for machine in backend.state_machines for execution in machine.executions]
    return [execution for parent in parents for execution in family(parent)]


def execution_of(cloud: Cloud, arn: str) -> Any:
    """moto's execution.

    Raises:
        AwsError: ExecutionDoesNotExist.
    """
    if found := [execution for execution in executions_of(cloud) if execution.exec_arn == arn]:
        return found[0]
    raise AwsError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")


@fake("stepfunctions", "StopExecution")
def stop_execution(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """What has ended stays as it ended."""
    execution = execution_of(cloud, parameters["executionArn"])
    error, cause = parameters.get("error"), parameters.get("cause")
    if execution.exec_worker.run.stop(error, cause):
        execution.error, execution.cause = error, cause
    return {"stopDate": execution.stop_date}


def not_redrivable(cloud: Cloud, execution: Any) -> str:
    """Why an execution cannot be redriven, in AWS's words; empty when it can."""
    now = cloud.clock.time()
    if execution.status in {"RUNNING", "SUCCEEDED"}:
        return f"Execution is {execution.status} and cannot be redriven"
    if len(cloud.execution(execution.exec_arn).history) >= MOST_EVENTS:
        return "Execution history event limit exceeded"
    if now - execution.start_date > LONGEST:
        return "Execution has exceeded the max execution time"
    if now - execution.stop_date > REDRIVABLE_FOR:
        return "Execution redrivable period exceeded"
    return ""


@fake("stepfunctions", "RedriveExecution")
def redrive_execution(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """It goes on with the state that it failed or was stopped in: with input and variables, its retries counted anew.

    A Wait waits its whole time again. A Distributed Map redrives the children that did not succeed. Of a Parallel or an
    inline Map state AWS repeats only what failed, which is not built.
    """
    execution = execution_of(cloud, parameters["executionArn"])
    if reason := not_redrivable(cloud, execution):
        raise AwsError("ExecutionNotRedrivable", reason)
    if isinstance(execution, Child):
        raise AwsError("ExecutionNotRedrivable", "Execution is a child of a Map Run, whose parent is to be redriven")
    state = execution.exec_worker.run.entry.state
    distributed = isinstance(getattr(state, "iteration_component", None), DistributedIterationComponent)
    if isinstance(state, StateParallel | StateMap) and not distributed:
        raise NotImplementedError("The local cloud does not redrive a Parallel or inline Map state.")
    execution.redrive_date = cloud.clock.time()
    redrive(execution, cloud.execution(execution.exec_arn).redrives + 1)
    return {"redriveDate": execution.redrive_date}


@fake("stepfunctions", "SendTaskSuccess")
def send_task_success(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """The task goes on at this virtual moment."""
    token, output = parameters["taskToken"], parameters["output"]
    try:
        json.loads(output)
    except ValueError as error:
        raise AwsError("InvalidOutput", f"Invalid Output: '{error}'") from error
    return answer(cloud, token, CallbackOutcomeSuccess(token, output))


@fake("stepfunctions", "SendTaskFailure")
def send_task_failure(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """The task fails at this virtual moment."""
    token = parameters["taskToken"]
    return answer(cloud, token, CallbackOutcomeFailure(token, parameters.get("error"), parameters.get("cause")))


def answer(cloud: Cloud, token: str, outcome: Any) -> Mapping[str, Any]:
    """Hand an outcome to the task that waits for it.

    Raises:
        AwsError: nobody waits any more, there never was such a token, or it is none.
    """
    for execution in executions_of(cloud):
        match answer_token(execution.exec_worker.run, token, outcome):
            case True:
                return {}
            case False:
                raise AwsError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
    try:
        uuid.UUID(token)  # as moto's are
    except ValueError as error:
        raise AwsError("InvalidToken", "Invalid Token: 'Invalid token'") from error
    raise AwsError("TaskDoesNotExist", "Task does not exist")


@aftermath("stepfunctions", "DescribeExecution")
def describe_execution(cloud: Cloud, parameters: Parameters, described: Any) -> None:
    """moto forgets when an execution timed out, and knows of no redrive."""
    execution = execution_of(cloud, parameters["executionArn"])
    if execution.stop_date:
        described["stopDate"] = execution.stop_date
    reason = not_redrivable(cloud, execution)
    described["redriveCount"] = cloud.execution(execution.exec_arn).redrives
    redrivable = "REDRIVABLE_BY_MAP_RUN" if isinstance(execution, Child) else "REDRIVABLE"
    described["redriveStatus"] = "NOT_REDRIVABLE" if reason else redrivable
    if reason:
        described["redriveStatusReason"] = reason
    if described["redriveCount"]:
        described["redriveDate"] = execution.redrive_date
    if isinstance(execution, Child):
        described["mapRunArn"] = execution.map_run.record.map_run_arn
