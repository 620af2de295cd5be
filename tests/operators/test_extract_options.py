"""GatewayExtractOperator: what its options do to the read and to the files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from airgate.operators import GatewayExtractOperator
from airgate.pagination import CursorPages, LinkHeaderPages, OffsetPages, SinglePage
from tests.scripted_server import Answer, ScriptedServer
from tests.state_store import FileStore

SCHEMA = {"properties": {"id": {"type": "integer"}, "day": {"type": "string"}}, "required": ["id"]}


def answer(*records: Any, **beside: Any) -> Answer:
    headers = beside.pop("headers", {})
    return Answer(body=json.dumps({"data": records, **beside}).encode(), headers=headers)


def read(**arguments: Any) -> GatewayExtractOperator:
    values = {"task_id": "t", "path": "/n", "paginator": SinglePage(), "schema": SCHEMA, **arguments}
    return GatewayExtractOperator(**values)


def part(manifest: dict[str, Any], number: int = 0) -> pq.ParquetFile:
    path = Path(manifest["path"].removeprefix("file://")) / manifest["parts"][number]["name"]
    return pq.ParquetFile(io.BytesIO(path.read_bytes()))


@pytest.fixture
def again(context, tmp_path: Path):
    """The same task in another run."""

    def start(run_id: str) -> dict[str, Any]:
        ti = SimpleNamespace(**{**vars(context["ti"]), "run_id": run_id})
        return {"ti": ti, "task_state_store": FileStore(tmp_path / f"{run_id}.json")}

    return start


def test_parts_have_the_form_that_is_asked_for(context, server: ScriptedServer) -> None:
    """Row groups, folders by column, rows a part."""
    server.answers = [answer(*({"id": n, "day": f"d{n % 2}"} for n in range(10)))]
    manifest = read(partition_by=["day"], row_group_rows=2, part_rows=5, zstd_level=3).execute(context)
    assert [part["name"] for part in manifest["parts"]] == ["day=d0/part-00000.parquet", "day=d1/part-00000.parquet"]
    assert part(manifest).num_row_groups == 3


def test_large_records_make_parts_by_bytes(context, server: ScriptedServer) -> None:
    """Whatever comes first ends a part."""
    pages = [answer(*({"id": 4 * p + n, "day": "x" * 500} for n in range(4)), next_cursor=str(p)) for p in range(3)]
    server.answers = [*pages, answer()]
    manifest = read(paginator=CursorPages(limit=4), part_bytes=1_000, part_rows=3).execute(context)
    assert len(manifest["parts"]) == 3


def test_an_inferred_schema_holds_for_later_runs(again, server: ScriptedServer, tmp_path: Path) -> None:
    """What the first run saw decides; a later text in place of a number is dead-lettered, a new field a new column."""
    server.answers = [answer({"id": 1, "v": 1.5}), answer({"id": 2, "v": "x"}, {"id": 3, "v": 2, "w": True})]
    first = read(schema=None).execute(again("r1"))
    second = read(schema=None).execute(again("r2"))
    assert first["schema"] == {"id": "int64", "v": "double"}
    assert second["schema"] == {"id": "int64", "v": "double", "w": "bool"}
    assert (second["written"], second["dead_lettered"]) == (1, 1)
    assert (tmp_path / "data/_schemas/d/t/schema.json").exists()


def test_an_inferred_schema_can_have_a_place_of_its_own(again, server: ScriptedServer, tmp_path: Path) -> None:
    """Shared by several DAGs, say; without any data root as well."""
    server.answers = [answer({"id": 1})]
    read(schema=None, schema_path=f"file://{tmp_path}/mine").execute(again("r1"))
    assert json.loads((tmp_path / "mine/schema.json").read_text())["properties"]["id"]["type"] == ["integer", "null"]


@pytest.mark.parametrize(
    ("evolution", "columns", "dead"),
    [("evolve", ["id", "day", "new"], 0), ("freeze", ["id", "day"], 1), (None, ["id", "day"], 0)],
)
def test_an_unknown_field_is_met_as_the_task_says(
    context, server: ScriptedServer, evolution: Any, columns: list[str], dead: int
) -> None:
    """A column, a dead letter, or nothing."""
    server.answers = [answer({"id": 1, "day": "a", "new": 7}, {"id": 2, "day": "b"})]
    manifest = read(evolution=evolution).execute(context)
    assert (list(manifest["schema"]), manifest["dead_lettered"]) == (columns, dead)


def test_pages_are_fetched_at_once(context, server: ScriptedServer) -> None:
    """Offset pages with a total, three at a time: each is asked for once."""
    server.answers = [answer({"id": 2 * n}, {"id": 2 * n + 1}, total=8) for n in range(4)]
    manifest = read(paginator=OffsetPages(limit=2), in_flight=3).execute(context)
    assert sorted(part(manifest).read().column("id").to_pylist()) == list(range(8))
    assert sorted(seen.query["offset"] for seen in server.seen) == [["0"], ["2"], ["4"], ["6"]]


def test_more_records_than_allowed_fail(context, server: ScriptedServer) -> None:
    """A bound for reads that should be small."""
    server.answers = [answer({"id": 1}, {"id": 2})]
    with pytest.raises(ValueError, match="more than 1 records"):
        read(max_records=1).execute(context)


def test_a_search_is_posted_without_a_key(context, server: ScriptedServer) -> None:
    """Body and headers go along; nothing is remembered of it as of a write."""
    server.answers = [answer({"id": 1})]
    read(method="POST", json={"q": "x"}, headers={"X-Tenant": "7"}).execute(context)
    [seen] = server.seen
    assert (seen.method, json.loads(seen.body), seen.headers["x-tenant"]) == ("POST", {"q": "x"}, "7")
    assert "idempotency-key" not in seen.headers
    assert context["task_state_store"].keys() == ["airgate.checkpoint"]


def test_a_link_does_not_leave_the_gateway(context, server: ScriptedServer) -> None:
    """Nothing is sent where a next link points to another host; to its own it is followed with its query."""
    own = {"Link": '</n?page=2&token=t>; rel="next"'}
    foreign = {"Link": '<http://elsewhere.test/n?page=3>; rel="next"'}
    server.answers = [answer({"id": 1}, headers=own), answer({"id": 2}, headers=foreign)]
    with pytest.raises(Exception, match="leads to another origin"):
        read(paginator=LinkHeaderPages(), query={"a": "1"}).execute(context)
    assert [seen.query.get("page") for seen in server.seen] == [None, ["2"]]


def test_secret_fields_are_masked_in_dead_letters(context, server: ScriptedServer, tmp_path: Path) -> None:
    """The record is kept otherwise as it came."""
    server.answers = [answer({"id": "bad", "day": "hunter2"})]
    read(redact_fields=["day"]).execute(context)
    letters = (tmp_path / "data/d/r/t/dead-letters-00000.jsonl").read_text()
    assert "hunter2" not in letters
    assert "bad" in letters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "PUT"}, "method must be GET or POST"),
        ({"json": {"q": 1}}, "json: a GET has no body"),
        ({"in_flight": 0}, "in_flight must be 1 or more"),
        ({"max_records": 0}, "max_records must be 1 or more"),
    ],
)
def test_wrong_options_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    """With the task's name."""
    with pytest.raises(ValueError, match=f"task 't': {message}"):
        read(**arguments)
