"""What is told about one request: for the access log, the metrics, and whoever looks for it by its id."""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

KEY = "airgate.visit"
"""Where a request's visit stands in its ASGI scope, for the edge to say what it found out."""

LEFT = "the client has left"
"""With this message the server cancels the app; whoever is cancelled without it still has somebody to answer."""

REQUEST_ID = b"x-request-id"
TRACE_PARENT = b"traceparent"

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACE_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Visit:
    """A request and what became of it."""

    method: str
    client: str | None
    """Address of the client; None on a Unix socket."""
    request_id: str
    trace_id: str
    route: str | None = None
    """Path of the route as the file has it; None where none serves the request."""
    server: str | None = None
    """Alias of the upstream that was called."""
    status: int | None = None
    """None when nothing was answered, as the client left."""
    sent: int = 0
    """Bytes of the body that were sent."""
    complete: bool = False
    """Whether the answer came to its end."""
    began: float = field(default_factory=time.perf_counter)


class _Random:
    """Hexadecimal digits that nobody can guess; asking the system for many at once costs a fraction."""

    def __init__(self) -> None:
        self._digits = ""
        self._used = 0

    def take(self, count: int) -> str:
        end = self._used + count
        if end > len(self._digits):
            self._digits, self._used, end = os.urandom(4096).hex(), 0, count
        taken = self._digits[self._used : end]
        self._used = end
        return taken


_random = _Random()


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id of a request whose trace nobody asks for, as `named` gives it."""
    sent = [value for name, value in headers if name == REQUEST_ID]
    if len(sent) == 1 and _SANE_ID.fullmatch(sent[0]):
        return sent[0]
    return _random.take(32).encode()


def named(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str, Headers]:
    """Request id, trace id, and the headers of a request with both set for whoever reads them next.

    An `X-Request-Id` is kept when it is sane: one line, up to 128 letters, digits and ._:/+=@-. A `traceparent` is
    passed on when it is well formed (W3C Trace Context, 3.2.2); else a trace is started, so that the upstreams of one
    request share one.
    """
    own, trace, kept = None, None, []
    ids = traces = 0
    for header in headers:
        if header[0] == REQUEST_ID:
            ids, own = ids + 1, header[1]
        elif header[0] == TRACE_PARENT:
            traces, trace = traces + 1, header[1]
        else:
            kept.append(header)
    if own is None or ids > 1 or not _SANE_ID.fullmatch(own):
        own = _random.take(32).encode()
    if trace is None or traces > 1 or not _TRACE_PARENT.fullmatch(trace):
        # Sampled: servers that follow their parent then record it.
        made = _random.take(48)
        trace = f"00-{made[:32]}-{made[32:]}-01".encode()
        kept = [header for header in kept if header[0] != b"tracestate"]  # it belongs to the trace that was refused
    kept += [(REQUEST_ID, own), (TRACE_PARENT, trace)]
    return own.decode(), trace[3:35].decode(), kept
