"""One process that serves a file: reloads it, tells about requests, ends without losing one."""

import asyncio
import logging
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from airgate.edge.access_log import AccessLog, open_log
from airgate.edge.certificate import Certificate, Pair, Tls
from airgate.edge.guarded_protocol import guarded
from airgate.edge.loading import Source
from airgate.edge.metrics import Metrics
from airgate.edge.server import Beside, serve
from airgate.edge.serving import Listener, Serving


@dataclass(frozen=True, slots=True)
class Operation:
    """How a process serves.

    `drain_seconds` is how long running requests may take after SIGTERM; `access_log` a path, or `-` for standard
    output.
    """

    drain_seconds: float = 10.0
    tls: Tls | None = None
    access_log: str | None = None
    counted: bool = False
    """Whether requests are counted for `/-/metrics`."""


class Process:
    """The serving of one file by one process.

    Args:
        source: The file.
        text: Its text, checked.
        operation: How.
        pair: The certificate to begin with; None for HTTP.

    Raises:
        FileRefused: what the file names is gone.
        OSError: the access log cannot be opened.
        MetricsMissing: requests are to be counted, and cannot.
    """

    def __init__(self, source: Source, text: str, operation: Operation, pair: Pair | None) -> None:
        self._source = source
        self._operation = operation
        self.metrics = Metrics() if operation.counted else None
        listeners: list[Listener] = [] if self.metrics is None else [self.metrics]
        if operation.access_log is not None:
            listeners.append(AccessLog(open_log(operation.access_log)))
        edge = source.edge(text)
        self._serving = Serving(edge, listeners, ids=source.mode == "strict")
        self._protocol = guarded(edge.front)
        self._certificate = None if pair is None else Certificate(pair)

    async def take(self, text: str) -> None:
        """Serve a new text of the file from now on.

        Raises:
            FileRefused: it is not served.
        """
        edge = await asyncio.to_thread(self._source.next, text)
        self._protocol.limits = edge.front
        self._serving.replace(edge)

    async def renew(self, pair: Pair) -> None:
        """Show another certificate to new connections from now on."""
        assert self._certificate is not None
        self._certificate.replace(pair)

    def run(self, listener: socket.socket, beside: Sequence[Beside] = (), *, shared: bool = False) -> None:
        """Serve until a signal ends it; `shared` says that other processes serve the listener, too."""
        operation = self._operation
        serve(
            self._serving,
            listener,
            protocol=self._protocol,
            drain_seconds=operation.drain_seconds,
            certificate=self._certificate,
            beside=beside,
            shared=shared,
        )


def log_to_stderr() -> None:
    """Write what the edge has to say to standard error; of its libraries only warnings."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="airgate.edge: %(levelname)s: %(message)s")
    logging.getLogger("airgate.edge").setLevel(logging.INFO)
    # A client that sends no HTTP, or breaks off, is no concern of whoever runs the edge.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
