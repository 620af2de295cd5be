"""Reading the collection below each of many parents."""

from __future__ import annotations

import io
import json
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.client.message import Response, headers_of
from airgate.data.extract import Collection
from airgate.data.frames.reading import write_frame
from airgate.data.read.children import Children, extract_children
from airgate.data.read.parents import Parents, parents_of, read_parents
from airgate.data.shape.batch import Batch
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder
from airgate.pagination import OffsetPages
from airgate.policy.errors import GatewayError, InvalidResponse, NotFound, Unauthorized, Unavailable

SCHEMA = pa.schema([pa.field("line", pa.int64(), nullable=False)])


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


class Orders:
    """Items of orders: ``items[order]`` of them each; None is an order that is not there."""

    def __init__(self, items: dict[str, int | None]) -> None:
        self.items = items
        self.asked: list[tuple[str, int]] = []
        self.failing: dict[tuple[str, int], GatewayError] = {}
        self.pause = 0.0
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def __call__(self, order: str, page: Any) -> Response:
        offset, limit = page.params["offset"], page.params["limit"]
        with self._lock:
            self.asked.append((order, offset))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.pause)
        with self._lock:
            self.at_once -= 1
        if (order, offset) in self.failing:
            raise self.failing[(order, offset)]
        total = self.items[order]
        if total is None:
            raise NotFound("404 Not Found", method="GET", url=f"http://gw/orders/{order}/items", status=404, attempts=1)
        lines = [{"line": line} for line in range(offset, min(offset + limit, total))]
        return Response(200, headers_of(), msgspec.json.encode({"data": lines, "total": total}), "GET", "http://gw/x")


def folder(path: Path) -> Folder:
    return Folder(fsspec.filesystem("file"), str(path / "out"), f"file://{path}/out")


def parents(names: list[Any]) -> Parents:
    return parents_of([{"id": name} for name in names], ["id"], ["id"])


def read(path: Path, service: Any, of: Parents, store: Store | None = None, **kwargs: Any) -> Manifest:
    onlookers = kwargs.pop("onlookers", ())
    settings = {name: kwargs.pop(name) for name in ("in_flight", "missing", "columns") if name in kwargs}
    children = Children(of, {"order": "id"}, **{"columns": {"order": "id"}, **settings})
    collection = Collection("GET /orders/{order}/items", OffsetPages(limit=2), kwargs.pop("schema", SCHEMA), **kwargs)
    below = lambda params: partial(service, params["order"])  # noqa: E731
    return extract_children(collection, children, below, folder(path), store or Store(), onlookers)


def rows(manifest: Manifest, path: Path) -> list[tuple[Any, int]]:
    place = folder(path)
    table = pa.concat_tables([pq.read_table(io.BytesIO(place.read(part.name))) for part in manifest.parts])
    return list(zip(table.column("order").to_pylist(), table.column("line").to_pylist(), strict=True))


def expected(items: dict[str, int | None]) -> list[tuple[str, int]]:
    return [(order, line) for order, count in items.items() for line in range(count or 0)]


class Shares:
    """Writes down how much has come with each page."""

    def __init__(self) -> None:
        self.shares: list[float | None] = []

    def took(self, batch: Batch, table: pa.Table, misfits: Any) -> None:
        self.shares.append(batch.share)

    def durable(self, manifest: Manifest) -> None: ...


def test_the_share_done_is_that_of_the_parents(tmp_path: Path) -> None:
    """Nobody knows how many records there are below all of them; a parent counts when it is read to its end."""
    shares = Shares()
    read(
        tmp_path, Orders({"a": 3, "b": 0, "c": None, "d": 1}), parents(list("abcd")), missing="skip", onlookers=[shares]
    )
    assert shares.shares == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("in_flight", [1, 4])
def test_all_pages_of_all_parents_with_the_parents_value(tmp_path: Path, in_flight: int) -> None:
    """Rows stand in the order of the parents, whatever the concurrency; a parent without children has none."""
    items: dict[str, int | None] = {"a": 3, "b": 0, "c": 5, "d": 1}
    service = Orders(items)
    manifest = read(tmp_path, service, parents(list(items)), in_flight=in_flight)
    assert rows(manifest, tmp_path) == expected(items)
    assert manifest.schema == {"line": "int64!", "order": "string"}
    assert (manifest.received, manifest.calls.pages) == (9, len(service.asked))


