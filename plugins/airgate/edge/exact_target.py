"""The server's side of a connection, made to fit a gateway: exact request targets, clients that leave, a drain."""

import asyncio
import re
from collections import deque
from typing import Any
from urllib.parse import unquote

from httptools import HttpRequestParser
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from airgate.edge.exchange import Exchange
from airgate.edge.visit import LEFT

_LINGER_SECONDS = 0.5
"""How long an idle connection stays open in a drain: a request may be under way on it, and would be lost."""

_REQUEST_LINE = re.compile(rb"(?:\r?\n)*[^\n]*")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


class ExactTarget(asyncio.Protocol):
    """Takes any request target that the gateway takes and hands on its bytes.

    The parser refuses non-ASCII bytes in a target, which browsers never send but other clients do; here they are
    escaped as URLs escape them.

    The application is cancelled when its client leaves. That costs a request nothing; a task that waits for the news,
    as ASGI has it, costs a tenth of a proxied call.

    uvicorn makes one of each connection, in place of its own protocol, of which an edge needs little.
    """

    transport: asyncio.Transport
    flow: FlowControl

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.app: Any = config.loaded_app
        self.loop = _loop or asyncio.get_running_loop()
        self.parser: HttpRequestParser | None = HttpRequestParser(self)
        # What comes behind a request with `Connection: close` is no error of that request, which has its answer.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.server_state = server_state
        self.cycle: Exchange | None = None
        """The request that came last, once its head was in."""
        self.pipeline: deque[Exchange] = deque()
        """Requests that wait for the answer of the one before, the latest first."""
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self._running: Exchange | None = None
        self._in_request_line = True
        self._draining = False
        self._app_state = app_state
        self._asgi = {"version": config.asgi_version, "spec_version": "2.3"}
        self._root_path = config.root_path
        self._keep_alive_seconds: float = config.timeout_keep_alive
        self._idle_since: float | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self.server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn names its own protocols
        self.transport = transport  # type: ignore[assignment]  # uvloop's is one in all but name
        self.flow = FlowControl(self.transport)
        self._server = get_local_addr(self.transport)
        self._client = get_remote_addr(self.transport)
        self._scheme = "https" if is_ssl(self.transport) else "http"

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is done for a client that has left."""
        self.server_state.connections.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self.cycle is not None:
            self.cycle.disconnected = self.cycle.disconnected or not self.cycle.response_complete
            self.cycle.wake()
        self.flow.resume_writing()
        self.parser = None
        running, self._running = self._running, None
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.wake()
            if running.task is not None:
                running.task.cancel(LEFT)

    def pause_writing(self) -> None:
        """Make whoever answers wait for the client."""
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        """Let whoever answers go on."""
        self.flow.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the connection."""
        self._idle_since = None
        if self._in_request_line:
            if data.isascii():
                self._in_request_line = b"\n" not in data.lstrip(b"\r\n")
            else:
                found = _REQUEST_LINE.match(data)
                end = found.end() if found else 0
                self._in_request_line = end == len(data)
                data = _NOT_ASCII.sub(lambda byte: b"%%%02X" % ord(byte[0]), data[:end]) + data[end:]
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """Let the parser read."""
        if self.parser is not None:
            self.parser.feed_data(data)

    def eof_received(self) -> None:
        """The client sends nothing more; the transport then closes itself."""

    # httptools

    def on_message_begin(self) -> None:
        """Begin a head."""
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Start the app for a request whose head is in."""
        assert self.parser is not None
        version = self.parser.get_http_version()
        scope = self.head(self.parser.get_method().decode("ascii"), version)
        self.ask(scope, keep_alive=version == "1.1" and self.parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, unless its request is answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.take(body)

    def on_message_complete(self) -> None:
        """Note that the next bytes begin another request."""
        self._in_request_line = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.more_body = False
            self.cycle.wake()

    # Requests

    @property
    def free(self) -> bool:
        """Whether all requests have their answers."""
        return self.cycle is None or self.cycle.response_complete

    def head(self, method: str, version: str) -> dict[str, Any]:
        """What ASGI tells of a request, from the head that was read."""
        self._in_request_line = False
        path, _, query = self.url.partition(b"#")[0].partition(b"?")
        text = path.decode("ascii")
        return {
            "type": "http",
            "asgi": self._asgi,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": self._scheme,
            "method": method,
            "root_path": self._root_path,
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "headers": self.headers,
            "state": self._app_state.copy(),
        }

    def ask(self, scope: dict[str, Any], *, keep_alive: bool) -> Exchange:
        """Ask the app, at once or when the requests before have their answers."""
        first = self.free
        self.cycle = cycle = Exchange(
            scope,
            self.transport,
            self.flow,
            self.on_response_complete,
            keep_alive=keep_alive and not self._draining,
            defaults=self.server_state.default_headers,
        )
        if first:
            self._start(cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft(cycle)
        return cycle

    def _start(self, cycle: Exchange) -> None:
        self._running = cycle
        cycle.task = task = self.loop.create_task(cycle.run(self.app))
        tasks = self.server_state.tasks
        task.add_done_callback(tasks.discard)
        tasks.add(task)

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start(self.pipeline.pop())
        else:
            self.rest()

    # Idle connections

    def rest(self) -> None:
        """Wait for another request, but not for ever."""
        self._idle_since = self.loop.time()
        if self._idle_timer is None:  # one that is set stays from request to request: most never need their own
            self._idle_timer = self.loop.call_later(self._keep_alive_seconds, self._look)

    def _look(self) -> None:
        self._idle_timer = None
        if self._idle_since is None or self.transport.is_closing():
            return
        ends = self._idle_since + self._keep_alive_seconds
        if self.loop.time() >= ends:
            self.transport.close()
        else:
            self._idle_timer = self.loop.call_at(ends, self._look)

    def shutdown(self) -> None:
        """Answer what is being asked, or is asked next, say that the connection ends with it, and close it.

        An answer that has begun without saying so leaves the connection open, and an idle one stays open for a moment:
        the client may be asking again.
        """
        if self._draining:
            return
        self._draining = True
        self._keep_alive_seconds = _LINGER_SECONDS
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if self.free:
            self.rest()
        elif self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False
