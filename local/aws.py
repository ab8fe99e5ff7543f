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

from local import iam, places
from local.current import current
from local.faults import READS, AwsError
from local.forgetting import forgotten
from local.places import Place, present

Parameters = Mapping[str, Any]

HOME = places.HOME.account

# .function: logical id of the function whose handler runs in this thread, .place: where that is, .execution: for which
# execution; .role: ARN of the role with which the call is made that is being answered; .within: one is.
calling = threading.local()


@dataclass(frozen=True)
class Call:
    """One call.

    `error` is AWS's code when it was refused; `needs` are the IAM actions, with their resources, that it needed of who
    made it: of the function, or of the role (by its name) that the function had assumed. `account` and `region` are
    where it was made, `execution` (a name) for which execution.
    """

    function: str
    service: str
    operation: str
    parameters: Parameters
    error: str = ""
    needs: tuple[tuple[str, str], ...] = ()
    role: str = ""
    account: str = HOME
    execution: str = ""
    region: str = places.HOME.region

    @property
    def place(self) -> Place:
        """Where it was made."""
        return Place(self.account, self.region)

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
def _the_cloud_itself(place: Place) -> Iterator[str]:
    """What the fakes call is not called by the function; the name of that function."""
    function, within = getattr(calling, "function", ""), within_a_call()
    calling.function, calling.within = "", True
    try:
        with places.at(place):
            yield function
    finally:
        calling.function, calling.within = function, within


def within_a_call() -> bool:
    """Whether a call is being answered in this thread."""
    return getattr(calling, "within", False)


def _caller(request_signer: Any) -> tuple[str, str]:
    """Account and role name (empty: not an assumed one) behind a client's credentials."""
    key = getattr(request_signer._credentials, "access_key", "")
    account = get_account_id_from(key)
    found = iam_backends[account]["aws"].access_keys.get(key)
    return account, str(getattr(found, "role_arn", None) or "").rpartition("/")[2]


def _region(context: Parameters) -> str:
    """The Region of a client; a service that is the same in all of them is called from the present one."""
    region: str = context["client_region"]
    return present().region if region.endswith("-global") else region


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
    place = Place(account, _region(context))
    inner = within_a_call()
    with _the_cloud_itself(place) as function:
        needs = iam.needed(cloud, service, operation, parameters) if function else ()
        execution = getattr(calling, "execution", "")
        call = context["local_call"] = Call(
            function, service, operation, parameters, "", needs, role, account, execution, place.region
        )
        calling.role = ""
        try:
            if function:
                with places.at(getattr(calling, "place", places.HOME)):
                    role = role or cloud.functions.role(function)
                calling.role = f"arn:aws:iam::{account}:role/{role}"
                iam.authorize(cloud, call, role)
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
    raise ReadTimeoutError(endpoint_url=f"https://{call.service}.{call.region}.amazonaws.com/")


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
        getattr(cloud.client(call.service, call.account, call.region), xform_name(call.operation))(**call.parameters)
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
    with _the_cloud_itself(call.place):
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
