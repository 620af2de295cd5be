"""One request on a connection and its answer: what ASGI calls `receive` and `send`.

Status line and headers go out together with the first piece of the body where that comes at once: for a small answer, a
second call of the system costs more than all that is done here.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

from airgate.edge.answer_head import Header, answer_head
from airgate.edge.reply import Message

_log = logging.getLogger("uvicorn.error")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODY = b"Internal Server Error"
_FAILED = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"connection", b"close"),
]


class Exchange:
    """A request whose head is in, and its answer.

    Args:
        scope: What the app is told of the request.
        transport: Where the answer goes.
        flow: Whether the client takes and sends more.
        over: Called when the answer is complete.
        keep_alive: Whether the connection stays for another request.
        defaults: Headers of every answer.
    """

    __slots__ = (
        "_chunked",
        "_defaults",
        "_flow",
        "_held",
        "_left",
        "_news",
        "_over",
        "_transport",
        "body",
        "disconnected",
        "expects",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "task",
    )

    def __init__(
        self,
        scope: dict[str, Any],
        transport: asyncio.Transport,
        flow: FlowControl,
        over: Callable[[], None],
        *,
        keep_alive: bool,
        defaults: Sequence[Header],
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.expects = False
        """Whether the client waits for an interim answer before it sends the body."""
        self.body = b""
        """What came of the body and was not taken yet."""
        self.more_body = True
        self.disconnected = self.response_started = self.response_complete = False
        self.task: asyncio.Task[None] | None = None
        self._transport = transport
        self._flow = flow
        self._over: Callable[[], None] | None = over
        self._defaults = defaults
        self._held = b""
        self._left = 0
        self._chunked = False
        self._news: bool | asyncio.Event = False

    async def run(self, app: Any) -> None:
        """Let the app answer. Without an answer of its own there is a 500; what it leaves unfinished is cut."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            _log.error("the application failed", exc_info=error)
        finally:
            if not self.response_complete and not self.disconnected:
                await self._give_up()
            self._over = None

    async def _give_up(self) -> None:
        if self.response_started:
            self._flush()
            self._transport.close()
            return
        _log.error("the application ended without an answer")
        await self.send({"type": "http.response.start", "status": 500, "headers": _FAILED})
        await self.send({"type": "http.response.body", "body": _BODY})

    # What comes in

    def take(self, data: bytes) -> None:
        """Take a piece of the body."""
        self.body = self.body + data if self.body else data
        if len(self.body) > HIGH_WATER_LIMIT:
            self._flow.pause_reading()
        self.wake()

    def wake(self) -> None:
        """Tell whoever waits that there is news of the client."""
        if isinstance(self._news, asyncio.Event):
            self._news.set()
        else:
            self._news = True

    async def receive(self) -> Message:
        """What is there of the body; behind it, that the client has left or has its answer."""
        if self.expects and not self._transport.is_closing():
            self._transport.write(_CONTINUE)
            self.expects = False
        if not self.disconnected and not self.response_complete:
            self._flow.resume_reading()
            await self._heard()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = self.body, b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def _heard(self) -> None:
        if not isinstance(self._news, asyncio.Event):  # most requests have nobody who waits
            happened, self._news = self._news, asyncio.Event()
            if happened:
                return
        await self._news.wait()
        self._news.clear()

    # What goes out

    async def send(self, message: Message) -> None:
        """Send status and headers, or a piece of the body.

        Raises:
            RuntimeError: the message cannot come now, has headers that cannot be sent, or breaks the announced length.
        """
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started and kind == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif self.response_started and not self.response_complete and kind == "http.response.body":
            self._continue(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"an ASGI message {kind!r} cannot come now")

    def _start(self, status: int, headers: Sequence[Header]) -> None:
        every = [*self._defaults, *headers] if self._defaults else headers
        head = answer_head(status, every, self.scope["method"], keep_alive=self.keep_alive)
        self.response_started = True
        self.expects = False
        self._held, self._left, self._chunked, self.keep_alive = head
        asyncio.get_running_loop().call_soon(self._flush)

    def _continue(self, body: bytes, *, more: bool) -> None:
        held, self._held = self._held, b""
        if self.scope["method"] == "HEAD":
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        else:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                self._held = held
                raise RuntimeError("the body of the answer has not the length that was announced")
        if held or body:
            self._transport.write(held + body if held else body)
        if not more:
            self._complete()

    def _complete(self) -> None:
        self.response_complete = True
        self.wake()
        if not self.keep_alive:
            self._transport.close()
        if self._over is not None:
            self._over()

    def _flush(self) -> None:
        """Send the head, if no body came with it."""
        held, self._held = self._held, b""
        if held and not self.disconnected:
            self._transport.write(held)
