"""Pages: 200 offset pages that take 50 ms each, eight requests in flight against one after the other; wall clock.

The server and each variant are processes of their own; the variants run in turn. Airgate reads through GatewayHook, as
a task does. Peers are a requests session in a plain loop, and the same in a pool of eight threads that knows beforehand
which pages there are, keeps neither order nor bounds, and repeats nothing: the most that threads can do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PAGES, PER_PAGE, PAUSE, IN_FLIGHT = 200, 500, 0.05, 8
TOTAL = PAGES * PER_PAGE

INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


class Answering(asyncio.Protocol):
    """The least of a server: each page after a pause."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        """Answer a request that is complete; a client waits for the answer before it sends the next."""
        self.received += data
        if b"\r\n\r\n" in self.received:
            target = self.received.split(b" ", 2)[1]
            self.received = b""
            offset = int(target.partition(b"offset=")[2].partition(b"&")[0])
            asyncio.get_running_loop().call_later(PAUSE, self.transport.write, ANSWERS[offset])


def answer(offset: int) -> bytes:
    """One page of about 55 KB, with its head."""
    records = [
        {
            "id": row,
            "carrier": "UA",
            "flight": row % 9000,
            "delay": row / 7,
            "at": "2013-01-01T05:00:00Z",
            "note": "n" * 9,
        }
        for row in range(offset, offset + PER_PAGE)
    ]
    body = json.dumps({"data": records, "total": TOTAL}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


ANSWERS: dict[int, bytes] = {}


async def serve() -> None:
    """Serve until the parent closes stdin; the first line on stdout is the port."""
    ANSWERS.update({offset: answer(offset) for offset in range(0, TOTAL, PER_PAGE)})
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def serving() -> Iterator[str]:
    """A process that serves the pages; gives its address."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.communicate()


Read = Callable[[], int]
"""Reads the collection and gives the number of records."""


def airgate(in_flight: int) -> Read:
    """What an extract task reads with."""
    from airgate.hooks import GatewayHook
    from airgate.pagination import OffsetPages, PageFetch, PageRequest, read_pages

    hook, paginator = GatewayHook("benchmark"), OffsetPages(limit=PER_PAGE)
    fetch = PageFetch.through(hook, "/records")
    fetch(PageRequest(paginator.params(paginator.first())))  # Airflow imports some of its parts with the first call

    def read() -> int:
        offsets, count = [], 0
        for reached in read_pages(paginator, fetch, "data", paginator.first(), in_flight=in_flight):
            offsets.append(reached.position["offset"])
            count += len(reached.page.records)
        assert offsets == list(range(0, TOTAL, PER_PAGE))
        return count

    return read


def session(threads: int) -> Read:
    """A requests session, its answers decoded, by hand."""
    from concurrent.futures import ThreadPoolExecutor

    import requests

    bare = requests.Session()

    def get(offset: int) -> int:
        params = {"limit": PER_PAGE, "offset": offset}
        return len(bare.get(f"{os.environ['BENCHMARK_URL']}/records", params=params, timeout=60).json()["data"])

    def read() -> int:
        if threads == 1:
            return sum(map(get, range(0, TOTAL, PER_PAGE)))
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(get, range(0, TOTAL, PER_PAGE)))

    return read


VARIANTS: dict[str, Callable[[], Read]] = {
    "sequential": lambda: airgate(1),
    "parallel": lambda: airgate(IN_FLIGHT),
    "session": lambda: session(1),
    "session_pool": lambda: session(IN_FLIGHT),
}


def measure(name: str) -> float:
    """Run a variant in this process; seconds of wall clock, imports left out."""
    read = VARIANTS[name]()
    began = time.perf_counter()
    count = read()
    seconds = time.perf_counter() - began
    assert count == TOTAL, count
    return seconds


def spawn(home: str, address: str, name: str) -> float:
    """Run a variant in a fresh process with an Airflow of its own."""
    settings: dict[str, Any] = {each: os.environ[each] for each in INHERITED if each in os.environ}
    settings |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_BENCHMARK": json.dumps({"conn_type": "gateway", "host": address}),
        "BENCHMARK_URL": address,
    }
    command = [sys.executable, __file__, "--variant", name]
    done = subprocess.run(command, env=settings, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure all variants in turn and print the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line and figure")
    parser.add_argument("--runs", type=int, default=3, help="of each variant")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    if options.variant:
        print(measure(options.variant))
        return
    results: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory(prefix="airgate-bench-") as home, serving() as address:
        for _ in range(options.runs):
            for name, seconds in results.items():
                seconds.append(spawn(home, address, name))
    median = {name: statistics.median(seconds) for name, seconds in results.items()}
    figure = {
        "bench": "pages",
        "figure": "pages.parallel_speedup",
        "value": round(median["sequential"] / median["parallel"], 2),
        "unit": "seconds of one after the other / seconds with 8 in flight",
        "better": "higher",
        "goal": 6.0,
        "peers": {name: round(median["sequential"] / median[name], 2) for name in ("session", "session_pool")},
        "n": options.runs,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    if options.json:
        print(json.dumps(figure))
        return
    print(f"{figure['figure']:<28} {figure['value']} {figure['unit']} (goal {figure['goal']})")
    for name, value in median.items():
        print(f"{name:<28} {value:.2f} s for {PAGES} pages")


if __name__ == "__main__":
    main()
