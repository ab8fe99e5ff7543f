"""Step Functions' Distributed Map: each item is an execution of its own, in virtual time. moto's is a pool of threads
inside the parent's execution, to which a failed child is an output of null.

What is here takes the place of moto's from the moment that the state has evaluated its settings to its raw result.
`Run.maps` of the parent's run holds the map runs of its present state: they end with it, and a redrive goes on with the
last of them.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from moto.core.utils import iso_8601_datetime_with_milliseconds
from moto.stepfunctions.models import StepFunctionBackend
from moto.stepfunctions.parser.api import (
    ExecutionStatus,
    HistoryEventType,
    MapRunFailedEventDetails,
    MapRunRedrivenEventDetails,
    MapRunStartedEventDetails,
    MapRunStatus,
    StateMachineType,
)
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.query_language import QueryLanguage
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader import item_reader_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.eval import resource_eval_s3
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.eval.resource_output_transformer.transformer import (  # noqa: E501  so deep
    ResourceOutputTransformer,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.reader_config.input_type import InputType
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.map_run_record import (
    MapRunRecord,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.result_writer_decl import ResultWriter
from moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map import StateMap
from moto.stepfunctions.parser.asl.component.state.exec.state_map.tolerated_failure import (
    ToleratedFailureCountStringJSONata,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.states import ItemData, MapData
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.quotas import is_within_size_quota
from moto.stepfunctions.parser.utils import long_uid

from local.core.current import running
from local.services.states.run import Run, redrive, run_of

FAILED = {ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT}


class Child(Execution):  # type: ignore[misc]  # moto has no types
    """An execution for one item: of moto's kind, but of the states inside the Map."""

    def __init__(self, map_run: MapRun, item: Any) -> None:
        parent, name = map_run.parent, long_uid()
        machine = map_run.machine
        super().__init__(
            name=name,
            sm_type=StateMachineType.STANDARD,
            role_arn=parent.role_arn,
            exec_arn=f"{machine.arn.replace(':stateMachine:', ':execution:')}:{name}",
            account_id=parent.account_id,
            region_name=parent.region_name,
            state_machine=machine,
            start_date=None,
            cloud_watch_logging_session=None,
            activity_store={},
            input_data=compact(item),
        )
        self.map_run = map_run
        self.pending = True
        self.redrives = 0

    def begin(self) -> None:
        """Start, or go on after the map run's redrive."""
        self.pending = False
        now = running().clock.time()
        if self.exec_worker:
            self.redrives += 1
            self.redrive_date = now
            redrive(self, self.redrives)
        else:
            self.start_date = now
            self.start()

    def stop_at_once(self) -> None:
        """Be aborted, if it runs."""
        if self.exec_worker:
            self.exec_worker.run.stop(None, None)

    def _get_start_execution_worker(self) -> Any:
        worker = super()._get_start_execution_worker()
        worker._get_evaluation_entrypoint = lambda: self.map_run.program
        return worker

    def _get_start_execution_worker_comm(self) -> Any:
        return _EndTold(self)

    def record(self) -> dict[str, Any]:
        """What AWS exports of a child, and puts in the result in place of the output that a failed one has not."""
        began, status = self.start_date is not None, self.exec_status
        fields = {
            "ExecutionArn": self.exec_arn if began else None,
            "Name": self.name if began else None,
            "StateMachineArn": self.state_machine.arn,
            "Status": status.value if status else "PENDING",
            "Input": self.execution_input,
            "InputDetails": {"Included": True},
            "StartDate": iso_8601_datetime_with_milliseconds(self.start_date) if began else None,
            "StopDate": iso_8601_datetime_with_milliseconds(self.stop_date) if self.stop_date else None,
            "Error": self.error,
            "Cause": self.cause,
        }
        if status:
            succeeded = status == ExecutionStatus.SUCCEEDED
            fields["RedriveCount"] = self.redrives
            fields["RedriveStatus"] = "NOT_REDRIVABLE" if succeeded else "REDRIVABLE_BY_MAP_RUN"
            if succeeded:
                fields["RedriveStatusReason"] = "Execution is SUCCEEDED and cannot be redriven"
                fields["Output"], fields["OutputDetails"] = compact(self.output), {"Included": True}
        return {name: value for name, value in fields.items() if value is not None}


class _EndTold(BaseExecutionWorkerCommunication):  # type: ignore[misc]  # moto has no types
    """A child tells its map run that it has ended."""

    def _reflect_execution_status(self) -> None:
        super()._reflect_execution_status()
        self.execution.map_run.ended(self.execution)


