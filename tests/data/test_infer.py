"""Schemas of records that nobody has described."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from airgate.data.shape.arrowtypes import is_json_text
from airgate.data.shape.decode import RecordDecoder
from airgate.data.shape.infer import MAX_MEMBERS, infer_schema
from airgate.data.shape.schema import describe_schema
from airgate.data.shape.schemafile import SchemaFile
from tests.data.reads import local


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["1", "-2", "null"], "int64"),
        (["9223372036854775807", "-9223372036854775808"], "int64"),
        (["1", "9223372036854775808"], "decimal128(38, 0)"),
        (["1" + "0" * 38], "json"),
        (["1", "2.5"], "double"),
        (["2.5", "9007199254740993"], "json"),
        (["1e400"], "json"),
        (["true", "null"], "bool"),
        (["true", "1"], "json"),
        (['"a"', '"2013-01-01"'], "string"),
        (['"2013-01-01"', '"2013-12-31"'], "date32[day]"),
        (['"2013-01-01"', '"2013-02-30"'], "string"),
        (['"2013-01-01T10:00:00Z"', '"2013-01-01T10:00:00.123456+02:00"'], "timestamp[us, tz=UTC]"),
        (['"2013-01-01T10:00:00"'], "string"),
        (['"2013-01-01T10:00:00.123456789Z"'], "string"),
        (["null", "null"], "json"),
        (["{}"], "json"),
        (["[]", "[]"], "json"),
        (["[1]", "[]", "null"], "list<item: int64>"),
        (["[1]", '["a"]'], "json"),
        (['[1, "a"]'], "json"),
        (['{"x": 1}', "{}"], "struct<x: int64>"),
        (['{"x": 1}', '{"x": 1, "y": "a"}'], "struct<x: int64, y: string>"),
        (['{"x": 1}', '{"x": "a"}'], "json"),
        (['{"x": 1}', "7"], "json"),
        (['[{"x": 1}, {"y": [true]}]'], "list<item: struct<x: int64, y: list<item: bool>>>"),
    ],
)
def test_a_column_has_the_type_that_holds_every_value(values: list[str], type_: str) -> None:
    """Each trap of raw inference ends as a type that loses nothing, or as JSON text."""
    assert describe_schema(infer_schema(b'{"v":%s}' % value.encode() for value in values)) == {"v": type_}


def test_an_object_whose_names_are_data_is_text() -> None:
    """A map of a hundred ids does not become a struct of a hundred columns."""
    record = json.dumps({"small": {"a": 1}, "map": {f"id{number}": 1 for number in range(MAX_MEMBERS + 1)}}).encode()
    assert describe_schema(infer_schema([record])) == {"small": "struct<a: int64>", "map": "json"}


def test_records_that_are_none_do_not_count() -> None:
    """They become dead letters, and must not keep the others from having a schema."""
    records = [b"null", b"[1]", b'{"a":NaN}', b'{"a":1', b'{"a":1}', b'{"b":"x"}']
    assert describe_schema(infer_schema(records)) == {"a": "int64", "b": "string"}


@pytest.mark.parametrize("records", [[], [b"{}", b"{}"]])
def test_records_without_a_field_still_are_records(records: list[bytes]) -> None:
    """A table without a column would have no rows, and lose them."""
    schema = infer_schema(records)
    table, misfits = RecordDecoder(schema).decode(records)
    assert (table.num_rows, misfits) == (len(records), [])


def test_json_text_is_what_came() -> None:
    """Spaces, order and digits of a value stay as they were; null stays null."""
    values = [b'{ "b":1, "a":1.50 }', b'[1,"a"]', b'"text"', b"12345678901234567890123", b"null", b"true"]
    schema = infer_schema(b'{"v":%s}' % value for value in values)
    table, misfits = RecordDecoder(schema).decode([msgspec.Raw(b'{"v":%s}' % value) for value in values])
    assert misfits == []
    assert is_json_text(table.schema.field("v"))
    assert table.column("v").to_pylist() == [None if value == b"null" else value.decode() for value in values]


def test_the_values_of_an_inferred_schema_are_exact() -> None:
    """An id beyond 64 bits keeps its last digit, and an offset its hour."""
    record = b'{"id":18446744073709551617,"at":"2013-01-01T12:00:00+02:00"}'
    table, misfits = RecordDecoder(infer_schema([record])).decode([msgspec.Raw(record)])
    assert misfits == []
    row = table.to_pylist()[0]
    assert int(row["id"]) == 18446744073709551617
    assert row["at"].isoformat() == "2013-01-01T10:00:00+00:00"


def test_a_schema_file_gives_the_schema_back(tmp_path: Path) -> None:
    """What was inferred, and any other type that records can fill, survives the file."""
    inferred = infer_schema(
        [b'{"i":1,"big":9223372036854775808,"f":0.5,"b":true,"s":"a","d":"2013-01-01","t":"2013-01-01T00:00:00Z",'
         b'"n":null,"l":[[1]],"o":{"p":{"q":["2013-01-01"]}}}']
    )  # fmt: skip
    more = [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("money", pa.decimal128(12, 2)),
        pa.field("small", pa.int8()),
        pa.field("local", pa.timestamp("ms")),
        pa.field("hour", pa.time32("s")),
        pa.field("raw", pa.binary()),
        pa.field("far", pa.timestamp("ns", tz="Europe/Berlin")),
    ]
    schema = pa.schema([*inferred, *more])
    file = SchemaFile(local(tmp_path))
    assert file.load() is None
    file.save(schema)
    assert file.load().equals(schema, check_metadata=True)
    (tmp_path / "schema.json").write_text("{")
    with pytest.raises(ValueError, match=r"schema\.json is not JSON"):
        file.load()


def test_a_schema_that_records_cannot_fill_is_refused(tmp_path: Path) -> None:
    """The error names the column, when the schema is written and when it is used."""
    schema = pa.schema([("m", pa.map_(pa.string(), pa.int64()))])
    with pytest.raises(ValueError, match="column m: records in JSON cannot fill"):
        SchemaFile(local(tmp_path)).save(schema)
    with pytest.raises(ValueError, match="column m: records in JSON cannot fill"):
        RecordDecoder(schema)
