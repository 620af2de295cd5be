"""``@task.dataframe`` with schemas: what does not fit fails the task or becomes dead letters."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from airgate.data.store.dead_letters import open_dead_letters
from airgate.hooks.storage import open_folder
from tests.decorators.transforms import (
    checked,
    in_pieces,
    numbers_of_a_test,  # noqa: F401, a fixture
    rows,
    run,
    splits,
)

SCHEMAS = """
import pandera.pandas as pa

even = pa.DataFrameSchema({"n": pa.Column("int64[pyarrow]", pa.Check(lambda n: n.isin([0, 2, 4, 6, 8]), name="even"))})
positive = pa.DataFrameSchema({"m": pa.Column("int64[pyarrow]", pa.Check.gt(0))})
"""


@pytest.fixture
def schemas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where the schemas of an input and a result are, to be imported when the task runs."""
    (tmp_path / "own_schemas.py").write_text(SCHEMAS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_schemas", raising=False)
    return {"frame": "own_schemas:even", "return": "own_schemas:positive"}


def test_a_schema_stops_what_does_not_fit(context, numbers, schemas) -> None:
    """Of an input and of the result; the message names column, check and values."""
    with pytest.raises(ValueError, match=r"input frame: .* column n fails even in 5 of 10 rows: 1, 3, 5, 7, 9"):
        run(checked, context, numbers, schema=schemas)
    with pytest.raises(ValueError, match=r"the result: .* column m fails greater_than\(0\) in 3 of 10 rows: -2, -1, 0"):
        run(checked, context, numbers, schema=schemas["return"])


def test_failing_rows_become_dead_letters_when_asked(context, numbers, schemas) -> None:
    """Rows of the input and of the result lie beside the result, and the balance counts them."""
    result = run(checked, context, numbers, schema=schemas, failing_rows="dead_letter")
    assert [row["n"] for row in rows(result)] == [4, 6, 8]
    assert (result["received"], result["written"], result["dead_lettered"]) == (10, 3, 7)
    letters = list(open_dead_letters(open_folder(result["path"])))
    assert [letter.index for letter in letters] == [1, 3, 5, 7, 9, 0, 1]
    assert {str(letter.position) for letter in letters} == {
        "{'input': 'frame', 'row': 0}",
        "{'output': '', 'frame': 0}",
    }
    assert letters[0].reason == "column n fails even: 1"
    assert json.loads(letters[0].record) == {"n": 1, "t": "x1"}


def test_pieces_are_checked_as_they_come(context, numbers, schemas) -> None:
    """A dead letter's row is that of its piece within the whole."""
    result = run(in_pieces, context, numbers, schema={"frames": schemas["frame"]}, failing_rows="dead_letter")
    assert [row["n"] for row in rows(result)] == [0, 2, 4, 6, 8]
    letters = open_dead_letters(open_folder(result["path"]))
    found = [(letter.page, letter.position["row"], letter.index) for letter in letters]
    assert found == [(0, 0, 1), (0, 0, 3), (1, 4, 1), (1, 4, 3), (2, 8, 1)]


def test_each_of_several_results_has_its_schema(context, numbers, schemas) -> None:
    """By its name; a schema for what does not come is an error."""
    with pytest.raises(ValueError, match=r"output high: .* column n fails even in 4 of 7 rows"):
        run(splits, context, numbers, schema={"return": {"high": schemas["frame"]}})
    with pytest.raises(ValueError, match="schema: there is no output hig; there are low, high"):
        run(splits, context, numbers, schema={"return": {"hig": schemas["frame"]}})


def test_values_that_must_not_be_seen_are_masked(context, numbers, schemas) -> None:
    """In the message, and in a dead letter's record and reason."""
    with pytest.raises(ValueError, match=r"fails even in 5 of 10 rows: \*\*\*, \*\*\*"):
        run(checked, context, numbers, schema={"frame": schemas["frame"]}, redact_fields=["n"])
    options = {"failing_rows": "dead_letter", "redact_fields": ["n"]}
    result = run(checked, context, numbers, schema={"frame": schemas["frame"]}, **options)
    letter = next(iter(open_dead_letters(open_folder(result["path"]))))
    assert (letter.record, letter.reason) == ('{"n":"***","t":"x1"}', "column n fails even: ***")


def test_a_schema_without_pandera_is_an_error(context, numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    monkeypatch.setitem(sys.modules, "pandera.errors", None)
    with pytest.raises(ValueError, match=r"^a schema needs pandera: pip install 'airgate\[pandera\]'$"):
        run(checked, context, numbers, schema=object())
