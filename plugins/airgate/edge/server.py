"""Serving the edge with uvicorn, which keeps each request target as it was sent."""

import gc
import re
import signal
import socket
from typing import Any
from urllib.parse import unquote

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from airgate.edge.app import Edge

_REQUEST_LINE = re.compile(rb"(?:\r?\n)*[^\n]*")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_SHUTDOWN_SECONDS = 10


class ExactTarget(HttpToolsProtocol):
    """uvicorn's HTTP protocol, taking any request target that the gateway takes and handing on its bytes.

    The parser below refuses non-ASCII bytes in a target, which browsers never send but other clients do; here they
    are escaped as URLs escape them. What the parser then makes of the target's parts is not used.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_request_line = True

    def data_received(self, data: bytes) -> None:
        """Take bytes from the connection."""
        if self._in_request_line:
            found = _REQUEST_LINE.match(data)
            end = found.end() if found else 0
            self._in_request_line = end == len(data)
            if not data.isascii():
                data = _NOT_ASCII.sub(lambda byte: b"%%%02X" % ord(byte[0]), data[:end]) + data[end:]
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Start the app for a request whose headers are in."""
        self._in_request_line = False
        target, self.url = self.url.partition(b"#")[0], b"/"
        super().on_headers_complete()
        path, _, query = target.partition(b"?")
        self.scope["raw_path"] = path
        self.scope["path"] = unquote(path.decode("ascii"))
        self.scope["query_string"] = query

    def on_message_complete(self) -> None:
        """Note that the next bytes begin another request."""
        self._in_request_line = True
        super().on_message_complete()


def serve(edge: Edge, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT; running requests then have 10 seconds to end."""
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: None)  # uvicorn raises the signal again at its end: let that be harmless
    server = uvicorn.Server(
        uvicorn.Config(
            edge,
            http=ExactTarget,
            loop="auto",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
    )
    gc.freeze()  # routes and modules live as long as the process; collections need not look at them
    server.run(sockets=[listener])