def test_parents_are_read_at_once_and_no_more_than_allowed(tmp_path: Path) -> None:
    """Bounded concurrency is what makes ten thousand small collections bearable."""
    items: dict[str, int | None] = {f"{n:02d}": 3 for n in range(20)}
    service = Orders(items)
    service.pause = 0.01
    manifest = read(tmp_path, service, parents(list(items)), in_flight=5)
    assert service.most_at_once == 5
    assert rows(manifest, tmp_path) == expected(items)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.one_of(st.none(), st.integers(0, 7)), max_size=8),
    in_flight=st.integers(1, 4),
    part_rows=st.integers(1, 6),
    data=st.data(),
)
def test_whatever_fails_where_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory,
    counts: list[int | None],
    in_flight: int,
    part_rows: int,
    data: st.DataObject,
) -> None:
    """For any parents, any page that fails and any size of part, the retry completes the same rows."""
    path = tmp_path_factory.mktemp("children")
    items = {f"p{number}": count for number, count in enumerate(counts)}
    service, store = Orders(items), Store()
    pages = [(order, offset) for order, count in items.items() for offset in range(0, max(count or 0, 1), 2)]
    arguments: dict[str, Any] = {"in_flight": in_flight, "part_rows": part_rows, "missing": "skip"}
    if pages and data.draw(st.booleans()):
        failing = data.draw(st.sampled_from(pages))
        service.failing = {failing: Unavailable("answered 503", status=503)}
        with pytest.raises(Unavailable):
            read(path, service, parents(list(items)), store, **arguments)
        service.failing, service.asked = {}, []
    manifest = read(path, service, parents(list(items)), store, **arguments)
    assert manifest.received == sum(count or 0 for count in counts)
    if items:
        assert rows(manifest, path) == expected(items)
    assert len(service.asked) == len(set(service.asked))


def test_a_retry_goes_on_in_the_middle_of_a_parent(tmp_path: Path) -> None:
    """What is durable is not asked for again: the position names parent and page."""
    items: dict[str, int | None] = {"a": 4, "b": 6, "c": 2}
    service, store = Orders(items), Store()
    service.failing = {("b", 4): Unavailable("answered 503", status=503)}
    with pytest.raises(Unavailable):
        read(tmp_path, service, parents(list(items)), store, in_flight=1)
    assert store.load()["position"] == {"parent": 1, "page": {"offset": 4}}  # type: ignore[index]
    service.failing, service.asked = {}, []
    assert rows(read(tmp_path, service, parents(list(items)), store, in_flight=1), tmp_path) == expected(items)
    assert service.asked == [("b", 4), ("c", 0)]


@pytest.mark.parametrize("at", [0, 2])
def test_a_parent_that_is_gone_can_be_skipped(tmp_path: Path, at: int, caplog: pytest.LogCaptureFixture) -> None:
    """Deleted since the parents were read; also the last one, behind which no page comes any more."""
    items: dict[str, int | None] = {"a": 1, "b": 3, "c": 2}
    items[list(items)[at]] = None
    service = Orders(items)
    manifest = read(tmp_path, service, parents(list(items)), missing="skip", part_rows=1)
    assert rows(manifest, tmp_path) == expected(items)
    assert "1 parents that the service does not know were skipped" in caplog.text
    with pytest.raises(NotFound):
        read(tmp_path, service, parents(list(items)))


def test_a_parent_that_vanishes_while_it_is_read_is_not_skipped(tmp_path: Path) -> None:
    """Half of its children are written: to call that complete would be a guess."""
    service = Orders({"a": 4})
    service.failing = {("a", 2): NotFound("404 Not Found", status=404)}
    with pytest.raises(NotFound):
        read(tmp_path, service, parents(["a"]), missing="skip")


def test_an_expired_position_within_a_parent_starts_from_the_beginning(tmp_path: Path) -> None:
    """Its cursor is gone, and part of its children are durable; a refused beginning of a parent is a plain refusal."""
    items: dict[str, int | None] = {"a": 2, "b": 4}
    service, store = Orders(items), Store()
    service.failing = {("b", 2): Unavailable("answered 503", status=503)}
    with pytest.raises(Unavailable):
        read(tmp_path, service, parents(list(items)), store, in_flight=1)
    asked: list[tuple[str, int]] = []

    def forgetful(order: str, page: Any) -> Response:
        asked.append((order, page.params["offset"]))
        if asked == [("b", 2)]:
            raise NotFound("410 Gone", status=410)
        service.failing = {}
        return service(order, page)

    assert rows(read(tmp_path, forgetful, parents(list(items)), store, in_flight=1), tmp_path) == expected(items)
    service.failing = {("b", 0): Unavailable("answered 503", status=503)}
    with pytest.raises(Unavailable):
        read(tmp_path, service, parents(list(items)), store, in_flight=1)
    service.failing, service.asked = {("b", 0): NotFound("404", status=404)}, []
    with pytest.raises(NotFound):
        read(tmp_path, service, parents(list(items)), store, in_flight=1)
    assert service.asked == [("b", 0)]


def test_refused_credentials_are_no_expired_position(tmp_path: Path) -> None:
    """The read fails, and its checkpoint stays."""
    service, store = Orders({"a": 4}), Store()
    service.failing = {("a", 2): Unavailable("answered 503", status=503)}
    with pytest.raises(Unavailable):
        read(tmp_path, service, parents(["a"]), store)
    service.failing = {("a", 2): Unauthorized("401", status=401)}
    with pytest.raises(Unauthorized):
        read(tmp_path, service, parents(["a"]), store)
    assert store.text is not None


