"""Ending a connection: the last answer reaches a client that is still sending, and one that does not read is left.

Closing a socket on which bytes wait unread resets it, and the reset can overtake the answer. So the sending half is
closed first, and what still comes is thrown away for a moment (RFC 9112, 9.6). On the other hand a transport that is
closed waits for its client to take what was written; one that takes nothing would keep it for ever.
"""

import asyncio
from collections.abc import Callable
from typing import Any

LINGER_SECONDS = 2.0
"""How long a client that is still sending may take to notice that nobody listens any more."""

FLUSH_SECONDS = 10.0
"""How long a client may take to read the end of an answer on a connection that is closed."""


class Parting:
    """A transport whose `close` ends in time and loses no answer.

    Args:
        transport: The real one.
        sending: Says whether the client may still be sending something that nobody will read.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, sending: Callable[[], bool]
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._sending = sending
        self._timer: asyncio.TimerHandle | None = None
        # Asked for with each request: the real transport's own, until the end.
        self.write: Callable[[bytes], None] = transport.write
        self.is_closing: Callable[[], bool] = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Write nothing more, and end the connection when the client has what was written."""
        if self.is_closing():
            return
        self._end()
        transport, sending = self._transport, self._sending()
        unread = bool(transport.get_write_buffer_size())
        if sending or unread:
            self._timer = self._loop.call_later(FLUSH_SECONDS if unread else LINGER_SECONDS, transport.abort)
        if not sending:
            transport.close()
            return
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()

    def cut(self) -> None:
        """End the connection now; an answer that has begun stays visibly unfinished."""
        self._end()
        self._transport.abort()

    def gone(self) -> None:
        """Take note that the connection is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self.write = _drop
        self.is_closing = _yes


def _yes() -> bool:
    """Whether a transport that is closed is."""
    return True


def _drop(data: bytes) -> None:
    """Where bytes go that come after the last answer."""
