"""Dead letters: the records of a data set that did not fit, read back and made fit to be seen."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

import airgate.data.store.masking as masking
from airgate.data.store.manifest import FILE_NAME, File, Manifest
from airgate.data.store.parts import DeadLetter
from airgate.data.store.storage import Folder
from airgate.policy.json_faults import NOT_JSON

FILE_PATTERN = re.compile(r"dead-letters-\d{5,}\.jsonl")
PURGED = "dead-letters-purged.json"
"""Beside a data set: which of its dead letters were deleted, and when."""

CLAIM = "dead-letter-replay"
"""Names the claim of a process that replays a data set's dead letters, or deletes them."""

_QUOTED_VALUE = re.compile(r" is (?!missing|null).*?, not ", re.DOTALL)


class Purged(msgspec.Struct, frozen=True, kw_only=True):
    """A dead-letter file that was deleted."""

    name: str
    sha256: str
    records: int
    at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of one data set."""

    folder: Folder
    manifest: Manifest | None
    """None while the data set is not complete."""
    files: tuple[File, ...]
    """What there is to read."""
    purged: tuple[Purged, ...] = ()
    """What the manifest lists and was deleted since."""

    def __iter__(self) -> Iterator[DeadLetter]:
        """All of them, in the order in which they came; one file is in memory at a time.

        Raises:
            ValueError: When a file has changed since its manifest was made, or holds something else.
        """
        for file in self.files:
            yield from self.letters(file)

    def letters(self, file: File) -> list[DeadLetter]:
        """Those of one file."""
        content = self.folder.read(file.name)
        if self.manifest is not None and hashlib.sha256(content).hexdigest() != file.sha256:
            raise ValueError(
                f"{self.folder.uri}/{file.name} is not the file of its manifest any more: the task that made it has "
                "run again since; show or replay the folder again when it is done"
            )
        try:
            return [msgspec.json.decode(line, type=DeadLetter) for line in content.splitlines()]
        except NOT_JSON as error:
            raise ValueError(f"{self.folder.uri}/{file.name} holds something else than dead letters: {error}") from None


def open_dead_letters(folder: Folder) -> DeadLetters:
    """The dead letters in a folder.

    Without a manifest, so while a task is still reading or after it failed, they are those that are durable by now.

    Raises:
        FileNotFoundError: When the folder holds neither a manifest nor dead letters.
        ValueError: When the manifest cannot be read, or lists a file that is neither there nor purged.
    """
    there = _names(folder)
    if FILE_NAME not in there:
        found = sorted(name for name in there if FILE_PATTERN.fullmatch(name))
        if not found:
            raise FileNotFoundError(f"{folder.uri} holds no data set: there is no {FILE_NAME} and no dead letter")
        return DeadLetters(folder, None, tuple(_described(folder, name) for name in found))
    manifest = read_manifest(folder)
    gone = {(purged.name, purged.sha256): purged for purged in read_purged(folder)}
    files, purged = [], []
    for file in manifest.dead_letters:
        if file.name in there:
            files.append(file)
        elif found_purged := gone.get((file.name, file.sha256)):
            purged.append(found_purged)
        else:
            raise ValueError(f"{folder.uri}/{file.name} is listed by the manifest and missing")
    return DeadLetters(folder, manifest, tuple(files), tuple(purged))


def read_manifest(folder: Folder) -> Manifest:
    """The manifest in a folder.

    Raises:
        OSError: When there is none.
        ValueError: When it cannot be read.
    """
    try:
        return Manifest.from_json(msgspec.json.decode(folder.read(FILE_NAME)))
    except NOT_JSON as error:
        raise ValueError(f"{folder.uri}/{FILE_NAME} is not JSON: {error}") from None


def read_purged(folder: Folder) -> list[Purged]:
    """What was deleted from a folder."""
    if not folder.fs.exists(folder.file(PURGED)):
        return []
    return msgspec.json.decode(folder.read(PURGED), type=list[Purged])


def _names(folder: Folder) -> set[str]:
    if not folder.fs.exists(folder.path):
        return set()
    return {found.rstrip("/").rpartition("/")[2] for found in folder.fs.ls(folder.path, detail=False)}


def _described(folder: Folder, name: str) -> File:
    content = folder.read(name)
    return File(name=name, records=content.count(b"\n"), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def kind_of(reason: str) -> str:
    """A reason without the values in it, so that reasons can be counted: ``distance is …, not int64``."""
    return _QUOTED_VALUE.sub(" is …, not ", reason)


def mask_letter(letter: DeadLetter, is_masked: Callable[[masking.Path, bool], bool]) -> DeadLetter:
    """A dead letter whose record and reason do not show the masked values, see ``airgate.data.store.masking``."""
    record, values = masking.mask_record(letter.record, is_masked)
    if not values:
        return letter
    return msgspec.structs.replace(letter, record=record, reason=masking.mask_reason(letter.reason, values))


def redact_letter(letter: DeadLetter, fields: Collection[str]) -> DeadLetter:
    """A dead letter without the values of these dotted fields, for writing."""
    return mask_letter(letter, masking.named(fields))


def redact_record(text: str, fields: Collection[str]) -> str:
    """A record's JSON text without the values of these dotted fields, otherwise to the byte as it came.

    Args:
        text: The record.
        fields: Such as ``email`` or ``customer.email``; lists on the way are walked through.
    """
    return masking.mask_record(text, masking.named(fields))[0]
