"""Reads a collection that lies below each of many parents, such as ``/orders/{order_id}/items``."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Literal

import msgspec
import pyarrow as pa

from airgate.client.message import Response, headers_of
from airgate.client.pages import Page, Position
from airgate.client.paging.links import LinkScope
from airgate.data.checkpoint import Checkpoint
from airgate.data.extract import Collection, batch_of
from airgate.data.read.caps import Caps, shown
from airgate.data.read.lanes import in_order
from airgate.data.read.pages import Fetch, Reached, read_pages
from airgate.data.read.parents import Parents, as_path_text
from airgate.data.read.readthrough import PositionRefused, Source, read_through, refuses_position
from airgate.data.read.standing import Resumed
from airgate.data.shape.batch import Batch, Onlooker
from airgate.data.shape.decode import RecordDecoder
from airgate.data.shape.schemafile import SchemaFile
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder
from airgate.policy.errors import GatewayError, NotFound
from airgate.policy.idempotency import digest
from airgate.policy.json_faults import NOT_JSON
from airgate.policy.redaction import one_line, redact_text

log = logging.getLogger(__name__)

Missing = Literal["fail", "skip"]

_LONGEST_NAME = 200
"""Characters of a parent's values that an error shows."""

FetchBelow = Callable[[Mapping[str, str]], Fetch]
"""Placeholder of the path -> value, not escaped yet; gives what asks for the pages below that parent."""


@dataclass(frozen=True, slots=True)
class Children:
    """Whose children are read, and how."""

    parents: Parents
    params: Mapping[str, str]
    """Placeholder of the path -> column of the parents."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column that every child's row gets -> column of the parents."""
    in_flight: int = 4
    """Parents whose pages are fetched at once; the order of the rows does not depend on it."""
    missing: Missing = "fail"
    """What a parent means that the service answers with 404: the read fails, or it has no children."""


def extract_children(
    collection: Collection,
    children: Children,
    fetch_below: FetchBelow,
    folder: Folder,
    checkpoint: Checkpoint,
    onlookers: Sequence[Onlooker] = (),
    schema_file: SchemaFile | None = None,
) -> Manifest:
    """Read the children of all parents, parent after parent, into one data set.

    A position is ``{"parent": number, "page": position within its children}``. A declared schema gets the columns that
    come from the parents, unless it has them already.

    Args:
        collection: What is read of each parent.
        children: Of whom.
        fetch_below: Gives what asks for the pages below a parent; several threads use it.
        folder: Where the data set goes.
        checkpoint: Keeps the position.
        onlookers: Are told of each page and each part.
        schema_file: Where an inferred schema is kept from run to run.

    Raises:
        GatewayError: When a page cannot be had; what came before is durable and the checkpoint stands behind it. It
            names the source, the parent, and the page of the whole read, by the numbers that dead letters have.
        ValueError: When the balance of records does not hold, there are too many pages, or a child has a field of the
            name of a parent's column.
    """
    reading = _Reading(_with_columns(collection, children), children, fetch_below)
    plan = dataclasses.replace(
        reading.collection.plan,
        fingerprint=digest(
            (
                reading.collection.fingerprint,
                children.parents.fingerprint,
                sorted(children.params.items()),
                sorted(children.columns.items()),
            )
        ),
    )
    manifest = read_through(
        plan, Source(reading.first, reading.batches, RecordDecoder), folder, checkpoint, onlookers, schema_file
    )
    if reading.skipped:
        log.warning("%s: %d parents that the service does not know were skipped", collection.source, reading.skipped)
    return manifest


def _with_columns(collection: Collection, children: Children) -> Collection:
    schema = collection.schema
    if schema is None:
        return collection
    for name, column in children.columns.items():
        if name not in schema.names:
            of = children.parents.table.schema.field(column).type
            # Without any parent there is no type either.
            schema = schema.append(pa.field(name, pa.string() if pa.types.is_null(of) else of))
    return dataclasses.replace(collection, schema=schema)


