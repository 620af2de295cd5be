"""Extract: 200,000 records in 200 cursor pages over loopback, to Parquet, against the least that any client must do.

The floor is one pooled session that decodes each page with orjson and forgets it. Each variant runs in a process of its
own, in turn; its CPU seconds and its peak memory beyond what its imports take are its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGES, PER_PAGE = 200, 1000

SCHEMA = {
    "properties": {
        **{f"i{number}": {"type": "integer"} for number in range(6)},
        **{f"f{number}": {"type": ["number", "null"]} for number in range(4)},
        **{f"s{number}": {"type": "string"} for number in range(5)},
        "at": {"type": "string", "format": "date-time"},
    },
    "required": [*(f"i{number}" for number in range(6)), "at"],
}


def page(number: int) -> bytes:
    """The JSON of one page: about 400 KB, 16 fields a record."""
    records = [
        {
            **{f"i{field}": row * 31 + field for field in range(6)},
            **{f"f{field}": None if (row + field) % 7 == 0 else row / (field + 3) for field in range(4)},
            **{f"s{field}": f"text {row % 1000} {field}" for field in range(5)},
            "at": f"2013-01-{row % 28 + 1:02d}T{row % 24:02d}:00:00Z",
        }
        for row in range(number * PER_PAGE, (number + 1) * PER_PAGE)
    ]
    following = str(number + 1) if number + 1 < PAGES else None
    return json.dumps({"data": records, "next_cursor": following}).encode()


def serve() -> None:
    """Serve the pages until the parent closes stdin; the first line on stdout is the port."""
    pages = [page(number) for number in range(PAGES)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def do_GET(self) -> None:
            body = pages[int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


@contextmanager
def server() -> Iterator[str]:
    """A process that serves the pages; gives its address."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.communicate()


def floor(address: str) -> Any:
    """The least: fetch, decode, forget."""
    import orjson
    import requests

    def work() -> int:
        session, cursor, count = requests.Session(), "0", 0
        while cursor is not None:
            answer = orjson.loads(session.get(f"{address}/records", params={"cursor": cursor}, timeout=60).content)
            count, cursor = count + len(answer["data"]), answer["next_cursor"]
        return count

    return work


def airgate(address: str) -> Any:
    """What GatewayExtractOperator runs: signed calls, locked schema, durable parts, a checkpoint behind each."""
    import fsspec
    import pyarrow.json  # noqa: F401 - counted among the imports, not as work

    from airgate.client.gateway import Gateway
    from airgate.client.message import Request, join_url
    from airgate.client.session import GatewaySession
    from airgate.data.extract import Collection, extract
    from airgate.data.schema import arrow_schema
    from airgate.data.storage import Folder
    from airgate.pagination import CursorPages

    class FileCheckpoint:
        def __init__(self, path: Path) -> None:
            self.path = path

        def load(self) -> None:
            return None

        def save(self, state: dict[str, Any]) -> None:
            self.path.write_text(json.dumps(state))

        def clear(self) -> None:
            self.path.unlink()

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder, GatewaySession(Gateway(address)) as session:
            manifest = extract(
                Collection("GET /records", CursorPages(limit=PER_PAGE), arrow_schema(SCHEMA)),
                lambda page: session.call(Request("GET", join_url(address, "/records", params=page.params))),
                Folder(fsspec.filesystem("file"), f"{folder}/out", f"file://{folder}/out"),
                FileCheckpoint(Path(folder) / "checkpoint"),
            )
            return manifest.written

    return work


VARIANTS = {"floor": floor, "airgate": airgate}


def measure(name: str, address: str) -> dict[str, float]:
    """Run a variant in this process; CPU seconds and peak memory in MB, both beyond its imports."""
    work = VARIANTS[name](address)
    before = resource.getrusage(resource.RUSAGE_SELF)
    count = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert count == PAGES * PER_PAGE, count
    return {
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "rss": (after.ru_maxrss - before.ru_maxrss) / 1024,
    }


def main() -> None:
    """Measure all variants in turn and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line and figure")
    parser.add_argument("--runs", type=int, default=5, help="of each variant")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--variant", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    if options.variant:
        print(json.dumps(measure(*options.variant)))
        return
    results: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    with server() as address:
        for _ in range(options.runs):
            for name in VARIANTS:
                command = [sys.executable, __file__, "--variant", name, address]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                results[name].append(json.loads(done.stdout.splitlines()[-1]))
                time.sleep(0.2)
    median = {
        name: {key: statistics.median(run[key] for run in runs) for key in ("cpu", "rss")}
        for name, runs in results.items()
    }
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    shared = {"bench": "extract", "better": "lower", "n": options.runs, "machine": machine}
    figures = [
        {
            "figure": "extract.floor_ratio.200k",
            "value": round(median["airgate"]["cpu"] / median["floor"]["cpu"], 2),
            "unit": "CPU seconds / CPU seconds of the floor",
            "goal": 2.0,
            "peers": {"floor": 1.0},
        },
        {
            "figure": "extract.rss_over_imports_mb.200k",
            "value": round(median["airgate"]["rss"], 1),
            "unit": "MB",
            "goal": 64,
            "peers": {"floor": round(median["floor"]["rss"], 1)},
        },
    ]
    for figure in figures:
        if options.json:
            print(json.dumps(shared | figure))
        else:
            print(f"{figure['figure']:<36} {figure['value']} {figure['unit']} (goal {figure['goal']})")


if __name__ == "__main__":
    main()
