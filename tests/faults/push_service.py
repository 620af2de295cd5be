"""A service that takes records in batches and counts what it does: how often each record had its effect.

It honours ``Idempotency-Key``: a request is performed once, and its first answer is repeated to every later one with
that key, also to one that comes while the first is still being performed; another body under a key that is known counts
as a fault. A record with ``"bad": true`` is refused.

    POST /items             performs the good records and answers 207 with an item for each
    POST /strict            performs all records, or none and answers 422 when one is bad
    PUT  /records/ID        performs one record
    GET  /-/told            {"effects": {record: times}, "requests": n, "keys": n, "at_once": n, "reused": n}

With ``?pause=S`` a request takes S seconds before and as long behind its effects, with ``?drop=N`` every N-th request
ends without an answer, behind its effects, and with ``?busy=N`` an item whose id is divisible by N is put off, 429, the
first time, and by N * N the first two times.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]


class PushService:
    """The service, on a loopback port.

    Args:
        port: 0 for any that is free.
    """

    def __init__(self, port: int = 0) -> None:
        self.effects: Counter[str] = Counter()
        self.order: list[str] = []
        """Records as their effects came."""
        self.sizes: list[int] = []
        """Records of each request, as they came."""
        self.requests = 0
        self.at_once = 0
        """Most requests that were under way at the same time."""
        self.answers: dict[str, Answer] = {}
        self.bodies: dict[str, Any] = {}
        self.reused = 0
        """Requests whose key was known with another body."""
        self.put_off: Counter[str] = Counter()
        self._under_way = 0
        self._lock = threading.Lock()
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def take(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                content = self.rfile.read(length)
                if len(content) < length:  # killed while it sent
                    self.close_connection = True
                    return
                body = json.loads(content or b"null")
                split = urlsplit(self.path)
                query = {name: float(values[0]) for name, values in parse_qs(split.query).items()}
                answer = service.answer(split.path, query, body, self.headers.get("Idempotency-Key"))
                if answer is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                content = json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # the other side was killed
                    self.close_connection = True

            do_GET = do_POST = do_PUT = take

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def told(self) -> dict[str, Any]:
        """What it counted."""
        with self._lock:
            counted = {"requests": self.requests, "keys": len(self.answers), "at_once": self.at_once}
            return {"effects": dict(self.effects), "reused": self.reused, **counted}

    def answer(self, path: str, query: dict[str, float], body: Any, key: str | None) -> Answer | None:
        """The answer to a request; None for none."""
        if path == "/-/told":
            return 200, self.told()
        with self._lock:
            self.requests += 1
            number = self.requests
            self._under_way += 1
            self.at_once = max(self.at_once, self._under_way)
            turn = self._turns[key or str(number)]
            self.reused += bool(key) and self.bodies.setdefault(key or "", body) != body
        with turn:
            answer = self.answers.get(key or "")
            if answer is None:
                time.sleep(query.get("pause", 0))
                answer = self._perform(path, body, int(query.get("busy", 0)))
                if key:
                    self.answers[key] = answer
                time.sleep(query.get("pause", 0))
        with self._lock:
            self._under_way -= 1
        drop = int(query.get("drop", 0))
        return None if drop and number % drop == 0 else answer

    def _perform(self, path: str, body: Any, busy: int) -> Answer:
        records = body if isinstance(body, list) else body.get("items", [body])
        bad = [bool(record.get("bad")) for record in records]
        late = [bool(busy and path == "/items" and self._is_busy(record["id"], busy)) for record in records]
        good = [record for record, *faults in zip(records, bad, late, strict=True) if not any(faults)]
        with self._lock:
            self.sizes.append(len(records))
            if path == "/strict" and any(bad):
                return 422, {"detail": f"record {bad.index(True)} is bad"}
            for record in good:
                self.effects[str(record["id"])] += 1
                self.order.append(str(record["id"]))
        if path != "/items":
            return 200, {"taken": len(good)}
        statuses = [429 if is_late else 422 if is_bad else 201 for is_bad, is_late in zip(bad, late, strict=True)]
        errors = {429: {"error": "busy"}, 422: {"error": "it is bad"}}
        return 207, {"items": [{"status": status, **errors.get(status, {})} for status in statuses]}

    def _is_busy(self, identity: int, busy: int) -> bool:
        with self._lock:
            self.put_off[str(identity)] += 1
            return self.put_off[str(identity)] <= (identity % busy == 0) + (identity % (busy * busy) == 0)


if __name__ == "__main__":
    served = PushService(int(sys.argv[1]))
    print(served.port, flush=True)
