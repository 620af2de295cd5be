"""GatewayExtractOperator with parents: the items of every order."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airgate.errors import NotFound
from airgate.hooks.storage import open_folder
from airgate.operators import GatewayExtractOperator
from airgate.pagination import NextUrlPages, OffsetPages

ITEM = {"properties": {"line": {"type": "integer"}}, "required": ["line"]}
ORDERS = [{"id": "a/b", "customer": 7}, {"id": "ü c", "customer": 8}, {"id": "d", "customer": 7}]


class Shop(ThreadingHTTPServer):
    """Orders and their items; order ``gone`` is not there. Items have an offset, or a link to the next ones."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.items = {"a%2Fb": 3, "%C3%BC%20c": 1, "d": 4}
        self.seen: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Shop

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        if split.path == "/orders":
            self._say(200, {"data": ORDERS, "total": len(ORDERS)})
            return
        total = self.server.items.get(split.path.split("/")[2])
        if total is None:
            self._say(404, {"error": "no such order"})
            return
        start = int(query.get("offset", 0))
        lines = [{"line": line} for line in range(start, min(start + 2, total))]
        link = f"{split.path}?offset={start + 2}" if start + 2 < total else None
        self._say(200, {"data": lines, "total": total, "next": link})

    def _say(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The gateway is the shop itself."""
    server = Shop()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    gateway = {"conn_type": "gateway", "host": f"http://127.0.0.1:{server.server_port}", "extra": {"attempts": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def items(**arguments: Any) -> GatewayExtractOperator:
    values = {
        "task_id": "t",
        "path": "/orders/{order_id}/items",
        "paginator": OffsetPages(limit=2),
        "schema": ITEM,
        "parents": ORDERS,
        "parent_params": {"order_id": "id"},
        "parent_columns": {"order_id": "id", "customer": "customer"},
        **arguments,
    }
    return GatewayExtractOperator(**values)


def rows(manifest: dict[str, Any]) -> list[tuple[Any, ...]]:
    folder = open_folder(manifest["path"])
    tables = [pq.read_table(io.BytesIO(folder.read(part["name"]))) for part in manifest["parts"]]
    table = pa.concat_tables(tables).to_pydict()
    return list(zip(table["order_id"], table["customer"], table["line"], strict=True))


EXPECTED = [("a/b", 7, n) for n in range(3)] + [("ü c", 8, 0)] + [("d", 7, n) for n in range(4)]


def test_the_items_of_every_order_in_the_orders_order(context, shop: Shop) -> None:
    """From the data set of the task before: ids are escaped as one segment, and every row says whose it is."""
    orders = GatewayExtractOperator(
        task_id="t",
        path="/orders",
        paginator=OffsetPages(limit=5),
        schema={"properties": {"id": {"type": "string"}, "customer": {"type": "integer"}}},
    ).execute(context)
    context["ti"].task_id = "items"
    manifest = items(parents=orders, in_flight=2).execute(context)
    assert rows(manifest) == EXPECTED
    assert manifest["schema"] == {"line": "int64!", "order_id": "string", "customer": "int64"}
    assert {seen.split("?")[0] for seen in shop.seen[1:]} == {
        "/orders/a%2Fb/items",
        "/orders/%C3%BC%20c/items",
        "/orders/d/items",
    }


@pytest.mark.parametrize("parents", [ORDERS, [ORDERS[:1], None, ORDERS[1:]]])
def test_parents_are_a_list_or_the_lists_of_mapped_tasks(context, shop: Shop, parents: Any) -> None:
    """Without a data set between; a mapped task that was skipped has none."""
    assert rows(items(parents=parents).execute(context)) == EXPECTED


def test_links_lead_to_the_next_items(context, shop: Shop) -> None:
    """A next URL brings path and query along, whichever parent it belongs to."""
    manifest = items(paginator=NextUrlPages(next_field="next", limit=2)).execute(context)
    assert rows(manifest) == EXPECTED


def test_an_order_that_is_gone_fails_or_is_skipped(context, shop: Shop) -> None:
    """Deleted between the two reads; which it is stands in the DAG."""
    parents = [*ORDERS, {"id": "gone", "customer": 9}]
    with pytest.raises(NotFound, match="no such order"):
        items(parents=parents).execute(context)
    assert rows(items(parents=parents, missing_parent="skip").execute(context)) == EXPECTED


@pytest.mark.parametrize("parents", [[{"kind": "airgate.manifest"}, {"id": "a"}], ["a", "b"], "orders"])
def test_parents_of_another_kind_are_refused(context, shop: Shop, parents: Any) -> None:
    """Before anything is asked for."""
    with pytest.raises(ValueError, match="parents must be a manifest, a list of manifests, or a list of records"):
        items(parents=parents).execute(context)
    assert shop.seen == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parents": None}, "parent_params, parent_columns: there are no parents"),
        ({"parent_params": None}, "parents need parent_params"),
        ({"parent_params": {"order": "id"}}, r"has the placeholders \['order_id'\], parent_params fills \['order'\]"),
        ({"missing_parent": "ignore"}, "missing_parent must be fail or skip"),
    ],
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    """The error names task and argument."""
    with pytest.raises(ValueError, match=f"task 't': .*{message}"):
        items(**arguments)
