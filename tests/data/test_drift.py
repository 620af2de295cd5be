"""Records that change under a locked schema: each one is written as it came, or dead-lettered as it came."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airgate.data.extract import Collection, extract
from airgate.data.shape.arrowtypes import is_json_text
from airgate.data.shape.evolution import EVOLUTIONS, Evolution
from airgate.data.shape.schema import arrow_schema, describe_schema
from airgate.data.store.layout import Layout
from airgate.data.store.manifest import Manifest
from airgate.pagination import OffsetPages
from tests.data.reads import FileCheckpoint, Texts, letters_of, local, table_of

DECLARED = arrow_schema(
    {
        "properties": {
            "id": {"type": "integer"},
            "n": {"type": "number"},
            "s": {"type": "string"},
            "ok": {"type": "boolean"},
            "at": {"type": "string", "format": "date-time"},
            "on": {"type": "string", "format": "date"},
            "l": {"type": "array", "items": {"type": "integer"}},
            "o": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "string"}}},
            "any": {"type": "object", "additionalProperties": True},
        },
        "required": ["id"],
    }
)


def read(
    path: Path, texts: list[bytes], schema: pa.Schema | None = DECLARED, evolution: Evolution | None = None, **more: Any
) -> tuple[Manifest, list[dict[str, Any]], list[bytes]]:
    """The manifest, the rows and the dead records of a read in pages of 7."""
    place = local(path / "out")
    values = {"part_rows": 20, **more}
    collection = Collection("GET /t", OffsetPages(limit=7), schema, evolution=evolution, **values)
    manifest = extract(collection, Texts(texts), place, FileCheckpoint(path / "c"))
    dead = [letter["record"].encode() for letter in letters_of(manifest, place)]
    return manifest, table_of(manifest, place).to_pylist(), dead


@pytest.mark.parametrize("evolution", EVOLUTIONS)
@pytest.mark.parametrize(
    ("record", "fits"),
    [
        ('{"id":1,"n":7}', True),
        ('{"id":1}', True),
        ('{"id":1,"o":null,"l":null}', True),
        ('{"id":1,"o":{},"l":[]}', True),
        ('{"id":1,"at":"2013-01-01T10:00:00Z"}', True),
        ('{"id":1,"at":"2013-01-01T10:00:00.123456-07:30"}', True),
        ('{"id":1,"s":7}', False),
        ('{"id":1,"n":"7"}', False),
        ('{"id":1,"s":{"a":1}}', False),
        ('{"id":1,"o":[1]}', False),
        ('{"id":1,"l":7}', False),
        ('{"id":1.5}', False),
        ('{"id":9223372036854775808}', False),
        ('{"id":1,"n":NaN}', False),
        ('{"id":1,"n":-Infinity}', False),
        ('{"id":1,"n":1e400}', False),
        ('{"id":1,"at":"2013-01-01T10:00:00.123456789Z"}', False),
        ('{"id":1,"at":1357034400}', False),
        ('{"id":1,"on":15706}', False),
        ('{"id":1,"l":[1,"a"]}', False),
        ('{"id":1,"o":{"x":"a"}}', False),
        ('{"id":1,"id":2}', False),
        ('{"id":1,"s":"\\ud800"}', False),
        ('{"id":null}', False),
        ('{"id":"1"}', False),
        ("null", False),
        ("[1]", False),
        ('"text"', False),
    ],
)
def test_each_known_drift_ends_in_a_row_or_a_dead_letter(
    tmp_path: Path, record: str, fits: bool, evolution: Evolution
) -> None:
    """A known field of another kind makes a dead letter whatever the evolution; the records beside it are kept."""
    texts = [b'{"id":%d}' % number for number in range(5)] + [record.encode()] + [b'{"id":9}'] * 5
    manifest, rows, dead = read(tmp_path, texts, evolution=evolution)
    assert manifest.received == 11 == manifest.written + manifest.dead_lettered
    assert dead == ([] if fits else [record.encode()])
    assert [row["id"] for row in rows] == [0, 1, 2, 3, 4, *([1] if fits else []), *[9] * 5]


@pytest.mark.parametrize("evolution", EVOLUTIONS)
@pytest.mark.parametrize("record", [b'{"id":1,"\xf6":1}', b'{"id":1,"s":"\xf6"}', b'{"id":1,"any":{"\xf6":1}}'])
def test_a_record_that_is_not_utf_8_is_a_dead_letter(tmp_path: Path, record: bytes, evolution: Evolution) -> None:
    """Its bytes stand in a name, a value or deep within; the records beside it are kept."""
    texts = [b'{"id":%d}' % number for number in range(5)] + [record] + [b'{"id":9,"any":[1]}'] * 5
    manifest, rows, _ = read(tmp_path, texts, evolution=evolution)
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (11, 10, 1)
    assert [row["id"] for row in rows] == [0, 1, 2, 3, 4, *[9] * 5]


@pytest.mark.parametrize(
    ("evolution", "columns", "dead"),
    [("discard", [], 0), ("freeze", [], 2), ("evolve", ["colour", "size"], 0)],
)
def test_a_new_field_is_what_the_evolution_says(
    tmp_path: Path, evolution: Evolution, columns: list[str], dead: int
) -> None:
    """Left out, dead-lettered with its name, or a column from that part on; the manifest's schema has it all."""
    texts = [b'{"id":%d}' % number for number in range(40)]
    texts[30] = b'{"id":30,"colour":"red"}'
    texts[33] = b'{"id":33,"colour":"blue","size":{"w":1}}'
    manifest, rows, _ = read(tmp_path, texts, evolution=evolution)
    assert (manifest.received, manifest.dead_lettered) == (40, dead)
    assert list(manifest.schema) == [*DECLARED.names, *columns]
    if evolution == "evolve":
        assert [(row["id"], row["colour"], row["size"]) for row in rows if row["colour"]] == [
            (30, "red", None),
            (33, "blue", {"w": 1}),
        ]
        assert manifest.schema["size"] == "struct<w: int64>"
        assert len(rows) == 40
    if evolution == "freeze":
        reasons = [letter["reason"] for letter in letters_of(manifest, local(tmp_path / "out"))]
        assert reasons == ["the schema has no colour", "the schema has no colour, size"]


