"""Every change to moto's interpreter of state machines, and why."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from jsonata import Jsonata
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state import state as asl_state
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.jsonata import jsonata as asl_jsonata
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

from local.current import current, running


def install() -> None:
    """Put the patches in place; to be called once."""
    _waits()
    _executions()
    _jsonata()


def _waits() -> None:
    """Waits and retries pass virtual time, and state entries and history bear it."""

    def wait(self: Any, env: Any, wait_seconds: int) -> None:  # noqa: ARG001  moto's signature
        running().waiting(_execution(env), _state(env), wait_seconds)
        running().clock.sleep(wait_seconds)

    evaluate = retrier_decl.RetrierDecl._eval_body

    def retry(self: Any, env: Any) -> None:
        def sleep(seconds: float) -> None:
            running().retrying(_execution(env), _state(env), seconds)
            running().clock.sleep(seconds)

        # The interpreter calls time.sleep: the module's `time` is ours while this retrier is evaluated.
        retrier_decl.time = SimpleNamespace(sleep=sleep)
        evaluate(self, env)

    WaitFunction._wait_interval = wait
    retrier_decl.RetrierDecl._eval_body = retry

    class VirtualNow(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]  # not of this class
            return running().clock.time() if current() else datetime.datetime.now(tz)

    asl_state.datetime = SimpleNamespace(datetime=VirtualNow, timezone=datetime.timezone)
    EventManager._get_current_timestamp = staticmethod(lambda: VirtualNow.now(datetime.UTC))


def _execution(env: Any) -> str:
    return str(env.states.context_object.context_object_data["Execution"]["Name"])


def _state(env: Any) -> str:
    return str(env.states.context_object.context_object_data["State"]["Name"])


def _executions() -> None:
    """The clock counts running executions, and every event of a history is told as it happens."""
    start, logic, environment = (
        ExecutionWorker.start,
        ExecutionWorker._execution_logic,
        ExecutionWorker._get_evaluation_environment,
    )

    def counted_start(self: Any) -> None:
        running().clock.join()
        start(self)

    def counted_logic(self: Any) -> None:
        cloud = running()
        try:
            logic(self)
        finally:
            cloud.clock.leave()

    def named_environment(self: Any) -> Any:
        env = environment(self)
        env.event_manager.execution = self._evaluation_details.execution_details.name
        return env

    publish = EventManager._publish_history_event

    def told(self: Any, **details: Any) -> None:
        publish(self, **details)
        running().history_event(self.execution, self._history_event_list[-1])

    ExecutionWorker.start = counted_start
    ExecutionWorker._execution_logic = counted_logic
    ExecutionWorker._get_evaluation_environment = named_environment
    EventManager._publish_history_event = told


def _jsonata() -> None:
    """jsonata-python in place of a JVM; an expression that yields nothing is an error, as in AWS.

    moto writes the variables into the expression as source text and forgets to escape strings. It evaluates each three
    times: whether it yields something, of which type, and what; here it is evaluated once.
    """
    last = threading.local()  # .expression and its .result

    def result_of(expression: str) -> Any:
        if getattr(last, "expression", None) != expression:
            try:
                last.result = Jsonata(expression).evaluate(None)
            except Exception as error:
                raise asl_jsonata.JSONataException("UNKNOWN", str(error)) from error
            last.expression = expression
        return last.result

    def evaluate(expression: str) -> Any:
        if expression.startswith("$exists((") and expression.endswith("))"):
            return result_of(expression[len("$exists(") : -1]) is not None
        if expression.startswith("$type((") and expression.endswith("))"):
            return json_type(result_of(expression[len("$type(") : -1]))
        result = result_of(expression)
        if result is None:
            raise asl_jsonata.JSONataException("UNKNOWN", "The JSONata expression returned nothing (undefined).")
        return json.loads(json.dumps(result))

    def declarations(bindings: dict[str, Any]) -> str:
        return "".join(f"{name}:={to_json_str(value, separators=(',', ':'))};" for name, value in bindings.items())

    asl_jsonata._eval_jsonata = evaluate
    # Its users have imported the function by name.
    import sys  # noqa: PLC0415  only here

    for module in list(sys.modules.values()):
        if getattr(module, "encode_jsonata_variable_declarations", None) is not None:
            module.encode_jsonata_variable_declarations = declarations  # type: ignore[attr-defined]  # any module


def json_type(value: Any) -> str:
    """As JSONata's `$type` names it."""
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    if isinstance(value, Mapping | list):
        return "object" if isinstance(value, Mapping) else "array"
    return kinds.get(type(value), "function")
