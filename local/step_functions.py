"""Step Functions as far as moto does not know it: stopping an execution in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local.aws import Parameters, aftermath, fake
from local.faults import AwsError

if TYPE_CHECKING:
    from local.cloud import Cloud


def executions_of(cloud: Cloud) -> list[Any]:
    """moto's executions in the cloud's account and Region."""
    backend = stepfunctions_parser_backends[cloud.account][cloud.region]
    return [execution for machine in backend.state_machines for execution in machine.executions]


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


@aftermath("stepfunctions", "DescribeExecution")
def describe_execution(cloud: Cloud, parameters: Parameters, answer: Any) -> None:
    """moto forgets when an execution timed out."""
    execution = execution_of(cloud, parameters["executionArn"])
    if execution.stop_date:
        answer["stopDate"] = execution.stop_date
