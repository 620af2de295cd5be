"""The server's protocol with a guard: heads in doubt are refused, and what a client may send and owe is bounded."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from httptools import HttpParserError, HttpParserUpgrade

from airgate.edge.answer_head import answer_head
from airgate.edge.framing import CLOSE, METHODS, WATCHED, Header, head_refusal
from airgate.edge.parting import Parting
from airgate.edge.prompt_target import PromptTarget
from airgate.edge.refusal import refusal
from airgate.edge.reply import own_headers
from airgate.edge.upgrade import BodyReader, framing_of
from airgate.edge.visit import LEFT
from airgate.spec.answer import Answer
from airgate.spec.extension_defaults import FrontLimits

_MOST_HEAD = 1024 * 1024
"""Bytes of a head where the file sets no limit: what is not complete is kept in memory."""
_MOST_BESIDE = 16 * 1024
"""Bytes without one of the body in them that may come in a body: of chunk extensions and trailers."""
_MOST_THROWN_AWAY = 64 * 1024
"""Bytes that a client may still send behind a head that was refused."""
_MOST_WAITING = 32
"""Requests that a client may send ahead of its answers; the connection ends after so many."""
_REST_SECONDS = 5.0
"""How long the rest of a body may take whose request is answered."""
_END_OF_HEAD = b"\r\n\r\n"
_NOT_HTTP = refusal(400, "This is not HTTP/1.1 as RFC 9112 has it.", headers=(CLOSE,))


class _Stop(Exception):
    """Ends the parser's work on what was received."""


