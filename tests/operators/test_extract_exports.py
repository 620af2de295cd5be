"""GatewayExtractOperator: collections that a service gives as one file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset

from airgate.errors import InvalidResponse, OutcomeUnknown
from airgate.operators import CsvFile, Incremental
from airgate.pagination import SinglePage
from airgate.testing import Answer, FakeGateway
from tests.export_service import ExportService
from tests.operators.exports import FORMS, ROWS, SCHEMA, column, ids, ndjson, read, wanted
from tests.state_store import FileStore

ORDERS = Asset("orders", uri="x-test://orders")


@pytest.mark.parametrize(("content", "form", "headers"), FORMS)
def test_a_file_becomes_a_data_set(
    context, service: ExportService, content: Callable[[], bytes], form: Any, headers: dict[str, str]
) -> None:
    """Plain, as a gzip file, and with gzip as the coding of the answer: parts, a dead letter, the same manifest."""
    service.content, service.headers = content(), headers
    manifest = read(export=form).execute(context)
    assert ids(manifest) == wanted()
    assert (manifest["received"], manifest["written"], manifest["dead_lettered"]) == (ROWS, ROWS - 1, 1)
    assert len(manifest["parts"]) > 1
    assert manifest["calls"]["requests"] == 1


@pytest.mark.parametrize("content", [gzip.compress(ndjson())[:-5], gzip.compress(ndjson())[:50_000]])
def test_a_gzip_file_that_is_cut_short_at_the_service_is_refused(
    context, service: ExportService, content: bytes
) -> None:
    """All bytes that were promised have come, and still it is not whole."""
    service.content = content
    with pytest.raises(InvalidResponse, match="the gzip body ends in the middle"):
        read().execute(context)


def test_a_body_without_an_end_of_its_own_is_refused_unless_it_is_compressed(context, service: ExportService) -> None:
    """Nobody could tell a part of it from the whole; gzip says itself where it ends."""
    service.length = "untold"
    with pytest.raises(InvalidResponse, match="tells neither its length nor its end"):
        read().execute(context)
    service.content = gzip.compress(service.content)
    assert ids(read().execute(context)) == wanted()


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (202, {}, "still being made"),
        (206, {}, "though all of it was asked for"),
        (200, {"Content-Type": "text/html; charset=utf-8"}, "a page of HTML"),
    ],
)
def test_what_is_no_export_is_refused(
    context, service: ExportService, status: int, headers: dict[str, str], message: str
) -> None:
    """A job that is not done yet and a login page are successes, and not what was asked for."""
    service.status, service.headers = status, headers
    with pytest.raises(InvalidResponse, match=message):
        read().execute(context)


def test_new_records_are_asked_for_since_the_watermark(context, service: ExportService, tmp_path: Path) -> None:
    """An export that takes a moment to begin at; the watermark is that of the rows, a killed try's included."""
    service.content = ndjson(2000)
    context["asset_state_store"] = {ORDERS: FileStore(tmp_path / "asset.json")}
    schema = {"properties": {**SCHEMA["properties"], "at": {"type": "string", "format": "date"}}}
    incremental = Incremental(param="since", field="at", asset=ORDERS, initial="2024-01-01", format="date")
    read(schema=schema, incremental=incremental).execute(context)
    store = {"ti": SimpleNamespace(**{**vars(context["ti"]), "run_id": "r2"})}
    store |= {"task_state_store": FileStore(tmp_path / "r2"), "asset_state_store": context["asset_state_store"]}
    read(schema=schema, incremental=incremental).execute(store)
    assert [path.partition("since=")[2] for path in service.paths] == ["2024-01-01", "2024-01-28"]


