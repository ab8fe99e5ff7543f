"""Calls of AWS: what is known of one, and what answers it beside moto."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.utils import ArnParser

from local.core import places
from local.core.faults import READS
from local.core.places import Place

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
    where it was made, `execution` (a name) for which execution; `by` which person, and `at` when (virtual seconds).
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
    by: str = ""
    at: float = 0.0

    @property
    def principal(self) -> str:
        """Who made it, as AWS names principals: a user, or a role with a session."""
        return f"AROA{(self.role or self.function).upper()}:{self.function}" if self.function else self.by

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


Fake = Callable[[Any, Parameters], Mapping[str, Any] | None]
Aftermath = Callable[[Any, Parameters, Mapping[str, Any]], None]
Registered = TypeVar("Registered", Fake, Aftermath)

# (service, operation) → a function of the cloud and the parameters. A fake answers in place of moto, or returns None to
# let moto answer; an aftermath happens when the call has succeeded.
fakes: dict[tuple[str, str], Fake] = {}
aftermaths: dict[tuple[str, str], Aftermath] = {}


def fake(service: str, operation: str) -> Callable[[Fake], Fake]:
    """Register a function as the fake of an operation.

    Raises (when a function is registered):
        ValueError: the operation has a fake already.
    """

    def register(function: Fake) -> Fake:
        return _registered(fakes, service, operation, function)

    return register


def aftermath(service: str, operation: str) -> Callable[[Aftermath], Aftermath]:
    """Register a function to be called with parameters and answer of an operation that succeeded.

    Raises (when a function is registered):
        ValueError: the operation has an aftermath already.
    """

    def register(function: Aftermath) -> Aftermath:
        return _registered(aftermaths, service, operation, function)

    return register


def _registered(
    known: dict[tuple[str, str], Registered], service: str, operation: str, function: Registered
) -> Registered:
    if before := known.get((service, operation)):
        modules = before.__module__, function.__module__
        raise ValueError(f"{service}:{operation} is registered twice: in {modules[0]} and in {modules[1]}.")
    known[service, operation] = function
    return function


def within_a_call() -> bool:
    """Whether a call is being answered in this thread."""
    return getattr(calling, "within", False)


def metadata(status: int) -> dict[str, Any]:
    """What botocore adds to every answer."""
    return {"HTTPStatusCode": status, "RequestId": str(uuid.uuid4()), "HTTPHeaders": {}, "RetryAttempts": 0}


def arn_name(arn: str) -> str:
    """The last part of an ARN's resource, be it after a colon or a slash."""
    resource: str = ArnParser().parse_arn(arn)["resource"]
    return resource.replace("/", ":").rpartition(":")[2]
