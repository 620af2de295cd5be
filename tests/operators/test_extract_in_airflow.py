"""GatewayExtractOperator in a real Airflow: its state stores, its triggers, its templates, its asset events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

DAGS = Path(__file__).parent / "dags"

RUN = """
import json, os, sys
from airflow.utils.db import initdb
initdb()
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
from sqlalchemy import select

states = []
for conf in json.loads(sys.argv[1]):
    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    assert not bag.import_errors, bag.import_errors
    run = bag.dags["shop"].test(run_conf=conf)
    states.append(str(run.state))
with create_session() as session:
    events = [
        {"asset": event.asset.name, "extra": event.extra, "key": event.partition_key}
        for event in session.scalars(select(AssetEvent).order_by(AssetEvent.id))
    ]
print("came: " + json.dumps({"states": states, "events": events}))
"""


class Shop(ThreadingHTTPServer):
    """Orders by area and time, two items each; the second page of the first read has to be waited for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.orders = [{"id": n, "area": "ns"[n % 2], "updated_at": f"2024-01-01T0{n}:00:00Z"} for n in range(1, 6)]
        self.seen: list[dict[str, str]] = []
        self.shares: list[tuple[str, str]] = []
        self.busy = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Shop

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        offset = int(query["offset"])
        if split.path != "/orders":
            found: list[dict[str, Any]] = [{"line": line} for line in range(3)]
        elif "area" in query:
            self.server.shares.append((query["area"], query.get("since", "")))
            found = [order for order in self.server.orders if order["area"] == query["area"]]
            found = [order for order in found if str(order["updated_at"]) >= query.get("since", "")]
        else:
            self.server.seen.append(query)
            if offset and self.server.busy:
                self.server.busy = False
                self._say(429, {}, ("Retry-After", "2"))
                return
            found = [order for order in self.server.orders if str(order["updated_at"]) > query["since"]]
        self._say(200, {"data": found[offset : offset + 2], "total": len(found)})

    def _say(self, status: int, body: object, *headers: tuple[str, str]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("Content-Length", str(len(text))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A service on loopback."""
    server = Shop()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_runs_follow_one_another_and_wait_in_the_triggerer(shop: Shop, tmp_path: Path) -> None:
    """Three runs, the last a backfill: deferral, asset state, children, merge and events do what they should."""
    gateway = {
        "conn_type": "gateway",
        "host": f"http://127.0.0.1:{shop.server_port}",
        "extra": {"max_inline_wait": 1, "backoff": 0.01},
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW__AIRGATE__DATA_ROOT": f"file://{tmp_path}/data",
        "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps(gateway),
        "SHOP_REPORT": str(tmp_path / "report"),
    }
    runs = [{}, {}, {"since": "2024-01-01T02:30:00Z"}]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(runs)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    last = [line for line in done.stdout.splitlines() if line.startswith("came: ")]
    assert last, f"{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    came = json.loads(last[0].removeprefix("came: "))
    assert came["states"] == ["success"] * 3, done.stdout[-8000:]
    first, second, backfill = (json.loads(line) for line in (tmp_path / "report").read_text().splitlines())

    # Deferred after the first page, gone on behind it, and read by no query twice.
    asked = [(query["since"], query["offset"]) for query in shop.seen]
    assert asked[:4] == [("2024-01-01", "0"), ("2024-01-01", "2"), ("2024-01-01", "2"), ("2024-01-01", "4")]
    assert first["orders"]["written"] == 5
    assert first["items"]["written"] == 15
    assert first["items"]["schema"]["order_id"] == "int64"

    # The asset's state knows where the second one begins; a backfill reads what it is told, and moves nothing back.
    assert (asked[4], second["orders"]["written"]) == (("2024-01-01T05:00:00Z", "0"), 0)
    assert (asked[5], backfill["orders"]["written"]) == (("2024-01-01T02:30:00Z", "0"), 3)
    assert all(query["until"].endswith("Z") for query in shop.seen if "until" in query)

    assert first["merged"]["written"] == 5
    assert {part["name"].split("/")[0] for part in first["merged"]["parts"]} == {"0", "1"}

    told = [event for event in came["events"] if event["asset"] == "orders"]
    assert [event["extra"].get("watermark") for event in told] == [
        "2024-01-01T05:00:00+00:00",
        None,
        "2024-01-01T05:00:00+00:00",
    ]
    assert [event["extra"]["rows"] for event in told] == [5, 0, 3]
    assert len({event["key"] for event in told}) == 3
    # Each share goes on from its own watermark, at which the service is inclusive.
    assert sorted(set(shop.shares)) == [
        ("n", ""),
        ("n", "2024-01-01T04:00:00Z"),
        ("s", ""),
        ("s", "2024-01-01T05:00:00Z"),
    ]
    assert [event["extra"]["rows"] for event in came["events"] if event["asset"] == "areas"] == [5, 2, 2]
