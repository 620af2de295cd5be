"""JSON records to Arrow."""

from __future__ import annotations

import datetime
import decimal
import json
import logging

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.data.shape.decode import RecordDecoder
from airgate.data.shape.parsing import BLOCK_BYTES
from airgate.data.shape.schema import arrow_schema

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("price", pa.float64()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("on", pa.date32()),
    ]
)


def decode(*records: str | bytes):
    raws = [msgspec.Raw(record.encode() if isinstance(record, str) else record) for record in records]
    return RecordDecoder(SCHEMA).decode(raws)


def test_records_become_typed_columns() -> None:
    """Times with and without offset become UTC, dates become dates, whole numbers fit float columns."""
    table, misfits = decode(
        '{"id":1,"name":"a","price":2,"at":"2013-01-01T10:00:00Z","on":"2013-01-01"}',
        '{"id":2,"at":"2013-01-01T12:00:00.5+02:00"}',
        '{"id":3,"name":null}',
    )
    assert misfits == []
    assert table.schema == SCHEMA
    ten = datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.UTC)
    empty = dict.fromkeys(SCHEMA.names)
    assert table.to_pylist() == [
        {"id": 1, "name": "a", "price": 2.0, "at": ten, "on": datetime.date(2013, 1, 1)},
        empty | {"id": 2, "at": ten.replace(microsecond=500_000)},
        empty | {"id": 3},
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ('{"id":"1"}', 'id is "1", not int64'),
        ('{"id":1.5}', "id is 1.5, not int64"),
        ('{"id":9223372036854775808}', "id is 9223372036854775808, not int64"),
        ('{"id":null}', "id is null but required"),
        ('{"name":"a"}', "id is missing but required"),
        ('{"id":1,"name":7}', "name is 7, not string"),
        ('{"id":1,"name":{"a":1}}', 'name is {"a":1}, not string'),
        ('{"id":1,"price":"n/a"}', 'price is "n/a", not double'),
        ('{"id":1,"at":"yesterday"}', 'at is "yesterday", not timestamp'),
        ('{"id":1,"on":"2013-02-30"}', 'on is "2013-02-30", not date32'),
        ('{"id":1,"on":20130101}', "on is 20130101, not date32"),
        ('{"id":"x","price":"y"}', 'id is "x", not int64; price is "y", not double'),
        ('{"id":1,"id":2}', "specified twice"),
        ('{"id":1,"name":"\\ud800"}', "surrogate pair in string is invalid"),
        (b'{"id":1,"name":"\xff"}', 'name is "\ufffd", not string'),
        ('{"id":1,"price":NaN}', "the record is not JSON"),
        ('{"id":1,"price":-Infinity}', "the record is not JSON"),
        ("null", "must be a JSON object"),
        ("[1]", "must be a JSON object"),
        ('"text"', "must be a JSON object"),
        ("7", "must be a JSON object"),
    ],
)
def test_a_misfit_comes_back_raw_with_its_reason(record: str | bytes, reason: str) -> None:
    """The others of its page are kept, in order; the reason names the field."""
    raw = record if isinstance(record, bytes) else record.encode()
    table, misfits = decode('{"id":1}', '{"id":2}', record, '{"id":3}')
    assert table.column("id").to_pylist() == [1, 2, 3]
    assert [(misfit.index, misfit.record) for misfit in misfits] == [(2, raw)]
    assert reason in misfits[0].reason


def test_a_text_that_speaks_of_nan_is_a_text() -> None:
    """Only the bare constants are refused."""
    table, misfits = decode('{"id":1,"name":"NaN and Infinity"}')
    assert (table.num_rows, misfits) == (1, [])


def test_pretty_printed_records_are_read() -> None:
    """A line break within a record does not end it."""
    table, misfits = decode('{\n  "id": 1,\n  "name": "a"\n}', '{"id": 2}')
    assert (table.num_rows, misfits) == (2, [])


def test_an_absent_object_is_null_and_not_a_misfit() -> None:
    """Pyarrow alone would refuse it for the members that it does not have."""
    schema = arrow_schema(
        {"properties": {"o": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}}
    )
    records = [msgspec.Raw(text) for text in (b"{}", b'{"o":null}', b'{"o":{"x":1}}')]
    table, misfits = RecordDecoder(schema).decode(records)
    assert misfits == []
    assert table.column("o").to_pylist() == [None, None, {"x": 1}]


def test_an_empty_page_has_the_schema() -> None:
    """No records, no rows, all columns."""
    table, misfits = decode()
    assert (table.schema, table.num_rows, misfits) == (SCHEMA, 0, [])


