"""From the gateway to the table, through the operators."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from airgate.data.loads.load import LoadRefused
from airgate.decorators import dataframe_task
from airgate.errors import Unavailable
from airgate.hooks import WarehouseHook
from airgate.operators import GatewayExtractOperator, TableLoadOperator
from airgate.pagination import CursorPages
from tests.scripted_server import Answer, ScriptedServer

SCHEMA = {"properties": {"id": {"type": "integer"}, "v": {"type": ["string", "null"]}}, "required": ["id"]}


def pages(*records: list, last: str | None = None) -> list[Answer]:
    """Cursor pages; the last one names the cursor ``last``."""
    cursors = [f"c{number}" for number in range(1, len(records))] + [last]
    return [
        Answer(body=json.dumps({"data": page, "next_cursor": cursor}).encode())
        for page, cursor in zip(records, cursors, strict=True)
    ]


def extract(**kwargs) -> GatewayExtractOperator:
    values = {"task_id": "t", "path": "/things", "paginator": CursorPages(limit=2), "schema": SCHEMA, **kwargs}
    return GatewayExtractOperator(**values)


def table(sql: str) -> list[tuple]:
    with WarehouseHook().get_conn(read_only=True) as warehouse:
        return warehouse.query(sql)


def test_records_travel_from_the_gateway_to_the_table(context, server: ScriptedServer) -> None:
    """Extract, load, load again: the manifest goes in between, the second load is a no-op."""
    server.answers = pages([{"id": 1, "v": "a"}, {"id": 2}], [{"id": "bad"}, {"id": 3, "v": None}])
    manifest = extract(query={"day": "2013-01-01"}).execute(context)
    assert json.loads(json.dumps(manifest)) == manifest
    assert (manifest["received"], manifest["written"], manifest["dead_lettered"]) == (4, 3, 1)
    assert [seen.query.get("cursor") for seen in server.seen] == [None, ["c1"]]
    assert all(seen.query["day"] == ["2013-01-01"] for seen in server.seen)
    load = TableLoadOperator(task_id="t", data=manifest, table="things", key=["id"])
    first, second = load.execute(context), load.execute(context)
    assert (first["inserted"], first["repeated"], second["repeated"]) == (3, False, True)
    assert table("SELECT id, v FROM things ORDER BY id") == [(1, "a"), (2, None), (3, None)]


def test_a_retry_goes_on_where_the_dead_try_stopped(context, server: ScriptedServer) -> None:
    """The position is in the task state store, so the second try asks for the page that failed."""
    server.answers = [*pages([{"id": 1}, {"id": 2}], [{"id": 3}, {"id": 4}], last="c2"), *[Answer(503)] * 3]
    with pytest.raises(Unavailable):
        extract(part_rows=2).execute(context)
    server.seen.clear()
    server.answers = pages([{"id": 5}])
    manifest = extract(part_rows=2).execute(context)
    assert [seen.query["cursor"] for seen in server.seen] == [["c2"]]
    assert (manifest["received"], manifest["calls"]["pages"]) == (5, 3)
    # Between this end and Airflow's knowing of it the process may die: the next try then asks for nothing.
    server.seen.clear()
    assert extract(part_rows=2).execute(context) == manifest
    assert server.seen == []


def test_another_query_does_not_take_over_a_checkpoint(context, server: ScriptedServer) -> None:
    """A run that is cleared with other params starts from the beginning."""
    server.answers = [*pages([{"id": 1}, {"id": 2}], last="c1"), *[Answer(503)] * 3]
    with pytest.raises(Unavailable):
        extract(part_rows=2, query={"day": "1"}).execute(context)
    server.seen.clear()
    server.answers = pages([{"id": 9}])
    manifest = extract(part_rows=2, query={"day": "2"}).execute(context)
    assert "cursor" not in server.seen[0].query
    assert manifest["received"] == 1


def test_a_cleared_load_loads_again(context, server: ScriptedServer) -> None:
    """A clear means that the load is wanted again, whatever the ledger holds; only then does max_tries change."""
    server.answers = pages([{"id": 1, "v": "a"}])
    manifest = extract().execute(context)
    load = TableLoadOperator(task_id="t", data=manifest, table="things", key=["id"])
    load.execute(context)
    with WarehouseHook().get_conn() as warehouse:
        warehouse.query("DROP TABLE things")
    context["ti"].max_tries += 3
    assert not load.execute(context)["repeated"]
    assert table("FROM things") == [(1, "a")]


def test_mapped_tasks_do_not_share_an_output_path(context, server: ScriptedServer, tmp_path: Path) -> None:
    """A path of one's own gets the map index of a mapped task behind it."""
    server.answers = pages([{"id": 1}])
    context["ti"].map_index = 2
    manifest = extract(output_path=f"file://{tmp_path}/mine/").execute(context)
    assert manifest["path"] == f"file://{tmp_path}/mine/2"
    assert (tmp_path / "mine" / "2" / "manifest.json").exists()


