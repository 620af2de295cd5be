"""``@task.dataframe``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from airflow.sdk import DAG

from airgate.decorators.dataframe import Columns, Frames, dataframe_task
from tests.decorators.transforms import (
    checked,
    in_pieces,
    numbers_of_a_test,  # noqa: F401, a fixture
    rows,
    run,
    splits,
)

if TYPE_CHECKING:
    from nowhere import Strange


def as_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    assert isinstance(frame, pd.DataFrame)
    assert str(frame["n"].dtype) == "int64[pyarrow]"
    return frame[frame["n"] > 7]


def as_polars(frame: pl.DataFrame) -> pl.DataFrame:
    assert isinstance(frame, pl.DataFrame)
    return frame.filter(pl.col("n") > 7)


def as_arrow(frame: pa.Table) -> pa.Table:
    assert isinstance(frame, pa.Table)
    return frame.slice(8)


def unannotated(frame):
    return frame.iloc[8:]


def polars_from_pandas(frame: pd.DataFrame | None) -> Any:
    return pl.from_pandas(frame).filter(pl.col("n") > 7)


@pytest.mark.parametrize("function", [as_pandas, as_polars, as_arrow, unannotated, polars_from_pandas])
def test_the_annotation_chooses_the_library(context, numbers, function) -> None:
    """Each gives the same data set, whatever goes in and comes out; pandas is what one gets without saying."""
    result = run(function, context, numbers)
    assert rows(result) == [{"n": 8, "t": "x8"}, {"n": 9, "t": "x9"}]
    assert result["schema"] == {"n": "int64", "t": "string"}
    assert (result["received"], result["written"], result["dead_lettered"]) == (2, 2, 0)


def pruned(frame: Annotated[pd.DataFrame, Columns("n")], *more: Annotated[pl.DataFrame, Columns("t")]) -> pd.DataFrame:
    assert list(frame.columns) == ["n"]
    assert [other.columns for other in more] == [["t"]]
    return frame


def pruned_by_option(frame, **others):
    assert list(frame.columns) == ["t"]
    assert list(others["more"].columns) == ["n"]
    return frame


def test_only_the_columns_that_are_named_are_read(context, numbers) -> None:
    """By the annotation or by the option, for catch-all parameters as well; an unknown column is named."""
    assert run(pruned, context, numbers, numbers)["schema"] == {"n": "int64"}
    columns = {"frame": ["t"], "others": ["n"]}
    result = run(pruned_by_option, context, numbers, arguments={"more": numbers}, columns=columns)
    assert result["schema"] == {"t": "string"}
    with pytest.raises(ValueError, match="there is no column z; there are n, t"):
        run(unannotated, context, numbers, columns={"frame": ["z"]})


def joins(both: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([both["high"], both["low"]])


def test_several_frames_become_several_data_sets(context, numbers) -> None:
    """Each in its own folder, each an XCom of its own by the return type, and all of them go on as a dict of frames."""
    with DAG("d", schedule=None):
        assert dataframe_task(splits)(numbers).operator.multiple_outputs is True
        assert dataframe_task(as_pandas)(numbers).operator.multiple_outputs is False
    result = run(splits, context, numbers)
    assert {name: len(rows(manifest)) for name, manifest in result.items()} == {"low": 3, "high": 7}
    assert {Path(manifest["path"]).name for manifest in result.values()} == {"low", "high"}
    context["ti"].task_id = "joins"
    assert [row["n"] for row in rows(run(joins, context, result))] == [*range(3, 10), *range(3)]


def in_polars_pieces(frames: Annotated[Iterator[pl.DataFrame], Columns("n")]):
    for frame in frames:
        yield {"even": frame.filter(pl.col("n") % 2 == 0), "odd": frame.filter(pl.col("n") % 2 == 1)}


def test_frames_come_and_go_in_pieces(context, numbers) -> None:
    """A generator's frames are written as they come, in parts of the size that is asked for."""
    result = run(in_pieces, context, numbers, part_rows=2)
    assert [row["n"] for row in rows(result)] == [0, 2, 4, 6, 8]
    assert [part["records"] for part in result["parts"]] == [2, 2, 1]
    several = run(in_polars_pieces, context, numbers, chunk_rows=3)
    assert {name: [row["n"] for row in rows(manifest)] for name, manifest in several.items()} == {
        "even": [0, 2, 4, 6, 8],
        "odd": [1, 3, 5, 7, 9],
    }