class MapRun:
    """The children of one Map state, of which so many run at once as they may.

    Children begin one after the other, each when those before it wait or have ended: so a run of the local cloud is the
    same each time. `redriven` tells that it goes on with the children it had.
    """

    def __init__(self, run: Run, state: Any, program: Any, before: MapRun | None) -> None:
        self.run = run
        self.program = program
        self.parent = run.moto_execution
        self.record = state.map_run_record
        self.redriven = before is not None
        self.redrives = 0
        self.children: list[Child] = []
        self.machine = copy.copy(self.parent.state_machine)
        if before:
            self.record, self.children, self.redrives = before.record, before.children, before.redrives + 1
            self.record.status, self.record.stop_date = MapRunStatus.RUNNING, None
        self.machine.arn = self.record.map_state_machine_arn
        self.machine.name = self.machine.arn.rpartition(":")[2]
        for child in self.children:
            child.map_run = self
        self._waiting: list[Child] = []
        self._running: set[Child] = set()
        self._over = False
        self._end = threading.Event()
        self._lock = threading.RLock()

    def results(self) -> None:
        """Let the children run, until all have ended or too many have failed, or the parent has been stopped."""
        for child in self.children:
            child.pending = child.exec_status != ExecutionStatus.SUCCEEDED
        self._waiting = [child for child in reversed(self.children) if child.pending]
        with self._lock:
            self._go_on()
        self.run.sleep(None, self._end)

    def ended(self, child: Child) -> None:
        """A child has ended: the next one begins, if there is one."""
        with self._lock:
            self._running.discard(child)
            self._go_on()

    def stop(self) -> None:
        """The parent is over, or too many children have failed: those that run are aborted, the others never begin."""
        with self._lock:
            if not self._over:
                self._over = True
                for child in list(self._running):
                    child.stop_at_once()
                running().clock.wake(self._end)

    @property
    def too_many_failed(self) -> bool:
        """Whether more children have failed than the state tolerates.

        A number of 0, which both are unless the state says otherwise, is no limit beside one that is more.
        """
        failed = sum(child.exec_status in FAILED and not child.pending for child in self.children)
        count, percentage = self.record.tolerated_failure_count, self.record.tolerated_failure_percentage
        if not count and not percentage:
            return failed > 0
        return bool(count and failed > count) or bool(percentage and failed * 100 > percentage * len(self.children))

    def _go_on(self) -> None:
        if self._over:
            return
        if self.too_many_failed or not (self._waiting or self._running):
            self.stop()
            return
        most = self.record.max_concurrency or len(self.children)
        while self._waiting and len(self._running) < most:
            child = self._waiting.pop()
            self._running.add(child)
            running().clock.call_later(0, partial(self._begin, child))

    def _begin(self, child: Child) -> None:
        if not self._over:
            children_of(self.parent)[child.exec_arn] = child
            child.begin()

    def outputs(self) -> list[Any]:
        """The raw result: the output of each child, and what is known of one that has none."""
        return [
            child.output if child.exec_status == ExecutionStatus.SUCCEEDED else child.record()
            for child in self.children
        ]

    def count(self) -> None:
        """Count the children for DescribeMapRun."""
        statuses = ["pending" if child.pending else child.status.lower() for child in self.children]
        for counter in (self.record.item_counter, self.record.execution_counter):
            for name in ("pending", "running", "succeeded", "failed", "timed_out", "aborted"):
                getattr(counter, name)._count = statuses.count(name)
            counter.total._count = len(statuses)


def children_of(execution: Any) -> dict[str, Child]:
    """The children that an execution of moto's has had, by ARN."""
    children: dict[str, Child] = vars(execution).setdefault("children", {})
    return children


def compact(value: Any) -> str:
    """JSON as Step Functions writes and measures it."""
    text: str = to_json_str(value, separators=(",", ":"))
    return text


def failure(env: Any, error: StatesErrorNameType, cause: str) -> FailureEventException:
    """The state fails with this error."""
    name = StatesErrorName(error)
    details = MapRunFailedEventDetails(error=name.error_name, cause=cause)
    event = EventDetails(mapRunFailedEventDetails=details)
    return FailureEventException(FailureEvent(env, name, HistoryEventType.MapRunFailed, event))


def install() -> None:
    """Put the patches in place; to be called once, before definitions are parsed."""
    _map_runs()
    _children()
    _readers()
    _results()
    _definitions()


