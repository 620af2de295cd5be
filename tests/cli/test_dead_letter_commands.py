"""What ``airflow gateway dead-letters`` says and does."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from airflow.sdk.io import attach

from airgate.commands.output import MASK
from airgate.data.store.manifest import Manifest
from airgate.data.store.parts import DeadLetter
from airgate.data.store.storage import Folder
from tests.cli.conftest import Said
from tests.data.test_dead_letters import fill, place

Gateway = Callable[..., Said]

SCHEMA = {"properties": {"id": {"type": "integer"}, "size": {"type": "number"}}, "required": ["id"]}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """The folder of a data set with five dead letters on three pages."""
    fill(place(tmp_path / "set"))
    return tmp_path / "set"


@pytest.fixture
def mended(tmp_path: Path) -> str:
    """A schema file that two of them fit."""
    path = tmp_path / "mended.json"
    path.write_text(json.dumps(SCHEMA))
    return str(path)


@pytest.fixture
def secretive(tmp_path: Path) -> str:
    """A data set whose one dead letter is full of what should not be seen."""
    folder = place(tmp_path / "secretive")
    record = {"id": "x", "password": "hunter2-hunter2", "note": f"Bearer abcdefghijkl {JWT}", "steer": "\x1b[2J"}
    fill(folder, [[json.dumps(record, ensure_ascii=False).replace("\\u001b", "\x1b")]])
    return folder.uri


def rows(said: Said) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(said.out)
    return found


@pytest.mark.parametrize("named", ["{path}", "file://{path}", "file://{path}/", "{path}/manifest.json", "{xcom}"])
def test_a_data_set_is_named_by_folder_or_manifest(
    gateway: Gateway, data_set: Path, tmp_path: Path, named: str
) -> None:
    """As URI or local path, also by a copy of the manifest that lies elsewhere."""
    xcom = tmp_path / "from-xcom.json"
    xcom.write_bytes((data_set / "manifest.json").read_bytes())
    said = gateway("dead-letters", "show", named.format(path=data_set, xcom=xcom), "--output", "json")
    assert (said.code, said.err) == (0, "")
    assert [(row["page"], row["index"]) for row in rows(said)] == [(0, 1), (0, 2), (1, 1), (2, 0), (2, 1)]
    assert rows(said)[0] == {
        "page": 0,
        "index": 1,
        "position": {"page": 0},
        "reason": "size is 1.5, not int64",
        "record": '{"id":1,"size":1.5}',
    }


def test_a_table_shows_the_first_of_them(gateway: Gateway, data_set: Path) -> None:
    """And says how many there are; the table alone is on standard output."""
    said = gateway("dead-letters", "show", str(data_set), "--limit", "2")
    assert said.code == 0
    head, _, *lines = said.out.strip().splitlines()
    assert [cell.strip() for cell in head.split("|")] == ["page", "index", "position", "reason", "record"]
    assert [cell.strip() for cell in lines[0].split("|")] == [
        *("0", "1", '{"page": 0}', "size is 1.5, not int64", '{"id":1,"size":1.5}'),
    ]
    assert len(lines) == 2
    assert said.err == "2 of 5 dead letters; --limit 0 shows all, --count-by reason counts them\n"


@pytest.mark.parametrize(
    ("arguments", "count"), [(("--limit", "0"), 5), (("--reason", "MISSING"), 1), (("--reason", "no such reason"), 0)]
)
def test_show_can_be_narrowed(gateway: Gateway, data_set: Path, arguments: tuple[str, ...], count: int) -> None:
    """By a text of the reason, in any case; an empty list is still JSON."""
    said = gateway("dead-letters", "show", str(data_set), "-o", "json", *arguments)
    assert (said.code, len(rows(said))) == (0, count)


def test_reasons_are_counted(gateway: Gateway, data_set: Path) -> None:
    """The commonest first, values left out, over all files."""
    said = gateway("dead-letters", "show", str(data_set), "--count-by", "reason", "-o", "json", "--limit", "1")
    assert rows(said)[0] == {"count": 3, "reason": "size is …, not int64"}
    assert sum(int(str(row["count"])) for row in rows(said)) == 5


def test_secrets_are_masked_unless_they_are_asked_for(gateway: Gateway, secretive: str) -> None:
    """Fields with a secret name, and credentials within any text; --reveal shows the record as it came."""
    for output in ("json", "table"):
        said = gateway("dead-letters", "show", secretive, "-o", output)
        assert said.code == 0
        assert not any(secret in said.out for secret in ("hunter2", "abcdefghijkl", JWT))
        assert f'"password": "{MASK}"' in said.out.replace("\\", "")
    said = gateway("dead-letters", "show", secretive, "-o", "json", "--reveal")
    record = str(rows(said)[0]["record"])
    assert "hunter2-hunter2" in record
    assert JWT in record


def test_a_record_cannot_steer_the_terminal(gateway: Gateway, secretive: str) -> None:
    """What a service sends is printed as text, with or without --reveal."""
    for more in ((), ("--reveal",), ("-o", "json", "--reveal")):
        said = gateway("dead-letters", "show", secretive, *more)
        assert (said.code, "\x1b" in said.out) == (0, False)


def test_a_record_is_no_markup(gateway: Gateway, tmp_path: Path) -> None:
    """What the table's library would take for a style is shown as it is."""
    fill(place(tmp_path), [['{"id":"[red]a[/b]"}']])
    assert '{"id":"[red]a[/b]"}' in gateway("dead-letters", "show", str(tmp_path)).out


