"""Every change to moto's interpreter of state machines, and why."""

from __future__ import annotations

import copy
import datetime
import json
import re
import threading
from collections.abc import Collection
from functools import cache
from types import SimpleNamespace
from typing import Any

from jsonata import Jsonata
from jsonata.utils import Utils
from moto.stepfunctions.parser import models as parser_models
from moto.stepfunctions.parser.api import (
    EvaluationFailedEventDetails,
    ExecutionRedrivenEventDetails,
    HistoryEventType,
)
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.flow.start_at import StartAt
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.intrinsic.jsonata import get_intrinsic_functions_declarations
from moto.stepfunctions.parser.asl.component.program import program as asl_program
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state import state as asl_state
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import inline_iteration_component
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import map_run_record
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branch_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackConsumerTimeout,
    CallbackOutcome,
    CallbackOutcomeTimedOut,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.jsonata.jsonata import extract_jsonata_variable_references
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend import execution as moto_execution
from moto.stepfunctions.parser.backend import execution_worker
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

from local.core.current import current, running
from local.core.executions import STATUS_BY_EVENT
from local.core.places import PlacedThread, at, of_arn
from local.services.states.run import Entry, Run, run_of


def install() -> None:
    """Put the patches in place; to be called once."""
    _virtual_time()
    _waits()
    _tokens()
    _executions()
    _threads()
    _histories()
    _jsonata()


def _virtual_time() -> None:
    """State entries, history and the dates of an execution bear virtual time."""

    class VirtualNow(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]  # not of this class
            cloud = current()
            return cloud.clock.time() if cloud else datetime.datetime.now(tz)

    for module in (asl_state, map_run_record, moto_execution, parser_models):
        module.datetime = SimpleNamespace(datetime=VirtualNow, timezone=datetime.timezone)
    EventManager._get_current_timestamp = staticmethod(lambda: VirtualNow.now(datetime.UTC))