def _map_runs() -> None:
    """A map run is ours."""

    def evaluate(self: Any, env: Any) -> None:
        state, run = env.stack.pop(), run_of(env)
        env.map_run = map_run = MapRun(run, state, self._get_iteration_program(), run.take_redriven())
        run.maps.append(map_run)
        record = map_run.record
        record.map_run = map_run
        env.map_run_record_pool_manager._pool.pop(state.map_run_record.map_run_arn)
        env.map_run_record_pool_manager.add(record)
        tell_begun(env, map_run)
        try:
            if not map_run.redriven:
                map_run.children = [Child(map_run, item) for item in inputs(env, state)]
            map_run.results()
            if env.is_running() and map_run.too_many_failed:
                export(env)
                cause = "The specified tolerated failure threshold was exceeded"
                raise failure(env, StatesErrorNameType.StatesExceedToleratedFailureThreshold, cause)
            if not env.result_writer and not is_within_size_quota(compact(map_run.outputs())):
                cause = "The size of the results exceeds the maximum number of bytes service limit."
                raise failure(env, StatesErrorNameType.StatesStatesDataLimitExceeded, cause)
        except FailureEventException as error:
            name, cause = error.extract_error_cause_pair()
            details = MapRunFailedEventDetails(error=name, cause=cause)
            tell(env, HistoryEventType.MapRunFailed, mapRunFailedEventDetails=details)
            record.set_stop(status=MapRunStatus.FAILED)
            raise
        record.set_stop(status=MapRunStatus.SUCCEEDED if env.is_running() else MapRunStatus.ABORTED)
        tell(env, HistoryEventType.MapRunSucceeded)
        env.stack.append(map_run.outputs())

    def tell_begun(env: Any, map_run: MapRun) -> None:
        arn = map_run.record.map_run_arn
        if map_run.redriven:
            redriven = MapRunRedrivenEventDetails(mapRunArn=arn, redriveCount=map_run.redrives)
            tell(env, HistoryEventType.MapRunRedriven, mapRunRedrivenEventDetails=redriven)
        else:
            started = MapRunStartedEventDetails(mapRunArn=arn)
            tell(env, HistoryEventType.MapRunStarted, mapRunStartedEventDetails=started)

    evaluate_state, describe = StateMap._eval_execution, MapRunRecord.describe

    def with_writer(self: Any, env: Any) -> None:
        env.result_writer = self.result_writer
        evaluate_state(self, env)

    def counted(self: Any) -> Any:
        self.map_run.count()
        return describe(self)

    DistributedIterationComponent._eval_body = evaluate
    StateMap._eval_execution = with_writer
    MapRunRecord.describe = counted


def tell(env: Any, event: HistoryEventType, **details: Any) -> None:
    """Add an event to the history of the parent."""
    env.event_manager.add_event(env.event_history_context, event, EventDetails(**details))


def inputs(env: Any, state: Any) -> Iterator[Any]:
    """The input of each child.

    Raises:
        FailureEventException: States.ItemReaderFailed, States.DataLimitExceeded, or a selector cannot be evaluated.
    """
    items = read(env, state.item_reader) if state.item_reader else state.input_items
    selector = state.item_selector or state.parameters
    frame, given = env.open_frame(), env.states.get_input()
    frame.states.reset(given)
    for index, item in enumerate(items):
        value = item
        if selector:
            frame.states.context_object.context_object_data["Map"] = MapData(Item=ItemData(Index=index, Value=item))
            frame.stack = [given]
            selector.eval(frame)
            value = frame.stack.pop()
        if not is_within_size_quota(compact(value)):
            cause = f"The size of item {index} exceeds the maximum number of bytes service limit."
            raise failure(env, StatesErrorNameType.StatesStatesDataLimitExceeded, cause)
        yield value
    env.delete_frame(frame)


def read(env: Any, reader: Any) -> list[Any]:
    """The items that a reader finds.

    Raises:
        FailureEventException: States.ItemReaderFailed, or its arguments cannot be evaluated.
    """
    try:
        reader.eval(env=env)
    except FailureEventException:
        raise
    except Exception as error:
        raise failure(env, StatesErrorNameType.StatesItemReaderFailed, str(error)) from error
    items: list[Any] = env.stack.pop()
    return items


def _children() -> None:
    """moto finds an execution by the name of its state machine, which is not there for a child."""
    machine_of = StepFunctionBackend._get_state_machine_for_execution

    def found(self: Any, execution_arn: str) -> Any:
        state_machine, slash, _ = execution_arn.rpartition(":")[0].partition("/")
        if not slash:
            return machine_of(self, execution_arn)
        parents = machine_of(self, f"{state_machine}:").executions
        return SimpleNamespace(executions=[child for parent in parents for child in family(parent)])

    StepFunctionBackend._get_state_machine_for_execution = found


def family(execution: Any) -> Iterator[Any]:
    """An execution of moto's, and its children, and theirs."""
    yield execution
    for child in list(children_of(execution).values()):
        yield from family(child)


class JsonLines(ResourceOutputTransformer):  # type: ignore[misc]  # moto has no types
    """Items of a file with one on each line."""

    def _eval_body(self, env: Any) -> None:
        config, text = env.stack.pop(), env.stack.pop()
        items = [json.loads(line) for line in text.splitlines() if line.strip()]
        env.stack.append(items[: config["MaxItemsValue"]])


