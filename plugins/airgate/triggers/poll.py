"""Asks the gateway again and again until the answer is the one that is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airgate.client import clock
from airgate.hooks.call import Call
from airgate.hooks.failures import error_to_json
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.selection import select
from airgate.policy.errors import DeadlineExceeded, GatewayError, NotFound
from airgate.triggers.wait import sleep_until

LARGEST_VALUE = 16_384
"""Bytes of JSON that may travel in an event, which Airflow keeps in its database."""
LAST_LOOK = 5.0
"""Seconds before the end at which the last poll is made, so that there is time for its answer."""


@dataclass(frozen=True, slots=True)
class Poll:
    """What is asked for, and how often. Times are seconds; nothing in it is secret."""

    path: str
    interval: float
    ends: float
    """Unix time at which the waiting is over."""
    method: str = "GET"
    path_params: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: list[int] | None = None
    predicate: str | None = None
    """JMESPath or ``module:function``; None is content with any success."""
    result: str | None = None
    """JMESPath or ``module:function`` that makes the task's result of the answer."""
    missing_is_false: bool = False
    patient: bool = False
    """Go on after errors."""
    growth: float = 1.0
    """Factor by which the interval grows from poll to poll."""
    longest_interval: float = 3600.0

    def __post_init__(self) -> None:
        if self.method not in {"GET", "HEAD"}:
            raise ValueError(f"a poll must be GET or HEAD, not {self.method}: it is repeated without end")

    @property
    def call(self) -> Call:
        """The call of one poll."""
        return Call(self.method, self.path, self.path_params, self.query, headers=self.headers)


class PollTrigger(BaseTrigger):
    """Polls with GET or HEAD until the predicate holds; errors come back as events and are raised on the worker.

    Args:
        gateway_conn_id: Connection of type ``gateway``.
        poll: What is asked for: a ``Poll``, or its fields.
    """

    def __init__(self, gateway_conn_id: str, poll: Poll | Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.gateway_conn_id = gateway_conn_id
        self.poll = poll if isinstance(poll, Poll) else Poll(**poll)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class, the connection's id and what is asked for."""
        return (
            "airgate.triggers.poll.PollTrigger",
            {"gateway_conn_id": self.gateway_conn_id, "poll": asdict(self.poll)},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll, then say what came."""
        hook = GatewayHook(self.gateway_conn_id)
        try:
            event = await self._poll(hook)
        finally:
            await hook.aclose()
        yield TriggerEvent({**event, "ends": self.poll.ends, "calls": hook.tally.state()})  # type: ignore[no-untyped-call]

    async def _poll(self, hook: GatewayHook) -> dict[str, Any]:
        poll, interval = self.poll, self.poll.interval
        last = poll.ends - min(LAST_LOOK, interval)
        while True:
            pause, began = interval, clock.now()
            try:
                if (event := await self._ask(hook)) is not None:
                    return event
            except GatewayError as error:
                if isinstance(error, DeadlineExceeded) and self._deadline(hook, began) == poll.ends:
                    return {"timed_out": True}
                # A wait that the server names is a wait as any other here, where nothing is held up by it.
                if not poll.patient and not (error.retryable and error.retry_after is not None):
                    return {"error": error_to_json(error)}
                self.log.warning("poll failed, again later: %s", error)
                pause = max(interval, error.retry_after or 0.0)
            except Exception as error:
                if not poll.patient:
                    return {"error": error_to_json(error)}
                self.log.warning("poll failed, again later: %s", error)
            if clock.now() >= last:
                await sleep_until(poll.ends)
                return {"timed_out": True}
            await sleep_until(min(clock.now() + pause, last))
            interval = min(interval * poll.growth, max(poll.longest_interval, poll.interval))

    def _deadline(self, hook: GatewayHook, began: float) -> float:
        """When a poll that begins now must be over: with the waiting, or by the connection's own deadline."""
        own = hook.gateway.retry.deadline
        return min(self.poll.ends, began + own) if own else self.poll.ends

    async def _ask(self, hook: GatewayHook) -> dict[str, Any] | None:
        """The event of the answer, None when it is not the one that is waited for."""
        poll = self.poll
        # The connection is looked up in a way that blocks.
        request = await asyncio.to_thread(hook.request, poll.call)
        try:
            response = await hook.asend(request, expect=poll.expect, deadline=self._deadline(hook, clock.now()))
        except NotFound:
            if poll.missing_is_false:
                return None
            raise
        found = True if poll.predicate is None else select("predicate", poll.predicate, response)
        if not found:
            return None
        value = found if poll.result is None else select("response_filter", poll.result, response)
        return {"value": value} if _fits(value) else {"ask_again": True}


def _fits(value: Any) -> bool:
    try:
        return len(msgspec.json.encode(value)) <= LARGEST_VALUE
    except (TypeError, ValueError):
        return False
