"""Between botocore and moto: what every call of the local run passes.

botocore has validated the parameters against its service model when a call comes here. Then, in this order: the call
is recorded, the role of the calling function must allow it, a fault of the scenario may strike, a fake of ours may
answer (or add to what moto answers).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from botocore.handlers import BUILTIN_HANDLERS
from botocore.utils import ArnParser

from local import iam
from local.faults import AwsError
from local.moto_patches import current

Parameters = Mapping[str, Any]
READS = ("Describe", "Get", "List", "Search", "Lookup", "Batch")

calling = threading.local()  # .function: logical id of the function whose handler runs in this thread


@dataclass(frozen=True)
class Call:
    """One call. `error` is AWS's code when it was refused; `needs` are the IAM actions it needed of a function."""

    function: str
    service: str
    operation: str
    parameters: Parameters
    error: str = ""
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As IAM writes it, `rds:ModifyDBCluster`."""
        return f"{self.service}:{self.operation}"

    @property
    def changes(self) -> bool:
        """Whether the call asks AWS to change something."""
        return not self.operation.startswith(READS)


# (service, operation) → a function of the cloud and the parameters. A fake answers in place of moto, or returns None to
# let moto answer; an aftermath happens when the call has succeeded.
fakes: dict[tuple[str, str], Callable[[Any, Parameters], Mapping[str, Any] | None]] = {}
aftermaths: dict[tuple[str, str], Callable[[Any, Parameters, Mapping[str, Any]], None]] = {}

Fake = Callable[[Any, Parameters], Mapping[str, Any] | None]
Aftermath = Callable[[Any, Parameters, Mapping[str, Any]], None]


def fake(service: str, operation: str) -> Callable[[Fake], Fake]:
    """Register a function as the fake of an operation."""

    def register(function: Fake) -> Fake:
        fakes[service, operation] = function
        return function

    return register


def aftermath(service: str, operation: str) -> Callable[[Aftermath], Aftermath]:
    """Register a function to be called with parameters and answer of an operation that succeeded."""

    def register(function: Aftermath) -> Aftermath:
        aftermaths[service, operation] = function
        return function

    return register


def _remember_parameters(params: Parameters, context: dict[str, Any], **_: Any) -> None:
    context["local_parameters"] = params


@contextmanager
def _the_cloud_itself() -> Iterator[str]:
    """What the fakes call is not called by the function; the name of that function."""
    function = getattr(calling, "function", "")
    calling.function = ""
    try:
        yield function
    finally:
        calling.function = function


def metadata(status: int) -> dict[str, Any]:
    """What botocore adds to every answer."""
    return {"HTTPStatusCode": status, "RequestId": str(uuid.uuid4()), "HTTPHeaders": {}, "RetryAttempts": 0}


def _before_call(model: Any, context: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]] | None:
    cloud = current()
    if cloud is None:
        return None
    service, operation = model.service_model.service_name, model.name
    parameters = context["local_parameters"]
    with _the_cloud_itself() as function:
        needs = iam.needed(cloud, service, operation, parameters) if function else ()
        context["local_needs"] = needs
        try:
            if function:
                iam.authorize(cloud, function, service, operation, parameters)
            cloud.faults.strike(service, operation)
            answer = fakes[service, operation](cloud, parameters) if (service, operation) in fakes else None
        except AwsError as error:
            # No after-call event follows with the parameters: this is the end of the call.
            del context["local_parameters"]
            cloud.record(Call(function, service, operation, parameters, error.code, needs))
            return SimpleNamespace(status_code=error.status), {
                "Error": {"Code": error.code, "Message": error.message},
                "ResponseMetadata": metadata(error.status),
            }
    if answer is None:
        return None
    return SimpleNamespace(status_code=200), {**answer, "ResponseMetadata": metadata(200)}


def _after_call(http_response: Any, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    cloud = current()
    if cloud is None or "local_parameters" not in context:
        return
    service, operation = model.service_model.service_name, model.name
    parameters = context.pop("local_parameters")
    error = parsed.get("Error", {}).get("Code", "") if http_response.status_code >= 300 else ""
    with _the_cloud_itself() as function:
        cloud.record(Call(function, service, operation, parameters, error, context["local_needs"]))
        if not error and (service, operation) in aftermaths:
            aftermaths[service, operation](cloud, parameters, parsed)


BUILTIN_HANDLERS += [
    ("before-parameter-build", _remember_parameters),
    ("before-call", _before_call),
    ("after-call", _after_call),
]


def arn_name(arn: str) -> str:
    """The last part of an ARN's resource, be it after a colon or a slash."""
    resource: str = ArnParser().parse_arn(arn)["resource"]
    return resource.replace("/", ":").rpartition(":")[2]
