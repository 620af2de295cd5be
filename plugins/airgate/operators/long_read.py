"""A read of many calls with all that a task can promise: long waits without a worker, one deadline over all tries."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airgate.client import clock
from airgate.hooks.call import Call
from airgate.hooks.waits import TaskDeadline
from airgate.policy.errors import GatewayError

if TYPE_CHECKING:
    from airgate.client.message import Params, Response
    from airgate.hooks.gateway import GatewayHook
    from airgate.operators.patience import Patience

T = TypeVar("T")


class Calls(Protocol):
    """The calls of a task that waits between some of them."""

    ends: float | None
    """Unix time by which all must be over."""

    @property
    def answered(self) -> int:
        """Grows as the task gets on."""
        ...

    def come_back(self, place: str) -> None:
        """Let the next call take a place in the line of the gateway's own limits, where an earlier one had to leave."""
        ...


class PageCalls:
    """Makes the calls of a read; several threads may. It is the ``call`` of a ``PageFetch``.

    Args:
        hook: Whose gateway.
    """

    def __init__(self, hook: GatewayHook) -> None:
        self._hook = hook
        self._lock = threading.Lock()
        self._place = ""
        self.ends: float | None = None
        """Unix time by which all calls must be over."""
        self.answered = 0
        """Calls that were."""

    def come_back(self, place: str) -> None:
        """Let the next call take a place in the line of the gateway's own limits, where an earlier one had to leave."""
        with self._lock:
            self._place = place

    def __call__(
        self,
        method: str,
        path: str,
        *,
        path_params: Mapping[str, Any] | None = None,
        params: Params | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | bool | None = None,
    ) -> Response:
        """Make a call.

        Raises:
            GatewayError: The typed error of what came instead.
        """
        call = Call(method, path, path_params, params, json, headers=headers, idempotency_key=idempotency_key)
        with self._lock:
            place, self._place = self._place, ""
        request = dataclasses.replace(self._hook.request(call), place=place)
        response = self._hook.send(request, deadline=self.ends)
        with self._lock:
            self.answered += 1
        return response


def read_patiently(
    hook: GatewayHook, context: Any, calls: Calls, patience: Patience, read: Callable[[], T], *, resumed: bool
) -> T:
    """Read, and go on after each wait that is too long to be spent within a call.

    A read that is interrupted by such a wait has made all durable that had come. A wait that follows one without a
    page in between counts against the connection's ``attempts``; a read that gets on may wait as often as it must.

    Args:
        hook: Whose gateway.
        context: The task's.
        calls: What the read asks for pages with.
        patience: How the task waits.
        read: Reads from where the checkpoint stands.
        resumed: Whether the same try goes on after a long wait.

    Raises:
        GatewayError: The read cannot go on, or another try has to.
    """
    gateway = hook.gateway
    time = TaskDeadline(context, patience.deadline or 0)
    calls.ends = time.start(resumed=resumed)
    calls.come_back(time.place)
    while True:
        began, answered = clock.now(), calls.answered
        try:
            return read()
        except GatewayError as error:
            if calls.answered > answered:
                time.attempts = 0
            calls.come_back(patience.spend(error, gateway, time, began))
