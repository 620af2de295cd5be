"""What a task pushes, and how: the one set of options that the operator and the hook have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from airgate.data.push.items import ItemResults
from airgate.hooks.call import Call
from airgate.hooks.push_call import LIST, RECORD, BatchCall, BodyOf

if TYPE_CHECKING:
    from airgate.data.push.plan import Refused

_BATCH_SIZE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PushTask:
    """A push as it is asked for; ``GatewayPushOperator`` says what each field means."""

    data: Any = None
    replay_dead_letters: Any = None
    path: str = ""
    method: str = ""
    path_params: Mapping[str, Any] | None = None
    query: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    operation: str | None = None
    arguments: Mapping[str, Any] | None = None
    columns: Sequence[str] | None = None
    batch_size: int | None = None
    body: str | BodyOf = LIST
    in_flight: int = 4
    ordered: bool = False
    item_status: str | None = None
    item_error: str | None = None
    item_results: str = "@"
    item_index: str | None = None
    item_retry: str | None = None
    item_retry_after: str | None = None
    refused: Refused = "bisect"
    max_dead_letters: int | None = None
    redact_fields: Sequence[str] = ()
    idempotency_key: bool | None = None
    epoch: str = ""
    output_path: str | None = None

    @property
    def size(self) -> int:
        """Records of a request."""
        return self.batch_size if self.batch_size is not None else 1 if self.body == RECORD else _BATCH_SIZE

    @property
    def batch_call(self) -> BatchCall:
        """What is called for each batch."""
        if self.operation:
            call = Call(
                self.method, self.path, headers=self.headers, operation=self.operation, arguments=self.arguments
            )
        else:
            call = Call(self.method or "POST", self.path, self.path_params, self.query, headers=self.headers)
        return BatchCall(call, self.body)

    @property
    def items(self) -> ItemResults:
        """Where an answer tells what became of each record.

        Raises:
            ValueError: An expression is none.
        """
        return ItemResults(
            *(self.item_status, self.item_error, self.item_results, self.item_index),
            *(self.item_retry, self.item_retry_after),
        )

    @property
    def route(self) -> str:
        """Names the route in keys and messages."""
        return self.operation or f"{self.batch_call.call.method.upper()} {self.path}"

    def problem(self) -> str | None:
        """What keeps this from being a push, None when nothing does."""
        for name, value in (("batch_size", self.size), ("in_flight", self.in_flight)):
            if value < 1:
                return f"{name} must be 1 or more, not {value}"
        if (self.max_dead_letters or 0) < 0:
            return f"max_dead_letters must be 0 or more, not {self.max_dead_letters}"
        if self.body == RECORD and self.size != 1:
            return f"body={RECORD!r} sends one record in a request; leave batch_size out"
        if self.data is None and self.replay_dead_letters is None:
            return "there is nothing to push: give data, replay_dead_letters or both"
        if self.refused not in ("bisect", "dead_letter", "fail"):
            return f"refused must be bisect, dead_letter or fail, not {self.refused!r}"
        if self.idempotency_key not in (True, False, None):
            return "idempotency_key must be True, False or None: each batch has a key of its own, made from its records"
        try:
            _ = self.items
        except ValueError as error:
            return str(error)
        return self.batch_call.problem()


class PushOptions(TypedDict, total=False):
    """The fields of ``PushTask`` but data and path, as keyword arguments."""

    replay_dead_letters: Any
    method: str
    path_params: Mapping[str, Any] | None
    query: Mapping[str, Any] | None
    headers: Mapping[str, str] | None
    operation: str | None
    arguments: Mapping[str, Any] | None
    columns: Sequence[str] | None
    batch_size: int | None
    body: str | BodyOf
    in_flight: int
    ordered: bool
    item_status: str | None
    item_error: str | None
    item_results: str
    item_index: str | None
    item_retry: str | None
    item_retry_after: str | None
    refused: Refused
    max_dead_letters: int | None
    redact_fields: Sequence[str]
    idempotency_key: bool | None
    epoch: str
    output_path: str | None