def test_what_is_not_complete_or_gone_is_told(gateway: Gateway, tmp_path: Path) -> None:
    """So that nobody takes what is shown for all there was."""
    fill(place(tmp_path / "failed"), commit=False)
    said = gateway("dead-letters", "show", str(tmp_path / "failed"), "-o", "json")
    assert (said.code, len(rows(said))) == (0, 5)
    assert "is not complete" in said.err
    fill(place(tmp_path / "clean"), [['{"id":1}']])
    said = gateway("dead-letters", "show", str(tmp_path / "clean"))
    assert (said.code, said.out) == (0, "")
    assert "no dead letters in" in said.err


def test_replayed_records_are_a_data_set(gateway: Gateway, data_set: Path, mended: str, tmp_path: Path) -> None:
    """Its manifest is the output, ready for a load; a second replay does nothing and says where they are."""
    into = tmp_path / "more"
    said = gateway("dead-letters", "replay", str(data_set), "--schema", mended, "--into", str(into))
    assert said.code == 0
    manifest = Manifest.from_json(json.loads(said.out))
    assert (manifest.received, manifest.written, manifest.dead_lettered) == (5, 2, 3)
    assert manifest.path == into.as_uri()
    assert said.err == f"5 records replayed into {into.as_uri()}: 2 fit now, 3 are dead letters there\n"
    said = gateway("dead-letters", "replay", str(data_set), "--schema", mended)
    assert (said.code, said.out) == (0, "")
    assert f"replayed before, into {into.as_uri()}" in said.err
    said = gateway("dead-letters", "show", str(into), "-o", "json")
    assert [(row["page"], row["index"]) for row in rows(said)] == [(0, 2), (1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "/nowhere/at/all"), "holds no data set"),
        (("show", "{tmp}/x.json"), "is not JSON"),
        (("show", "{tmp}/other.json"), "expected the manifest of a data set"),
        (("show", "{set}", "--limit", "-1"), "--limit must be 0 or more"),
        (("replay", "{set}", "--schema", "/nowhere.json"), "No such file"),
        (("replay", "{set}", "--schema", "{tmp}/x.json"), "is not JSON"),
        (("replay", "{set}", "--schema", "{tmp}/strict.json"), "none of 5 records fits"),
        (("replay", "{set}", "--schema", "{tmp}/mended.json", "--into", "{set}"), "is not empty"),
        (("purge", "{set}", "--older-than", "soon"), "such as 30d"),
        (("purge", "/nowhere/at/all", "--older-than", "1d"), "there is no folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(
    gateway: Gateway, data_set: Path, mended: str, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """No traceback, nothing on standard output."""
    (tmp_path / "x.json").write_text("{")
    (tmp_path / "other.json").write_text("{}")
    strict = {"properties": {"id": {"type": "integer"}, "size": {"type": "integer"}}, "required": ["id"]}
    (tmp_path / "strict.json").write_text(json.dumps(strict))
    said = gateway("dead-letters", *(each.format(tmp=tmp_path, set=data_set) for each in arguments))
    assert (said.code, said.out) == (1, "")
    assert message in said.err
    assert "Traceback" not in said.err


def test_purge_asks_before_it_deletes(
    gateway: Gateway, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a yes deletes; without a person there is none."""
    for file in data_set.iterdir():
        os.utime(file, (0, 0))
    command = ("dead-letters", "purge", str(tmp_path), "--older-than", "30d")
    there = sorted(data_set.glob("dead-letters-0*"))
    for answer in ("", "n\n", "\n", "yep\n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        said = gateway(*command)
        assert (said.code, sorted(data_set.glob("dead-letters-0*"))) == (1, there)
        assert said.err.endswith("nothing was deleted\n")
        assert said.out.count("1970-01-01") == len(there)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    said = gateway(*command)
    assert (said.code, list(data_set.glob("dead-letters-0*"))) == (0, [])
    assert said.err.endswith(f"deleted {len(there)} files with 5 dead letters\n")
    assert "were purged on" in gateway("dead-letters", "show", str(data_set)).err
    said = gateway(*command, "--yes")
    assert (said.code, said.out) == (0, "")
    assert "no dead letters in" in said.err


def test_yes_deletes_without_asking(gateway: Gateway, data_set: Path) -> None:
    """For a scheduled clean-up."""
    for file in data_set.iterdir():
        os.utime(file, (0, 0))
    said = gateway("dead-letters", "purge", data_set.as_uri(), "--older-than", "52w", "--yes")
    assert (said.code, list(data_set.glob("dead-letters-0*"))) == (0, [])


def test_any_storage_of_airflow_will_do(gateway: Gateway, mended: str) -> None:
    """Folders are opened as the operators open them; here in memory."""
    attach("memory", fs=fsspec.filesystem("memory"))
    fill(Folder(fsspec.filesystem("memory"), "/bucket/cli", "memory://bucket/cli"))
    said = gateway("dead-letters", "replay", "memory://bucket/cli", "--schema", mended)
    assert said.code == 0, said.err
    assert Manifest.from_json(json.loads(said.out)).path.startswith("memory://bucket/cli/replay-")


def test_a_long_record_is_cut_in_a_table_only(gateway: Gateway, tmp_path: Path) -> None:
    """A table stays a table, JSON has all of it."""
    record = json.dumps({"id": "x" * 1000})
    fill(place(tmp_path / "long"), [[record]])
    table = gateway("dead-letters", "show", str(tmp_path / "long")).out
    assert "…" in table
    assert 200 < table.count("x") < 300
    [row] = rows(gateway("dead-letters", "show", str(tmp_path / "long"), "-o", "json"))
    assert row["record"] == record


def test_the_dead_letters_of_a_push_are_shown_too(gateway: Gateway, tmp_path: Path) -> None:
    """Whatever wrote them: a folder with dead-letter files and no manifest will do."""
    import msgspec

    letter = DeadLetter("answered 422", 3, {"batch": 3}, 0, '{"id":1}')
    (tmp_path / "dead-letters-00000.jsonl").write_bytes(msgspec.json.encode(letter) + b"\n")
    [row] = rows(gateway("dead-letters", "show", str(tmp_path), "-o", "json"))
    assert (row["reason"], row["record"]) == ("answered 422", '{"id":1}')
