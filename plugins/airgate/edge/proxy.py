"""The upstream side: streams a request to a server and its answer back, follows nothing and sends nothing twice."""

import asyncio
import logging

from airgate.edge.connection import CallFailed, Connection
from airgate.edge.pool import Pool
from airgate.edge.reply import Receive, Reply
from airgate.edge.request_head import BadHead, has_body, request_head
from airgate.edge.settings import Settings
from airgate.edge.upload import ClientLeft, Upload
from airgate.spec.answer import INTERNAL_ERROR
from airgate.spec.gateway import HOP_BY_HOP, Forward
from airgate.spec.message import Request

Header = tuple[bytes, bytes]

_log = logging.getLogger("airgate.edge")

# The gateway puts its own name into this one; the edge sends none.
_NOT_RETURNED = HOP_BY_HOP | {b"x-powered-by"}
_NOT_RETURNED_WITHOUT_BODY = _NOT_RETURNED | {b"content-length"}
_WITHOUT_BODY = (204, 304)


class Upstreams:
    """The way to all servers of a file.

    Args:
        settings: Limits of every call.
        pool: Connections, which others may use, too; its owner closes it.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool

    async def forward(self, call: Forward, request: Request, receive: Receive, reply: Reply) -> None:
        """Make a call and stream what comes back into the reply.

        Whoever is cancelled here, as its client left, ends the call. What `receive` raises is raised on.
        """
        framed = has_body(request)
        try:
            head, length = request_head(request.method, call, framed=framed)
        except BadHead:
            await reply.whole(INTERNAL_ERROR)
            return
        upload = Upload(receive, length) if framed else None
        try:
            # With the first piece in hand, a small body goes out with its head, and a slow client holds no connection.
            first = await upload.next() if upload is not None else b""
            await self._call(call, request.method, head + first, upload, reply)
        except ClientLeft:
            return

    async def _call(self, call: Forward, method: str, head: bytes, upload: Upload | None, reply: Reply) -> None:
        settings, answer = self._settings, _Streamed(reply)
        total = settings.total_timeout
        deadline = None if total is None else asyncio.get_running_loop().time() + total
        try:
            connection = self._pool.idle(call.origin)
            if connection is None:
                limits = [limit for limit in (settings.connect_timeout, total) if limit is not None]
                connection = await self._pool.connect(call.origin, min(limits, default=None))
            try:
                connection.send(head, method, deadline, settings.read_timeout)
                if upload is not None and upload.more:
                    await _while_sending(connection, upload, answer)
                else:
                    await answer.take(connection)
            finally:
                self._pool.give_back(call.origin, connection)
        except CallFailed as failed:
            _log.warning("server %s %s", call.server, failed.what)
            if not answer.begun:  # else it stays unfinished, so that the client sees a truncated body as well
                await reply.failed(failed.status, f"The server {call.server!r} {failed.what}.")


class _Streamed:
    """An answer on its way from a server to a reply."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.begun = False

    async def take(self, connection: Connection) -> None:
        """Stream it all."""
        await connection.answered()
        status = connection.status
        dropped = _NOT_RETURNED_WITHOUT_BODY if status in _WITHOUT_BODY else _NOT_RETURNED
        self.begun = True
        reply = self._reply
        await reply.start(status, _returned(connection.headers, dropped))
        while data := await connection.piece():
            await reply.chunk(data)
        await reply.end()


def _returned(headers: list[Header], dropped: frozenset[bytes]) -> list[Header]:
    """The headers for the client: without those of the connection, and those that `Connection` names as such."""
    kept = [header for header in headers if header[0] not in dropped]
    if len(kept) == len(headers):
        return kept
    told = b",".join(value for name, value in headers if name == b"connection")
    named = {name.strip().lower() for name in told.split(b",")}
    return [header for header in kept if header[0] not in named]


async def _while_sending(connection: Connection, upload: Upload, answer: _Streamed) -> None:
    """Send the rest of a body and take the answer at the same time; it may come before all is sent, and ends both."""

    def close_if_failed(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            connection.close()

    sending = asyncio.create_task(upload.rest(connection))
    sending.add_done_callback(close_if_failed)
    try:
        await answer.take(connection)
    except CallFailed:
        if sending.done() and not sending.cancelled() and (error := sending.exception()) is not None:
            raise error from None  # it is why the connection was closed
        raise
    finally:
        if not sending.done():
            sending.cancel()
            connection.close()  # a request cut short leaves it unfit for another one
