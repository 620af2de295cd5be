"""The access log: one JSON object a line and request, without query, token or any other value a client sent."""

import asyncio
import os
import time
from datetime import UTC, datetime

import msgspec

from airgate.edge.visit import Visit

_SECONDS_HELD = 0.2


class Line(msgspec.Struct):
    """A line of the log: times in seconds, sizes in bytes; `route` is the path in the file, not the one asked for."""

    time: str
    request_id: str
    trace_id: str
    client: str | None
    method: str
    route: str | None
    server: str | None
    status: int | None
    bytes: int
    seconds: float
    complete: bool


class AccessLog:
    """Appends lines to a file descriptor, several at once; workers may share a file, as each write is appended whole.

    Args:
        descriptor: Open for appending.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._encoder = msgspec.json.Encoder()
        self._waiting: list[bytes] = []
        self._flush: asyncio.TimerHandle | None = None

    def tell(self, visit: Visit) -> None:
        """Write a line about a request that is over, within a fifth of a second."""
        seconds = round(time.perf_counter() - visit.began, 6)
        line = Line(
            time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            request_id=visit.request_id,
            trace_id=visit.trace_id,
            client=visit.client,
            method=visit.method,
            route=visit.route,
            server=visit.server,
            status=visit.status,
            bytes=visit.sent,
            seconds=seconds,
            complete=visit.complete,
        )
        self._waiting.append(self._encoder.encode(line))
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(_SECONDS_HELD, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if self._waiting:
            data = b"\n".join(self._waiting) + b"\n"
            self._waiting.clear()
            while data:
                data = data[os.write(self._descriptor, data) :]


def open_log(path: str) -> int:
    """A descriptor for a log: `-` is standard output.

    Raises:
        OSError: the file cannot be opened.
    """
    return 1 if path == "-" else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
