"""Pushes records to a service behind the gateway: reverse ETL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator

from airgate.hooks.gateway import GatewayHook
from airgate.hooks.given_frame import hidden
from airgate.hooks.lineage import Lineage, openlineage_of
from airgate.hooks.push_call import LIST, BodyOf
from airgate.hooks.push_task import PushTask
from airgate.hooks.retry_policy import with_retry_policy
from airgate.hooks.waits import LONG_WAITS, LongWait

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airgate.data.push.plan import PushReport, Refused


class GatewayPushOperator(BaseOperator):
    """Pushes the records of data sets to a service, in batches; the result is a report.

    Each batch is one call with an idempotency key, made from the records and the number of the batch, which is the same
    in every try. What is settled, accepted or dead-lettered, is stored in the task state store, so that a task that
    dies goes on there. Records that the service does not accept go to ``dead-letters-*.jsonl`` under ``[airgate]
    data_root``: offered = pushed + dead-lettered, or the task fails.

    Args:
        data: What to push: the manifest of a data set, which is the result of an extract or ``@task.dataframe`` task, a
            pandas, polars or Arrow frame, such as the result of a ``@task``, or a list of them. A frame is written as a
            data set first, and a later try goes on with that one.
        replay_dead_letters: Whose dead letters are pushed, behind the records of ``data`` if both are given: a manifest
            or a list of them, the report of an earlier push, or the URI of a folder.
        path: Path below the gateway's address; with ``body="record"`` a ``{name}`` that ``path_params`` lacks is
            filled from the record.
        method: ``POST`` unless given.
        path_params: Values for the path.
        query: Query parameters.
        headers: Added to the connection's.
        operation: OpenAPI operationId, instead of method and path.
        arguments: What the operation is called with, beside its body.
        columns: Those to push; None for all.
        batch_size: Records of a request; 100 unless given, 1 with ``body="record"``.
        body: What is made of a batch: ``list`` for a bare list, ``record`` for one record in a request, a dotted path
            such as ``items`` or ``data.items`` for an object with the list in it, or a function of the list of records
            that gives the JSON to send. The function is to give the same for the same records.
        in_flight: Batches that are under way at the same time.
        ordered: Send one batch after the other.
        item_status: JMESPath of one item's status in the answer; 200 to 299 or true was accepted.
        item_error: JMESPath of one item's error in the answer; nothing, false or empty was accepted.
        item_results: JMESPath of the list of items in the answer; the answer itself unless given.
        item_index: JMESPath of the record's place in the batch, for services that tell of some records only.
        item_retry: JMESPath of an item that was not accepted: whether its record was put off and is to be sent again,
            with others of its kind; a status of 425, 429 or 503 says so unless given.
        item_retry_after: JMESPath of the seconds, or the date, after which; the answer's ``Retry-After`` holds as well.
        refused: What becomes of a batch that the service refuses as a whole with 400, 413 or 422: ``bisect`` sends
            halves until what is wrong stands alone, ``dead_letter`` dead-letters all of it, ``fail`` fails.
        max_dead_letters: The task fails when more records are dead-lettered; None for no limit.
        redact_fields: Dotted names of fields whose values are masked in dead letters.
        idempotency_key: True relies on keys: the service honours them. None does what the connection's ``idempotency``
            says. False sends none.
        epoch: Another text asks for a new effect.
        output_path: URI of the folder for the dead letters, instead of one for each task instance below the data root.
        long_wait: What to do when the service asks for a wait beyond the connection's ``max_inline_wait``: ``defer``,
            ``retry`` or ``inline``. None takes the connection's.
        deferrable: False makes ``retry`` of ``defer``.
        deadline: Seconds, or a timedelta, for the push over all tries and waits. None takes the connection's
            ``task_deadline``.
        gateway_conn_id: Connection of type ``gateway``.
    """

    template_fields: Sequence[str] = (
        "data",
        "replay_dead_letters",
        "path",
        "method",
        "path_params",
        "query",
        "headers",
        "operation",
        "arguments",
        "epoch",
        "output_path",
        "gateway_conn_id",
    )
    template_fields_renderers = {"query": "json", "headers": "json", "arguments": "json"}
    ui_color = "#f6ddd8"

    def __init__(
        self,
        *,
        data: Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any = None,
        replay_dead_letters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | Any = None,
        path: str = "",
        method: str = "",
        path_params: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        operation: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        columns: Sequence[str] | None = None,
        batch_size: int | None = None,
        body: str | BodyOf = LIST,
        in_flight: int = 4,
        ordered: bool = False,
        item_status: str | None = None,
        item_error: str | None = None,
        item_results: str = "@",
        item_index: str | None = None,
        item_retry: str | None = None,
        item_retry_after: str | None = None,
        refused: Refused = "bisect",
        max_dead_letters: int | None = None,
        redact_fields: Sequence[str] = (),
        idempotency_key: bool | None = None,
        epoch: str = "",
        output_path: str | None = None,
        long_wait: LongWait | None = None,
        deferrable: bool = True,
        deadline: float | timedelta | None = None,
        gateway_conn_id: str = GatewayHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.data = data
        self.replay_dead_letters = replay_dead_letters
        self.path = path
        self.method = method
        self.path_params = path_params
        self.query = query
        self.headers = headers
        self.operation = operation
        self.arguments = arguments
        self.columns = columns
        self.batch_size = batch_size
        self.body = body
        self.in_flight = in_flight
        self.ordered = ordered
        self.item_status = item_status
        self.item_error = item_error
        self.item_results = item_results
        self.item_index = item_index
        self.item_retry = item_retry
        self.item_retry_after = item_retry_after
        self.refused = refused
        self.max_dead_letters = max_dead_letters
        self.redact_fields = redact_fields
        self.idempotency_key = idempotency_key
        self.epoch = epoch
        self.output_path = output_path
        self.long_wait = long_wait
        self.deferrable = deferrable
        self.deadline = deadline.total_seconds() if isinstance(deadline, timedelta) else deadline
        self.gateway_conn_id = gateway_conn_id
        self._lineage = Lineage()
        if problem := self._problem():
            raise ValueError(f"task {self.task_id!r}: {problem}")

    @property
    def data(self) -> Any:
        """What is pushed; a frame shows neither in Airflow's pages nor in its database."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data = hidden(value)

    def _problem(self) -> str | None:
        if (self.deadline or 0) < 0:
            return f"deadline must be 0 or more, not {self.deadline}"
        if self.long_wait is not None and self.long_wait not in LONG_WAITS:
            return f"long_wait must be one of {', '.join(LONG_WAITS)}, not {self.long_wait!r}"
        return self._wanted().problem()

    def _wanted(self) -> PushTask:
        return PushTask(**{field.name: getattr(self, field.name) for field in fields(PushTask)})

    def execute(self, context: Context) -> dict[str, Any]:
        """Push the records and return the report."""
        return self._push(context, resumed=False)

    def resume(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after a long wait that was spent in the triggerer."""
        return self._push(context, resumed=True)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> object:
        """What was read and where it went, for the OpenLineage provider."""
        return openlineage_of(self._lineage)

    def _push(self, context: Context, *, resumed: bool) -> dict[str, Any]:
        # Imported here, as every parse of a DAG file would pay for it otherwise.
        from airgate.hooks.push import TaskPush
        from airgate.operators.long_read import read_patiently
        from airgate.operators.patience import Patience

        wanted = self._wanted()
        with GatewayHook(self.gateway_conn_id) as hook:
            pushing = TaskPush(hook, wanted, context)
            deadline = hook.gateway.task_deadline if self.deadline is None else self.deadline
            patience = Patience(self._defer, self.long_wait, self.deferrable, deadline)
            try:
                report = read_patiently(hook, context, pushing, patience, pushing.run, resumed=resumed)
            finally:
                self._tell_calls(context, hook)
            self._lineage = pushing.lineage(report)
        self._tell(report)
        return report.to_json()

    def _defer(self, until: float) -> NoReturn:
        from airgate.triggers.wait import WaitTrigger

        self.defer(trigger=WaitTrigger(until), method_name="resume")

    def _tell_calls(self, context: Context, hook: GatewayHook) -> None:
        """Push what the calls cost, also those of a try that failed."""
        xcom_push = getattr(context["ti"], "xcom_push", None)
        if self.do_xcom_push and xcom_push is not None:
            xcom_push(key="airgate_calls", value=hook.tally.summary())

    def _tell(self, report: PushReport) -> None:
        self.log.info(
            "offered %d records: %d accepted, %d dead-lettered; %d requests",
            *(report.offered, report.pushed, report.dead_lettered, report.calls),
        )
        for file in report.dead_letters.dead_letters:
            self.log.warning("%d records were refused, see %s/%s", file.records, report.dead_letters.path, file.name)
