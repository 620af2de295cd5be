"""The upstream side: streams a request to a server and its answer back, and follows nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from airgate.edge.reply import Receive, Reply
from airgate.edge.settings import Settings
from airgate.spec.answer import INTERNAL_ERROR
from airgate.spec.gateway import HOP_BY_HOP, Forward
from airgate.spec.message import Request

_log = logging.getLogger("airgate.edge")

# Idle connections go before uvicorn and Node close theirs (5 s): nothing is sent again, so none may be stale.
_IDLE_SECONDS = 4.0
_LONGEST_HEADER = 64 * 1024
# The gateway puts its own name into this one; the edge sends none.
_NOT_RETURNED = HOP_BY_HOP | {b"x-powered-by"}
_WITHOUT_BODY = (204, 304)


class Upstreams:
    """The pool of connections to all servers of a file."""

    def __init__(self, settings: Settings) -> None:
        self._timeout = aiohttp.ClientTimeout(total=settings.total_timeout, connect=settings.connect_timeout)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def forward(self, call: Forward, request: Request, receive: Receive, reply: Reply) -> None:
        """Make a call and stream what comes back into the reply; ends early when the client goes away."""
        body = _Body(receive) if _has_body(request) else None
        task = asyncio.current_task()
        gone = asyncio.create_task(_client_gone(receive, body))
        if task is not None:
            gone.add_done_callback(lambda watch: watch.cancelled() or task.cancel())
        try:
            complete = await self._exchange(call, request.method, body, reply)
            gone.cancel()  # before the last message: after it, every server reports the client as gone
            if complete:
                await reply.end()
        except asyncio.CancelledError:
            if task is None or not gone.done() or gone.cancelled():
                raise  # the server is shutting down
            task.uncancel()
        finally:
            gone.cancel()

    async def _exchange(self, call: Forward, method: str, body: "_Body | None", reply: Reply) -> bool:
        """Whether a body was streamed to its end, so that only the end is still to be said."""
        origin = call.origin
        url = URL.build(
            scheme=origin.scheme,
            host=origin.host,
            port=origin.port,
            path=call.path,
            query_string=call.query,
            encoded=True,  # the path and query are final; yarl would quote them its own way
        )
        try:
            response = await self._open().request(
                method,
                url,
                headers=CIMultiDict(call.headers),
                data=body.stream() if body else None,
                allow_redirects=False,
            )
        except TimeoutError:
            await _fail(reply, call, 504, "did not answer in time")
        except (aiohttp.ClientError, OSError) as error:
            await _fail(reply, call, 502, f"could not be reached or broke off ({type(error).__name__})")
        except ValueError:  # a control character that HTTP does not allow in a header
            await reply.whole(INTERNAL_ERROR)
        else:
            async with response:
                if not 200 <= response.status <= 599:
                    await _fail(reply, call, 502, f"answered with the status {response.status}")
                    return False
                await reply.start(response.status, _returned_headers(response))
                return await _stream(call, response, reply)
        return False

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                auto_decompress=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                max_line_size=_LONGEST_HEADER,
                max_field_size=_LONGEST_HEADER,
            )
            # A gateway sends once; whether to send again is the caller's decision. aiohttp has no public switch.
            self._session._retry_connection = False
        return self._session


class _Body:
    """The request's body, as an upload that can be streamed once."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.sent = asyncio.Event()

    async def stream(self) -> AsyncIterator[bytes]:
        try:
            more = True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError("the client went away while sending")
                more = message.get("more_body", False)
                if message.get("body"):
                    yield message["body"]
        finally:
            self.sent.set()


def _has_body(request: Request) -> bool:
    length = request.header("content-length")
    return request.header("transfer-encoding") is not None or (length is not None and length != "0")


async def _client_gone(receive: Receive, body: _Body | None) -> None:
    """Return when the client has closed its connection; the body, if any, is read by its own stream first."""
    if body is not None:
        await body.sent.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


def _returned_headers(response: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    dropped = _NOT_RETURNED | {b"content-length"} if response.status in _WITHOUT_BODY else _NOT_RETURNED
    headers = ((name.lower(), value) for name, value in response.raw_headers)
    return [header for header in headers if header[0] not in dropped]


async def _stream(call: Forward, response: aiohttp.ClientResponse, reply: Reply) -> bool:
    try:
        async for chunk in response.content.iter_any():
            await reply.chunk(chunk)
    except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
        _log.warning("server %s broke off in the middle of a body: %s", call.server, type(error).__name__)
        return False  # unfinished, so that the client sees a truncated body as well
    return True


async def _fail(reply: Reply, call: Forward, status: int, what: str) -> None:
    _log.warning("server %s %s", call.server, what)
    await reply.failed(status, f"The server {call.server!r} {what}.")
