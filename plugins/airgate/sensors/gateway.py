"""Waits for an answer of a service behind the gateway."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airgate.client import clock
from airgate.hooks.call import Call
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.overflow import own_result
from airgate.hooks.retry_policy import with_retry_policy
from airgate.hooks.selection import Selection, check_selection, select
from airgate.policy.errors import GatewayError, NotFound
from airgate.sensors.costs import PollCosts
from airgate.sensors.exposure import refuse_exposed

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context

_READS = frozenset({"GET", "HEAD"})
_GRACE = 60.0
"""Seconds that a triggerer may be late with its own word that the time is over."""


class GatewaySensor(BaseSensorOperator):
    """Asks again and again, with GET or HEAD, until the predicate holds.

    ``mode="poke"`` keeps the worker, ``mode="reschedule"`` gives it back between the polls, ``deferrable=True`` polls
    in the triggerer. There a predicate must be text to be evaluated: a function that is not importable is called on the
    worker, which then makes the poll as well. ``timeout``, ``poke_interval``, ``soft_fail``, ``silent_fail``,
    ``never_fail`` and ``exponential_backoff`` are those of every sensor.

    Args:
        path: Path below the gateway's address; ``{name}`` is filled from ``path_params``.
        method: GET or HEAD.
        path_params: Values for the path.
        query: Query parameters.
        headers: Added to the connection's; secret ones belong there.
        operation: OpenAPI operationId, in place of ``path``.
        arguments: What the operation is called with.
        openapi: Location of the OpenAPI document, instead of the connection's.
        predicate: JMESPath expression, function of the response, or such a function as ``module:function``; None is
            content with any success.
        response_filter: The same, for the task's result; without it the result is what the predicate gave.
        expect: Status, or statuses, that count as success; None means 200 to 299.
        missing_is_false: Whether 404 means "not yet" instead of an error.
        deferrable: Poll in the triggerer.
        gateway_conn_id: Connection of type ``gateway``.
    """

    template_fields: Sequence[str] = (
        "path", "path_params", "query", "headers", "operation", "arguments", "gateway_conn_id",
    )  # fmt: skip
    template_fields_renderers: ClassVar[dict[str, str]] = {"query": "json", "headers": "json", "arguments": "json"}
    ui_color = "#e3ecd5"
    _asked = 0.0
    """Seconds that the service asked to wait at the last poll."""
    _costs: PollCosts | None = None

    def __init__(
        self,
        *,
        path: str = "",
        method: str = "GET",
        path_params: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        operation: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        openapi: str | None = None,
        predicate: Selection | None = None,
        response_filter: Selection | None = None,
        expect: int | Collection[int] | None = None,
        missing_is_false: bool = False,
        deferrable: bool = False,
        gateway_conn_id: str = GatewayHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.path = path
        self.method = method
        self.path_params = path_params
        self.query = query
        self.headers = headers
        self.operation = operation
        self.arguments = arguments
        self.openapi = openapi
        self.predicate = predicate
        self.response_filter = response_filter
        self.expect = {expect} if isinstance(expect, int) else expect
        self.missing_is_false = missing_is_false
        self.deferrable = deferrable
        self.gateway_conn_id = gateway_conn_id
        try:
            self._check()
        except ValueError as error:
            raise ValueError(f"task {self.task_id!r}: {error}") from None

    def _check(self) -> None:
        if problem := self._call().problem():
            raise ValueError(problem)
        if self.method.upper() not in _READS:
            raise ValueError(
                f"method must be GET or HEAD, as it is repeated until the predicate holds, not {self.method!r}"
            )
        check_selection("predicate", self.predicate)
        check_selection("response_filter", self.response_filter)
        if self.deferrable:
            refuse_exposed(self._call())

    def _call(self) -> Call:
        return Call(
            "" if self.operation else self.method.upper(),
            self.path,
            self.path_params,
            self.query,
            headers=self.headers,
            expect=self.expect,
            operation=self.operation,
            arguments=self.arguments,
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once."""
        return self._poll_here()

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        """The interval, or what the service asked for where that is longer, up to a last look at the sensor's end."""
        interval = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        return max(interval, min(self._asked, self.timeout - run_duration()))

    def _poll_here(self) -> PokeReturnValue:
        self._asked = 0.0
        try:
            with self._hook() as hook:
                return self._ask(hook)
        except GatewayError as error:
            if not error.retryable or error.retry_after is None:
                raise
            # As in the triggerer: a wait that the service names is one between two polls.
            self._asked = error.retry_after
            self.log.warning("not now: %s", error)
            return PokeReturnValue(is_done=False)

    def _hook(self) -> GatewayHook:
        hook = GatewayHook(self.gateway_conn_id, openapi=self.openapi)
        if self._costs is not None:
            hook.tally = self._costs.tally
        return hook

    def _ask(self, hook: GatewayHook) -> PokeReturnValue:
        request = hook.request(self._call())
        if request.method not in _READS:
            raise ValueError(f"operation {self.operation!r} is a {request.method}; a sensor only reads")
        try:
            response = hook.send(request, expect=self.expect)
        except NotFound:
            if self.missing_is_false:
                return PokeReturnValue(is_done=False)
            raise
        found = True if self.predicate is None else select("predicate", self.predicate, response)
        if not found:
            return PokeReturnValue(is_done=False)
        value = found if self.response_filter is None else select("response_filter", self.response_filter, response)
        return PokeReturnValue(is_done=True, xcom_value=value)

    def execute(self, context: Context) -> Any:
        """Wait until the predicate holds; the result is what was selected of the answer."""
        with self._counting(context):
            found = self._wait(clock.now() + self.timeout) if self.deferrable else super().execute(context)
        return own_result(found, context["ti"])

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Read what the triggerer found."""
        with self._counting(context, event):
            found = self._found(event)
        return own_result(found, context["ti"])

    def _counting(self, context: Context, event: Mapping[str, Any] | None = None) -> AbstractContextManager[None]:
        self._costs = PollCosts(context, event)
        return self._costs.told(push=self.do_xcom_push)

    def _found(self, event: Mapping[str, Any]) -> Any:
        if "error" in event:
            from airgate.hooks.failures import error_from_json

            error = error_from_json(event["error"])
            if self.never_fail:
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
            raise error
        if "value" in event:
            return event["value"]
        if event.get("timed_out"):
            self._time_out()
        # What was found is too large for an event, which Airflow keeps in its database.
        return self._wait(event["ends"], here=True)

    def resume_poke(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Ask once more, on the worker."""
        with self._counting(context):
            found = self._wait(event["ends"])
        return own_result(found, context["ti"])

    def _wait(self, ends: float, *, here: bool = False) -> Any:
        """Ask on the worker where only it can judge the answer, or when told to; else in the triggerer."""
        if here or self._opaque:
            try:
                asked = self._poll_here()
            except Exception as error:
                if self.never_fail:
                    raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
                if not self.silent_fail:
                    raise
                self.log.exception("Sensor poke failed")
                asked = PokeReturnValue(is_done=False)
            if asked:
                return asked.xcom_value
            if clock.now() >= ends:
                self._time_out()
        return self._defer_wait(ends) if self._opaque else self._defer_poll(ends)

    @property
    def _opaque(self) -> bool:
        """Whether the triggerer cannot evaluate the predicate or the filter."""
        return any(callable(each) for each in (self.predicate, self.response_filter))

    def _defer_wait(self, ends: float) -> NoReturn:
        from airgate.triggers.wait import WaitTrigger

        moment = min(clock.now() + max(self.poke_interval, self._asked), ends)
        self.defer(trigger=WaitTrigger(moment, ends=ends), method_name="resume_poke")

    def _defer_poll(self, ends: float) -> NoReturn:
        from airgate.triggers.poll import Poll, PollTrigger

        call = self._call()
        if self.operation:
            with self._hook() as hook:
                call = hook.resolve(call)
            if call.method not in _READS:
                raise ValueError(f"operation {self.operation!r} is a {call.method}; a sensor only reads")
        refuse_exposed(call)  # once more, as templates are rendered by now and an operation is resolved
        poll = Poll(
            path=call.path,
            interval=self.poke_interval,
            ends=ends,
            method=call.method,
            path_params=dict(call.path_params or {}),
            query=dict(call.params or {}),
            headers=dict(call.headers or {}),
            expect=None if self.expect is None else sorted(self.expect),
            predicate=self.predicate,  # type: ignore[arg-type]  # text, as opaque ones are asked on the worker
            result=self.response_filter,  # type: ignore[arg-type]
            missing_is_false=self.missing_is_false,
            patient=self.silent_fail,
            growth=2.0 if self.exponential_backoff else 1.0,
            longest_interval=self.max_wait.total_seconds() if self.max_wait else 3600.0,
        )
        self.defer(
            trigger=PollTrigger(self.gateway_conn_id, poll),
            method_name="resume",
            timeout=max(ends - clock.now(), 0.0) + _GRACE,
        )

    def _time_out(self) -> NoReturn:
        message = f"the predicate did not hold within {self.timeout:g} s"
        if self.soft_fail or self.never_fail:
            raise AirflowSkipException(message)
        raise AirflowSensorTimeout(message)
