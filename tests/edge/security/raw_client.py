"""Bytes that no HTTP client would send, on one connection, and what comes back on it."""

import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

PATIENCE = 15.0
MARKER = b"GET /marker HTTP/1.1\r\nHost: x\r\n\r\n"
"""The honest request that follows each attack on its connection."""

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [^\r\n]*\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """One answer: status, head and body."""

    status: int
    head: bytes
    body: bytes


@dataclass(frozen=True)
class Talk:
    """All that came back, in order. `closed` says that the edge ended the connection."""

    answers: Sequence[Answer]
    closed: bool

    @property
    def statuses(self) -> list[int]:
        """The statuses in order."""
        return [answer.status for answer in self.answers]


def talk(port: int, *pieces: bytes, marker: bytes = MARKER, tls: ssl.SSLContext | None = None) -> Talk:
    """Send pieces and then the marker, and listen until the marker is answered or the connection ends."""
    received = b""
    plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with plain if tls is None else tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        closed = False
        try:
            for piece in (*pieces, marker):
                connection.sendall(piece)
            while not _is_marked(received):
                data = connection.recv(65536)
                if not data:
                    closed = True
                    break
                received += data
        except (ConnectionError, ssl.SSLEOFError):
            closed = True
        return Talk(answers(received), closed)


def _is_marked(received: bytes) -> bool:
    found = answers(received)
    return bool(found) and found[-1].body == b"GET /marker"


def answers(received: bytes) -> list[Answer]:
    """Cut what came back into answers; each must say its length."""
    found = []
    while received:
        head, ended, rest = received.partition(b"\r\n\r\n")
        if not ended:
            break
        line = _STATUS_LINE.match(head + b"\r\n")
        assert line is not None, received[:200]
        length = _LENGTH.search(head + b"\r\n")
        size = int(length[1]) if length else 0
        if len(rest) < size:
            break
        found.append(Answer(int(line[1]), head, rest[:size]))
        received = rest[size:]
    return found