def test_a_struct_that_grows_keeps_its_members(tmp_path: Path) -> None:
    """Members that are new within a known object are evolved as well, and null in the parts before."""
    texts = [b'{"id":%d,"o":{"x":1}}' % number for number in range(50)]
    texts[40] = b'{"id":40,"o":{"x":2,"z":true}}'
    manifest, rows, dead = read(tmp_path, texts, evolution="evolve")
    assert dead == []
    assert manifest.schema["o"] == "struct<x: int64, y: string, z: bool>"
    assert rows[40]["o"] == {"x": 2, "y": None, "z": True}
    assert rows[0]["o"] == {"x": 1, "y": None, "z": None}


def test_a_new_field_is_looked_at_in_all_records_that_came_with_it(tmp_path: Path) -> None:
    """Whole numbers first and fractions later in the same page make one column of numbers."""
    texts = [b'{"id":1,"w":1}', *[b'{"id":2}'] * 3, b'{"id":3,"w":2.5}']
    manifest, rows, dead = read(tmp_path, texts, evolution="evolve")
    assert dead == []
    assert [row["w"] for row in rows] == [1.0, None, None, None, 2.5]
    assert manifest.schema["w"] == "double"


def test_an_inferred_schema_is_kept_beside_the_data_and_used_again(tmp_path: Path) -> None:
    """A later run with the file's location has the same columns, whatever its own first records look like."""
    from airgate.data.shape.schemafile import SchemaFile

    shared = SchemaFile(local(tmp_path / "shared"))
    collection = Collection("GET /t", OffsetPages(limit=7), None)
    first = [b'{"id":%d,"n":0.5,"u":null}' % number for number in range(20)]
    manifest = extract(collection, Texts(first), local(tmp_path / "1"), FileCheckpoint(tmp_path / "c"), (), shared)
    assert manifest.schema == {"id": "int64", "n": "double", "u": "json"}
    assert SchemaFile(local(tmp_path / "1")).load() == shared.load()
    second = [b'{"id":"x","n":1}', b'{"n":2,"new":true}', b'{"id":3}']
    manifest = extract(collection, Texts(second), local(tmp_path / "2"), FileCheckpoint(tmp_path / "c"), (), shared)
    assert manifest.schema == {"id": "int64", "n": "double", "u": "json", "new": "bool"}
    assert (manifest.received, manifest.dead_lettered) == (3, 1)
    assert describe_schema(shared.load()) == manifest.schema


