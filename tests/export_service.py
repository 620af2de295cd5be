"""A service that gives one file, whole or from a byte on, and behaves badly where it is told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PIECE = 1 << 16


class ExportService(ThreadingHTTPServer):
    """On loopback. Change its fields to change its behaviour, also between two requests.

    Args:
        content: The file.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.etag = '"v1"'
        self.headers: dict[str, str] = {}
        """Added to those of each answer."""
        self.ranges = True
        """Whether it gives a range that is asked for."""
        self.heeds_if_range = True
        """Whether it gives one only of the version that is meant."""
        self.length: str = "told"
        """``told``, ``chunks``, or ``untold``: the body ends with the connection."""
        self.status = 200
        self.busy: list[int] = []
        """Seconds of ``Retry-After``, an answer of 429 for each."""
        self.breaks: list[int] = []
        """Bytes of an answer behind which the connection is closed, for one answer each."""
        self.stalls: list[int] = []
        """Bytes of an answer behind which nothing comes any more, for one answer each."""
        self.before: dict[int, dict[str, Any]] = {}
        """Number of a request -> fields that change when it comes."""
        self.asked: list[tuple[int, str]] = []
        """First byte and ``If-Range`` of each request."""
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        """Of each request."""
        self.pause = 0.0
        """Seconds before each piece of an answer."""
        self.gone = threading.Event()
        """Ends what stalls."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that go away."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ExportService

    def do_GET(self) -> None:
        service = self.server
        service.paths.append(self.path)
        service.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        meant = self.headers.get("If-Range", "")
        start = int(wanted[1]) if wanted else 0
        service.asked.append((start, meant))
        vars(service).update(service.before.pop(len(service.asked), {}))
        if service.busy:
            self._head(429, {"Retry-After": str(service.busy.pop(0)), "Content-Length": "0"})
            return
        if not service.ranges or (service.heeds_if_range and meant != service.etag):
            start = 0
        whole = service.content
        if start >= len(whole) > 0:
            self._head(416, {"Content-Range": f"bytes */{len(whole)}", "Content-Length": "0"})
            return
        headers = {"ETag": service.etag, **service.headers}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        if service.length == "told":
            headers["Content-Length"] = str(len(whole) - start)
        elif service.length == "chunks":
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Connection"] = "close"
        self._head(206 if start else service.status, headers)
        self._send(memoryview(whole)[start:])

    do_POST = do_GET

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _send(self, body: memoryview) -> None:
        service = self.server
        broken = service.breaks.pop(0) if service.breaks else len(body) + 1
        stalled = service.stalls.pop(0) if service.stalls else len(body) + 1
        end = min(broken, stalled, len(body))
        for at in range(0, end, _PIECE):
            piece = body[at : min(at + _PIECE, end)]
            if service.pause and service.gone.wait(service.pause):
                return
            if service.length == "chunks":
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), bytes(piece)))
            else:
                self.wfile.write(piece)
        if end == stalled:
            self.wfile.flush()
            service.gone.wait(60)
        if end in (broken, stalled):
            self.close_connection = True
        elif service.length == "chunks":
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def export_service(content: bytes) -> Iterator[ExportService]:
    """Run it until the end of the context."""
    service = ExportService(content)
    thread = threading.Thread(target=service.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield service
    finally:
        service.gone.set()
        service.shutdown()
        service.server_close()
        thread.join()
