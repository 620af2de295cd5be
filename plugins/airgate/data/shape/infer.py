"""What records look like when nobody has said so: a schema from the first of them, made once and then locked.

Raw inference is never shipped, because it loses data without a word: integers beyond 64 bits become doubles, times with
an offset lose it, ``{}`` becomes an empty struct. Here a column gets a type only when every value seen has it exactly.
All others, mixed ones and those that were never anything but null or empty, are kept as their JSON text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NoReturn, TypeAlias

import pyarrow as pa

from airgate.data.shape.arrowtypes import as_json_text

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

MAX_MEMBERS = 100
"""An object with more members than this is a map: its names are data, and it becomes JSON text."""

_WIDEST_DECIMAL = 38
_EXACT_IN_DOUBLE = 2**53

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


@dataclass(slots=True)
class Observed:
    """All values that were seen in one place."""

    kinds: set[type] = field(default_factory=set)
    lowest: int = 0
    highest: int = 0
    all_dates: bool = True
    all_times: bool = True
    finite: bool = True
    members: dict[str, Observed] = field(default_factory=dict)
    items: Observed | None = None

    def take(self, value: Json) -> None:
        """Count a value in."""
        if value is None:
            return
        self.kinds.add(type(value))
        if isinstance(value, bool):
            return
        if isinstance(value, int):
            self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
        elif isinstance(value, float):
            self.finite = self.finite and math.isfinite(value)
        elif isinstance(value, str):
            self.all_dates = self.all_dates and _is_date(value)
            self.all_times = self.all_times and _is_time(value)
        elif isinstance(value, list):
            self.items = self.items or Observed()
            for item in value:
                self.items.take(item)
        else:
            for name, inner in value.items():
                self.members.setdefault(name, Observed()).take(inner)

    @property
    def type(self) -> pa.DataType | None:
        """The type that holds every value seen exactly; None when there is no single one."""
        if self.kinds == {int, float} or self.kinds == {float}:
            exact = self.finite and max(-self.lowest, self.highest) <= _EXACT_IN_DOUBLE
            return pa.float64() if exact else None
        if len(self.kinds) != 1:
            return None
        [kind] = self.kinds
        if kind is bool:
            return pa.bool_()
        if kind is int:
            return _integer(self.lowest, self.highest)
        if kind is str:
            return pa.date32() if self.all_dates else pa.timestamp("us", tz="UTC") if self.all_times else pa.string()
        if kind is list:
            item = self.items.type if self.items else None
            return None if item is None else pa.list_(item)
        return self._struct()

    def _struct(self) -> pa.DataType | None:
        if not 0 < len(self.members) <= MAX_MEMBERS:
            return None
        types = {name: inner.type for name, inner in self.members.items()}
        # Only a column of its own can hold JSON text, so a member without a type makes text of the whole.
        return None if None in types.values() else pa.struct([pa.field(name, of) for name, of in types.items()])

    def column(self, name: str) -> pa.Field:
        """The column for these values."""
        return as_json_text(name) if self.type is None else pa.field(name, self.type)


def observe(records: Iterable[bytes]) -> Observed:
    """Look at records; what is no JSON object is passed over, it will be a dead letter."""
    seen = Observed()
    for record in records:
        try:
            value = _decode(record)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            seen.take(value)
    return seen


def infer_schema(records: Iterable[bytes]) -> pa.Schema:
    """The schema of records, columns in the order in which they were first seen, all nullable.

    Integers become int64, or decimal128(38, 0) when one is beyond 64 bits; integers and other numbers together float64;
    texts that are all dates ``2013-01-31`` date32, all times with an offset timestamp[us, UTC], other texts string;
    lists and objects of one shape lists and structs. Whatever has no single type that holds every value exactly, is a
    map rather than an object, or was never anything but null or empty, becomes JSON text (``is_json_text``).

    Records without any field make one column ``record`` of JSON text, always null: a table without columns has no rows.

    Args:
        records: JSON text of each record.
    """
    fields = [inner.column(name) for name, inner in observe(records).members.items()]
    return pa.schema(fields or [as_json_text("record")])


def _decode(record: bytes) -> Json:
    value: Json = json.loads(record, parse_constant=_refuse)
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _integer(lowest: int, highest: int) -> pa.DataType | None:
    if lowest >= -(2**63) and highest < 2**63:
        return pa.int64()
    return pa.decimal128(_WIDEST_DECIMAL, 0) if max(-lowest, highest) < 10**_WIDEST_DECIMAL else None


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
