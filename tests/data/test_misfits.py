"""Records that do not fit, in any number: each one told apart exactly, and in few parses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgate.data.shape import parsing
from airgate.data.shape.arrowtypes import as_json_text
from airgate.data.shape.decode import RecordDecoder
from airgate.data.shape.evolution import EVOLUTIONS, Evolution
from airgate.data.shape.halving import DENSE

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("price", pa.float64()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("tags", pa.list_(pa.int64())),
        as_json_text("any"),
    ]
)
COUNT = 1000
HALVING = 2 * DENSE * COUNT.bit_length()

Spoil = Callable[[int], dict[str, Any]]
"""What is wrong with the record of a number: members in place of its own; ``...`` for one that is missing."""


def good(number: int) -> dict[str, Any]:
    fields = {"id": number, "name": f"n{number}", "price": number / 4, "at": "2013-01-01T10:00:00Z"}
    return fields | {"tags": [number], "any": {"a": number}}


def text(number: int, spoil: Spoil | None) -> bytes:
    record = {**good(number), **(spoil(number) if spoil else {})}
    return json.dumps({name: value for name, value in record.items() if value is not ...}).encode()


def reasons(decoder: RecordDecoder, texts: list[bytes]) -> tuple[pa.Table, dict[int, str]]:
    table, misfits = decoder.decode(list(map(msgspec.Raw, texts)))
    return table, {misfit.index: misfit.reason for misfit in misfits}


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one number with each call of pyarrow's reader, once a test asks for it."""
    calls: list[int] = []
    real = parsing.pj.open_json

    def counting(source: Any, *options: Any) -> Any:
        calls.append(source.size())
        return real(source, *options)

    monkeypatch.setattr(parsing.pj, "open_json", counting)
    return calls


@pytest.mark.parametrize("every", [1, 2, 7, 100, COUNT])
@pytest.mark.parametrize(
    ("spoil", "each"),
    [
        pytest.param(lambda number: {"id": f"x{number}"}, 0, id="a text for a number"),
        pytest.param(lambda number: {"id": number + 0.5}, 0, id="a fraction for an integer"),
        pytest.param(lambda number: {"id": ...}, 0, id="a required field is missing"),
        pytest.param(lambda number: {"name": number}, 0, id="a number for a text"),
        pytest.param(lambda number: {"tags": {"a": number}}, 0, id="an object for a list"),
        pytest.param(lambda number: {"price": f"{number}", "id": None}, 0, id="two columns"),
        pytest.param(lambda number: {"at": f"day {number}"}, 1, id="a text that is no time"),
        pytest.param(lambda number: {"tags": [number + 0.5]}, 1, id="a fraction within a list"),
    ],
)
def test_many_misfits_cost_no_more_parses_than_there_are_of_a_kind(
    parses: list[int], spoil: Spoil, each: int, every: int
) -> None:
    """A wrong kind costs the same however often it comes; what has the right kind, one small parse a value at most."""
    texts = [text(number, spoil if number % every == every // 2 else None) for number in range(COUNT)]
    decoder = RecordDecoder(SCHEMA)
    parses.clear()
    table, found = reasons(decoder, texts)
    assert set(found) == {number for number in range(COUNT) if number % every == every // 2}
    assert table.column("id").to_pylist() == [number for number in range(COUNT) if number not in found]
    at_most = 2 + 2 * len(SCHEMA.names) + 2 * HALVING + each * len(found)
    assert len(parses) <= at_most
    assert sum(sorted(parses)[: each * len(found)]) <= 60 * each * len(found)


def test_what_was_learned_of_a_column_serves_the_next_page(parses: list[int]) -> None:
    """Pages of one wrong kind throughout cost the halving that shows it, and nothing a column."""
    decoder = RecordDecoder(SCHEMA)
    pages = [[text(number, lambda number: {"id": f"{number}"}) for number in range(COUNT)] for _ in range(2)]
    costs = []
    for page in pages:
        parses.clear()
        _, found = reasons(decoder, page)
        assert len(found) == COUNT
        costs.append(len(parses))
    assert costs[1] < costs[0] <= HALVING


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.just(2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "2013-01-01T10:00:00Z", "2013-02-30T10:00:00Z", "\ud800", "é", "1.5", 'a"b', "x" * 40]),
    st.lists(st.sampled_from([1, 1.5, "a", None]), max_size=2),
    st.dictionaries(st.sampled_from(["x", "y"]), st.integers(), max_size=2),
)
RECORDS = st.one_of(
    st.fixed_dictionaries({"id": st.integers(0, 9)}, optional={"name": st.just("a"), "tags": st.just([1])}),
    st.dictionaries(st.sampled_from([*SCHEMA.names, "new", "more"]), VALUES, max_size=6),
    VALUES,
)
ODD = st.sampled_from(
    [b'{"id":1,"id":2}', b'{"id":1,"price":NaN}', b'{"id":1,"price":1e400}', b'{"id":1,"other":NaN}', b"null", b"[]"]
)


@pytest.mark.parametrize("evolution", ["discard", "freeze"])
@settings(max_examples=80, deadline=None)
@given(
    st.lists(RECORDS.map(lambda record: json.dumps(record).encode()) | ODD, min_size=1, max_size=12),
    st.integers(1, 12),
)
def test_together_is_as_alone(evolution: Evolution, texts: list[bytes], times: int) -> None:
    """Whatever comes, in whatever crowd: a record fits or not, for the same reason, as if it had come alone."""
    crowd = texts * times
    table, found = reasons(RecordDecoder(SCHEMA, evolution), crowd)
    rows: list[dict[str, Any]] = []
    for place, record in enumerate(crowd):
        alone, why = reasons(RecordDecoder(SCHEMA, evolution), [record])
        assert found.get(place) == why.get(0)
        rows += alone.to_pylist()
    assert table.schema == SCHEMA
    assert table.to_pylist() == rows


@pytest.mark.parametrize("evolution", EVOLUTIONS)
def test_an_unknown_field_in_a_crowd_of_misfits_is_what_the_evolution_says(evolution: Evolution) -> None:
    """Records that would fit but for the new field get their column, also where all around them are misfits."""
    spoiled = [text(number, lambda number: {"id": f"{number}", "stray": 1}) for number in range(50)]
    grown = [text(number, lambda number: {"extra": number}) for number in range(50, 100)]
    texts = [one for pair in zip(spoiled, grown, strict=True) for one in pair]
    table, found = reasons(RecordDecoder(SCHEMA, evolution), texts)
    assert set(range(0, 100, 2)) <= set(found)
    if evolution == "freeze":
        assert len(found) == 100
        assert found[1] == "the schema has no extra"
    else:
        assert table.column("id").to_pylist() == list(range(50, 100))
    if evolution == "evolve":
        assert table.column("extra").to_pylist() == list(range(50, 100))
