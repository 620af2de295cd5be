"""Which files of a growing data set are durable, told so briefly that it fits into a checkpoint of any read.

The list lies in the folder, in pieces that are written once and never changed. Each names the one before it by its
SHA-256, so that a checkpoint that names the last one vouches for all of them. What is too little for a piece stands in
the checkpoint itself. So a part costs as many bytes, and the checkpoint has as many, however many parts there are; and
a process may die between any two writes, because a piece that no checkpoint names yet means nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from airgate.data.store.manifest import FILE_NAME, File, Manifest
from airgate.data.store.storage import Folder

PIECE_BYTES = 4096
"""A piece is written when the files that stand in the checkpoint take more than this, as JSON."""

_VERSION = 1


class PartListLost(ValueError):
    """The files that a checkpoint vouches for are not in the folder any more."""


class _Piece(msgspec.Struct, frozen=True, kw_only=True):
    before: str
    """SHA-256 of the piece before this one; empty for none."""
    parts: list[File]
    dead_letters: list[File]
    version: int = _VERSION


class PartList:
    """The list of one data set.

    Args:
        folder: Of the data set.
        pieces: That are in the folder.
        last: SHA-256 of the last of them.
        parts: Parts that stand in them.
        dead_letters: Dead-letter files that do.
    """

    def __init__(
        self, folder: Folder, *, pieces: int = 0, last: str = "", parts: int = 0, dead_letters: int = 0
    ) -> None:
        self._folder = folder
        self._pieces, self._last = pieces, last
        self._parts, self._dead_letters = parts, dead_letters

    def note(self, manifest: Manifest, *, final: bool = False) -> dict[str, Any]:
        """What a checkpoint must keep to find the manifest again: JSON of a bounded size, columns not included.

        Args:
            manifest: Of what is durable; it has only grown since the last call.
            final: Whether exactly this manifest is written next. Once it is, the pieces may go.
        """
        tail = _Piece(
            before=self._last,
            parts=manifest.parts[self._parts :],
            dead_letters=manifest.dead_letters[self._dead_letters :],
        )
        content = msgspec.json.encode(tail)
        if len(content) > PIECE_BYTES:
            last = hashlib.sha256(content).hexdigest()
            self._folder.write(_name(self._pieces, last), content)
            self._pieces, self._last = self._pieces + 1, last
            self._parts, self._dead_letters = len(manifest.parts), len(manifest.dead_letters)
            tail = _Piece(before=last, parts=[], dead_letters=[])
        brief = msgspec.structs.replace(manifest, schema={}, parts=tail.parts, dead_letters=tail.dead_letters)
        noted = {"manifest": brief.to_json(), "pieces": self._pieces, "last_piece": self._last}
        return {**noted, "manifest_sha256": hashlib.sha256(manifest.content).hexdigest()} if final else noted


def recall(folder: Folder, noted: Mapping[str, Any]) -> tuple[Manifest, PartList]:
    """The manifest that was noted, and the list to go on with.

    Args:
        folder: Of the data set.
        noted: What ``note`` gave; a manifest that is whole, as earlier releases stored it, will do as well.

    Raises:
        PartListLost: A piece or a part is missing or another one; the message names it.
        ValueError: What was noted is nothing of the kind.
    """
    final = noted.get("manifest_sha256")
    content = _read(folder, FILE_NAME) if final else None
    # Another one is that of an earlier run, which this one was about to replace.
    if content is not None and hashlib.sha256(content).hexdigest() == final:
        manifest = Manifest.from_json(msgspec.json.decode(content))
        _check_parts(folder, manifest)
        return manifest, PartList(folder)
    tail = Manifest.from_json(noted.get("manifest"))
    pieces, last = int(noted.get("pieces", 0)), str(noted.get("last_piece", ""))
    parts, dead_letters = [tail.parts], [tail.dead_letters]
    before = last
    for number in reversed(range(pieces)):
        piece = _piece(folder, _name(number, before), before)
        parts.append(piece.parts)
        dead_letters.append(piece.dead_letters)
        before = piece.before
    manifest = msgspec.structs.replace(
        tail,
        parts=[file for files in reversed(parts) for file in files],
        dead_letters=[file for files in reversed(dead_letters) for file in files],
    )
    manifest.check()
    _check_parts(folder, manifest)
    listed = len(manifest.parts) - len(tail.parts), len(manifest.dead_letters) - len(tail.dead_letters)
    return manifest, PartList(folder, pieces=pieces, last=last, parts=listed[0], dead_letters=listed[1])


def _piece(folder: Folder, name: str, sha256: str) -> _Piece:
    content = _read(folder, name)
    if content is None:
        raise PartListLost(f"{folder.uri}/{name} is missing")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise PartListLost(f"{folder.uri}/{name} has been changed")
    return msgspec.json.decode(content, type=_Piece)


def _read(folder: Folder, name: str) -> bytes | None:
    try:
        return folder.read(name)
    except FileNotFoundError:
        return None


def _check_parts(folder: Folder, manifest: Manifest) -> None:
    """Dead letters may have been deleted since, which is noted beside them; parts may not."""
    there = folder.sizes()
    for part in manifest.parts:
        if part.name not in there:
            raise PartListLost(f"{folder.uri}/{part.name} is missing")
        if there[part.name] != part.bytes:
            raise PartListLost(f"{folder.uri}/{part.name} has {there[part.name]} bytes, not {part.bytes}")


def _name(number: int, sha256: str) -> str:
    # With the checksum in its name a piece of another try, even of one that is still alive, is another file.
    return f"part-list-{number:05d}-{sha256[:16]}.json"
