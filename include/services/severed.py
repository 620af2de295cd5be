"""Answers that end in a dropped connection.

ASGI knows no way to hang up: an application that raises gets a tidy 500 from the server. So the server's HTTP protocol
hands its transport to the application, in the scope.
"""

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

TRANSPORT: Final = "sample.transport"

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HTTPProtocol
else:
    HTTPProtocol = AutoHTTPProtocol


class SeverableProtocol(HTTPProtocol):
    """uvicorn's HTTP protocol, which also tells the application on which transport a request came in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        async def app_with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope[TRANSPORT] = self.transport
            await app(scope, receive, send)

        self.app = app_with_transport


class Dropped(Response):
    """No answer at all: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset the connection and wait until it is gone."""
        transport: asyncio.Transport = scope[TRANSPORT]
        # Lingering for zero seconds turns the closing into a reset (RST), like the death of a machine.
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await _gone(receive)


class Cut(Response):
    """The head and the first half of the body, then the end of the connection: less than Content-Length promised."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the first half, hang up and wait until the connection is gone."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        # Closing sends what is buffered first.
        scope[TRANSPORT].close()
        await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Wait for the disconnect; before it the server would try to complete the answer itself."""
    while (await receive())["type"] != "http.disconnect":
        pass