def _waits() -> None:
    """Waits, retries and the time of a whole state machine pass virtual time.

    A task has no time-out of real time: what is slow here is this machine.
    """

    def wait(self: Any, env: Any, wait_seconds: int) -> None:  # noqa: ARG001  moto's signature
        running().waiting(run_of(env).arn, _state(env), wait_seconds)
        run_of(env).sleep(wait_seconds)

    evaluate = retrier_decl.RetrierDecl._eval_body

    def retry(self: Any, env: Any) -> None:
        def sleep(seconds: float) -> None:
            running().retrying(run_of(env).arn, _state(env), seconds)
            run_of(env).sleep(seconds)

        # The interpreter calls time.sleep: the module's `time` is ours while this retrier is evaluated.
        retrier_decl.time = SimpleNamespace(sleep=sleep)
        evaluate(self, env)

    class Patient(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002  that of a task
            return super().wait()

    evaluate_program = Program.eval

    def in_time(self: Any, env: Any) -> None:
        if self.timeout_seconds is None:
            evaluate_program(self, env)
            return
        clock, untimed = running().clock, copy.copy(self)
        end = clock.call_later(self.timeout_seconds.timeout_seconds, run_of(env).time_out)
        untimed.timeout_seconds = None  # moto's own would be real time
        evaluate_program(untimed, env)
        clock.cancel(end)

    WaitFunction._wait_interval = wait
    retrier_decl.RetrierDecl._eval_body = retry
    execute_state.threading = SimpleNamespace(Event=Patient)
    Program.eval = in_time


def _tokens() -> None:
    """A task waits for the answer to its token in virtual time; afterwards the token is over.

    Raises (in the task):
        NotImplementedError: it wants heartbeats.
    """

    def wait(
        self: Any, env: Any, timeout_seconds: int, callback_endpoint: Any, heartbeat_endpoint: Any
    ) -> CallbackOutcome:
        if heartbeat_endpoint:
            raise NotImplementedError("The local cloud does not know HeartbeatSeconds.")
        seconds = None if self.timeout.is_default_value() else timeout_seconds
        run_of(env).sleep(seconds, callback_endpoint._notify_event)
        callback_endpoint.report(CallbackConsumerTimeout())
        return callback_endpoint.get_outcome() or CallbackOutcomeTimedOut(callback_endpoint.callback_id)

    StateTaskServiceCallback._eval_wait_for_task_token = wait


def _state(env: Any) -> str:
    return str(env.states.context_object.context_object_data["State"]["Name"])


def _executions() -> None:
    """The clock counts running executions. Starting one takes until it has entered its first state, or has ended."""
    start, logic, environment = (
        ExecutionWorker.start,
        ExecutionWorker._execution_logic,
        ExecutionWorker._get_evaluation_environment,
    )
    terminated = BaseExecutionWorkerCommunication.terminated
    state_input = CommonStateField._eval_state_input

    def counted_start(self: Any) -> None:
        self.run = getattr(self, "run", None) or Run(self)
        running().clock.join()
        with at(of_arn(self.run.arn)):
            start(self)
        self.run.begun.wait()

    def counted_logic(self: Any) -> None:
        cloud = running()
        try:
            if self.run.before:
                _go_on(self, self.run.before)
            else:
                logic(self)
        finally:
            self.run.begun.set()
            cloud.clock.leave()

    def environment_of_run(self: Any) -> Any:
        env = environment(self)
        env.event_manager.run = self.run
        return env

    def terminated_once(self: Any) -> None:
        if not getattr(self, "over", False):
            self.over = True  # a stopped execution has its end before its thread has
            terminated(self)

    def entered(self: Any, env: Any) -> None:
        run = run_of(env)
        if not env.is_frame():
            # Variables are replaced, never changed: the values need no copy.
            run.enter(Entry(self, env.states.get_input(), dict(env.variable_store._inner_scope)))
        running().entered(run.arn, self.name)
        run.begun.set()
        state_input(self, env)

    ExecutionWorker.start = counted_start
    ExecutionWorker._execution_logic = counted_logic
    ExecutionWorker._get_evaluation_environment = environment_of_run
    BaseExecutionWorkerCommunication.terminated = terminated_once
    CommonStateField._eval_state_input = entered  # the first thing after the event of the entry


def _threads() -> None:
    """Every thread of an execution is in the execution's account and Region."""
    execute_state.Thread = execution_worker.Thread = PlacedThread
    for module in (asl_program, branch_worker, inline_iteration_component, state_task_service_callback):
        module.threading = SimpleNamespace(**{**vars(threading), "Thread": PlacedThread})


def _go_on(worker: Any, before: Run) -> None:
    """moto's logic of an execution, but from the state that the run `before` entered last."""
    entry = before.entry
    program = copy.copy(worker._get_evaluation_entrypoint())  # the definition is parsed once, for all executions
    program.start_at = StartAt(entry.state.name)
    worker.env = env = worker._get_evaluation_environment()
    env.states.reset(entry.input)
    env.variable_store._inner_scope.update(entry.variables)
    events = before.env.event_manager._history_event_list
    env.event_manager._history_event_list = events
    env.event_manager._event_id_gen._next_id = len(events) + 1
    env.event_history_context.source_event_id = len(events)
    details = ExecutionRedrivenEventDetails(redriveCount=worker.redrives)
    env.event_manager.add_event(
        env.event_history_context, HistoryEventType.ExecutionRedriven, {"executionRedrivenEventDetails": details}
    )
    program.eval(env)
    worker._execution_communication.terminated()


def _histories() -> None:
    """Every event of a history is told as it happens; after the end of an execution there are none.

    A redriven execution does not enter the state again that it goes on with, but for one that fails.
    """
    publish, add_event = EventManager._publish_history_event, EventManager.add_event

    def added(self: Any, context: Any, event_type: Any, *details: Any, **more: Any) -> int:
        last = self._history_event_list[-1]["type"] if self._history_event_list else None
        again = last == HistoryEventType.ExecutionRedriven and event_type.value.endswith("StateEntered")
        if again and event_type != HistoryEventType.FailStateEntered:
            return int(context.source_event_id)
        return int(add_event(self, context, event_type, *details, **more))

    def told(self: Any, **details: Any) -> None:
        if self.run.over:
            return
        publish(self, **details)
        self.run.over = details["event_type"].value in STATUS_BY_EVENT
        running().history_event(self.run.arn, self._history_event_list[-1])

    EventManager.add_event = added
    EventManager._publish_history_event = told


def _jsonata() -> None:
    """jsonata-python in place of a JVM; an expression that yields nothing is an error, as in AWS.

    The error is States.QueryEvaluationError, which moto has for fewer cases; it can be caught.

    moto writes the variables into the expression as source text, forgets to escape strings, and evaluates each three
    times: whether it yields something, of which type, and what. Here an expression is parsed once, for all clouds, and
    evaluated once, with the variables bound to their names, as far as it names them.
    """
    one_at_a_time = threading.RLock()  # executions are threads, and share what has been parsed

    @cache
    def parsed(expression: str) -> Jsonata:
        return Jsonata(expression)

    def evaluate(self: Any, env: Any) -> None:
        references = extract_jsonata_variable_references(self.expression)
        expression = f"({get_intrinsic_functions_declarations(references)}{self.expression})"
        store = env.variable_store
        variables = {"states": env.states._states_data, **store._outer_scope, **store._inner_scope}
        bound = {name: as_jsonata(value) for name, value in needed(variables, named(expression)).items()}
        try:
            with one_at_a_time:
                result = parsed(expression).evaluate(None, bound)
        except Exception as error:
            raise failed(env, self, str(error)) from error
        if result is None:
            raise failed(env, self, "The JSONata expression returned nothing (undefined).")
        env.stack.append(json.loads(json.dumps(result)))

    def failed(env: Any, expression: Any, cause: str) -> Any:
        error = StatesErrorName(StatesErrorNameType.StatesQueryEvaluationError)
        details = EvaluationFailedEventDetails(
            error=error.error_name,
            cause=f"The JSONata expression '{expression.literal_value}' failed: {cause}",
            location=env.next_field_name,
            state=env.next_state_name,
        )
        event = EventDetails(evaluationFailedEventDetails=details)
        return FailureEventException(FailureEvent(env, error, HistoryEventType.EvaluationFailed, event))

    StringJSONata._eval_body = evaluate


@cache
def named(expression: str) -> frozenset[tuple[str, ...]]:
    """What an expression names, as paths: of `$a.b + $c`, a.b and c; perhaps more than it does."""
    return frozenset(tuple(path.split(".")) for path in re.findall(r"\$(\w+(?:\.[A-Za-z_]\w*)*)", expression))


def needed(value: Any, paths: Collection[tuple[str, ...]]) -> Any:
    """The part of a value that these paths lead to."""
    if not isinstance(value, dict) or () in paths:
        return value
    return {
        key: needed(value[key], [path[1:] for path in paths if path[0] == key])
        for key in {path[0] for path in paths} & value.keys()
    }


def as_jsonata(value: Any) -> Any:
    """A copy of a value, as JSON and jsonata-python have it: there None would be no value at all."""

    def with_nulls(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_nulls(each) for key, each in value.items()}
        if isinstance(value, list):
            return [with_nulls(each) for each in value]
        return Utils.NULL_VALUE if value is None else value

    # JSONata has one kind of number.
    return with_nulls(json.loads(to_json_str(value), parse_float=lambda text: Utils.convert_number(float(text))))
