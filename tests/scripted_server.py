"""A real HTTP server on loopback that answers as it is told and records what it saw."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Answer:
    """One answer of the scripted server."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False
    """Close the connection without an answer."""
    cut: bool = False
    """Promise the whole body and send half of it."""
    chunked: bool = False
    """Send the body in chunks, without telling its length."""
    trickle: float = 0.0
    """Seconds between single bytes of the body."""
    delay: float = 0.0


@dataclass(frozen=True)
class Seen:
    """One request that the scripted server saw."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class ScriptedServer:
    """Answers requests with the scripted answers in turn, the last one for ever, and records what it saw."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.seen: list[Seen] = []
        self.raw_targets: list[str] = []
        self.raw_headers: list[list[tuple[str, str]]] = []
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def answer(self) -> None:
                split = urlsplit(self.path)
                outer.raw_targets.append(self.path)
                outer.raw_headers.append(self.headers.items())
                chunked = self.headers.get("transfer-encoding") == "chunked"
                body = self.chunks() if chunked else self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.seen.append(Seen(self.command, split.path, parse_qs(split.query), headers, body))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if answer.delay:
                    outer.stopped.wait(answer.delay)
                if answer.hang_up:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                if answer.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.send_body(answer)

            def chunks(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def send_body(self, answer: Answer) -> None:
                body = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
                size = 1 if answer.trickle else max(1, len(body) // 2)
                for start in range(0, len(body), size):
                    piece = body[start : start + size]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if answer.chunked else piece)
                    if answer.trickle and outer.stopped.wait(answer.trickle):
                        return
                if answer.cut:
                    self.close_connection = True
                elif answer.chunked:
                    self.wfile.write(b"0\r\n\r\n")

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = answer

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def speak_tls(self, pem: Path) -> None:
        """Answer over TLS from now on, with the key and certificate of a PEM file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def stop(self) -> None:
        """Stop listening."""
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
