"""An HTTP/1.1 echo upstream on raw sockets: it remembers what it saw and answers what `X-Echo-Ctl` tells it."""

import gzip
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO


@dataclass(frozen=True)
class Seen:
    """A request as it arrived: alias of the server, request line, headers in order, body (None without framing)."""

    alias: str
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes | None


@dataclass(frozen=True)
class Document:
    """A fixed answer, as a key set is."""

    status: int
    body: bytes


@dataclass
class EchoUpstream:
    """One listener for each server alias, on free loopback ports; `ports` maps alias to port."""

    ports: dict[str, int] = field(default_factory=dict)
    _seen: list[Seen] = field(default_factory=list)
    _listeners: list[socket.socket] = field(default_factory=list)

    def open(self, alias: str, documents: Mapping[str, Document] | None = None) -> int:
        """Listen for a server alias and return the port. Paths with a document are answered with it, and not seen."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._listeners.append(listener)
        self.ports[alias] = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(listener, alias, documents or {}), daemon=True).start()
        return self.ports[alias]

    def reserve(self) -> int:
        """A port on which nothing listens, and which nobody else can take meanwhile."""
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))
        self._listeners.append(closed)
        return int(closed.getsockname()[1])

    def take(self) -> list[Seen]:
        """What was seen since the last call."""
        seen, self._seen = self._seen, []
        return seen

    def close(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            listener.close()

    def _accept(self, listener: socket.socket, alias: str, documents: Mapping[str, Document]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, alias, documents), daemon=True).start()

    def _serve(self, connection: socket.socket, alias: str, documents: Mapping[str, Document]) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while (seen := _read(stream, alias)) is not None:
                    document = documents.get(seen.target.partition("?")[0])
                    if document is None:
                        self._seen.append(seen)
                        answer, stays = _answer(seen)
                    else:
                        answer, stays = _message(document.status, [], document.body), True
                    connection.sendall(answer)
                    if not stays:
                        return
            except (OSError, ValueError):
                return


def _read(stream: BinaryIO, alias: str) -> Seen | None:
    line = stream.readline().decode("latin-1").rstrip("\r\n")
    if not line:
        return None
    method, _, rest = line.partition(" ")
    headers = []
    while (raw := stream.readline()) not in (b"\r\n", b"\n", b""):
        name, _, value = raw.decode("utf-8", "surrogateescape").rstrip("\r\n").partition(":")
        headers.append((name, value.strip(" \t")))
    return Seen(alias, method, rest.rpartition(" ")[0], headers, _read_body(stream, headers))


def _read_body(stream: BinaryIO, headers: list[tuple[str, str]]) -> bytes | None:
    lower = {name.lower(): value for name, value in headers}
    if "content-length" in lower:
        return stream.read(int(lower["content-length"]))
    if "chunked" not in lower.get("transfer-encoding", ""):
        return None
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


def _answer(seen: Seen) -> tuple[bytes, bool]:
    """The bytes to answer with, and whether the connection stays open."""
    order: dict[str, Any] = next((json.loads(v) for n, v in seen.headers if n.lower() == "x-echo-ctl"), {})
    if order.get("close"):
        return b"", False
    status = order.get("status", 200)
    body = _body(seen, order)
    headers = [tuple(pair) for pair in order.get("headers", [])]
    bodiless = status in (204, 304)
    if not (bodiless or order.get("no_ct") or any(name.lower() == "content-type" for name, _ in headers)):
        headers.append(("Content-Type", "application/json"))
    if order.get("gzip"):
        body = gzip.compress(body, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    if order.get("chunked"):
        headers.append(("Transfer-Encoding", "chunked"))
        half = max(1, len(body) // 2)
        pieces = [piece for piece in (body[:half], body[half:]) if piece]
        payload = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        payload = b"" if bodiless else body
        headers += [] if bodiless else [("Content-Length", str(len(body)))]
    head = f"HTTP/1.1 {status} Status\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    raw = head.encode() + (b"" if seen.method == "HEAD" else payload)
    cut = order.get("truncate")
    return (raw[:-cut], False) if cut else (raw, True)


def _message(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _body(seen: Seen, order: dict[str, Any]) -> bytes:
    if "body" in order:
        return str(order["body"]).encode()
    if "fill" in order:
        return b"x" * int(order["fill"])
    echo = {"echo": True, "server": seen.alias, "method": seen.method, "path": seen.target}
    return json.dumps(echo | {"body_len": len(seen.body or b"")}, separators=(",", ":")).encode()
