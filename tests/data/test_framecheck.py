"""Frames held against pandera schemas."""

from __future__ import annotations

from typing import Any

import pandera.pandas as pandas_schema
import pandera.polars as polars_schema
import pyarrow as pa
import pytest

from airgate.data.frames.checking import Checker, SchemaMisfit

TABLE = pa.table({"id": [1, 2, 3, None], "d": [5, -1, -2, 3], "token": ["a", "b", "c", "d"]})


class OfPolars(polars_schema.DataFrameModel):
    """The same for a polars frame."""

    id: int = polars_schema.Field(nullable=True)
    d: int = polars_schema.Field(gt=0)


OF_PANDAS = pandas_schema.DataFrameSchema({"d": pandas_schema.Column("int64[pyarrow]", pandas_schema.Check.gt(0))})


@pytest.mark.parametrize("schema", [OF_PANDAS, OfPolars], ids=["pandas", "polars"])
def test_failing_rows_are_told_apart_from_the_rest(schema: Any) -> None:
    """Whichever library the schema is for; their text, place and reason are kept, the rest keeps its order."""
    rest, misfits = Checker(dead_letter=True).check(TABLE, schema, "x")
    assert rest["d"].to_pylist() == [5, 3]
    assert [misfit.index for misfit in misfits] == [1, 2]
    assert misfits[0].record == b'{"id":2,"d":-1,"token":"b"}'
    assert "column d fails greater_than(0)" in misfits[0].reason
    with pytest.raises(SchemaMisfit, match=r"^x: .*column d fails greater_than\(0\) in 2 of 4 rows: .*\(row 1, 2\)$"):
        Checker().check(TABLE, schema, "x")


def column(of: Any, *checks: Any, **options: Any) -> Any:
    return pandas_schema.Column(of, list(checks), **options)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"z": column(None)}, "it fails column_in_dataframe: 'z'"),
        (
            {"d": column(float)},
            r"column d fails dtype\('float64'\): 'int64\[pyarrow\]'; columns of frames are Arrow-backed",
        ),
    ],
)
def test_a_failure_of_a_whole_column_is_no_dead_letter(schema: dict[str, Any], message: str) -> None:
    """No row is to blame, and dropping all of them would hide it."""
    for checker in (Checker(), Checker(dead_letter=True)):
        with pytest.raises(SchemaMisfit, match=message):
            checker.check(TABLE, pandas_schema.DataFrameSchema(schema), "x")


def test_what_the_schema_coerces_goes_on_coerced() -> None:
    """Only values that cannot be coerced fail, and they become dead letters as they came."""
    table = pa.table({"n": ["1", "x", "3"]})
    schema = pandas_schema.DataFrameSchema({"n": column(int, pandas_schema.Check.lt(3), coerce=True)})
    rest, misfits = Checker(dead_letter=True).check(table, schema, "x")
    assert rest.to_pylist() == [{"n": 1}]
    assert [misfit.record for misfit in misfits] == [b'{"n":"x"}', b'{"n":"3"}']


def test_a_secret_is_not_shown() -> None:
    """A column whose name says so, and one that is named; others are."""
    schema = pandas_schema.DataFrameSchema(
        {
            "token": column(None, pandas_schema.Check.isin(["a"])),
            **{name: column(None, pandas_schema.Check.gt(2), nullable=True) for name in ("d", "id")},
        }
    )
    with pytest.raises(SchemaMisfit) as caught:
        Checker(redact_fields=("d",)).check(TABLE, schema, "x")
    text = str(caught.value)
    assert "rows: ***, ***, *** (row 1, 2, 3)" in text
    assert "-1" not in text
    assert "column id fails greater_than(2) in 2 of 4 rows: 1, 2" in text


def test_a_schema_that_drops_rows_by_itself_is_refused() -> None:
    """They would be lost without a trace."""
    schema = pandas_schema.DataFrameSchema(OF_PANDAS.columns, drop_invalid_rows=True)
    with pytest.raises(SchemaMisfit, match="the schema drops 2 rows by itself; leave drop_invalid_rows out"):
        Checker(dead_letter=True).check(TABLE, schema, "x")


@pytest.mark.parametrize("where", ["no_such_module_here:schema", "json:schema", "json"])
def test_a_schema_that_cannot_be_imported_is_named(where: str) -> None:
    """With what is wrong about it."""
    with pytest.raises(ValueError, match=f"schema '{where}' cannot be imported"):
        Checker().check(TABLE, where, "x")
