"""Work on a folder that only one process may do at a time: on a local disk, in memory, on a real S3 server."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pyarrow as pa
import pytest

from airgate.data.shape.decode import RecordDecoder
from airgate.data.store.claim import GRACE, LEASE, Claimed, ClaimLost, claimed
from airgate.data.store.dead_letters import CLAIM, open_dead_letters
from airgate.data.store.parts import PartWriter
from airgate.data.store.replay import replay
from airgate.data.store.retention import Expired, purge
from airgate.data.store.storage import Folder
from airgate.testing import instant_time
from tests.s3_server import BUCKET, s3_client, s3_server

STRICT, MENDED = pa.schema([pa.field("id", pa.int64())]), pa.schema([pa.field("id", pa.float64())])
LETTERS = 4_000
NOW = datetime.now(UTC)

SPAWN = multiprocessing.get_context("spawn")
"""A process that shares nothing with this one, as a command that somebody types is."""


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    """A server of its own."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with s3_server() as address:
        s3_client(address).mkdir(BUCKET)
        yield address


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """What another process needs to open the folder: the server's address, if any, and the path."""
    if request.param == "file":
        return "", str(tmp_path / "set")
    return request.getfixturevalue("s3_address"), f"{BUCKET}/{tmp_path.name}/set"


def opened(place: tuple[str, str]) -> Folder:
    address, path = place
    if not address:
        return Folder(fsspec.filesystem("file"), path, f"file://{path}")
    return Folder(s3_client(address), path, f"s3://{path}")


def fill(folder: Folder) -> None:
    """A data set of which every record became a dead letter that a mended schema takes."""
    writer, decoder = PartWriter(folder, STRICT), RecordDecoder(STRICT)
    for page in range(4):
        size = LETTERS // 4
        texts = [msgspec.Raw(b'{"id":%d.5}' % number) for number in range(page * size, (page + 1) * size)]
        table, misfits = decoder.decode(texts)
        writer.add(table, misfits, page=page, position={"page": page})
    writer.commit()


def _replay(place: tuple[str, str], into: str, start: Any, told: Connection) -> None:
    folder = opened(place)
    target = dataclasses.replace(folder, path=f"{folder.path}-{into}", uri=f"{folder.uri}-{into}")
    start.wait()
    try:
        manifest = replay(folder, MENDED, target).manifest
        told.send(None if manifest is None else (manifest.path, manifest.written))
    except (Claimed, ValueError) as error:
        told.send(str(error))


def test_of_two_replays_at_once_one_does_it(place: tuple[str, str]) -> None:
    """Two processes, two targets: the records are in one of them, once; the other process says why it did nothing."""
    fill(opened(place))
    start, ends = SPAWN.Barrier(2), []
    processes = []
    for into in ("one", "two"):
        mine, theirs = SPAWN.Pipe()
        ends.append(mine)
        processes.append(SPAWN.Process(target=_replay, args=(place, into, start, theirs)))
        processes[-1].start()
    said = [end.recv() if end.poll(40) else "nothing" for end in ends]
    for process in processes:
        process.join()
    did = [each for each in said if isinstance(each, tuple)]
    assert [written for _, written in did] == [LETTERS], said
    [other] = [each for each in said if not isinstance(each, tuple)]
    assert other is None or "is busy with its dead-letter-replay" in other, said
    folder = opened(place)
    targets = [dataclasses.replace(folder, path=f"{folder.path}-{into}") for into in ("one", "two")]
    assert sum("manifest.json" in target.sizes() for target in targets) == 1
    assert replay(folder, MENDED).manifest is None
    assert not [name for name in folder.sizes() if "claim" in name or "lock" in name]


def _hold(place: tuple[str, str], told: Connection) -> None:
    with claimed(opened(place), CLAIM):
        told.send(True)
        time.sleep(60)


@pytest.mark.faults
def test_the_claim_of_a_dead_process_does_not_last(place: tuple[str, str]) -> None:
    """SIGKILL while it holds the folder: free at once on a disk, and on an object store when it has run out."""
    folder = opened(place)
    fill(folder)
    mine, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=_hold, args=(place, theirs))
    process.start()
    assert mine.recv()
    with pytest.raises(Claimed, match=rf"process {process.pid} on .* is busy with its dead-letter-replay"):
        replay(folder, MENDED)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    with instant_time() as time_passed:
        if place[0]:
            with pytest.raises(Claimed, match=r"others may take over in 3\d\d s"):
                replay(folder, MENDED)
            time_passed.skip(LEASE + GRACE + 1)
        manifest = replay(folder, MENDED).manifest
    assert manifest is not None
    assert manifest.written == LETTERS
    assert not [name for name in folder.sizes() if "claim" in name or "lock" in name]


def test_dead_letters_are_not_purged_while_they_are_replayed(place: tuple[str, str]) -> None:
    """Else the replay would lack some of them."""
    folder = opened(place)
    fill(folder)
    [file] = open_dead_letters(folder).files
    expired = [Expired(folder, file.name, file.bytes, NOW)]
    with claimed(folder, CLAIM), pytest.raises(Claimed):
        purge(expired, NOW)
    assert purge(expired, NOW) == LETTERS


@pytest.fixture(params=["memory", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A folder on an object store."""
    if request.param == "s3":
        return opened((request.getfixturevalue("s3_address"), f"{BUCKET}/{tmp_path.name}"))
    return Folder(fsspec.filesystem("memory"), f"/{tmp_path.name}", f"memory://{tmp_path.name}")


def test_a_claim_that_is_kept_does_not_run_out(shelf: Folder) -> None:
    """Hours of work are one claim, as long as it gives word; others are told who holds it."""
    with instant_time() as time_passed, claimed(shelf, "x") as keep:
        for _ in range(20):
            time_passed.skip(LEASE * 0.6)
            keep()
            with pytest.raises(Claimed), claimed(shelf, "x"):
                pass
    assert shelf.sizes() == {}


@pytest.mark.parametrize("other", ["at work", "done", "none"])
def test_who_was_silent_for_too_long_has_lost_its_claim(shelf: Folder, other: str) -> None:
    """Whether another process has taken over, has even ended its work, or nobody has: nothing more is written."""
    with instant_time() as time_passed, claimed(shelf, "x") as keep:
        time_passed.skip(LEASE + GRACE + 1)
        if other == "none":
            with pytest.raises(ClaimLost, match="was silent for so long"):
                keep()
            return
        with claimed(shelf, "x"):
            if other == "at work":
                with pytest.raises(ClaimLost):
                    keep()
                return
        with pytest.raises(ClaimLost), claimed(shelf, "x"):
            keep()


def test_pieces_of_work_have_claims_of_their_own(shelf: Folder, tmp_path: Path) -> None:
    """Another piece of work on the same folder may go on beside."""
    for folder in (shelf, opened(("", str(tmp_path)))):
        with claimed(folder, "x"), claimed(folder, "y"):
            pass
