"""The server's protocol with a limit on request heads that do not end: in bytes while they arrive, and in time."""

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar

from airgate.edge.exact_target import ExactTarget
from airgate.edge.refusal import refusal
from airgate.spec.answer import Answer
from airgate.spec.extension_defaults import FrontLimits


class GuardedTarget(ExactTarget):
    """Refuses a head that is too large (431) or too slow (408) before it is complete, and closes the connection.

    What is complete is looked at by `airgate.edge.front`, which counts exactly; here memory and time are bounded.
    """

    limits: ClassVar[FrontLimits] = FrontLimits()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the connection."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes:
            self._bound_head()

    def on_headers_complete(self) -> None:
        """The head is in: what follows has limits of its own."""
        self._in_head = False
        self._head_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes begin another head."""
        self._in_head = True
        super().on_message_complete()

    def _bound_head(self) -> None:
        if self._head_timer is None:
            self._wait_for_head()
        most = self._most_bytes()
        if most is not None and self._head_bytes > most and not self.transport.is_closing():
            self._refuse(refusal(431, f"The request's head has more than {most} bytes."))

    def _most_bytes(self) -> int | None:
        sizes = (self.limits.header_bytes, self.limits.uri)
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def _wait_for_head(self) -> None:
        seconds = self.limits.header_seconds
        if seconds is not None:
            self._head_timer = self.loop.call_later(seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        self._head_timer = None
        if not self._in_head or self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(refusal(408, f"The request's head did not arrive within {self.limits.header_seconds:g} s."))
        else:
            self.transport.close()  # nothing was asked, so there is nothing to answer

    def _refuse(self, answer: Answer) -> None:
        self._stop_waiting()
        if self._running is None or self._running[0].response_complete:  # else it would land within an answer
            self.transport.write(_written(answer))
        self.transport.close()


def guarded(limits: FrontLimits) -> type[GuardedTarget]:
    """The protocol with the limits of a file, for the server to use."""
    return type("GuardedTarget", (GuardedTarget,), {"limits": limits})


def _written(answer: Answer) -> bytes:
    """An answer as bytes on the wire; the connection ends with it."""
    reason = HTTPStatus(answer.status).phrase
    headers = (*answer.headers, (b"content-length", str(len(answer.body)).encode()), (b"connection", b"close"))
    lines = [f"HTTP/1.1 {answer.status} {reason}".encode(), *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + answer.body
