"""Jobs that run by the clock, at a service that costs next to nothing and counts what it is asked.

`python benchmarks/_waits_service.py` serves until its stdin is closed, and prints its port first.

    POST /-/plan    {"jobs"}: so many, which do not end for now; counts begin anew
    POST /-/end     {"first_end", "last_end"}: their ends, Unix times, spread evenly between the two
    GET  /-/facts   {"requests", "asked", "others", "ends"}: requests for planned jobs, how many of them were asked for,
                    requests for others, the ends
    GET  /jobs/7    a status document, as GET /jobs?ids=7,8 gives them for many
    GET  /done/7    404 until the job is over: all that HttpSensor can wait for without a worker

Jobs beyond those never end.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import uvloop

STRIDE = 7919
"""A prime: neighbours do not end one after the other."""


class Jobs:
    """What the service knows."""

    def __init__(self) -> None:
        self.plan(0)

    def plan(self, jobs: int) -> None:
        """Begin anew."""
        self.ends = [math.inf] * jobs
        self.requests = self.others = 0
        self.asked: set[int] = set()

    def end(self, first_end: float, last_end: float) -> None:
        """Set the ends."""
        jobs = len(self.ends)
        step = (last_end - first_end) / max(jobs - 1, 1)
        self.ends = [first_end + (number * STRIDE % jobs) * step for number in range(jobs)]

    def over(self, number: int) -> bool:
        """Whether a job has ended; notes that it was asked for."""
        if number >= len(self.ends):
            return False
        self.asked.add(number)
        return time.time() >= self.ends[number]

    def document(self, number: int) -> dict[str, Any]:
        """How a job stands."""
        return {"id": str(number), "status": "succeeded" if self.over(number) else "running"}

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        """Status and document."""
        split = urlsplit(target)
        if split.path == "/-/facts":
            known = {"requests": self.requests, "asked": len(self.asked), "others": self.others}
            return 200, known | {"ends": [end for end in self.ends if end < math.inf]}
        if split.path in {"/-/plan", "/-/end"}:
            (self.plan if split.path == "/-/plan" else self.end)(**json.loads(body))
            return 200, {}
        kind, _, number = split.path[1:].partition("/")
        if method != "GET" or kind not in {"jobs", "done"}:
            return 404, {"error": "no such thing"}
        numbers = [int(each) for each in parse_qs(split.query)["ids"][0].split(",")] if not number else [int(number)]
        planned = min(numbers) < len(self.ends)
        self.requests += planned
        self.others += not planned
        if not number:
            return 200, {"jobs": [self.document(each) for each in numbers]}
        if kind == "jobs":
            return 200, self.document(numbers[0])
        over = self.over(numbers[0])
        return (200 if over else 404), {"over": over}


class Serving(asyncio.Protocol):
    """One connection."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, rest = self.received.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            size = int(length) if length else 0
            if len(rest) < size:
                return
            body, self.received = rest[:size], rest[size:]
            method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
            status, document = self.jobs.answer(method, target, body)
            payload = json.dumps(document).encode()
            line = b"HTTP/1.1 %d %s\r\n" % (status, b"OK" if status == 200 else b"Not Found")
            headers = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(payload)
            self.transport.write(line + headers + payload)


async def serve() -> None:
    """Serve until stdin is closed."""
    jobs = Jobs()
    server = await asyncio.get_running_loop().create_server(lambda: Serving(jobs), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
