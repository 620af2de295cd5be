"""Keeps two processes from working on one folder at the same time, and a dead one from keeping others away.

On a local disk the claim is a lock of the kernel's (flock), which ends with its process. On an object store it is an
object that only one process can create (a conditional put), with a time at which it ends: whoever holds it puts that
off as it goes on. An object that has run out is not replaced but succeeded by one with the next number, which again
only one process can create, so that a holder who was merely slow sees that it has lost its claim.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from fsspec.implementations.local import LocalFileSystem

from airgate.client import clock
from airgate.data.store.storage import Folder

LEASE = 300.0
"""Seconds that a claim on an object store holds without a word of its holder."""
GRACE = 60.0
"""Seconds beyond that before another process takes over: clocks differ, and a last write may be under way."""

Keep = Callable[[], None]
"""Holds a claim for longer; to be called now and then, and before each write that two processes must not make."""


class Claimed(OSError):
    """Another process works on the folder."""


class ClaimLost(OSError):
    """Another process has taken over, as this one was silent for too long."""


@contextmanager
def claimed(folder: Folder, work: str) -> Iterator[Keep]:
    """Hold a folder for a piece of work.

    Args:
        folder: That exists.
        work: Names it: a few lower-case words with hyphens.

    Raises:
        Claimed: Another process holds it.
        ClaimLost: From ``Keep``.
    """
    if isinstance(folder.fs, LocalFileSystem):
        with _locked(folder, work):
            yield lambda: None
        return
    lease = _Lease(folder, work)
    lease.take()
    try:
        yield lease.keep
    finally:
        lease.leave()


@contextmanager
def _locked(folder: Folder, work: str) -> Iterator[None]:
    path = Path(folder.file(f".{work}.lock"))
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 200).decode(errors="replace")
            os.close(file)
            raise Claimed(_busy(folder, work, holder)) from None
        # A holder removes the file when it is done: a lock on one that is gone keeps nobody away.
        if _is_at(file, path):
            break
        os.close(file)
    try:
        os.ftruncate(file, 0)
        os.write(file, _me().encode())
        yield
    finally:
        path.unlink()
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(file)
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


class _Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Content of a claim's object."""

    holder: str
    by: str
    """Process and machine, for people."""
    until: float
    """Unix time."""


class _Lease:
    def __init__(self, folder: Folder, work: str) -> None:
        self._folder, self._work = folder, work
        self._holder = secrets.token_hex(8)
        self._names = re.compile(rf"{re.escape(work)}-claim-(\d{{5,}})\.json")
        self._number = 0
        self._until = 0.0

    def take(self) -> None:
        last = max(self._numbers(), default=0)
        if last:
            there = self._read(last)
            if there is not None and there.until + GRACE > clock.now():
                raise Claimed(_busy(self._folder, self._work, there.by, there.until + GRACE - clock.now()))
        self._number, self._until = last + 1, clock.now() + LEASE
        try:
            self._folder.fs.pipe_file(self._file(self._number), self._content(), mode="create")
        except FileExistsError:
            raise Claimed(_busy(self._folder, self._work, "another process")) from None
        for number in self._numbers():
            if number < self._number:
                self._remove(number)

    def keep(self) -> None:
        now = clock.now()
        if self._until - now > LEASE / 2:
            return
        there = self._read(self._number)
        mine = there is not None and there.holder == self._holder and max(self._numbers()) == self._number
        if now >= self._until or not mine:
            raise ClaimLost(
                f"{self._folder.uri}: this process was silent for so long that another one may have taken over the "
                f"{self._work}; see whether it did, or start again"
            )
        self._until = now + LEASE
        self._folder.fs.pipe_file(self._file(self._number), self._content())

    def leave(self) -> None:
        there = self._read(self._number)
        if there is not None and there.holder == self._holder:
            self._remove(self._number)

    def _numbers(self) -> list[int]:
        found = map(self._names.fullmatch, self._folder.sizes())
        return [int(match[1]) for match in found if match]

    def _read(self, number: int) -> _Claim | None:
        """None for one that has been given back meanwhile."""
        self._folder.fs.invalidate_cache(self._folder.path)
        try:
            return msgspec.json.decode(self._folder.fs.cat_file(self._file(number)), type=_Claim)
        except FileNotFoundError:
            return None

    def _remove(self, number: int) -> None:
        with suppress(FileNotFoundError):
            self._folder.fs.rm_file(self._file(number))

    def _content(self) -> bytes:
        return msgspec.json.encode(_Claim(holder=self._holder, by=_me(), until=self._until))

    def _file(self, number: int) -> str:
        return self._folder.file(f"{self._work}-claim-{number:05d}.json")


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _busy(folder: Folder, work: str, holder: str, left: float | None = None) -> str:
    holds = "" if left is None else f"; should that be dead, others may take over in {left:.0f} s"
    return f"{folder.uri}: {holder or 'another process'} is busy with its {work}{holds}"
