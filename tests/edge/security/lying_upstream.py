"""An upstream that sends whatever bytes a test gives it, and the truth about everything else."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

LIE = "/lie"
"""A request for this target is answered with the script; every other one with its own target as the body."""

PAUSE = "pause"
"""A moment in which what was sent before arrives alone."""
CLOSE = "close"
RESET = "reset"
_MOMENT = 0.05
_LONG = 20.0


@dataclass(frozen=True)
class Endless:
    """A piece that is sent again and again, with seconds between, until the edge has had enough."""

    piece: bytes
    seconds: float = 0.0


Step = bytes | str | threading.Event | Endless
"""Bytes to send, an event to wait for, or one of the above."""

_MOST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Asked:
    """A request that came: the number of the connection it came over, and its first line."""

    connection: int
    line: str


class LyingUpstream:
    """A server on a free port of this machine; a connection stays open until the script or the edge closes it."""

    def __init__(self) -> None:
        self.script: Sequence[Step] = ()
        self.greeting = b""
        """Sent on each connection before anything was asked."""
        self.told = threading.Event()
        """Set when the script is over."""
        self.sent = 0
        """Bytes of the endless piece that the edge, and the buffers between, took."""
        self.asked: list[Asked] = []
        self._connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def connection_of(self, target: str) -> int:
        """The number of the connection over which the last request for a target came."""
        return next(each.connection for each in reversed(self.asked) if each.line.split(" ")[1] == target)

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections += 1
            threading.Thread(target=self._serve, args=(connection, self._connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        data = b""
        with connection, contextlib.suppress(OSError):
            connection.sendall(self.greeting)
            while piece := connection.recv(65536):
                data += piece
                while b"\r\n\r\n" in data:
                    head, _, data = data.partition(b"\r\n\r\n")
                    line = head.partition(b"\r\n")[0].decode("latin-1")
                    self.asked.append(Asked(number, line))
                    if not self._answer(connection, line.split(" ")[1]):
                        return

    def _answer(self, connection: socket.socket, target: str) -> bool:
        """Whether the connection stays open."""
        if target != LIE:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target.encode()))
            return True
        try:
            return all(self._take(connection, step) for step in self.script)
        finally:
            self.told.set()

    def _take(self, connection: socket.socket, step: Step) -> bool:
        """Whether the connection stays open."""
        match step:
            case bytes():
                connection.sendall(step)
            case Endless():
                self._send_on(connection, step)
            case threading.Event():
                step.wait(_LONG)
            case "pause":
                time.sleep(_MOMENT)
            case "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return step not in (CLOSE, RESET)

    def _send_on(self, connection: socket.socket, step: Endless) -> None:
        self.sent, ends = 0, time.monotonic() + _LONG
        while self.sent < _MOST and time.monotonic() < ends:
            connection.sendall(step.piece)
            self.sent += len(step.piece)
            time.sleep(step.seconds)
