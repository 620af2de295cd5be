"""Calls a gateway with the settings of an Airflow connection."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from airgate.client import clock
from airgate.client.message import Params, Request, Response
from airgate.hooks.call import Call, as_call, build_request, merged, statuses, with_own_key
from airgate.hooks.connection import GatewayConnection
from airgate.hooks.guard import Guarded, guard
from airgate.hooks.waits import long_wait, refuse_beyond
from airgate.hooks.writes import name_in_saga, running_context
from airgate.policy.errors import GatewayError
from airgate.policy.idempotency import use_of_key

if TYPE_CHECKING:
    from airgate.hooks.push_task import PushOptions
    from airgate.openapi import Document


class GatewayHook(GatewayConnection):
    """Calls services behind an API gateway: signed, retried, with typed errors.

    One hook keeps one pool of connections and one token. Secrets come from the connection only and are masked in logs
    before they are first used.

    Args:
        gateway_conn_id: Connection of type ``gateway``.
        openapi: Location of an OpenAPI document, instead of the connection's.
    """

    def __init__(
        self, gateway_conn_id: str = GatewayConnection.default_conn_name, *, openapi: str | None = None
    ) -> None:
        super().__init__(gateway_conn_id)
        self._openapi = openapi
        self._warned = False
        self._keyless = False

    @cached_property
    def document(self) -> Document:
        """The OpenAPI document of the hook, or the one that the connection's ``openapi`` names.

        Raises:
            ValueError: There is none, or it cannot be read.
        """
        from airgate.hooks.documents import find_document

        return find_document(
            self._openapi or self.gateway.openapi,
            self.gateway_conn_id,
            lambda path: self.send(self.request(Call("GET", path))).bytes,
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        path_params: Mapping[str, Any] | None = None,
        params: Params | None = None,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | bool | None = None,
        expect: int | Collection[int] | None = None,
        stream: bool = False,
        name: str = "",
        epoch: str = "",
    ) -> Response:
        """Call the gateway until the answer is final.

        Args:
            method: HTTP method.
            path: Path below the gateway's address; ``{name}`` is filled from ``path_params``.
            path_params: Values for the path, escaped as one segment each.
            params: Query parameters; a list repeats its name, None leaves it out.
            json: Body, sent as JSON.
            data: Body, sent as it is: text, bytes, or a body of ``airgate.client.uploads``; not together with ``json``.
            headers: Added to the connection's.
            idempotency_key: Give one only to a service that honours it: the call then counts as safe to repeat. True
                makes one from the running task. None does what the connection's ``idempotency`` says: by default a
                write within a task carries a key that is not relied on. False sends none and remembers nothing.
            expect: Statuses that count as success; None means 200 to 299.
            stream: Return once the headers are there; the body is read as it is asked for.
            name: Of this call within the task: what tells its key from those of the task's other writes.
            epoch: Another text asks for a new effect.

        Raises:
            GatewayError: The typed error of what came instead (``airgate.errors``).
            ValueError: When the arguments do not make a request.
        """
        return self.make(
            Call(
                method,
                path,
                path_params,
                params,
                json,
                data,
                headers,
                idempotency_key,
                statuses(expect),
                name=name,
                epoch=epoch,
            ),
            stream=stream,
        )

    async def acall(
        self,
        method: str,
        path: str,
        *,
        path_params: Mapping[str, Any] | None = None,
        params: Params | None = None,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | bool | None = None,
        expect: int | Collection[int] | None = None,
        stream: bool = False,
        name: str = "",
        epoch: str = "",
    ) -> Response:
        """Do what ``call`` does without holding up the event loop."""
        return await self.amake(
            Call(
                method,
                path,
                path_params,
                params,
                json,
                data,
                headers,
                idempotency_key,
                statuses(expect),
                name=name,
                epoch=epoch,
            ),
            stream=stream,
        )

    def operation(
        self,
        operation_id: str,
        /,
        *,
        idempotency_key: str | bool | None = None,
        expect: int | Collection[int] | None = None,
        call_name: str = "",
        **arguments: Any,
    ) -> Response:
        """Call an operation of the connection's OpenAPI document, its arguments checked before anything is sent.

        Args:
            operation_id: Its ``operationId``.
            idempotency_key: As for ``call``.
            expect: As for ``call``.
            call_name: The ``name`` of ``call``.
            **arguments: Parameters by name, and ``body``.

        Raises:
            GatewayError: The typed error of what came instead.
            ValueError: There is no such operation, or the arguments break the document.
        """
        return self.make(_operation(operation_id, arguments, idempotency_key, expect, call_name))

    async def aoperation(
        self,
        operation_id: str,
        /,
        *,
        idempotency_key: str | bool | None = None,
        expect: int | Collection[int] | None = None,
        call_name: str = "",
        **arguments: Any,
    ) -> Response:
        """Do what ``operation`` does without holding up the event loop."""
        return await self.amake(_operation(operation_id, arguments, idempotency_key, expect, call_name))

    def push(self, data: Any, path: str = "", *, name: str = "push", **options: Unpack[PushOptions]) -> dict[str, Any]:
        """Push records in batches, as ``GatewayPushOperator`` does, from within a task.

        What is settled is stored as it comes, so that the task's next try goes on there; a frame is written first, and
        the next try pushes what was written. A wait beyond ``max_inline_wait`` is waited for as ``make`` does.

        Args:
            data: A pandas, polars or Arrow frame, the manifest of a data set, or a list of them.
            path: Path below the gateway's address; empty with ``operation``.
            name: Of the push within the task: a second one needs another.
            **options: Arguments of the operator.

        Returns:
            The operator's report.

        Raises:
            GatewayError: The typed error of what came instead; the next try has to go on.
            ValueError: The arguments do not make a push, or no task is running.
        """
        from airgate.hooks.push import push_in_task
        from airgate.hooks.push_task import PushTask

        self._check_retries()
        return push_in_task(self, PushTask(data=data, path=path, **options), name, self._wait_here).to_json()

    def make(self, call: Call, *, stream: bool = False) -> Response:
        """Make a call that is given as a value; ``call`` and ``operation`` come here.

        A wait beyond ``max_inline_wait`` ends it with the retryable error that names the wait, so that Airflow's retry
        takes over; where the connection's ``long_wait`` is ``inline`` it is waited for here.
        """
        self._check_retries()
        began = clock.now()
        for sent in range(1, self.gateway.retry.attempts + 1):
            guarded = self._guarded(call, sent)
            try:
                response = self.send(guarded.request, expect=call.expect, deadline=guarded.ends, stream=stream)
            except Exception as error:
                guarded.failed(error)
                wait = self._wait_here(error, sent, began)
                if wait is None:
                    raise
                clock.sleep(wait)
            else:
                guarded.succeeded()
                return response
        raise AssertionError("the last attempt returns or raises")

    async def amake(self, call: Call, *, stream: bool = False) -> Response:
        """Do what ``make`` does without holding up the event loop."""
        await asyncio.to_thread(self._check_retries)
        began = clock.now()
        for sent in range(1, self.gateway.retry.attempts + 1):
            # The connection, the document and the task's memory are asked for in ways that block.
            guarded = await asyncio.to_thread(self._guarded, call, sent)
            try:
                response = await self.asend(guarded.request, expect=call.expect, deadline=guarded.ends, stream=stream)
            except Exception as error:
                await asyncio.to_thread(guarded.failed, error)
                wait = self._wait_here(error, sent, began)
                if wait is None:
                    raise
                await clock.asleep(wait)
            else:
                await asyncio.to_thread(guarded.succeeded)
                return response
        raise AssertionError("the last attempt returns or raises")

    def resolve(self, call: Call) -> Call:
        """The call with method and path in place of an operation.

        Raises:
            ValueError: There is no such operation, or the arguments break the document.
        """
        if not call.operation:
            return call
        operation = self.document.operation(call.operation)
        if self._gets_key(operation.method, call):
            operation = operation.adding_key(self.gateway.idempotency_header)
        ready = operation.prepare(**(call.arguments or {}))
        return dataclasses.replace(
            call,
            method=ready.method,
            path=ready.path,
            path_params=ready.path_params,
            params=ready.params,
            headers=merged(ready.headers, call.headers or {}),
            json=ready.json,
            data=ready.data,
            operation=None,
            arguments=None,
            name=call.name or name_in_saga() or call.operation,
        )

    def _gets_key(self, method: str, call: Call) -> bool:
        """Whether the call will carry an idempotency key: its own, or one that is made from the running task."""
        own = with_own_key(call, self.gateway.idempotency_header).idempotency_key
        used = use_of_key(method, own, self.gateway.idempotency) != "off"
        return used and (isinstance(own, str) or running_context() is not None)

    def request(self, call: Call) -> Request:
        """The request of a call, without an idempotency key."""
        return build_request(self.gateway.base_url, self.resolve(as_call(call)))

    def _guarded(self, call: Call, sent: int) -> Guarded:
        if self._keyless and call.idempotency_key is None:
            call = dataclasses.replace(call, idempotency_key=False)
        return guard(self.gateway, self.resolve(call), again=sent > 1)

    @contextmanager
    def without_keys(self) -> Iterator[None]:
        """Make calls that have no key of their own as look-ups are made: without one, and nothing remembers them."""
        self._keyless = True
        try:
            yield
        finally:
            self._keyless = False

    def _wait_here(self, error: Exception, sent: int, began: float) -> float | None:
        """Seconds to wait before the call is made once more, None when it is over."""
        retry = self.gateway.retry
        if not isinstance(error, GatewayError) or self.gateway.long_wait != "inline" or sent >= retry.attempts:
            return None
        wait = long_wait(error, self.gateway)
        if wait is not None:
            refuse_beyond(retry.deadline and began + retry.deadline, wait, error)
        return wait

    def _check_retries(self) -> None:
        """Say early that a long wait would fail the task, not first when the service asks for one."""
        if self._warned:
            return
        self._warned = True
        if self.gateway.long_wait == "inline" or (context := running_context()) is None:
            return
        task = context.get("task")
        if task is not None and not task.retries:
            self.log.warning(
                "task %s has no retries: should the gateway ask for a wait of more than %g s (max_inline_wait), the "
                "task fails; give it retries and retry_policy=GatewayRetryPolicy(), or set long_wait=inline in the "
                "connection",
                *(task.task_id, self.gateway.retry.max_inline_wait),
            )

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the connection's ``health_path`` and say what came."""
        try:
            response = self.call("GET", self.gateway.health_path)
        except (GatewayError, ValueError) as error:
            return False, str(error)
        return True, f"{response.url} answered {response.status}"


def _operation(
    operation_id: str,
    arguments: Mapping[str, Any],
    key: str | bool | None,
    expect: int | Collection[int] | None,
    name: str,
) -> Call:
    return Call(operation=operation_id, arguments=arguments, idempotency_key=key, expect=statuses(expect), name=name)
