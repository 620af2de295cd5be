"""The watermark of a running read."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pyarrow as pa
import pytest

from airgate.client.message import Response, headers_of
from airgate.data.extract import Collection, extract
from airgate.data.read.highwater import HighWater, highest
from airgate.data.read.watermark import Watermark
from airgate.data.store.storage import Folder
from airgate.pagination import OffsetPages
from airgate.policy.errors import NotFound, Unavailable

DAY = dt.datetime(2024, 1, 31, tzinfo=dt.UTC)
SCHEMA = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", tz="UTC"))])


def table(values: list[Any], kind: pa.DataType) -> pa.Table:
    return pa.table({"at": pa.array(values, kind)})


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([DAY, None, DAY + dt.timedelta(1)], pa.timestamp("us", tz="UTC"), DAY + dt.timedelta(1)),
        ([1706659200_000_000_001], pa.timestamp("ns", tz="UTC"), DAY),
        ([DAY.date()], pa.date32(), DAY.date()),
        ([3, None, 1], pa.int32(), 3),
        (["2024-01-31T02:00:00+02:00", "2024-01-30T23:00:00Z"], pa.string(), DAY),
        (["2024-01-31 00:00:00", "2023-12-31 00:00:00"], pa.string(), DAY),
        ([None, None], pa.int64(), None),
        ([], pa.string(), None),
    ],
)
def test_the_highest_value_of_a_column(values: list[Any], kind: pa.DataType, found: Any) -> None:
    """Nulls do not count, and text is compared as the moments that it names."""
    mark = highest(table(values, kind), "at")
    assert (mark and mark.value) == found


def test_text_can_be_compared_as_text() -> None:
    """For keys that are ordered, such as ULIDs; otherwise text that is no moment is refused with the cure."""
    texts = table(["01HQ", "01HR", "01HA"], pa.string())
    assert highest(texts, "at", as_text=True) == Watermark("01HR")
    with pytest.raises(ValueError, match=r"'at' holds text that is not ISO 8601.*text_order=True"):
        highest(texts, "at")


def test_a_member_of_a_struct_has_a_dotted_name() -> None:
    """Services put the moment of a change beside the data proper."""
    nested = pa.table({"meta": [{"at": 4}, None, {"at": 9}]})
    assert highest(nested, "meta.at") == Watermark(9)


@pytest.mark.parametrize(
    ("field", "message"),
    [("x", "no incremental field 'x'; the schema has at"), ("at.x", "has no 'x'"), ("f", "'f' is double")],
)
def test_a_field_without_an_order_is_refused(field: str, message: str) -> None:
    """The error names the field and what there is."""
    columns = {"at": [1]} if field != "f" else {"f": [1.5]}
    with pytest.raises(ValueError, match=message):
        highest(pa.table(columns), field)


class Store:
    """A checkpoint in memory, as JSON."""

    def __init__(self) -> None:
        self.text: str | None = None

    def load(self) -> dict[str, Any] | None:
        return json.loads(self.text) if self.text else None

    def save(self, state: dict[str, Any]) -> None:
        self.text = json.dumps(state)

    def clear(self) -> None:
        self.text = None


def moment(number: int) -> str:
    return (DAY + dt.timedelta(minutes=number)).isoformat()


def service(total: int, *, fails_at: int | None = None, gone_at: int | None = None) -> Any:
    """Records whose moments fall: the highest comes first."""

    def fetch(asked: Any) -> Response:
        offset, limit = asked.params["offset"], asked.params["limit"]
        if offset == fails_at:
            raise Unavailable("answered 503", status=503)
        if offset == gone_at:
            raise NotFound("answered 410", status=410)
        records = [{"id": n, "at": moment(total - n)} for n in range(offset, min(offset + limit, total))]
        return Response(200, headers_of(), msgspec.json.encode({"data": records, "total": total}), "GET", "u")

    return fetch


def read(path: Path, store: Store, fetch: Any, **settings: Any) -> HighWater:
    high = HighWater("at", store, since=settings.pop("since", None))
    folder = Folder(fsspec.filesystem("file"), str(path), f"file://{path}")
    collection = Collection("GET /n", OffsetPages(limit=10), SCHEMA, **{"part_rows": 20, **settings})
    extract(collection, fetch, folder, high, [high])
    return high


def test_rows_of_earlier_tries_count(tmp_path: Path) -> None:
    """The highest moment was made durable by a try that died: the next one knows it from the checkpoint."""
    store = Store()
    with pytest.raises(Unavailable):
        read(tmp_path, store, service(100, fails_at=50))
    assert read(tmp_path, store, service(100)).value == Watermark(DAY + dt.timedelta(minutes=100))


def test_rows_that_are_not_part_of_the_data_set_do_not_count(tmp_path: Path) -> None:
    """A checkpoint of another read, and one whose position has expired, leave no watermark behind."""
    for settings, fetch in (({"salt": "other"}, service(30)), ({}, service(30, gone_at=50))):
        store = Store()
        with pytest.raises(Unavailable):
            read(tmp_path, store, service(100, fails_at=50))
        high = read(tmp_path, store, fetch, **settings)
        assert high.value == Watermark(DAY + dt.timedelta(minutes=30))


def test_a_read_of_nothing_has_no_watermark(tmp_path: Path) -> None:
    """Nothing is new, so nothing moves."""
    assert read(tmp_path, Store(), service(0)).value is None


def test_a_field_of_another_kind_than_the_watermark_stops_the_first_page(tmp_path: Path) -> None:
    """Not the end of a read of hours."""
    with pytest.raises(ValueError, match="the watermark is the integer 7"):
        read(tmp_path, Store(), service(100), since=Watermark(7))
