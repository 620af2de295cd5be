"""An upstream for policies on real sockets: it counts, echoes, hangs and breaks off. As a program it can be killed."""

import json
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "PolicyUpstream"

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_HEAD = do_GET

    def _serve(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with self.server.lock:
            self.server.calls[path] += 1
            count = self.server.calls[path]
        if path == "/hang":
            self.server.hanging.set()
            self.connection.settimeout(20)
            with suppress(OSError):
                self.connection.recv(1)  # returns when the edge closes the connection
            self.server.left.set()
            self.close_connection = True
        elif path == "/die":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
            self.close_connection = True
        elif path == "/drop" or (path == "/drop-once" and count == 1):
            self.close_connection = True
        elif path.startswith("/status/"):
            self._answer(int(path.rpartition("/")[2]), {"error": "x"})
        elif path == "/big":
            self._answer(200, {"fill": "x" * 100_000})
        elif path == "/text":
            self._send(200, b"plain", [("Content-Type", "text/plain")])
        elif path.startswith("/cache/"):
            self._cache(path, count)
        elif path == "/wait":
            time.sleep(0.4)
            self._answer(200, {"waited": True})
        else:
            self._answer(200, {"data": self._echo(body), "count": count})

    def _echo(self, body: bytes) -> dict[str, Any]:
        split = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return {
            "method": self.command,
            "path": split.path,
            "query": parse_qs(split.query, keep_blank_values=True),
            "headers": headers,
            "body": body.decode(),
        }

    def _cache(self, path: str, count: int) -> None:
        control = {"fresh": "max-age=60", "public": "public, max-age=60", "check": "no-cache", "private": "private"}
        tag = '"v1"'
        headers = [("Cache-Control", control[path.rpartition("/")[2]]), ("ETag", tag)]
        if self.headers.get("if-none-match") == tag:
            self._send(304, b"", headers)
        else:
            self._send(200, json.dumps({"count": count}).encode(), [*headers, ("Content-Type", "application/json")])

    def _answer(self, status: int, value: object) -> None:
        self._send(status, json.dumps(value).encode(), [("Content-Type", "application/json")])

    def _send(self, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, its base calls it so
        """Stay quiet."""


class PolicyUpstream(ThreadingHTTPServer):
    """Listens on a free loopback port; `calls` counts by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.hanging = threading.Event()
        self.left = threading.Event()
        """Set when a client of `/hang` has closed its connection."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about connections that the edge has closed."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


if __name__ == "__main__":
    upstream = PolicyUpstream()
    sys.stdout.write(f"{upstream.url}\n")
    sys.stdout.flush()
    threading.Event().wait()
