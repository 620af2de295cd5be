"""Bodies that are sent piece by piece, as values."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airgate.client.uploads import FileBody, Multipart, OneShot, StreamBody

BODIES = """
from pathlib import Path
from airgate.client.uploads import FileBody, Multipart, OneShot, StreamBody

def opener():
    return [b"a"]

class Opener:
    def __call__(self):
        return [b"a"]

print([
    StreamBody(opener, 1),
    StreamBody(Opener()),
    StreamBody(lambda: [b"a"]),
    OneShot(iter([b"a"]), name="x"),
    FileBody("/data/a.csv"),
    Multipart({"kind": "hunter2"}, {"file": b"hunter2", "path": Path("/data/a.csv"), "late": StreamBody(opener)}),
])
"""


def test_a_body_is_written_the_same_in_every_process() -> None:
    """Airflow tells versions of a DAG by it: no address, no random boundary, and nothing of what a form holds."""
    first, second = (subprocess.check_output([sys.executable, "-c", BODIES], text=True) for _ in range(2))
    assert first == second
    assert "hunter2" not in first
    assert "Multipart(fields=['kind'], files=['file', 'late', 'path'], sha256=" in first


def test_another_form_is_written_otherwise() -> None:
    """A change of its content is a change of the DAG."""
    forms = [Multipart({"a": "1"}), Multipart({"a": "2"}), Multipart(files={"a": b"1"}), Multipart(files={"a": b"2"})]
    assert len({repr(form) for form in forms}) == 4


def test_a_form_keeps_its_boundary() -> None:
    """The header names the one that stands between the parts, in every attempt; another form has another one."""
    form, other = Multipart({"a": "1"}), Multipart({"a": "1"})
    bodies = [b"".join(form.open()) for _ in range(2)]
    assert bodies[0] == bodies[1]
    boundary = re.fullmatch(r"multipart/form-data; boundary=(\w{32})", form.content_type or "")
    assert boundary is not None
    assert bodies[0].startswith(f"--{boundary[1]}\r\n".encode())
    assert form.length == len(bodies[0])
    assert other.content_type != form.content_type


def test_numbers_and_booleans_are_written_as_in_a_query() -> None:
    """A form holds texts only."""
    body = b"".join(Multipart({"n": 5, "on": True, "tags": ["a", 1.5], "gone": None}).open()).decode()
    assert re.findall(r'name="(\w+)"\r\n\r\n(.*)\r\n', body) == [
        ("n", "5"),
        ("on", "true"),
        ("tags", "a"),
        ("tags", "1.5"),
    ]


@pytest.mark.parametrize(
    ("fields", "files", "message"),
    [
        ({}, {"f": "/data/a.csv"}, "files: 'f' must be bytes, a pathlib.Path or a body such as FileBody, not str"),
        ({}, {"f": 7}, "files: 'f' must be bytes, .* not int"),
        ({"n": {"a": 1}}, {}, "fields: 'n' must be .* not a dict"),
    ],
)
def test_what_a_form_cannot_hold_is_refused(fields: Any, files: Any, message: str) -> None:
    """When it is made, which is when the DAG is parsed."""
    with pytest.raises(ValueError, match=message):
        Multipart(fields, files)


def test_files_are_not_read_to_be_written_down(tmp_path: Path) -> None:
    """A file of the worker need not be there while the DAG is parsed."""
    gone = tmp_path / "gone.csv"
    assert "gone.csv" in repr(FileBody(gone))
    assert repr(Multipart(files={"f": gone})) == repr(Multipart(files={"f": gone}))
    assert repr(OneShot([b"a"], 1)).startswith("OneShot(list, size=1")
    assert StreamBody(lambda: [b"a"], 1).length == 1
