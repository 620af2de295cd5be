"""The body of a request on its way to a server, piece by piece."""

from collections.abc import MutableMapping
from typing import Any

from airgate.edge.connection import Connection
from airgate.edge.reply import Receive

Message = MutableMapping[str, Any]


class ClientLeft(Exception):
    """The client closed its connection before it had sent the whole body."""


class Upload:
    """What is still to come of a body, and how it is framed.

    Args:
        receive: Gives the next piece.
        length: Bytes that the head declares; None when the body goes in chunks.
    """

    def __init__(self, receive: Receive, length: int | None) -> None:
        self._receive = receive
        self._length = length
        self._sent = 0
        self.more = True

    async def next(self) -> bytes:
        """The next piece with its framing; may be empty.

        Raises:
            ClientLeft: there is no next piece.
        """
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientLeft
        data: bytes = message.get("body", b"")
        self.more = message.get("more_body", False)
        self._sent += len(data)
        if self._length is None:
            chunk = b"%x\r\n%s\r\n" % (len(data), data) if data else b""
            return chunk if self.more else chunk + b"0\r\n\r\n"
        if self._sent > self._length or (not self.more and self._sent != self._length):
            # Sent as it is, the server would take the surplus, or the next request, for something else.
            raise ValueError(f"a body of {self._length} bytes was announced, and {self._sent} came")
        return data

    async def rest(self, connection: Connection) -> None:
        """Send all that is still to come."""
        while self.more:
            data = await self.next()
            if data:
                await connection.send_more(data)
