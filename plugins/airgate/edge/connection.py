"""One HTTP/1.1 connection to a server: carries one call at a time, and is fit for another only after a clean end.

Measured (scripts/bench edge): a general HTTP client costs more CPU per call than all the rest of the edge. A gateway
needs little of one: bytes of a request out, status, headers and pieces of a body back.
"""

import asyncio
import select
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade

from airgate.edge.answer_framing import MOST_BYTES
from airgate.edge.answer_reader import AnswerReader

_HELD_BACK = 64 * 1024
"""Bytes of a body that wait for the client; beyond, the server is not read from."""


class CallFailed(Exception):
    """No complete answer came.

    Args:
        status: What a gateway says of it: 502, or 504 when time ran out.
        what: What happened, in words that follow the server's name.
    """

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


class Connection(AnswerReader, asyncio.Protocol):
    """A connection and the call on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._unread = select.poll()
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failure: CallFailed | None = None
        self._idle = True
        self._over = False
        self._reset("GET", None, None)

    def _reset(self, method: str, deadline: float | None, silence: float | None) -> None:
        self.begin_reading(method)
        self._deadline = deadline
        self._silence = silence
        self._heard = self._loop.time()
        self._paused = False

    # The call

    def send(self, head: bytes, method: str, deadline: float | None, silence: float | None) -> None:
        """Send the head of a request, and whatever stands behind it.

        Args:
            head: The bytes.
            method: Its method; an answer to HEAD has no body, whatever its headers say.
            deadline: When the whole call must be over, on the loop's clock; None for no limit.
            silence: Seconds that may pass without a byte in either direction; None for no limit.
        """
        assert self._transport is not None
        self._reset(method, deadline, silence)
        self._idle = False
        if deadline is not None or silence is not None:
            self._watch(self._due())
        self._transport.write(head)

    async def send_more(self, data: bytes) -> None:
        """Send a piece of the request's body, once the connection takes it."""
        if self._writable is not None:
            await asyncio.shield(self._writable)
        if self._transport is not None and not self._over:
            self._heard = self._loop.time()
            self._transport.write(data)

    async def answered(self) -> None:
        """Return when status and headers are there.

        Raises:
            CallFailed: the server broke off, sent no HTTP or took too long.
        """
        while not self._headed:
            await self._news()

    async def piece(self) -> bytes:
        """The next bytes of the body, all that are there; none at its end.

        Raises:
            CallFailed: the body broke off.
        """
        while not self._pieces:
            if self._complete:
                return b""
            await self._news()
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._heard = self._loop.time()
            self._transport.resume_reading()
        return data

    @property
    def complete(self) -> bool:
        """Whether the answer has come to its end, and all of it was taken."""
        return self._complete and not self._pieces

    def release(self) -> bool:
        """End the call; whether the connection is fit for another one."""
        fit = self._complete and self._keeps and not self._over
        self._idle = True
        if not fit:
            self.close()
        return fit

    @property
    def usable(self) -> bool:
        """Whether an idle connection still stands, and nothing has come that was not asked for.

        The event loop may not have read yet what is there: a second answer, which the next request would get for its
        own, or the end of the connection.
        """
        return not self._over and not self._unread.poll(0)

    def close(self) -> None:
        """Close the connection; what was not sent yet is dropped."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    async def _news(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, status: int, what: str) -> None:
        """Give the call up."""
        if self._failure is None and not self._complete:
            self._failure = CallFailed(status, what)
        self.close()
        self._wake()

    # Time

    def _due(self) -> float:
        """When the call must be given up if nothing happens, on the loop's clock."""
        silent = float("inf") if self._silence is None else self._heard + self._silence
        return silent if self._deadline is None else min(silent, self._deadline)

    def _watch(self, due: float) -> None:
        """Look at the clock then. A timer that is set stays from one call to the next: most never need their own."""
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._idle or self._over:
            return
        if self._paused:  # it is the client who keeps the server waiting
            self._heard = self._loop.time()
        due = self._due()
        if due <= self._loop.time():
            self.fail(504, "did not answer in time" if not self._headed else "did not complete its answer in time")
        elif due != float("inf"):
            self._watch(due)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._unread.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Read bytes of an answer."""
        if self._idle or self._complete:  # nothing was asked: whose answer this is cannot be known
            self._keeps = False
            self.close()
            return
        self._heard = self._loop.time()
        self._received += len(data)
        pieces = len(self._pieces)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.fail(502, "wanted to change the protocol")
            return
        except HttpParserError:
            self.fail(502, "sent something that is not HTTP")
            return
        if not self._complete:
            self._bound(grown=len(self._pieces) > pieces)
        self._wake()

    def _bound(self, *, grown: bool) -> None:
        """Bound what an answer that goes on may cost: bytes that are not the body's, and a body that nobody takes."""
        if grown:
            self._received = 0
        elif self._received > MOST_BYTES:
            what = "chunk sizes and trailers" if self._headed else "headers"
            self.fail(502, f"sent more than {MOST_BYTES} bytes of {what}")
        if self._size > _HELD_BACK and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Note that the server has nothing more to say; the transport then closes itself."""
        if self._idle:
            self._over = True
        if self._until_end and self._headed:
            self._complete = True
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection is gone."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._until_end and self._headed and error is None:
            self._complete = True
        if not self._idle and not self._complete:
            where = "in the middle of its answer" if self._headed else "before it answered"
            self._failure = self._failure or CallFailed(502, f"broke off {where}")
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Make whoever sends wait."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let whoever sends go on."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