def test_other_parents_are_another_read(tmp_path: Path) -> None:
    """A number in a position means nothing among other parents."""
    service, store = Orders({"a": 4, "b": 2}), Store()
    service.failing = {("a", 2): Unavailable("answered 503", status=503)}
    with pytest.raises(Unavailable):
        read(tmp_path, service, parents(["a"]), store)
    service.failing, service.asked = {}, []
    read(tmp_path, service, parents(["b", "a"]), store, in_flight=1)
    assert service.asked[0] == ("b", 0)


def test_no_parents_no_calls(tmp_path: Path) -> None:
    """The data set is empty and has its columns."""
    service = Orders({})
    manifest = read(tmp_path, service, parents_of([], ["id"], ["id"]))
    assert (manifest.received, service.asked) == (0, [])
    assert list(manifest.schema) == ["line", "order"]


def test_too_many_pages_are_refused(tmp_path: Path) -> None:
    """Over all parents together."""
    with pytest.raises(ValueError, match="more than 3 pages"):
        read(tmp_path, Orders({"a": 4, "b": 8}), parents(["a", "b"]), max_pages=3)


def answering(body: bytes) -> Any:
    return lambda order, page: Response(
        200, headers_of(), b'{"data": [' + body + b'], "total": 1}', "GET", "http://gw/x"
    )


def test_a_childs_own_field_of_that_name_is_not_overwritten(tmp_path: Path) -> None:
    """The error says how to name the column otherwise, on the first page."""
    with pytest.raises(InvalidResponse, match="have a field order already: let parent_columns name"):
        read(tmp_path, answering(b'{"order": 7, "line": 1}'), parents(["a"]))


@pytest.mark.parametrize("child", [b"{}", b"{ }", b'{"line": "x"}', b"[1]", b"7"])
def test_a_child_that_does_not_fit_is_dead_lettered(tmp_path: Path, child: bytes) -> None:
    """With the parent's value, so that one knows whose it is; what is no object stays as it came."""
    manifest = read(tmp_path, answering(child), parents(["a"]))
    assert (manifest.received, manifest.dead_lettered) == (1, 1)
    letter = json.loads(folder(tmp_path).read("dead-letters-00000.jsonl"))
    assert ('"order":"a"' in letter["record"]) == child.startswith(b"{")
    assert letter["position"] == {"parent": 0, "page": {"offset": 0}}


def test_values_of_any_type_travel_to_path_and_column(tmp_path: Path) -> None:
    """A timestamp or number of a parent is the same in the child's column; without a schema as well."""
    manifest = read(tmp_path, Orders({"1": 2, "2": 1}), parents([1, 2]))
    assert rows(manifest, tmp_path) == [(1, 0), (1, 1), (2, 0)]
    inferred = read(tmp_path / "inferred", Orders({"1": 2}), parents([1]), schema=None)
    assert inferred.schema == {"order": "int64", "line": "int64"}


def test_parents_come_from_data_sets_each_once(tmp_path: Path) -> None:
    """A parent that was read twice, as with a lookback, has its children once; only the needed columns are read."""
    import pandas as pd

    manifests = []
    for number, ids in enumerate(([3, 1], [1, 2])):
        place = Folder(fsspec.filesystem("file"), str(tmp_path / str(number)), f"file://{tmp_path}/{number}")
        manifests.append(write_frame(pd.DataFrame({"id": ids, "other": "x"}), place))

    def open_folder(uri: str) -> Folder:
        return Folder(fsspec.filesystem("file"), uri.removeprefix("file://"), uri)

    found = read_parents(manifests, open_folder, ["id", "id"], ["id"])
    assert found.table.to_pydict() == {"id": [3, 1, 2]}
    assert found.fingerprint != read_parents(manifests[:1], open_folder, ["id"], ["id"]).fingerprint
    with pytest.raises(ValueError, match="have no column name; they have id, other"):
        read_parents(manifests, open_folder, ["name"], ["name"])
    (tmp_path / "0" / manifests[0].parts[0].name).write_bytes(b"else")
    with pytest.raises(ValueError, match="is not the file of its manifest any more"):
        read_parents(manifests, open_folder, ["id"], ["id"])


def test_a_parent_without_a_key_is_refused() -> None:
    """No path can be made of it, and to leave it out silently would lose its children."""
    with pytest.raises(ValueError, match="1 parents have no id, which the path needs"):
        parents_of([{"id": 1}, {"id": None}], ["id"], ["id"])
    with pytest.raises(ValueError, match="parent 1 has no id; it has x"):
        parents_of([{"id": 1}, {"x": 1}], ["id"], ["id"])