def _readers() -> None:
    """Items may be lines of JSON."""
    transformer_for, typed = item_reader_decl.resource_output_transformer_for, InputType.__init__

    def transformer(input_type: Any) -> Any:
        return JsonLines() if input_type.input_type_value == "JSONL" else transformer_for(input_type)

    def typed_or_lines(self: Any, input_type: str) -> None:
        if input_type == "JSONL":
            self.input_type_value = input_type
        else:
            typed(self, input_type)

    item_reader_decl.resource_output_transformer_for = transformer
    InputType.__init__ = typed_or_lines


def _results() -> None:
    """A ResultWriter writes the results, not only a manifest."""

    def write(self: Any, env: Any) -> None:  # noqa: ARG001  a method of moto's
        exported = export(env)
        env.stack.pop()
        env.stack.append(exported)

    ResultWriter._eval_body = write


def export(env: Any) -> Mapping[str, Any] | None:
    """Write what is known of the children where the state's ResultWriter says; the raw result that tells of it.

    Raises:
        FailureEventException: States.ResultWriterFailed.
    """
    if not env.result_writer:
        return None
    map_run: MapRun = env.map_run
    arn = map_run.record.map_run_arn
    env.result_writer.parargs.eval(env=env)
    target = {name: evaluated(env, value) for name, value in env.stack.pop().items()}
    bucket, prefix = target["Bucket"], target.get("Prefix", "").rstrip("/")
    folder = f"{prefix}/{arn.rpartition(':')[2]}".lstrip("/")
    records: dict[str, list[Any]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for child in map_run.children:
        status = "PENDING" if child.pending else child.status
        records[status if status in records else "FAILED"].append(child.record())
    files = {name: json.dumps(written) if written else "" for name, written in records.items()}
    manifest = {
        "DestinationBucket": bucket,
        "MapRunArn": arn,
        "ResultFiles": {
            name: [{"Key": f"{folder}/{name}_0.json", "Size": len(content)}] if content else []
            for name, content in files.items()
        },
    }
    client = resource_eval_s3.boto_client_for(env.aws_execution_details.region, "s3", None)
    try:
        for name, content in files.items():
            if content:
                client.put_object(Bucket=bucket, Key=f"{folder}/{name}_0.json", Body=content.encode())
        client.put_object(Bucket=bucket, Key=f"{folder}/manifest.json", Body=json.dumps(manifest).encode())
    except ClientError as error:
        raise failure(env, StatesErrorNameType.StatesResultWriterFailed, str(error)) from error
    return {"MapRunArn": arn, "ResultWriterDetails": {"Bucket": bucket, "Key": f"{folder}/manifest.json"}}


def evaluated(env: Any, value: Any) -> Any:
    """A value of a ResultWriter, which for moto is JSONPath's even where JSONata is spoken."""
    if not (isinstance(value, str) and value.startswith("{%")):
        return value
    StringJSONata(value.removeprefix("{%").removesuffix("%}")).eval(env)
    return env.stack.pop()


def _definitions() -> None:
    """What moto's grammar does not take: a whole ToleratedFailurePercentage, and a ResultWriter's Arguments.

    And for a computed ToleratedFailureCount it takes a percentage.
    """
    parse = AmazonStateLanguageParser.parse

    def understood(fields: dict[str, Any]) -> dict[str, Any]:
        if isinstance(fields.get("ToleratedFailurePercentage"), int):
            fields["ToleratedFailurePercentage"] = float(fields["ToleratedFailurePercentage"])
        if isinstance(writer := fields.get("ResultWriter"), dict) and "Arguments" in writer:
            writer["Parameters"] = writer.pop("Arguments")
        return fields

    def parse_understood(definition: str) -> Any:
        if "ToleratedFailurePercentage" in definition or "ResultWriter" in definition:
            definition = json.dumps(json.loads(definition, object_hook=understood))
        return parse(definition)

    def computed_count(self: Any, context: Any) -> Any:
        return ToleratedFailureCountStringJSONata(self.visitString_jsonata(context.string_jsonata()))

    def result_writer(self: Any, context: Any) -> Any:
        self._query_language_per_scope.append(QueryLanguage())  # JSONPath, whose Parameters may be any text
        try:
            return visit_writer(self, context)
        finally:
            self._query_language_per_scope.pop()

    visit_writer = Preprocessor.visitResult_writer_decl
    AmazonStateLanguageParser.parse = staticmethod(parse_understood)
    Preprocessor.visitResult_writer_decl = result_writer
    Preprocessor.visitTolerated_failure_count_string_jsonata = computed_count
