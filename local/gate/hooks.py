"""Between botocore and moto: what every call of the local run passes.

botocore has validated the parameters against its service model when a call comes here. Then, in this order: the call
is recorded, the role that it is made with must allow it, a fault of the scenario may strike, a fake of ours may
answer (or add to what moto answers).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError
from botocore.handlers import BUILTIN_HANDLERS
from moto.iam.models import get_account_id_from, iam_backends

from local.core import places
from local.core.calls import Call, Parameters, aftermaths, calling, fakes, metadata, within_a_call
from local.core.current import current
from local.core.faults import AwsError, Unmodelled
from local.core.places import Place, present
from local.gate.forgetting import forgotten
from local.services.iam import policies, resources
from local.services.lambda_functions import Functions


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


@contextmanager
def _own_mistakes(call: Call) -> Iterator[None]:
    """A mistake in a fake is none of the function that calls: it is told as what it is.

    Raises:
        Unmodelled: for whatever is no answer of AWS.
    """
    try:
        yield
    except (AwsError, BotoCoreError, ClientError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise Unmodelled(f"What the local cloud does for {call.name} has failed: {said}.") from error


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
        needs = resources.needed(cloud, service, operation, parameters) if function else ()
        execution = getattr(calling, "execution", "")
        call = context["local_call"] = Call(
            function, service, operation, parameters, "", needs, role, account, execution, place.region
        )
        calling.role = ""
        try:
            if function:
                with places.at(getattr(calling, "place", places.HOME)):
                    role = role or cloud.part(Functions).role(function)
                calling.role = resources.role_arn(cloud, role)
                policies.authorize(cloud, call, role)
            # What a fake calls is AWS's own business.
            answer = None if inner and not function else _struck(cloud, call, model, _attempts(context))
            if answer is not None:
                del context["local_call"]  # recorded, and what AWS does afterwards has been done
            elif (service, operation) in fakes:
                with _own_mistakes(call):
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
    fault = cloud.faults.strike(call.name, cloud.part(Functions).logical_id(name))
    if fault is None:
        return None
    if fault.kind == "error":
        raise fault.as_error()
    _perform(cloud, call)
    if fault.kind == "lost":
        raise AwsError("SdkClientException", "Unable to execute HTTP request: Read timed out")
    timed_out: Mapping[str, Any] = cloud.part(Functions).timed_out(name)
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
            with _own_mistakes(call):
                aftermaths[call.service, call.operation](cloud, call.parameters, parsed)


HANDLERS = [
    ("before-parameter-build", _remember_parameters),
    ("before-call", _before_call),
    ("after-call", _after_call),
]


def install() -> None:
    """Let every call of sessions that are made from now on pass here; a second call does nothing."""
    if HANDLERS[0] not in BUILTIN_HANDLERS:
        BUILTIN_HANDLERS.extend(HANDLERS)
