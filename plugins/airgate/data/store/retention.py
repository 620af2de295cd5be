"""How long dead letters are kept: they are raw records, and hold whatever a service sent."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

import msgspec

from airgate.data.store.claim import claimed
from airgate.data.store.dead_letters import CLAIM, FILE_PATTERN, PURGED, Purged, read_purged
from airgate.data.store.storage import Folder

_AGE = re.compile(r"(\d+)\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclasses.dataclass(frozen=True, slots=True)
class Expired:
    """A dead-letter file that is older than it may be."""

    folder: Folder
    name: str
    bytes: int
    modified: datetime
    """When it was written, UTC."""


def parse_age(text: str) -> timedelta:
    """An age such as ``30d``: a whole number of minutes (m), hours (h), days (d) or weeks (w).

    Raises:
        ValueError: When it is written differently.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"an age is a number with m, h, d or w behind it, such as 30d, not {text!r}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def find_expired(root: Folder, older_than: timedelta, now: datetime) -> list[Expired]:
    """The dead-letter files in a folder, and in all folders below it, that were written longer ago than that.

    Raises:
        FileNotFoundError: When there is no such folder.
    """
    if not root.fs.exists(root.path):
        raise FileNotFoundError(f"there is no folder {root.uri}")
    found = []
    base = root.path.rstrip("/")
    for path, info in sorted(root.fs.find(base, detail=True).items()):
        inner, _, name = path.rpartition("/")
        if not FILE_PATTERN.fullmatch(name):
            continue
        modified = root.fs.modified(path)
        modified = modified.astimezone(UTC) if modified.tzinfo else modified.replace(tzinfo=UTC)
        if now - modified > older_than:
            below = inner.removeprefix(base).strip("/")
            uri = f"{root.uri.rstrip('/')}/{below}" if below else root.uri
            found.append(Expired(dataclasses.replace(root, path=inner, uri=uri), name, info["size"], modified))
    return found


def purge(expired: Sequence[Expired], now: datetime) -> int:
    """Delete them and leave a note beside each; gives the number of records.

    The note is written first: a process that dies between leaves a file that is still read, not one that is missed.

    Raises:
        Claimed: When those of a folder are being replayed; those of the folders before it are deleted.
    """
    records = 0
    for _, several in groupby(expired, key=lambda one: one.folder.uri):
        of_folder = list(several)
        with claimed(of_folder[0].folder, CLAIM) as keep:
            for one in of_folder:
                keep()
                records += _purge(one, now)
    return records


def _purge(one: Expired, now: datetime) -> int:
    if not one.folder.fs.exists(one.folder.file(one.name)):
        return 0  # another process was faster
    content = one.folder.read(one.name)
    sha256, count = hashlib.sha256(content).hexdigest(), content.count(b"\n")
    note = Purged(name=one.name, sha256=sha256, records=count, at=now)
    others = [purged for purged in read_purged(one.folder) if (purged.name, purged.sha256) != (one.name, sha256)]
    one.folder.write(PURGED, msgspec.json.format(msgspec.json.encode([*others, note]), indent=1))
    one.folder.fs.rm_file(one.folder.file(one.name))
    return count
