"""The Lambda functions of the template, run in this process by their real handlers."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.response import StreamingBody
from moto.awslambda.utils import get_backend

import aurora_kerberos.aws
import aurora_kerberos.step
from aurora_kerberos.database.session import has_database
from local.core import places
from local.core.calls import calling
from local.core.cloud import Cloud
from local.core.executions import name_of
from local.core.faults import Unmodelled
from local.core.places import Place, present
from local.servers.databases import Databases
from local.servers.server import LOOPBACK, NOBODY
from local.services.directory.directories import Directories
from local.services.ec2.reach import Hosts, reaches
from local.services.rds.backend import moto_rds

ROOT = Path(__file__).parents[2]

_one_at_a_time = threading.Lock()  # os.environ belongs to the whole process
_handlers: dict[str, Callable[[Any, object], Any]] = {}


@dataclass(frozen=True)
class Context:
    """What Lambda tells a handler about its invocation."""

    function_name: str
    invoked_function_arn: str
    memory_limit_in_mb: int = 256
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds; the local run has no time-outs."""
        return 30_000


class Functions:
    """The deployed functions, of all accounts and Regions, and what they have logged.

    A name or a logical id is that of a function in the present account and Region.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._deployed: dict[tuple[Place, str], tuple[str, Path, bool]] = {}
        self._log = io.StringIO()
        self._last = (places.HOME, "")
        aurora_kerberos.aws.client.cache_clear()
        aurora_kerberos.aws.session.cache_clear()
        for handler in aurora_kerberos.step.logger.handlers:
            handler.setStream(self._log)  # type: ignore[attr-defined]  # Powertools logs to a stream

    def add(self, name: str, logical_id: str, folder: str, in_vpc: bool) -> None:
        """A function of the template that has been deployed under `name`."""
        self._deployed[present(), name] = (logical_id, ROOT / folder, in_vpc)

    def name(self, logical_id: str) -> str:
        """The name that a function of the template has been deployed under."""
        return next(
            name
            for (place, name), (logical, _, _) in self._deployed.items()
            if logical == logical_id and place == present()
        )

    def logical_id(self, name: str) -> str:
        """The logical id of the function that has been deployed under this name (or ARN)."""
        return self._known(name)[0]

    def _known(self, name: str) -> tuple[str, Path, bool]:
        place = places.of_arn(name) if name.startswith("arn:") else present()
        return self._deployed[place, name.rpartition(":function:")[2]]

    def role(self, logical_id: str) -> str:
        """The name of the role that a function runs with."""
        arn: str = self._configuration(self.name(logical_id))["Role"]
        return arn.rpartition("/")[2]

    def _configuration(self, name: str) -> dict[str, Any]:
        """What GetFunctionConfiguration answers; asked at every call of a function, so without the way over HTTP."""
        backend = get_backend(*present())
        configuration: dict[str, Any] = backend.get_function(name).get_configuration()
        return configuration

    def logs(self) -> str:
        """All that the functions have written."""
        return self._log.getvalue()

    def invoke(self, name: str, payload: bytes | str) -> tuple[bool, bytes]:
        """Run a handler; (whether it failed, its JSON answer or the error as Lambda words it)."""
        logical_id, folder, in_vpc = self._known(name)
        described = self._configuration(name)
        with _one_at_a_time, redirect_stdout(self._log), redirect_stderr(self._log):
            event = json.loads(payload or "{}")
            hosts, cluster = None, event.get("cluster", {})
            if in_vpc:
                if has_database(cluster):
                    self._cloud.part(Databases).start(cluster["id"])
                if "krb5_conf" in event:
                    self._cloud.part(Directories).start()
                placed = described["VpcConfig"]
                subnets, groups = placed["SubnetIds"], placed["SecurityGroupIds"]
                hosts = Hosts.in_subnets(self._cloud, self._cloud.account, subnets, groups)
            added = surroundings(self._cloud, hosts, cluster.get("id", "") if hosts else "")
            before = dict(os.environ)
            os.environ.update(described["Environment"]["Variables"])
            os.environ.update(added, AWS_LAMBDA_FUNCTION_NAME=described["FunctionName"])
            calling.function, calling.place = logical_id, present()
            self._forget_clients(logical_id)
            try:
                handler = _handlers.get(logical_id) or _handlers.setdefault(logical_id, load(folder))
                calling.execution = name_of(str(event.get("execution", "")))
                answer = handler(event, Context(described["FunctionName"], described["FunctionArn"]))
                return False, json.dumps(answer).encode()
            except (Unmodelled, NotImplementedError) as error:
                self._cloud.trouble.append(unmodelled(error))
                return True, json.dumps(reported(error)).encode()
            except Exception as error:  # noqa: BLE001  whatever a handler raises, Lambda reports
                return True, json.dumps(reported(error)).encode()
            finally:
                calling.function, calling.place, calling.execution = "", places.HOME, ""
                os.environ.clear()
                os.environ.update(before)

    def timed_out(self, name: str) -> Mapping[str, Any]:
        """Lambda's answer when a function has run into its time-out."""
        seconds = self._cloud.client("lambda").get_function_configuration(FunctionName=name)["Timeout"]
        message = f"Error: Task timed out after {seconds:.2f} seconds"
        content = json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": message}).encode()
        payload = StreamingBody(io.BytesIO(content), len(content))
        return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": payload}

    def _forget_clients(self, logical_id: str) -> None:
        """In AWS each function is a process of its own, in its account and Region.

        What one has assumed, another has to assume for itself.
        """
        place, (last_place, last) = present(), self._last
        has_assumed = aurora_kerberos.aws.session.cache_info().currsize > 1
        if place != last_place or (logical_id != last and has_assumed):
            aurora_kerberos.aws.client.cache_clear()
            aurora_kerberos.aws.session.cache_clear()
        self._last = (place, logical_id)


def surroundings(cloud: Cloud, hosts: Hosts | None = None, cluster: str = "") -> dict[str, str]:
    """What is added to a process's environment: names mean this machine, and KDCs have ports of their own.

    Args:
        cloud: that answers, in the present account and Region.
        hosts: where the process is; None reaches everything.
        cluster: the one whose database it may want to reach.
    """
    kdcs = cloud.folder / f"kdcs-{cloud.account}-{cloud.region}.conf"
    kdcs.write_text(cloud.part(Directories).client_conf(hosts))
    database = moto_rds(cloud).clusters.get(cluster)
    reached = not hosts or not database or reaches(cloud, hosts, Hosts.of_cluster(cloud, database), database.port)
    return {
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        **cloud.credentials(cloud.account),
        "PGHOSTADDR": LOOPBACK if reached else NOBODY,
        "KRB5_CONFIG": str(kdcs),
    }


def load(folder: Path) -> Callable[[Any, object], Any]:
    """The handler of the function in `folder`, under a module name of its own."""
    name = f"functions_{folder.name}"
    spec = importlib.util.spec_from_file_location(name, folder / "app.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    handler: Callable[[Any, object], Any] = module.handler
    return handler


def unmodelled(error: Unmodelled | NotImplementedError) -> Unmodelled:
    """The local cloud's own trouble; moto says in its way what it has not."""
    if isinstance(error, Unmodelled):
        return error
    return Unmodelled(
        f'{error}: moto has no such operation. Write a fake of it, @fake("service", "Operation"), in a module of '
        "local/services."
    ).with_traceback(error.__traceback__)


def reported(error: BaseException) -> Mapping[str, Any]:
    """An exception as Lambda hands it on: Step Functions takes `errorType` as the error's name."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": str(uuid.uuid4()),
        "stackTrace": traceback.format_tb(error.__traceback__),
    }
