"""From a batch of records to the call that pushes it, with the key that keeps it from having its effect twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from string import Formatter
from typing import TYPE_CHECKING, Any

from airgate.hooks.call import Call, build_request, with_key
from airgate.policy.errors import GatewayError
from airgate.policy.idempotency import SAFE_METHODS, Setting, digest, idempotency_key, use_of_key
from airgate.policy.retry import IDEMPOTENT_METHODS

if TYPE_CHECKING:
    from airgate.client.message import Request, Response
    from airgate.data.push.batches import PushBatch, Record
    from airgate.hooks.gateway import GatewayHook

BodyOf = Callable[[list["Record"]], Any]
LIST, RECORD = "list", "record"


@dataclass(frozen=True, slots=True)
class BatchCall:
    """What is called for each batch."""

    call: Call
    """Without its body."""
    body: str | BodyOf = LIST
    """``list``, ``record``, the dotted path of the list within an object, or a function of the list."""

    def problem(self) -> str | None:
        """What keeps this from being a call, None when nothing does."""
        if problem := self.call.problem():
            return problem
        if self.call.method.upper() in SAFE_METHODS:
            return f"a push is no {self.call.method.upper()}; give method, such as POST or PUT"
        if isinstance(self.body, str) and not all(self.body.split(".")):
            return f"body must be {LIST}, {RECORD}, a dotted path or a function, not {self.body!r}"
        return None

    @property
    def shape(self) -> str:
        """The body's, in a text that is the same in every process."""
        return self.body if isinstance(self.body, str) else getattr(self.body, "__qualname__", "function")

    def of(self, batch: PushBatch) -> Call:
        """The call of a batch.

        Raises:
            ValueError: When the path needs what the record lacks.
        """
        body = body_of(self.body, list(batch.records))
        call = self.call
        if call.operation:
            return replace(call, arguments={**(call.arguments or {}), "body": body})
        if self.body == RECORD:
            call = replace(call, path_params=_filled(call, batch.records[0]))
        return replace(call, json=body)


def body_of(shape: str | BodyOf, records: list[Record]) -> Any:
    """The JSON to send."""
    if callable(shape):
        return shape(records)
    if shape == RECORD:
        return records[0]
    body: Any = records
    for name in reversed([] if shape == LIST else shape.split(".")):
        body = {name: body}
    return body


def _filled(call: Call, record: Record) -> Mapping[str, Any]:
    given = call.path_params or {}
    names = [name for _, name, _, _ in Formatter().parse(call.path.partition("?")[0]) if name and name not in given]
    if missing := [name for name in names if record.get(name) in (None, "")]:
        raise ValueError(f"path {call.path!r} needs {', '.join(missing)}, and a record has no value for it")
    return {**given, **{name: record[name] for name in names}}


class BatchCalls:
    """Makes the calls of a push; several threads may.

    Args:
        hook: Whose gateway.
        batch_call: What is called.
        ti: The task instance that pushes.
        use: The task's own word on keys; None for the connection's.
        epoch: Part of the keys.
        content: What tells these batches from those of other records, or of another size.
    """

    def __init__(
        self, hook: GatewayHook, batch_call: BatchCall, ti: Any, *, use: bool | None, epoch: str, content: str
    ) -> None:
        self._hook, self._batch_call, self._ti = hook, batch_call, ti
        self._epoch, self._content = epoch, content
        call = batch_call.call
        # The document is asked for here, once, and not by each of the threads.
        operation = hook.document.operation(call.operation) if call.operation else call
        method = operation.method
        self.path = operation.path
        """Template of the route."""
        self._use: Setting = use_of_key(method.upper(), use, hook.gateway.idempotency)
        self.repeatable = self._use == "honoured" or method.upper() in IDEMPOTENT_METHODS
        """Whether a batch that is sent twice has one effect."""
        self.ends: float | None = None
        """Unix time by which all calls must be over."""
        self.sent = 0
        """Bytes of the bodies that were sent."""
        self._lock = threading.Lock()

    def send(self, batch: PushBatch) -> Response:
        """Make the call of a batch.

        Raises:
            GatewayError: The typed error of what came instead.
        """
        call = self._hook.resolve(self._batch_call.of(batch))
        request = self._keyed(build_request(self._hook.gateway.base_url, call), batch)
        try:
            response = self._hook.send(replace(request, place=batch.in_line), expect=call.expect, deadline=self.ends)
        except GatewayError as error:
            self._count(request, error.attempts)
            raise
        self._count(request, response.attempts)
        return response

    def _count(self, request: Request, attempts: int) -> None:
        size = len(request.body) if isinstance(request.body, bytes) else 0
        with self._lock:
            self.sent += size * attempts

    def _keyed(self, request: Request, batch: PushBatch) -> Request:
        if self._use == "off":
            return replace(request, in_doubt=batch.in_doubt and self.repeatable)
        ti = self._ti
        key = idempotency_key(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            call=digest((self._content, batch.name)),
            epoch=self._epoch,
        )
        header, relied = self._hook.gateway.idempotency_header, self._use == "honoured"
        return with_key(request, key, header, relied=relied, in_doubt=batch.in_doubt and relied)
