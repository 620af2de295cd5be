"""A server on loopback that says and does on its socket exactly what a test wants."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable

Conversation = Callable[[socket.socket], None]


class RawServer:
    """Holds the given conversations in turn, the last one for ever, each on a connection of its own.

    Args:
        *conversations: Get the connection and may do with it as they like; it is closed afterwards.
        context: Speak TLS by it.
    """

    def __init__(self, *conversations: Conversation, context: ssl.SSLContext | None = None) -> None:
        self._conversations = list(conversations)
        self._context = context
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            conversation = self._conversations.pop(0) if len(self._conversations) > 1 else self._conversations[0]
            threading.Thread(target=self._hold, args=(connection, conversation), daemon=True).start()

    def _hold(self, connection: socket.socket, conversation: Conversation) -> None:
        with contextlib.suppress(OSError), connection:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                conversation(connection)

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *details: object) -> None:
        self.stopped.set()
        # Closing alone would not wake the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def take(self, connection: socket.socket) -> bytes:
        """Read one request with its body and note it."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += (more := connection.recv(65536))
            if not more:
                return data
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                while len(body) < int(value):
                    body += receive(connection)
            if name.lower() == b"transfer-encoding":
                while not body.endswith(b"0\r\n\r\n"):
                    body += receive(connection)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def say(self, *pieces: bytes, every: float = 0.0, closing: bool = True) -> Conversation:
        """Take a request and send these pieces, one after the other."""

        def conversation(connection: socket.socket) -> None:
            while self.take(connection):
                for piece in pieces:
                    connection.sendall(piece)
                    if every and self.stopped.wait(every):
                        return
                if closing:
                    return

        return conversation


def answer(body: bytes = b'{"a":1}', *lines: str, status: str = "200 OK") -> bytes:
    """A whole answer that tells its length, with these header lines."""
    return head(*lines, f"Content-Length: {len(body)}", status=status) + body


def head(*lines: str, status: str = "200 OK") -> bytes:
    """The beginning of an answer, up to its body."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def receive(connection: socket.socket) -> bytes:
    """The next bytes.

    Raises:
        ConnectionError: The other side has closed instead.
    """
    if data := connection.recv(65536):
        return data
    raise ConnectionError("closed within a request")


def await_bytes(connection: socket.socket) -> None:
    """Come back when something has arrived; it is left unread."""
    connection.recv(1, socket.MSG_PEEK)


def reset(connection: socket.socket) -> None:
    """Close with a reset in place of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