class GuardedTarget(PromptTarget):
    """Refuses a head in doubt (400, 501, 505), too large (431) or too slow (408), and closes the connection.

    What is complete is looked at by `airgate.edge.front`, which counts exactly; here memory and time are bounded.
    """

    limits: ClassVar[FrontLimits] = FrontLimits()
    transport: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._bytes_beside = 0
        self._in_head = True
        self._timer: asyncio.TimerHandle | None = None
        self._watched: list[Header] = []
        self._usual: list[Header] | None = None
        self._refusal: Answer | None = None
        self._last_word: Answer | None = None
        self._deaf = False
        self._unread_body = b""
        self._alone = False

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head."""
        super().connection_made(Parting(transport, self.loop, self._may_be_sending))  # type: ignore[arg-type]
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        self.transport.gone()
        super().connection_lost(exc)

    # What comes in

    def data_received(self, data: bytes) -> None:
        """Take bytes from the connection."""
        if self._deaf:
            self._throw_away(data)
            return
        if self._in_head:
            self._alone = not self._head_bytes and data.find(_END_OF_HEAD) == len(data) - len(_END_OF_HEAD)
            self._head_bytes += len(data)
        else:
            self._bytes_beside += len(data)
        super().data_received(data)
        if self._in_head:
            if self._head_bytes:
                self._bound_head()
        elif self._bytes_beside > _MOST_BESIDE and not self._deaf:
            self._refuse(refusal(400, "The body has more bytes around it than in it.", headers=(CLOSE,)))

    def _throw_away(self, data: bytes) -> None:
        """Bytes that come too late. Bodies may be long, as their clients mean well; of heads it is soon enough."""
        self._head_bytes += len(data)
        if self._in_head and self._head_bytes > self._most_bytes() + _MOST_THROWN_AWAY:
            self.transport.cut()

    def feed(self, data: bytes) -> None:
        """Let the parser read."""
        if self.parser is None:
            return
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as paused:
            self._go_on(data[paused.args[0] :])
        except HttpParserError:
            if self._refusal is not None:
                self._end_with(self._refusal)
            elif not self._deaf:
                self._refuse(_NOT_HTTP)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those after the body, trailers, go nowhere: nobody has looked at them."""
        name = name.lower()
        if name in WATCHED:
            value = value.rstrip(b" \t")
            if self._in_head:
                self._watched.append((name, value))
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is in: what follows has limits of its own."""
        parser, watched = self.parser, self._watched
        assert parser is not None
        if len(self.pipeline) >= _MOST_WAITING and self.cycle is not None:
            self.cycle.keep_alive = False
            self._stop()
        self._in_head = False
        self._head_bytes = self._bytes_beside = 0
        if self._timer is not None:
            self._stop_waiting()
        method, version = parser.get_method().decode("ascii"), parser.get_http_version()
        expects = upgrades = False
        if watched != self._usual or method not in METHODS or version != "1.1":
            expects, upgrades = self._look_at(method, version, watched)
        self._watched = []
        scope = self.head(method, version)
        stays = not upgrades and version == "1.1" and parser.should_keep_alive() and not self._draining
        # One such header is the host: there is no body, and nothing else is asked of the connection.
        if self._alone and len(watched) == 1 and version == "1.1" and self.is_answered(scope, stays=stays):
            return
        self.ask(scope, keep_alive=stays).expects = expects
        self.headers = []  # for trailers: the app, which has not begun yet, has the others

    def _look_at(self, method: str, version: str, watched: list[Header]) -> tuple[bool, bool]:
        """Look at a head that is not as the last one on this connection.

        Returns whether its client waits for an interim answer, and whether it asks for another protocol.
        """
        assert self.parser is not None
        self._refusal = head_refusal(method, version, watched)
        if self._refusal is not None:
            raise _Stop
        expects = version == "1.1" and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in watched
        )
        upgrades = self.parser.should_upgrade()
        if upgrades:  # the edge changes no protocol: it goes on as if it had not been asked to
            self._unread_body = framing_of(watched)
        elif not expects:
            self._usual = watched
        return expects, upgrades

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._bytes_beside = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes begin another head."""
        if self._unread_body:
            return
        self._in_head = True
        if self._timer is not None:
            self._stop_waiting()
        super().on_message_complete()

    def _go_on(self, data: bytes) -> None:
        """Read the rest of a request whose wish for another protocol is ignored; nothing is read after it."""
        framing, self._unread_body = self._unread_body, b""
        if not framing:
            self._deaf = True
            return
        reader = BodyReader(self.on_body, self._end_of_last)
        self.parser = reader.parser(framing)
        self.feed(data)

    def _end_of_last(self) -> None:
        self.on_message_complete()
        self._stop()

    def _stop(self) -> NoReturn:
        self._deaf = True
        raise _Stop

    # Limits

    def _bound_head(self) -> None:
        if self._timer is None:
            self._wait_for_head()
        most = self._most_bytes()
        if self._head_bytes > most and not self._deaf:
            self._refuse(refusal(431, f"The request's head has more than {most} bytes.", headers=(CLOSE,)))

    def _most_bytes(self) -> int:
        sizes = (self.limits.header_bytes, self.limits.uri)
        return _MOST_HEAD if None in sizes else sum(size for size in sizes if size is not None)

    def _wait_for_head(self) -> None:
        seconds = self.limits.header_seconds
        if seconds is not None:
            self._wait(seconds, self._late)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if not self._in_head or self._deaf or self.transport.is_closing():
            return
        if self._head_bytes:
            detail = f"The request's head did not arrive within {self.limits.header_seconds:g} s."
            self._refuse(refusal(408, detail, headers=(CLOSE,)))
        else:
            self.transport.close()  # nothing was asked, so there is nothing to answer

    # The end

    def on_response_complete(self) -> None:
        """Go on with the next request, or say the last word, or wait a little for the rest of this one."""
        super().on_response_complete()
        if self._last_word is not None:
            if not self.pipeline and self.free:
                self._part(self._last_word)
        elif not self._in_head and self.free and not self.transport.is_closing():
            self._wait(_REST_SECONDS, self.transport.cut)

    def _refuse(self, answer: Answer) -> None:
        """Answer, in its turn, what cannot be read on, and end the connection."""
        cycle, running = self.cycle, self._running
        if self._in_head or cycle is None:
            self._end_with(answer)
            return
        self._stop_waiting()
        self._deaf = True
        if cycle is not running:  # it waits, and nothing was made of it
            self.pipeline.remove(cycle)
            self.cycle = self.pipeline[0] if self.pipeline else running
            self._last_word = answer
            return
        began, complete = cycle.response_started, cycle.response_complete
        cycle.disconnected = True
        if not complete and cycle.task is not None:
            cycle.task.cancel(LEFT)
        if began:
            self.transport.cut()
        else:
            self._part(answer)

    def _end_with(self, answer: Answer) -> None:
        """End the connection with an answer to a head, once the requests before it have theirs."""
        self._stop_waiting()
        self._deaf = True
        if self.free:
            self._part(answer)
        else:
            self._last_word = answer

    def _part(self, answer: Answer) -> None:
        self._deaf = True
        head = answer_head(answer.status, own_headers(answer), "GET", keep_alive=False)
        self.transport.write(head.data + answer.body)
        self.transport.close()

    def _may_be_sending(self) -> bool:
        return self._deaf or not self._in_head


def guarded(limits: FrontLimits) -> type[GuardedTarget]:
    """The protocol with the limits of a file, for the server to use."""
    return type("GuardedTarget", (GuardedTarget,), {"limits": limits})
