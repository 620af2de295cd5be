"""Where data sets live."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from airgate.hooks.storage import open_folder, task_folder_uri

TASK = SimpleNamespace(dag_id="d", run_id="manual__2013-01-01T00:00:00+00:00", task_id="group.t", map_index=-1)


def test_each_task_instance_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is the same in every try; run ids are escaped, mapped tasks have their index."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__DATA_ROOT", "file:///data/")
    expected = "file:///data/d/manual__2013-01-01T00%3A00%3A00%2B00%3A00/group.t"
    assert task_folder_uri(TASK) == expected
    assert task_folder_uri(SimpleNamespace(**{**vars(TASK), "map_index": 3})) == f"{expected}/3"


def test_no_name_leaves_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may be called anything; its folder stays below the data root."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__DATA_ROOT", "file:///data")
    uri = task_folder_uri(SimpleNamespace(dag_id="d", run_id="..", task_id="a/../b", map_index=None))
    assert uri == "file:///data/d/%2E%2E/a%2F..%2Fb"


@pytest.mark.parametrize(("root", "message"), [("", "data_root is not set"), ("/data", "must be a URI")])
def test_a_missing_or_wrong_root_is_named(monkeypatch: pytest.MonkeyPatch, root: str, message: str) -> None:
    """The error says which setting and how to give it."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__DATA_ROOT", root)
    with pytest.raises(ValueError, match=message):
        task_folder_uri(TASK)


def test_a_folder_opens_through_airflows_object_storage(tmp_path: Path) -> None:
    """What is written under a URI is read back under it, escaped names included."""
    folder = open_folder(f"file://{tmp_path}/a%3Ab")
    folder.write("x.txt", b"1")
    assert folder.read("x.txt") == b"1"
    assert (Path(folder.path) / "x.txt").read_bytes() == b"1"
