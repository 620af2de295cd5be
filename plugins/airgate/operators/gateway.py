"""One call through the gateway as a task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airgate.client.message import Response
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.retry_policy import with_retry_policy
from airgate.hooks.state import SentMark
from airgate.policy.errors import GatewayError, OutcomeUnknown
from airgate.policy.idempotency import idempotency_key
from airgate.policy.retry import IDEMPOTENT_METHODS

if TYPE_CHECKING:
    from airflow.sdk import Context


class GatewayOperator(BaseOperator):
    """Calls a service behind the gateway; the answer's JSON is the task's result.

    A POST or PATCH without an idempotency key leaves at most once, unless the task is cleared: not only is it not
    repeated within a try, a try whose predecessor may have sent it, and died or failed later, raises
    ``OutcomeUnknown`` instead of sending.

    Args:
        method: HTTP method.
        path: Path below the gateway's address; ``{name}`` is filled from ``path_params``.
        path_params: Values for the path.
        query: Query parameters; a list repeats its name, None leaves it out.
        json: Body, sent as JSON.
        data: Body, sent as it is.
        headers: Added to the connection's.
        idempotency_key: Give one only to a service that honours the ``Idempotency-Key`` header. True makes one that
            stays the same over all tries of this task in this run, so that a retry cannot repeat an effect; a text is
            sent as it is.
        expect: Status, or statuses, that count as success; None means 200 to 299.
        response_filter: Turns the response into the task's result.
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
        "idempotency_key",
        "gateway_conn_id",
    )
    template_fields_renderers = {"json": "json", "query": "json", "headers": "json"}
    ui_color = "#d8e8f6"

    def __init__(
        self,
        *,
        path: str,
        method: str = "GET",
        path_params: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        data: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | bool | None = None,
        expect: int | Collection[int] | None = None,
        response_filter: Callable[[Response], Any] | None = None,
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
        self.idempotency_key = idempotency_key
        self.expect = {expect} if isinstance(expect, int) else expect
        self.response_filter = response_filter
        self.gateway_conn_id = gateway_conn_id
        if json is not None and data is not None:
            raise ValueError(f"task {self.task_id!r}: json and data cannot both be the body")

    def execute(self, context: Context) -> Any:
        """Make the call and return its result."""
        key = self._key(context)
        if key is not None or self.method.upper() in IDEMPOTENT_METHODS:
            response = self._call(key)
        else:
            response = self._call_once(SentMark(context["task_state_store"], context["ti"].max_tries))
        self.log.info(
            "%s %s answered %d (%d bytes, %d attempts)",
            *(response.method, response.url, response.status, len(response.bytes), response.attempts),
        )
        if self.response_filter is not None:
            return self.response_filter(response)
        if not response.bytes:
            return None
        return response.json() if "json" in response.headers.get("content-type", "") else response.text

    def _call(self, key: str | None) -> Response:
        return GatewayHook(self.gateway_conn_id).call(
            self.method,
            self.path,
            path_params=self.path_params,
            params=self.query,
            json=self.json,
            data=self.data,
            headers=self.headers,
            idempotency_key=key,
            expect=self.expect,
        )

    def _call_once(self, mark: SentMark) -> Response:
        if mark.there:
            raise OutcomeUnknown(
                "an earlier try may have sent this write and did not live to record its end; clear the task to send it "
                "again",
                method=self.method,
                url=self.path,
            )
        mark.put()
        try:
            return self._call(None)
        except (GatewayError, ValueError) as error:
            # Of an unkeyed write only what provably had no effect is retryable; a ValueError comes before it is sent.
            if not isinstance(error, GatewayError) or error.retryable:
                mark.take_back()
            raise

    def _key(self, context: Context) -> str | None:
        if not isinstance(self.idempotency_key, bool):
            return self.idempotency_key
        if not self.idempotency_key:
            return None
        ti = context["ti"]
        return idempotency_key(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            call=ti.task_id,
        )