def test_pieces_have_the_rows_that_are_asked_for(context, numbers) -> None:
    """Else each is a part."""
    seen: list[int] = []

    def count(frames: Frames) -> pd.DataFrame:
        seen.extend(map(len, frames))
        return pd.DataFrame({"sizes": seen})

    run(count, context, numbers)
    run(count, context, numbers, chunk_rows=7)
    assert seen == [4, 4, 2, 7, 3]


def test_every_try_writes_the_same_files(context, numbers) -> None:
    """Names and content: a load that is repeated after a retry finds out that it has them already."""
    first, second = (run(in_pieces, context, numbers, part_rows=2) for _ in range(2))
    assert first == second


def fails_late(frames: Frames) -> Iterator[pd.DataFrame]:
    for number, frame in enumerate(frames):
        if number == 2:
            raise OSError("the disk is gone")
        yield frame


def test_a_transform_that_dies_leaves_no_manifest(context, numbers, tmp_path: Path) -> None:
    """Also where an earlier run had left one; the parts are there, and nothing vouches for them."""
    run(in_pieces, context, numbers)
    with pytest.raises(OSError, match="the disk is gone"):
        run(fails_late, context, numbers, part_rows=3)
    [folder] = [path.parent for path in (tmp_path / "data").rglob("part-00000.parquet")]
    assert not (folder / "manifest.json").exists()


def nothing() -> Iterator[pd.DataFrame]:
    yield from ()


def mixed() -> Iterator[Any]:
    yield pd.DataFrame({"a": [1]})
    yield {"b": pd.DataFrame({"a": [1]})}


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda: 7, TypeError, "@task.dataframe 't' must return a pandas DataFrame, not int"),
        (lambda: {"a": 1}, TypeError, "not dict"),
        (lambda: {"a/b": pd.DataFrame()}, ValueError, "an output cannot have the name 'a/b'"),
        (lambda: {"return_value": pd.DataFrame()}, ValueError, "and not return_value"),
        (nothing, ValueError, "the function gave no frame"),
        (mixed, TypeError, "give all of them a name"),
    ],
)
def test_what_cannot_be_written_is_named(context, function, error, message: str) -> None:
    """The error says what came and what will do."""
    with pytest.raises(error, match=message):
        run(function, context, task_id="t")


def strange(frame: Strange, other: Strange = 7) -> pd.DataFrame:
    return frame


def test_an_annotation_that_cannot_be_read_matters_only_to_a_frame(context, numbers) -> None:
    """A module may import types for the type checker only; pd, pl and pa are known without."""
    with pytest.raises(TypeError, match="parameter frame gets a frame, but the annotation 'Strange' names Strange"):
        run(strange, context, numbers)
    assert len(rows(run(strange, context, pd.DataFrame({"a": [1]}), 7))) == 1
    source = "from __future__ import annotations\ndef checked(frame: pl.DataFrame):\n    return frame.head(1)\n"
    names: dict[str, Any] = {"__name__": "a_dag_file"}
    exec(source, names)
    assert len(rows(run(names["checked"], context, numbers))) == 1


def test_a_library_that_is_missing_is_named(context, numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ValueError, match=r"^polars frames need polars: pip install 'airgate\[polars\]'$"):
        run(as_polars, context, numbers)


async def streams(frame: pd.DataFrame) -> Any:
    yield frame


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (checked, {"part_rows": 0}, "part_rows must be 1 or more"),
        (checked, {"chunk_rows": 0}, "chunk_rows must be 1 or more"),
        (checked, {"failing_rows": "drop"}, "failing_rows must be fail or dead_letter, not 'drop'"),
        (checked, {"columns": {"fame": ["a"]}}, "columns: there is no parameter fame; there are frame"),
        (checked, {"columns": {"frame": "a"}}, "columns: frame needs a list of column names"),
        (checked, {"schema": {"fame": object()}}, "schema: there is no parameter fame; there are frame"),
        (streams, {}, "an asynchronous generator cannot be a transform"),
    ],
)
def test_wrong_options_are_refused_when_the_dag_is_parsed(function, options: dict[str, Any], message: str) -> None:
    """The error names task and option."""
    with DAG("d", schedule=None), pytest.raises(ValueError, match=f"task 't': {message}"):
        dataframe_task(task_id="t", **options)(function)({})


def test_columns_without_a_name_are_refused() -> None:
    """Where the annotation is written."""
    with pytest.raises(ValueError, match="Columns needs the names"):
        Columns()
