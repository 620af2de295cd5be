"""Holds a frame against a pandera schema: what fails is named, or becomes dead letters."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from airgate.data.frames.library import Library, from_table, to_table
from airgate.data.shape.misfit import Misfit
from airgate.policy.redaction import MASK, is_secret_name

_SHOWN = 5
_LONGEST = 60


class Schema(Protocol):
    """A pandera ``DataFrameSchema`` or ``DataFrameModel``, for pandas or for polars."""

    def validate(self, check_obj: Any, *, lazy: bool) -> Any:
        """Give the frame as the schema has it; raise ``pandera.errors.SchemaErrors`` when it does not fit."""
        ...


class SchemaMisfit(ValueError):
    """A frame does not fit its schema."""


@dataclass(frozen=True, slots=True)
class Checker:
    """What becomes of rows that do not fit."""

    dead_letter: bool = False
    """Whether failing rows are dead-lettered instead of failing the whole. A failure of a whole column, such as one
    that is missing or has another type, fails in any case."""
    redact_fields: Collection[str] = ()
    """Columns whose values are not shown in messages, beside those whose name says that they are secrets."""

    def check(self, table: pa.Table, schema: Schema | str, where: str) -> tuple[pa.Table, list[Misfit]]:
        """Give the rows that fit, coerced where the schema says so, and those that do not.

        Args:
            table: The frame.
            schema: The schema, or where it is: ``package.module:name``, imported only now.
            where: Names the frame in messages.

        Raises:
            SchemaMisfit: Naming columns, checks and some values.
            ValueError: When pandera is not installed.
        """
        checks = _schema(schema)
        library = _library(checks)
        numbers = list(range(table.num_rows))
        rest, misfits = table, list[Misfit]()
        while True:
            try:
                checked = checks.validate(from_table(rest, library), lazy=True)
                # Rows that pandera itself drops (drop_invalid_rows) would be lost without a trace.
                made = to_table(checked)
                if made.num_rows != rest.num_rows:
                    lost = rest.num_rows - made.num_rows
                    raise SchemaMisfit(
                        f"{where}: the schema drops {lost} rows by itself; leave drop_invalid_rows out, and let the "
                        "task dead-letter them"
                    )
                return made, sorted(misfits, key=lambda misfit: misfit.index)
            except _errors() as error:
                failures = _failures(error)
            # What is not coerced fails other checks too, and so may the rows beside it: they are asked again without.
            failures = [failure for failure in failures if failure.check.startswith("coerce_dtype")] or failures
            rows = {failure.row for failure in failures if failure.row is not None}
            if not self.dead_letter or not rows:
                raise SchemaMisfit(f"{where}: {self._told(failures, rest.num_rows)}") from None
            reasons = self._reasons(failures)
            for row, record in zip(sorted(rows), rest.take(pa.array(sorted(rows))).to_pylist(), strict=True):
                misfits.append(Misfit(numbers[row], msgspec.json.encode(record), "; ".join(reasons[row])))
            kept = [row for row in range(rest.num_rows) if row not in rows]
            numbers = [numbers[row] for row in kept]
            rest = rest.take(pa.array(kept, pa.int64()))

    def _reasons(self, failures: Sequence[_Failure]) -> dict[int, list[str]]:
        reasons: dict[int, list[str]] = defaultdict(list)
        for failure in failures:
            if failure.row is not None:
                reasons[failure.row].append(f"{failure.what}: {self._value(failure)}")
        return reasons

    def _told(self, failures: Sequence[_Failure], rows: int) -> str:
        by_check: dict[str, list[_Failure]] = defaultdict(list)
        for failure in failures:
            by_check[failure.what].append(failure)
        parts = []
        for what, these in by_check.items():
            shown = ", ".join(self._value(failure) for failure in these[:_SHOWN])
            if these[0].row is None:
                parts.append(f"{what}: {shown}")
                continue
            places = ", ".join(str(failure.row) for failure in these[:_SHOWN])
            more = ", …" if len(these) > _SHOWN else ""
            parts.append(f"{what} in {len(these)} of {rows} rows: {shown}{more} (row {places}{more})")
        arrow = any(failure.check.startswith("dtype(") and "[pyarrow]" in str(failure.value) for failure in failures)
        advice = (
            "; columns of frames are Arrow-backed: name such a type, as in 'int64[pyarrow]', or let the schema coerce"
            if arrow
            else ""
        )
        return f"the frame does not fit its schema: {'; '.join(parts)}{advice}"

    def _value(self, failure: _Failure) -> str:
        # The name of a type is no secret; what else stands there may quote a value.
        secret = is_secret_name(failure.column) or failure.column in self.redact_fields
        if secret and not failure.check.startswith("dtype("):
            return MASK
        text = repr(failure.value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@dataclass(frozen=True, slots=True)
class _Failure:
    column: str
    """Empty for a check of the whole frame."""
    check: str
    value: object
    row: int | None
    """None for a failure of the whole column or frame."""

    @property
    def what(self) -> str:
        return f"column {self.column} fails {self.check}" if self.column else f"it fails {self.check}"


def _failures(error: Exception) -> list[_Failure]:
    cases = error.failure_cases  # type: ignore[attr-defined]
    rows: Sequence[Mapping[str, Any]] = cases.to_dicts() if hasattr(cases, "to_dicts") else cases.to_dict("records")
    return [
        _Failure(
            column=""
            if case["schema_context"] == "DataFrameSchema" and case["column"] is None
            else str(case["column"]),
            check=str(case["check"]),
            value=case["failure_case"],
            # The type is the column's, although pandera may list each of its rows.
            row=None if str(case["check"]).startswith("dtype(") else _row(case["index"]),
        )
        for case in rows
    ]


def _row(index: object) -> int | None:
    # A column of numbers with gaps is one of floats, in which a gap is a NaN.
    return int(index) if isinstance(index, (int, float)) and not math.isnan(index) else None


def _schema(schema: Schema | str) -> Schema:
    if not isinstance(schema, str):
        return schema
    module, _, name = schema.partition(":")
    try:
        found: Schema = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"schema {schema!r} cannot be imported: {error}") from None
    return found


def _library(schema: Schema) -> Library:
    kind = schema if isinstance(schema, type) else type(schema)
    return "polars" if any("polars" in base.__module__ for base in kind.__mro__) else "pandas"


def _errors() -> tuple[type[Exception], ...]:
    try:
        errors = import_module("pandera.errors")
    except ModuleNotFoundError:
        raise ValueError("a schema needs pandera: pip install 'airgate[pandera]'") from None
    return errors.SchemaErrors, errors.SchemaError