def test_fields_without_a_column_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """What the schema leaves out does not vanish silently."""
    decoder = RecordDecoder(SCHEMA)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            decoder.decode([msgspec.Raw(b'{"id":1,"colour":"red","size":{"a":1}}')])
    assert [record.getMessage() for record in caplog.records] == [
        "left out, because the schema does not name them: colour, size"
    ]


@pytest.mark.parametrize(
    ("type_", "value", "row"),
    [
        (pa.time64("us"), '"10:00:00.5"', datetime.time(10, 0, 0, 500_000)),
        (pa.time64("us"), '"10:00:00Z"', datetime.time(10)),
        (pa.time64("us"), '"10:00:00+00:00"', datetime.time(10)),
        (pa.time64("us"), '"10:00:00+02:00"', None),
        (pa.time64("us"), "36000", None),
        (pa.list_(pa.date32()), '["2013-01-02"]', [datetime.date(2013, 1, 2)]),
        (pa.list_(pa.date32()), "[15707]", None),
        (pa.struct([("d", pa.date32())]), '{"d":"2013-01-02"}', {"d": datetime.date(2013, 1, 2)}),
        (pa.struct([("d", pa.date32())]), '{"d":15707}', None),
        (pa.timestamp("us"), '"2013-01-02T10:00:00"', datetime.datetime(2013, 1, 2, 10)),  # noqa: DTZ001
        (pa.timestamp("us"), '"2013-01-02T10:00:00+02:00"', None),
        (pa.decimal128(10, 2), "1.25", decimal.Decimal("1.25")),
        (pa.decimal128(10, 2), '"1.25"', decimal.Decimal("1.25")),
        (pa.decimal128(10, 2), "1.255", None),
        (pa.decimal128(10, 2), "123456789.25", None),
        (pa.int8(), "127", 127),
        (pa.int8(), "128", None),
        (pa.uint64(), "18446744073709551615", 2**64 - 1),
        (pa.uint64(), "-1", None),
        (pa.binary(), '"a"', b"a"),
        (pa.dictionary(pa.int32(), pa.string()), '"a"', "a"),
        (pa.large_list(pa.int64()), "[1]", [1]),
        (pa.float64(), "1e400", None),
        (pa.list_(pa.float64()), "[NaN]", None),
        (pa.struct([("f", pa.float64())]), '{"f":Infinity}', None),
    ],
)
def test_a_type_takes_what_it_holds_exactly(type_: pa.DataType, value: str, row: object) -> None:
    """Everything else is a misfit, at any depth: a number is no date, an offset no detail."""
    table, misfits = RecordDecoder(pa.schema([("v", type_)])).decode([msgspec.Raw(b'{"v":%s}' % value.encode())])
    assert table.column("v").to_pylist() == ([] if row is None else [row])
    assert len(misfits) == (1 if row is None else 0)


def test_records_of_any_size_are_read() -> None:
    """Beyond a block: many small ones, a long one among them, and pretty-printed ones."""
    small = [b'{"id":%d,"name":"%s"}' % (number, b"x" * 1000) for number in range(4000)]
    large = b'{"id":5000,"name":"%s"}' % (b"y" * 3 * BLOCK_BYTES)
    pretty = json.dumps({"id": 6000, "name": "z" * 1000}, indent=4).encode()
    for records in (small, [*small, large, *small], [*small, pretty], [large, pretty, large]):
        table, misfits = RecordDecoder(SCHEMA).decode(list(map(msgspec.Raw, records)))
        assert misfits == []
        assert table.column("id").to_pylist() == [json.loads(record)["id"] for record in records]
        assert table.column("name").to_pylist() == [json.loads(record)["name"] for record in records]


def test_a_schema_without_columns_is_refused() -> None:
    """Its table could not even say how many records there were."""
    with pytest.raises(ValueError, match="at least one column"):
        RecordDecoder(pa.schema([]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(SCHEMA.names), inner, max_size=5),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(JSON, max_size=12))
def test_nothing_is_lost_whatever_comes(records: list) -> None:
    """Any JSON at all is either a row or a misfit, and a row holds what was sent."""
    texts = [json.dumps(record) for record in records]
    table, misfits = decode(*texts)
    assert table.num_rows + len(misfits) == len(records)
    bad = {misfit.index for misfit in misfits}
    kept = [record for index, record in enumerate(records) if index not in bad]
    assert table.column("id").to_pylist() == [record["id"] for record in kept]
    assert table.column("name").to_pylist() == [record.get("name") for record in kept]