def test_a_resumed_read_keeps_the_schema_it_had(tmp_path: Path) -> None:
    """What the first try inferred and evolved holds for the second, and no page is asked for twice."""
    texts = [b'{"id":%d}' % number for number in range(60)]
    texts[15] = b'{"id":15,"late":1}'
    texts[50] = b'{"id":50,"late":"no number"}'
    collection = Collection("GET /t", OffsetPages(limit=7), None, part_rows=20, sample_records=7)
    service, place, checkpoint = Texts(texts, broken={49}), local(tmp_path / "out"), FileCheckpoint(tmp_path / "c")
    with pytest.raises(Exception, match="503"):
        extract(collection, service, place, checkpoint)
    manifest = extract(collection, service, place, checkpoint)
    assert service.asked == [0, 7, 14, 21, 28, 35, 42, 49, 49, 56]
    assert manifest.schema == {"id": "int64", "late": "int64"}
    assert [letter["record"] for letter in letters_of(manifest, place)] == ['{"id":50,"late":"no number"}']
    assert table_of(manifest, place).column("id").to_pylist() == [n for n in range(60) if n != 50]


def test_names_without_end_do_not_make_columns_without_end(tmp_path: Path) -> None:
    """A record keyed by ids stays a dead letter once the schema would have more than a thousand columns."""
    texts = [json.dumps({"id": 1, **{f"k{number}": 1 for number in range(1200)}}).encode(), b'{"id":2}']
    manifest, rows, dead = read(tmp_path, texts, evolution="evolve")
    assert (len(rows), dead) == (1, [texts[0]])
    assert list(manifest.schema) == DECLARED.names


def expected(value: Any, field: pa.Field) -> Any:
    """What a column must hold for a JSON value; raises ``ValueError`` when it must not hold it.

    Written from the documentation of the types, not from the decoder.
    """
    if value is None:
        if not field.nullable:
            raise ValueError
        return None
    of = field.type
    if is_json_text(field):
        return value
    if pa.types.is_boolean(of):
        return _of(value, bool)
    if pa.types.is_int64(of):
        if not -(2**63) <= _of(value, int) < 2**63:
            raise ValueError
        return value
    if pa.types.is_decimal(of):  # takes texts of numbers as well, and any way to write a whole number
        text = value if isinstance(value, str) else repr(value)
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
            raise ValueError
        number = decimal.Decimal(text)
        if number != number.to_integral_value() or abs(number) >= 10**38:
            raise ValueError
        return number
    if pa.types.is_floating(of):
        try:
            number = float(value if isinstance(value, int) and not isinstance(value, bool) else _of(value, float))
        except OverflowError:
            raise ValueError from None
        return number if math.isfinite(number) else _of(value, type(None))
    if pa.types.is_string(of):
        return _of(value, str)
    if pa.types.is_date(of):
        return datetime.date.fromisoformat(_of(value, str))
    if pa.types.is_timestamp(of):
        return datetime.datetime.fromisoformat(_of(value, str)).astimezone(datetime.UTC)
    if pa.types.is_list(of):
        return [expected(item, of.value_field) for item in _of(value, list)]
    assert pa.types.is_struct(of)
    known = _of(value, dict)
    return {inner.name: expected(known.get(inner.name), inner) for inner in of}