def test_frames_go_in_and_come_out(context, server: ScriptedServer) -> None:
    """@task.dataframe gets frames for manifests, one for a list of them, and its frame becomes a data set."""
    server.answers = pages([{"id": 1, "v": "a"}, {"id": 2, "v": "b"}])
    manifest = extract().execute(context)

    def join(one: pd.DataFrame, both: pd.DataFrame, factor: int) -> pd.DataFrame:
        assert str(one.dtypes["id"]) == "int64[pyarrow]"
        assert len(both) == 4
        return one.assign(id=one["id"] * factor)

    task = dataframe_task(join)(manifest, [manifest, manifest], factor=10).operator
    context["ti"].task_id = "join"
    result = task.execute(context)
    assert result["written"] == 2
    TableLoadOperator(task_id="t", data=[result], table="tens", key=["id"]).execute(context)
    assert table("SELECT id FROM tens ORDER BY id") == [(10,), (20,)]


def test_a_function_that_returns_no_frame_is_told_so(context) -> None:
    """The result of @task.dataframe is a frame."""

    def wrong() -> dict[str, int]:
        return {"a": 1}

    task = dataframe_task(wrong)().operator
    with pytest.raises(TypeError, match="must return a pandas DataFrame, not dict"):
        task.execute(context)


def test_a_load_of_something_else_is_refused(context) -> None:
    """A load takes manifests; duplicates within the data are named."""
    with pytest.raises(ValueError, match="expected the manifest"):
        TableLoadOperator(task_id="t", data={"rows": [1]}, table="x", key=["id"]).execute(context)


def test_duplicate_keys_are_refused(context, server: ScriptedServer) -> None:
    """Which of two rows with one key should win is not for the loader to guess."""
    server.answers = pages([{"id": 1, "v": "a"}, {"id": 1, "v": "b"}])
    manifest = extract().execute(context)
    with pytest.raises(LoadRefused, match="more than one row"):
        TableLoadOperator(task_id="t", data=manifest, table="x", key=["id"]).execute(context)


class Addressed:
    """A paginator whose text is its place in memory."""

    def first(self):
        return {"page": 0}

    def params(self, position):
        return {"page": position["page"]}

    def after(self, position, page):
        return None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"part_rows": 0}, "part_rows must be 1 or more"),
        ({"max_pages": 0}, "max_pages must be 1 or more"),
        ({"paginator": CursorPages}, r"paginator must be a paginator such as CursorPages\(\)"),
        ({"paginator": "cursor"}, "paginator must be a paginator"),
        ({"paginator": Addressed()}, "the paginator Addressed needs a repr"),
        ({"schema": "/nowhere/x.json"}, "schema: there is no file /nowhere/x.json"),
        ({"query": {"limit": 5}}, "query: limit is the paginator's to set"),
    ],
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(arguments: dict, message: str) -> None:
    """The error names task and argument."""
    with pytest.raises(ValueError, match=f"task 't': {message}"):
        extract(**arguments)


@pytest.mark.parametrize("key", ["id", []])
def test_a_wrong_key_is_refused_when_the_dag_is_parsed(key) -> None:
    """A text would be read as a list of letters."""
    with pytest.raises(ValueError, match="key must be a list"):
        TableLoadOperator(task_id="t", data={}, table="x", key=key)


def test_a_warehouse_that_airgate_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what it can load into."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", '{"conn_type": "mysql"}')
    with pytest.raises(ValueError, match="airgate loads into: duckdb"):
        WarehouseHook().get_conn()
