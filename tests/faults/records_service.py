"""A service with records in pages and as files, some damaged, which remembers what it was asked for."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 10
"""Records a page."""

TOTAL = 115
"""Records of a collection: the last page is half full."""

BAD_EVERY = 13
"""One record of so many has a text where a number should be."""

PARENTS = {f"p{number}": count for number, count in enumerate((25, 0, 31, 10, 49))}
"""Parent -> records below it."""


def record(number: int) -> dict[str, Any]:
    """One record; ``at`` falls, so that the watermark of a read is in its first part."""
    value: int | str = "damaged" if number % BAD_EVERY == 0 else number
    at = f"2024-01-31T{23 - number // 10:02}:00:00Z"
    return {"id": number, "value": value, "at": at, "kind": "ab"[number % 2]}


def ndjson() -> bytes:
    """All records, one a line."""
    return b"".join(json.dumps(record(number)).encode() + b"\n" for number in range(TOTAL))


def csv() -> bytes:
    """All records below a header, in a gzip file."""
    lines = [",".join(map(str, record(number).values())) for number in range(TOTAL)]
    return gzip.compress("\r\n".join([",".join(record(0)), *lines]).encode(), mtime=0)


class RecordsService(ThreadingHTTPServer):
    """On loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        """Path and position of each page that was asked for."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: apart, the second one waits for an acknowledgement of the first
    server: RecordsService

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        if split.path.startswith("/export"):
            self._give(split.path, ndjson() if split.path == "/export" else csv())
            return
        start = int(query.get("offset") or query.get("cursor") or 0)
        self.server.asked.append(f"{split.path}@{start}")
        parent = split.path.removeprefix("/parents/").partition("/")[0]
        total = PARENTS.get(parent, TOTAL)
        end = min(start + PAGE, total)
        records = [record(number) for number in range(start, end)]
        page = {"data": records, "total": total, "next_cursor": str(end) if end < total else None}
        text = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _give(self, path: str, content: bytes) -> None:
        """Answer with a file, or a range of it."""
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        self.server.asked.append(f"{path}@{start}")
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", '"the only version"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def records_service() -> Iterator[RecordsService]:
    """Run it until the end of the context."""
    service = RecordsService()
    thread = threading.Thread(target=service.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        service.server_close()
        thread.join()