class _Reading:
    """One read of the children."""

    def __init__(self, collection: Collection, children: Children, fetch_below: FetchBelow) -> None:
        self.collection = collection
        self.first = self._beginning(0)
        self.skipped = 0
        self._children = children
        self._fetch_below = fetch_below

    def _beginning(self, number: int) -> Position:
        return {"parent": number, "page": self.collection.paginator.first()}

    def batches(self, start: Position, before: Resumed | None) -> Generator[Batch, None, None]:
        """The pages from a position on."""
        collection, children = self.collection, self._children
        lanes = (
            partial(self._one_parent, number, start["page"] if number == start["parent"] else None)
            for number in range(start["parent"], len(children.parents))
        )
        caps = Caps(
            collection.max_pages,
            collection.max_records,
            before.manifest.calls.pages if before else 0,
            before.manifest.received if before else 0,
            source=shown(collection.source),
        )
        # Only a position in the middle of a parent can have expired; at its beginning a refusal means the parent.
        doubtful = before is not None and start["page"] != collection.paginator.first()
        with closing(in_order(lanes, children.in_flight)) as pages:
            while True:
                try:
                    reached = next(pages, None)
                except GatewayError as error:
                    error.at(caps.place_in(error.where))
                    if not doubtful or not refuses_position(error):
                        raise
                    raise PositionRefused from error
                if reached is None:
                    return
                doubtful = False
                caps.count(len(reached.page.records), last=reached.following is None)
                # A paginator may end a parent's pages by a 404 as well, but not begin with one.
                begins = reached.position["page"] == collection.paginator.first()
                self.skipped += begins and reached.page.response.status == HTTPStatus.NOT_FOUND
                done = reached.position["parent"] + (
                    reached.following is None or reached.following["parent"] > reached.position["parent"]
                )
                yield dataclasses.replace(batch_of(reached), share=done / len(children.parents))

    def _one_parent(self, number: int, page: Position | None) -> Iterator[Reached]:
        children, collection = self._children, self.collection
        values = {name: as_path_text(value) for name, value in children.parents.values(number, children.params).items()}
        fetch = self._fetch_below(values)
        add = _adding(children.parents.values(number, children.columns))
        first = collection.paginator.first()
        begin = first if page is None else page
        whole = begin == first
        behind = self._beginning(number + 1) if number + 1 < len(children.parents) else None
        pages = read_pages(
            *(collection.paginator, fetch, collection.records, begin),
            in_flight=collection.in_flight,
            prefetch=collection.prefetch,
        )
        try:
            with closing(pages):
                for reached in pages:
                    whole = False
                    yield dataclasses.replace(
                        reached,
                        position={"parent": number, "page": reached.position},
                        page=add(reached.page),
                        following=behind
                        if reached.following is None
                        else {"parent": number, "page": reached.following},
                        total=None,  # it is that of one parent
                    )
        except GatewayError as error:
            skipped = isinstance(error, NotFound) and error.status == HTTPStatus.NOT_FOUND and whole
            if children.missing == "fail" or not skipped:
                error.at(_place(collection.source, number, values, fetch))
                raise
            # A page without records: the position behind this parent is one to go on from, as behind any other.
            nothing = Response(
                HTTPStatus.NOT_FOUND, headers_of(), b"", error.method, error.url, attempts=max(error.attempts, 1)
            )
            yield Reached({"parent": number, "page": begin}, Page((), {}, nothing), behind)


def _place(source: str, number: int, values: Mapping[str, str], fetch: Fetch) -> str:
    """Whose children were read, in words; the number is the one in positions."""
    secrets = links.secrets if isinstance(links := getattr(fetch, "links", None), LinkScope) else ()
    told = redact_text(one_line(", ".join(f"{name}={value}" for name, value in values.items())), secrets)
    parent = f"parent {number} ({told[:_LONGEST_NAME]})" if told else f"parent {number}"
    return f"{shown(source, secrets)}, {parent}"


def _adding(values: Mapping[str, Any]) -> Callable[[Page], Page]:
    """What puts a parent's values in front of each of its children, as text: no record is decoded for it."""
    if not values:
        return lambda page: page
    front = msgspec.json.encode(values)[:-1]

    def add(page: Page) -> Page:
        if page.records:
            _check_names(page, values)
        records = [msgspec.Raw(_in_front(front, bytes(record))) for record in page.records]
        return dataclasses.replace(page, records=records)

    return add


def _in_front(front: bytes, record: bytes) -> bytes:
    if not record.startswith(b"{"):
        return record  # which makes it a dead letter, as it came
    inner = record[1:].lstrip()
    return front + (inner if inner.startswith(b"}") else b"," + inner)


def _check_names(page: Page, values: Mapping[str, Any]) -> None:
    try:
        known = msgspec.json.decode(page.records[0], type=dict[str, msgspec.Raw])
    except NOT_JSON:
        return
    if twice := sorted(known.keys() & values.keys()):
        raise page.response.invalid(
            f"the records have a field {', '.join(twice)} already: let parent_columns name the parent's value otherwise"
        )
