"""The watermark of a running read: the highest value of a field in rows that are durable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airgate.data.checkpoint import Checkpoint
from airgate.data.read.watermark import Watermark, higher, watermark_of
from airgate.data.shape.batch import Batch
from airgate.data.shape.misfit import Misfit
from airgate.data.store.manifest import Manifest

_KEY = "watermark"


class HighWater:
    """Looks on at a read, and keeps what it saw with the read's checkpoint.

    It is both an onlooker and the read's checkpoint, because what counts are rows that are durable: the position and
    the highest value before it are stored together or not at all. Dead letters do not count.

    Args:
        field: Dotted name of the field; a column of timestamps, dates, integers or text.
        inner: Where the checkpoint is kept.
        since: Where the read begins; a field of another kind is refused on the first page.
        as_text: Compare text as text, instead of as ISO 8601 timestamps.
    """

    def __init__(self, field: str, inner: Checkpoint, *, since: Watermark | None = None, as_text: bool = False) -> None:
        self._field = field
        self._inner = inner
        self._since = since
        self._as_text = as_text
        self._records = 0
        self._seen: Watermark | None = None
        self._before: Watermark | None = None
        self._received = 0

    @property
    def value(self) -> Watermark | None:
        """The highest value among the durable rows, those of earlier tries included; None when none has one.

        To be asked when the read is complete.
        """
        # More has been received than was seen here: earlier tries' parts are part of the data set.
        return higher(self._before, self._seen) if self._received > self._records else self._seen

    def took(self, batch: Batch, table: pa.Table, misfits: Sequence[Misfit]) -> None:
        """A batch was decoded.

        Raises:
            ValueError: The field is missing, has no order in time, or is of another kind than the watermark.
        """
        self._records += table.num_rows + len(misfits)
        found = highest(table, self._field, as_text=self._as_text)
        higher(self._since, found)
        self._seen = higher(self._seen, found)

    def durable(self, manifest: Manifest) -> None:
        """A part is durable."""
        self._received = manifest.received

    def load(self) -> dict[str, Any] | None:
        """The stored checkpoint."""
        state = self._inner.load()
        mark = None if state is None else state.get(_KEY)
        self._before = None if mark is None else Watermark.from_json(mark)
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Store the checkpoint with the watermark beside it."""
        self._received = state["manifest"]["received"]
        mark = self.value
        self._inner.save(state if mark is None else {**state, _KEY: mark.to_json()})

    def clear(self) -> None:
        """Forget the checkpoint."""
        self._inner.clear()


def highest(table: pa.Table, field: str, *, as_text: bool = False) -> Watermark | None:
    """The highest value of a column, or of a member of a struct; None when it holds none.

    Args:
        table: Records.
        field: Dotted name.
        as_text: Compare text as text, instead of as ISO 8601 timestamps.

    Raises:
        ValueError: There is no such field, or it is of a type that has no order in time.
    """
    column = _column(table, field)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = column if as_text else _moments(column, field)
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    elif not (pa.types.is_date(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise ValueError(
            f"incremental field {field!r} is {kind}; a watermark is a timestamp, a date, an integer or a text"
        )
    value = pc.max(column).as_py()
    if value is None:
        return None
    return Watermark(value) if as_text else watermark_of(value)


def _column(table: pa.Table, field: str) -> pa.ChunkedArray:
    name, *members = field.split(".")
    if name not in table.column_names:
        raise ValueError(
            f"the records have no incremental field {field!r}; the schema has {', '.join(table.column_names)}"
        )
    column = table.column(name)
    for member in members:
        if not pa.types.is_struct(column.type) or column.type.get_field_index(member) < 0:
            raise ValueError(f"the records have no incremental field {field!r}: {column.type} has no {member!r}")
        column = pc.struct_field(column, member)
    return column


def _moments(column: pa.ChunkedArray, field: str) -> pa.ChunkedArray:
    """Text as timestamps; with zones everywhere, or nowhere, which means UTC."""
    for zone in ("UTC", None):
        try:
            return column.cast(pa.timestamp("us", tz=zone))
        except pa.ArrowInvalid as error:
            refusal = error
    raise ValueError(
        f"incremental field {field!r} holds text that is not ISO 8601 ({refusal}); with text_order=True it is compared "
        "as text"
    )
