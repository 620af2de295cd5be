"""Both ends of a proxy: an upstream that costs next to nothing, and clients that ask as fast as they are answered.

`python benchmarks/_traffic.py upstream` serves until its stdin is closed, and prints its port first.
`python benchmarks/_traffic.py clients URL CONNECTIONS SECONDS [HEADER ...]` prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import uvloop

BODY = json.dumps({"records": "x" * 1000}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
WARM_UP_SECONDS = 0.5


class Answering(asyncio.Protocol):
    """Answers each request that is complete; there are no bodies."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.received = b""

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.received += data
        requests = self.received.count(b"\r\n\r\n")
        if requests:
            self.received = self.received.rpartition(b"\r\n\r\n")[2]
            self.transport.write(ANSWER * requests)


class Asking(asyncio.Protocol):
    """One client: asks, waits for the whole answer, asks again; connects again when it is cut off."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask first."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.ask()

    def ask(self) -> None:
        """Send a request."""
        self.received = b""
        self.expected = 0
        self.asked = time.perf_counter()
        self.transport.write(self.tally.request)

    def data_received(self, data: bytes) -> None:
        """Note an answer that is complete."""
        self.received += data
        if not self.expected:
            head, end, _ = self.received.partition(b"\r\n\r\n")
            if not end:
                return
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.expected = len(head) + 4 + int(length)
        if len(self.received) >= self.expected:
            self.tally.answered(time.perf_counter() - self.asked, self.received.startswith(b"HTTP/1.1 200"))
            if self.tally.over:
                self.transport.close()
            else:
                self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        """Note an answer that did not come."""
        if not self.tally.over:
            self.tally.failures += 1
            asyncio.get_running_loop().create_task(self.tally.connect())


@dataclass
class Result:
    """What clients saw: answers, how many a second, milliseconds of the median and the slowest hundredth, failures."""

    answers: int
    rps: float
    p50: float
    p99: float
    failures: int


class Tally:
    """All clients of one run."""

    def __init__(self, url: str, connections: int, headers: list[str]) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname, parts.port)
        lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Accept: application/json", *headers]
        self.request = "\r\n".join([*lines, "", ""]).encode()
        self.connections = connections
        self.seconds: list[float] = []
        self.failures = 0
        self.counting = self.over = False

    def answered(self, seconds: float, good: bool) -> None:
        """Note an answer."""
        if self.counting:
            self.seconds.append(seconds)
            self.failures += not good

    async def connect(self) -> None:
        """Open a client."""
        await asyncio.get_running_loop().create_connection(lambda: Asking(self), *self.address)

    async def run(self, seconds: float) -> Result:
        """Ask for some time, after a warm-up."""
        for _ in range(self.connections):
            await self.connect()
        await asyncio.sleep(WARM_UP_SECONDS)
        self.failures, self.counting, began = 0, True, time.perf_counter()
        await asyncio.sleep(seconds)
        self.counting, lasted, self.over = False, time.perf_counter() - began, True
        ordered = sorted(self.seconds) or [float("nan")]
        p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
        return Result(len(self.seconds), round(len(self.seconds) / lasted), round(p50, 3), round(p99, 3), self.failures)


async def serve() -> None:
    """Serve until stdin is closed."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Be one of the ends."""
    if sys.argv[1] == "upstream":
        uvloop.run(serve())
        return
    url, connections, seconds, *headers = sys.argv[2:]
    print(json.dumps(asdict(uvloop.run(Tally(url, int(connections), headers).run(float(seconds))))))


if __name__ == "__main__":
    main()