def _of(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError
    return value


def unknown(value: Any, of: pa.DataType) -> bool:
    """Whether a value has a member, at any depth, that its type does not name."""
    if pa.types.is_struct(of) and isinstance(value, dict):
        names = {inner.name: inner.type for inner in of}
        return any(name not in names or unknown(inner, names[name]) for name, inner in value.items())
    if pa.types.is_list(of) and isinstance(value, list):
        return any(unknown(item, of.value_type) for item in value)
    return False


def check(rows: list[dict[str, Any]], dead: list[bytes], texts: list[bytes], schema: pa.Schema, strict: bool) -> None:
    """Every text is a row that says the same, or a dead letter with that text; in order, none twice."""
    left, letters = iter(rows), iter(dead)
    for text in texts:
        record = json.loads(text)
        try:
            row = expected_row(record, schema, strict)
        except ValueError:
            assert next(letters) == text
            continue
        came = next(left)
        for field in schema:
            value = came[field.name]
            if is_json_text(field) and value is not None:
                value = json.loads(value)
            assert value == row[field.name], (field, text)
    assert next(left, None) is None
    assert next(letters, None) is None


def expected_row(record: Any, schema: pa.Schema, strict: bool) -> dict[str, Any]:
    if not isinstance(record, dict) or (strict and any_unknown(record, schema)):
        raise ValueError
    return {field.name: expected(record.get(field.name), field) for field in schema}


def any_unknown(record: dict[str, Any], schema: pa.Schema) -> bool:
    return any(name not in schema.names or unknown(value, schema.field(name).type) for name, value in record.items())


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["2013-01-01", "2013-01-01T10:00:00Z", "2013-06-01T10:00:00.5+02:00"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
)
PLAIN = st.fixed_dictionaries(
    {"id": st.integers(-5, 2**63 - 1)},
    optional={
        "n": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
        "s": st.text(max_size=5) | st.none(),
        "l": st.lists(st.integers(-9, 9) | st.none(), max_size=3),
        "o": st.fixed_dictionaries({}, optional={"x": st.integers(-9, 9), "y": st.text(max_size=3)}),
        "any": VALUES,
    },
)
TIMED = st.fixed_dictionaries(
    {"id": st.integers(0, 9)},
    optional={
        "at": st.datetimes(
            datetime.datetime(1700, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
            datetime.datetime(2200, 1, 1),  # noqa: DTZ001
            timezones=st.just(datetime.UTC),
        ).map(datetime.datetime.isoformat),
        "on": st.dates(datetime.date(1, 1, 1)).map(datetime.date.isoformat),
    },
)
WILD = st.dictionaries(st.sampled_from(["id", "n", "s", "ok", "l", "o", "any", "new", "more"]), VALUES, max_size=6)
RECORDS = st.lists(st.one_of(PLAIN, PLAIN, TIMED, WILD, VALUES), max_size=30)
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@RELAXED
@given(RECORDS, st.sampled_from(["discard", "freeze"]))
def test_whatever_comes_is_written_or_dead_lettered(records: list[Any], evolution: Evolution) -> None:
    """Received is written plus dead-lettered, each row says what its record said, each misfit is there as it came."""
    texts = [json.dumps(record).encode() for record in records]
    with tempfile.TemporaryDirectory() as path:
        manifest, rows, dead = read(Path(path), texts, evolution=evolution)
    assert manifest.received == len(texts) == len(rows) + len(dead)
    check(rows, dead, texts, DECLARED, strict=evolution == "freeze")


@RELAXED
@given(RECORDS)
def test_whatever_comes_is_written_or_dead_lettered_while_the_schema_is_inferred(records: list[Any]) -> None:
    """The same without a declared schema: in the sample nothing but what is no object can be a misfit."""
    texts = [json.dumps(record).encode() for record in records]
    with tempfile.TemporaryDirectory() as path:
        manifest, rows, dead = read(Path(path), texts, schema=None)
        place = local(Path(path) / "out")
        schema = table_of(manifest, place).schema
    assert manifest.received == len(texts) == len(rows) + len(dead)
    check(rows, dead, texts, schema, strict=False)
    assert dead == [text for text in texts if not text.startswith(b"{")]


@RELAXED
@given(RECORDS, RECORDS)
def test_whatever_comes_behind_the_sample_is_written_or_dead_lettered(first: list[Any], then: list[Any]) -> None:
    """An inferred schema evolves: later records bring columns, and lose none of the earlier ones."""
    texts = [json.dumps(record).encode() for record in [*first, *then]]
    with tempfile.TemporaryDirectory() as path:
        manifest, rows, dead = read(Path(path), texts, schema=None, sample_records=1, layout=Layout(part_rows=5))
        schema = table_of(manifest, local(Path(path) / "out")).schema
    assert manifest.received == len(texts) == len(rows) + len(dead)
    check(rows, dead, texts, schema, strict=True)