def test_a_search_may_give_a_file(context, service: ExportService) -> None:
    """By POST, with a body and without a key; one that breaks off is asked for again, as a read has no effect."""
    service.breaks = [len(service.content) // 2]
    manifest = read(method="POST", json={"q": 1}).execute(context)
    assert ids(manifest) == wanted()
    assert service.bodies == [b'{"q":1}'] * 2
    context["ti"].run_id, service.breaks = "another", [0] * 9
    with pytest.raises(OutcomeUnknown) as caught:
        read(method="POST", json={"q": 1}).execute(context)
    assert caught.value.retryable


def test_folders_limits_and_outlets_are_those_of_every_read(context, service: ExportService, caplog) -> None:
    """Partitions, a limit of records, the summary and the progress."""
    service.content = ndjson(3000)
    pushed: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    schema = {"properties": {**SCHEMA["properties"], "at": {"type": "string", "format": "date"}}}
    manifest = read(schema=schema, partition_by=["at"]).execute(context)
    assert len({part["name"].partition("/")[0] for part in manifest["parts"]}) == 28
    summary = pushed["airgate_records"]
    assert (summary["received"], summary["calls"], summary["pages"]) == (3000, 1, 1)
    assert 0 < summary["fetching"] <= summary["seconds"]
    context["ti"].run_id = "another"
    with pytest.raises(ValueError, match="more than 2999 records"):
        read(max_records=2999).execute(context)


def test_the_log_tells_how_much_is_left(context, service: ExportService, capsys) -> None:
    """By the bytes, as nobody knows how many records there are."""
    service.pause = 0.06
    lines: list[str] = []
    operator = read(part_rows=1000)
    operator.log.info = lambda event, *args, **figures: lines.append(event)  # type: ignore[method-assign]
    operator.execute(context)
    assert any(" % done, about " in line for line in lines)


@pytest.mark.parametrize(
    ("form", "content", "columns"),
    [
        (CsvFile(delimiter=";", null=["", "NA"]), b'id;name;at\n1;NA;x\n2;"NA";\n', {"name": [None, "NA"]}),
        (CsvFile(header=["id", "name", "at"]), b"1,a,x\n2,b,y\n", {"name": ["a", "b"]}),
        (CsvFile(encoding="cp1252"), "id,name\n1,\u20ac\n2,é\n".encode("cp1252"), {"name": ["\u20ac", "é"]}),
        (CsvFile(delimiter="\t"), b"\xef\xbb\xbfid\tname\n1\ta\n2\tb\n", {"name": ["a", "b"]}),
    ],
)
def test_csv_is_written_in_many_ways(
    context, service: ExportService, form: CsvFile, content: bytes, columns: dict[str, list[Any]]
) -> None:
    """Delimiter, names of columns, texts that mean null, encoding."""
    service.content = content
    manifest = read(export=form).execute(context)
    assert ids(manifest) == [1, 2]
    assert {name: column(manifest, name) for name in columns} == columns


def test_an_export_can_be_tried_without_a_service(context) -> None:
    """Against the fake gateway, as any other call."""
    with FakeGateway() as gateway:
        gateway.on("GET", "/export", Answer(body=b"id,name\n1,a\n2,b\n"))
        assert ids(read(export=CsvFile()).execute(context)) == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"export": None}, "say how it is read: paginator=… for pages, or export=NdjsonFile"),
        ({"paginator": SinglePage()}, "paginator, export: a collection is read page by page or as a file"),
        ({"export": CsvFile}, r"export must be NdjsonFile\(\) or CsvFile\(\)"),
        ({"export": "csv"}, r"export must be NdjsonFile\(\) or CsvFile\(\), not 'csv'"),
        ({"records": "items"}, "records is for pages, and an export has none: each of its lines is a record"),
        ({"in_flight": 4}, "in_flight is for pages"),
        ({"prefetch": True}, "prefetch is for pages"),
        ({"max_pages": 7}, "max_pages is for pages"),
        ({"parents": [{"id": 1}], "parent_params": {"id": "id"}}, "parents, export: an export is read whole"),
        ({"headers": {"range": "bytes=0-1"}}, "headers: range is the task's to set"),
        (
            {"export": CsvFile(), "schema": {"properties": {"a": {"type": ["array", "null"]}}}},
            "schema: column a is an array",
        ),
        ({"json": {"q": 1}}, "json: a GET has no body"),
        (
            {"query": {"since": 1}, "incremental": Incremental(param="since", field="at", asset=ORDERS)},
            "query: since is the incremental's to set",
        ),
    ],
)
def test_misuse_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any], message: str) -> None:
    """With the task's name and the argument."""
    with pytest.raises(ValueError, match=f"task 't': {message}"):
        read(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delimiter": ";;"}, "delimiter must be one character"),
        ({"delimiter": '"'}, "delimiter must be one character"),
        ({"header": ["a", "a"]}, "empty or stands there twice"),
        ({"header": "id"}, "header must be a list"),
        ({"null": "NA"}, "null must be a list"),
        ({"encoding": "utf-16"}, "encoding must be utf-8 or one of one byte a character"),
        ({"encoding": "shift_jis"}, "encoding must be utf-8 or one of one byte a character"),
        ({"encoding": "nonsense"}, "encoding must be utf-8 or one of one byte a character"),
    ],
)
def test_a_file_that_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    """Where it is described."""
    with pytest.raises((ValueError, TypeError), match=message):
        CsvFile(**arguments)
