"""Between botocore and moto: what every call of the local run passes.

botocore has validated the parameters against its service model when a call comes here. Then, in this order: the call
is recorded, the role that it is made with must allow it, a fault of the scenario may strike, a fake of ours may
answer (or add to what moto answers).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.handlers import BUILTIN_HANDLERS
from botocore.utils import ArnParser
from moto.iam.models import get_account_id_from, iam_backends

from local import iam
from local.current import current
from local.faults import READS, AwsError
from local.forgetting import forgotten

Parameters = Mapping[str, Any]

HOME = "123456789012"  # moto's account for who has no credentials: where the stack is

# .function: logical id of the function whose handler runs in this thread, .execution: for which execution;
# .account: whose call is being answered; .within: one is.
calling = threading.local()


@dataclass(frozen=True)
class Call:
    """One call.

    `error` is AWS's code when it was refused; `needs` are the IAM actions it needed of who made it: of the function, or
    of the role (by its name) that the function had assumed. `account` is where it was made, `execution` (a name) for
    which execution.
    """

    function: str
    service: str
    operation: str
    parameters: Parameters
    error: str = ""
    needs: tuple[str, ...] = ()
    role: str = ""
    account: str = HOME
    execution: str = ""

    @property
    def name(self) -> str:
        """As IAM writes it, `rds:ModifyDBCluster`."""
        return f"{self.service}:{self.operation}"

    @property
    def changes(self) -> bool:
        """Whether the call asks AWS to change something; what a statement changes, the database alone knows."""
        return not self.operation.startswith(READS) and self.service != "rds-data"


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
def _the_cloud_itself(account: str) -> Iterator[str]:
    """What the fakes call is not called by the function; the name of that function."""
    function, before, within = getattr(calling, "function", ""), account_of_the_call(), within_a_call()
    calling.function, calling.account, calling.within = "", account, True
    try:
        yield function
    finally:
        calling.function, calling.account, calling.within = function, before, within


def within_a_call() -> bool:
    """Whether a call is being answered in this thread."""
    return getattr(calling, "within", False)


def account_of_the_call() -> str:
    """The account whose call is being answered in this thread; the stack's own when there is none."""
    account: str = getattr(calling, "account", HOME)
    return account


def _caller(request_signer: Any) -> tuple[str, str]:
    """Account and role name (empty: not an assumed one) behind a client's credentials."""
    key = getattr(request_signer._credentials, "access_key", "")
    account = get_account_id_from(key)
    found = iam_backends[account]["aws"].access_keys.get(key)
    return account, str(getattr(found, "role_arn", None) or "").rpartition("/")[2]


def metadata(status: int) -> dict[str, Any]:
    """What botocore adds to every answer."""
    return {"HTTPStatusCode": status, "RequestId": str(uuid.uuid4()), "HTTPHeaders": {}, "RetryAttempts": 0}


def _before_call(
    model: Any, context: dict[str, Any], request_signer: Any, **_: Any
) -> tuple[Any, dict[str, Any]] | None:
    cloud = current()
    if cloud is None:
        return None
    service, operation = model.service_model.service_name, model.name
    parameters = context["local_parameters"]
    account, role = _caller(request_signer)
    inner = within_a_call()
    with _the_cloud_itself(account) as function:
        needs = iam.needed(cloud, service, operation, parameters) if function else ()
        call = context["local_call"] = Call(
            function, service, operation, parameters, "", needs, role, account, getattr(calling, "execution", "")
        )
        try:
            if function:
                iam.authorize(cloud, call)
            # What a fake calls is AWS's own business.
            answer = None if inner and not function else _struck(cloud, call, model, _attempts(context))
            if answer is not None:
                del context["local_call"]  # recorded, and what AWS does afterwards has been done
            elif (service, operation) in fakes:
                answer = fakes[service, operation](cloud, parameters)
        except AwsError as error:
            # No after-call event follows: this is the end of the call.
            del context["local_call"]
            cloud.record(replace(call, error=error.code))
            return SimpleNamespace(status_code=error.status), {
                "Error": {"Code": error.code, "Message": error.message},
                "ResponseMetadata": metadata(error.status),
                **error.details,
            }
    if answer is None:
        return None
    return SimpleNamespace(status_code=200), {**answer, "ResponseMetadata": metadata(200)}


def _attempts(context: Parameters) -> int:
    """How often the client that makes a call sends it before it gives up; botocore's default is 5."""
    retries: Mapping[str, Any] = context["client_config"].retries or {}
    return int(retries.get("total_max_attempts", 5))


def _struck(cloud: Any, call: Call, model: Any, attempts: int) -> Mapping[str, Any] | None:
    """What the scenario's faults make of a call: its answer; None when it goes well.

    Raises:
        AwsError: AWS's answer is an error.
        ReadTimeoutError: no answer came to any of the attempts, as botocore tells it.
    """
    if call.name == "lambda:Invoke" and not call.function:
        return _struck_function(cloud, call)
    for _ in range(attempts):
        fault = cloud.faults.strike(call.name, call.function)
        if fault is None:
            return None
        if fault.kind == "error":
            raise fault.as_error()
        if fault.kind == "forget":
            answer = forgotten(model, call.parameters)
            cloud.record(call)
            return answer
        if fault.kind == "lost":
            _perform(cloud, call)
        else:
            cloud.record(replace(call, error="ReadTimeout"))
    raise ReadTimeoutError(endpoint_url=f"https://{call.service}.{cloud.region}.amazonaws.com/")


def _struck_function(cloud: Any, call: Call) -> Mapping[str, Any] | None:
    """What the faults make of a function that AWS itself invokes: its answer; None when it goes well.

    Raises:
        AwsError: Lambda's error, or that of Step Functions when it gets no answer.
    """
    name = call.parameters["FunctionName"]
    fault = cloud.faults.strike(call.name, cloud.functions.logical_id(name))
    if fault is None:
        return None
    if fault.kind == "error":
        raise fault.as_error()
    _perform(cloud, call)
    if fault.kind == "lost":
        raise AwsError("SdkClientException", "Unable to execute HTTP request: Read timed out")
    timed_out: Mapping[str, Any] = cloud.functions.timed_out(name)
    return timed_out


def _perform(cloud: Any, call: Call) -> None:
    """Let a call take effect, whatever the answer."""
    try:
        getattr(cloud.client(call.service, call.account), xform_name(call.operation))(**call.parameters)
    except ClientError as error:
        cloud.record(replace(call, error=error.response["Error"]["Code"]))
    else:
        cloud.record(call)


def _after_call(http_response: Any, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    cloud = current()
    if cloud is None or "local_call" not in context:
        return
    call: Call = context.pop("local_call")
    error = parsed.get("Error", {}).get("Code", "") if http_response.status_code >= 300 else ""
    with _the_cloud_itself(call.account):
        cloud.record(replace(call, error=error))
        if not error and (call.service, call.operation) in aftermaths:
            aftermaths[call.service, call.operation](cloud, call.parameters, parsed)


BUILTIN_HANDLERS += [
    ("before-parameter-build", _remember_parameters),
    ("before-call", _before_call),
    ("after-call", _after_call),
]


def arn_name(arn: str) -> str:
    """The last part of an ARN's resource, be it after a colon or a slash."""
    resource: str = ArnParser().parse_arn(arn)["resource"]
    return resource.replace("/", ":").rpartition(":")[2]


def account_of(arn: str) -> str:
    """The account that an ARN names."""
    account: str = ArnParser().parse_arn(arn)["account"]
    return account
