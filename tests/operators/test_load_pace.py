"""What the log says while a table is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airgate.data import pace_line
from airgate.data.frames import reading
from airgate.data.frames.reading import write_frame
from airgate.data.pace_line import PaceLine
from airgate.hooks.storage import open_folder
from airgate.operators import TableLoadOperator


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, float]]]:
    """What is said when reading a part takes three seconds."""
    said: list[tuple[str, dict[str, float]]] = []
    now = [1000.0]
    read = reading.read_tables

    def paced(source: str, total: int, **options: Any) -> PaceLine:
        options["say"] = lambda event, **figures: said.append((event, figures))
        return PaceLine(source, total, clock=lambda: now[0], **options)

    def slowly(*arguments: Any) -> Any:
        for table in read(*arguments):
            now[0] += 3
            yield table

    monkeypatch.setattr(pace_line, "PaceLine", paced)
    monkeypatch.setattr(reading, "read_tables", slowly)
    return said


@pytest.mark.parametrize(("key", "phase"), [(("id",), "staging"), ((), "appending")])
def test_a_load_says_how_far_it_is(context, lines: list, tmp_path: Path, key: tuple, phase: str) -> None:
    """Of the rows that the manifests count, in the phase that they are in."""
    table = pa.table({"id": range(600), "v": ["x" * 10_000] * 600})
    data = [
        write_frame(table.slice(start, 300), open_folder(f"file://{tmp_path}/{start}"), part_rows=100).to_json()
        for start in (0, 300)
    ]
    assert TableLoadOperator(task_id="load", data=data, table="t", key=key).execute(context)["inserted"] == 600
    assert [event for event, _ in lines] == [
        f"t, {phase}: 200 of 600 records, 33 % done, about 6.0 s left",
        f"t, {phase}: 400 of 600 records, 66 % done, about 3.3 s left",
        f"t, {phase}: 600 of 600 records, 100 % done",
    ]
    assert lines[1][1] == {"rows_per_s": 33, "rows_per_s_overall": 44, "mb": 4.0}


def test_a_quick_load_says_nothing_but_its_end(context, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The line with the counts is enough."""
    data = write_frame(pa.table({"id": range(10)}), open_folder(f"file://{tmp_path}/x")).to_json()
    TableLoadOperator(task_id="load", data=data, table="t").execute(context)
    assert "% done" not in caplog.text
