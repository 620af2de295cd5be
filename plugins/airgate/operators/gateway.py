"""One call through the gateway as a task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator

from airgate.client.message import Response
from airgate.hooks.call import Call
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.retry_policy import with_retry_policy
from airgate.hooks.selection import Selection, check_selection, describe, select
from airgate.hooks.waits import LONG_WAITS, LongWait
from airgate.policy.idempotency import SAFE_METHODS

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

_TALLY = "airgate.tally"
"""Name in the task state store of what the calls before a long wait cost."""

MAX_XCOM_BYTES = 48 * 1024
"""Airflow's metadata database takes more, but every task that pulls the value and every page that shows it pays."""


class GatewayOperator(BaseOperator):
    """Calls a service behind the gateway; the answer's JSON is the task's result.

    A write happens once. With ``idempotency_key`` the service itself recognizes a repetition, over attempts, tries and
    killed workers. Without, a POST or PATCH leaves at most once, unless the task is cleared: not only is it not
    repeated within a try, a try whose predecessor may have sent it, and died or failed later, asks ``reconcile`` or
    raises ``OutcomeUnknown`` instead of sending. See docs/writes-once.md.

    Args:
        method: HTTP method; GET unless given.
        path: Path below the gateway's address; ``{name}`` is filled from ``path_params``.
        path_params: Values for the path.
        query: Query parameters; a list repeats its name, None leaves it out.
        json: Body, sent as JSON.
        data: Body, sent as it is: text, bytes or a body of ``airgate.client.uploads``.
        headers: Added to the connection's.
        operation: OpenAPI operationId, in place of ``method`` and ``path``.
        arguments: What the operation is called with: parameters by name, and ``body``.
        openapi: Location of the OpenAPI document, instead of the connection's ``openapi``. A file or a
            ``package://`` is read when the DAG is parsed, and literal arguments are checked then.
        idempotency_key: Give one only to a service that honours it. True makes one that stays the same over all tries
            of this task in this run; a text is sent as it is. None does what the connection's ``idempotency`` says: by
            default a key is sent and not relied on. False sends none.
        epoch: Part of the key: another text asks for a new effect after a clear.
        reconcile: Says whether a write without an honoured key happened when its outcome is unknown: a function of the
            hook that returns the response or True (it did), False (it did not: it is sent again) or None (nobody
            knows); or a look-up as a ``Call`` or dict, where 404 means that it did not.
        expect: Status, or statuses, that count as success; None means 200 to 299.
        response_check: JMESPath expression or function of the response that must hold, or the task fails.
        response_filter: JMESPath expression or function of the response that makes the task's result.
        validate_response: Hold the answer against the OpenAPI document; only with ``operation``.
        log_response: Log status, headers and the beginning of the body, secrets masked.
        max_xcom_bytes: A larger result goes to object storage below ``[airgate] data_root`` and a reference to XCom
            (``airgate.hooks.read_object``); 0 for no limit.
        long_wait: What to do when the service asks for a wait beyond the connection's ``max_inline_wait``: ``defer``
            gives the worker back, ``retry`` leaves it to Airflow's retries, ``inline`` waits in the worker. None takes
            the connection's.
        deferrable: False makes ``retry`` of ``defer``.
        deadline: Seconds, or a timedelta, for the call over all tries and waits, from the first try on; a clear starts
            it again. 0 for none. None takes the connection's ``task_deadline``.
        gateway_conn_id: Connection of type ``gateway``.
    """

    template_fields: Sequence[str] = (
        "method",
        "path",
        "path_params",
        "query",
        "json",
        "data",
        "headers",
        "operation",
        "arguments",
        "idempotency_key",
        "epoch",
        "reconcile",
        "gateway_conn_id",
    )
    template_fields_renderers = {"json": "json", "query": "json", "headers": "json", "arguments": "json"}
    ui_color = "#d8e8f6"

    def __init__(
        self,
        *,
        path: str = "",
        method: str = "",
        path_params: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        operation: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        openapi: str | None = None,
        idempotency_key: str | bool | None = None,
        epoch: str = "",
        reconcile: Callable[[GatewayHook], Response | bool | None] | Call | Mapping[str, Any] | None = None,
        expect: int | Collection[int] | None = None,
        response_check: Selection | None = None,
        response_filter: Selection | None = None,
        validate_response: bool = False,
        log_response: bool = False,
        max_xcom_bytes: int = MAX_XCOM_BYTES,
        long_wait: LongWait | None = None,
        deferrable: bool = True,
        deadline: float | timedelta | None = None,
        gateway_conn_id: str = GatewayHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.method = method
        self.path = path
        self.path_params = path_params
        self.query = query
        self.json = json
        self.data = data
        self.headers = headers
        self.operation = operation
        self.arguments = arguments
        self.openapi = openapi
        self.idempotency_key = idempotency_key
        self.epoch = epoch
        # As a dict its fields are templates like those of the call itself.
        self.reconcile = reconcile.to_dict() if isinstance(reconcile, Call) else reconcile
        self.expect = {expect} if isinstance(expect, int) else expect
        self.response_check = response_check
        self.response_filter = response_filter
        self.validate_response = validate_response
        self.log_response = log_response
        self.max_xcom_bytes = max_xcom_bytes
        self.long_wait = long_wait
        self.deferrable = deferrable
        self.deadline = deadline.total_seconds() if isinstance(deadline, timedelta) else deadline
        self.gateway_conn_id = gateway_conn_id
        try:
            self._check()
        except ValueError as error:
            raise ValueError(f"task {self.task_id!r}: {error}") from None

    def _check(self) -> None:
        """Refuse what cannot work, while the DAG is parsed.

        Raises:
            ValueError: Naming the argument.
        """
        check_selection("response_check", self.response_check)
        check_selection("response_filter", self.response_filter)
        if self.long_wait is not None and self.long_wait not in LONG_WAITS:
            raise ValueError(f"long_wait must be one of {', '.join(LONG_WAITS)}, not {self.long_wait!r}")
        for name in ("max_xcom_bytes", "deadline"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        # Airflow hands the DAG's own params to every task of it.
        dag = self.get_dag()
        own = self.params.keys() - (dag.params.keys() if dag is not None else ())
        if own and "params" not in repr([getattr(self, name) for name in self.template_fields]):
            raise ValueError(
                f"params are Airflow's, for templates, and no field has a template with params: query parameters such "
                f"as {', '.join(sorted(own))} go into query"
            )
        self._check_call()

    def _check_call(self) -> None:
        if problem := self._own_call().problem():
            raise ValueError(problem)
        if self.validate_response and not self.operation:
            raise ValueError("validate_response needs an operation: it holds the answer against its description")
        if self.operation and self.openapi:
            check_operation(self.openapi, self.operation, self.arguments or {}, keyed=self.idempotency_key is not False)

    def _own_call(self) -> Call:
        return Call(
            self.method if self.operation else self.method or "GET",
            self.path,
            self.path_params,
            self.query,
            self.json,
            self.data,
            self.headers,
            self.idempotency_key,
            self.expect,
            self.operation,
            self.arguments,
            epoch=self.epoch,
        )

    def _call(self, context: Context) -> Call:
        """The call that this task makes."""
        return self._own_call()

    def execute(self, context: Context) -> Any:
        """Make the call and return its result."""
        return self._make(context, resumed=False)

    def resume(self, context: Context, event: Any = None) -> Any:
        """Go on after a long wait that was spent in the triggerer."""
        return self._make(context, resumed=True)

    def _make(self, context: Context, *, resumed: bool) -> Any:
        with GatewayHook(self.gateway_conn_id, openapi=self.openapi) as hook:
            return self._make_with(hook, context, resumed=resumed)

    def _make_with(self, hook: GatewayHook, context: Context, *, resumed: bool) -> Any:
        # Imported here, as every parse of a DAG file would pay for it otherwise.
        from airgate.operators.patience import Patience
        from airgate.operators.task_call import make_call

        call, store = self._call(context), context["task_state_store"]
        if resumed and isinstance(earlier := store.get(_TALLY), dict):
            hook.tally.add(earlier)
        try:
            response = make_call(
                hook,
                call,
                context,
                Patience(partial(self._defer, store, hook), self.long_wait, self.deferrable, self.deadline),
                reconcile=self.reconcile,
                resumed=resumed,
            )
            return None if response is None else self._result(context, hook, call, response)
        finally:
            self._report(context, hook)

    def _defer(self, store: Any, hook: GatewayHook, until: float) -> NoReturn:
        from airgate.triggers.wait import WaitTrigger

        store.set(_TALLY, hook.tally.state())
        self.defer(trigger=WaitTrigger(until), method_name="resume")

    def _report(self, context: Context, hook: GatewayHook) -> None:
        """Push what the calls cost, also those of a try that failed."""
        push = getattr(context["ti"], "xcom_push", None)
        if self.do_xcom_push and push is not None:
            push(key="airgate_calls", value=hook.tally.summary())

    def _result(self, context: Context, hook: GatewayHook, call: Call, response: Response) -> Any:
        self.log.info(
            "%s %s answered %d (%d bytes, %d attempts)",
            *(response.method, response.url, response.status, len(response.bytes), response.attempts),
        )
        if self.log_response:
            from airgate.hooks.showing import shown

            self.log.info("%s", shown(response, hook.gateway.secrets))
        if self.validate_response and call.operation:
            _validate(hook, call.operation, response)
        if self.response_check is not None and not select("response_check", self.response_check, response):
            raise response.invalid(f"response_check {describe(self.response_check)} does not hold")
        if self.response_filter is not None:
            result = select("response_filter", self.response_filter, response)
        else:
            result = plain_result(response)
        if not self.do_xcom_push:
            return result
        from airgate.hooks.overflow import guard_size

        content_type = response.headers.get("content-type", "text/plain")
        try:
            return guard_size(result, context["ti"], limit=self.max_xcom_bytes, content_type=content_type)
        except ValueError as error:
            if response.method in SAFE_METHODS:
                raise
            # The write has happened; a task that fails now would want it again.
            self.log.warning("handed on whole all the same, as the write has happened: %s", error)
            return result


def plain_result(response: Response) -> Any:
    """What an answer is without a filter: its JSON, else its text, None when it is empty.

    Raises:
        InvalidResponse: It is neither, and came of a read. That of a write, which has happened, becomes None.
    """
    if not response.bytes:
        return None
    kind = response.headers.get("content-type", "")
    if "json" in kind:
        return response.json()
    text = response.text
    if "\ufffd" not in text:
        return text
    said = f"the answer is {kind or 'no text'}, which is no task's result; make one of it with response_filter"
    if response.method in SAFE_METHODS:
        raise response.invalid(said)
    log.warning("%s", said)
    return None


def check_operation(openapi: str, operation: str, arguments: Mapping[str, Any], *, keyed: bool = False) -> None:
    """Hold literal arguments against a document that is a file or in a package.

    Args:
        openapi: Where the document is.
        operation: The operationId.
        arguments: Parameters by name, and ``body``.
        keyed: Whether the call will carry an idempotency key, so that nobody need give one.

    Raises:
        ValueError: There is no such operation, or the arguments break the document.
    """
    from airgate.hooks.documents import on_the_gateway
    from airgate.openapi import is_templated, open_document

    if not any(map(is_templated, (openapi, operation))) and not on_the_gateway(openapi):
        found = open_document(openapi).operation(operation)
        (found.adding_key() if keyed else found).check_literals(arguments)


def _validate(hook: GatewayHook, operation: str, response: Response) -> None:
    body = response.json() if response.bytes and "json" in response.headers.get("content-type", "") else None
    try:
        hook.document.operation(operation).check_response(response.status, response.headers, body)
    except ValueError as error:
        raise response.invalid(str(error)) from None
