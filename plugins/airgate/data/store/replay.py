"""Dead letters read again against a mended schema: those that fit now become a data set of their own."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import msgspec
import pyarrow as pa

from airgate.data.shape.decode import RecordDecoder
from airgate.data.shape.misfit import Misfit
from airgate.data.store.claim import Keep, claimed
from airgate.data.store.dead_letters import CLAIM, DeadLetters, kind_of, open_dead_letters, read_manifest
from airgate.data.store.manifest import FILE_NAME, Manifest
from airgate.data.store.parts import DeadLetter, PartWriter
from airgate.data.store.storage import Folder
from airgate.policy.idempotency import digest

REPLAYED = "dead-letters-replayed.json"
"""Beside a data set: which of its dead letters were replayed, and where they are now."""

_SHOWN = 5


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A replay of some dead-letter files."""

    files: list[str]
    """Their SHA-256: a task that runs again writes other files under the same names."""
    into: str
    """URI of the folder that holds their records now."""
    complete: bool = False


class NothingFits(ValueError):
    """No record fits the schema; nothing was written."""


@dataclasses.dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to."""

    manifest: Manifest | None
    """Of the additional data set; None when there was nothing to replay."""
    earlier: tuple[Replay, ...] = ()
    """Replays that had been made before."""


def replay(source: Folder, schema: pa.Schema, into: Folder | None = None) -> Replayed:
    """Parse the dead letters of a data set again and write those that fit as an additional data set.

    The additional data set has a balance of its own: received = written + dead-lettered, where received are all the
    records that were replayed. Those that still do not fit are dead letters there, with the page, position and index
    that they had. The source's files stay as they are; ``dead-letters-replayed.json`` beside them remembers what was
    replayed, so that a second replay does nothing. A replay that was killed is taken up by the next one; while one is
    running, no other begins (``airgate.data.store.claim``).

    Args:
        source: Folder of the data set.
        schema: What the records should fit now.
        into: Where the additional data set goes, a folder with nothing in it; by default one below the source, whose
            name comes from the dead letters.

    Raises:
        NothingFits: When not a single record fits; the message counts the reasons.
        ValueError: When the data set is not complete, or ``into`` is no place for it.
        Claimed: When another process is replaying them.
        OSError: When there is no data set.
    """
    todo, journal = _todo(source)
    if not todo.files:
        return Replayed(None, _complete(journal))
    with claimed(source, CLAIM) as keep:
        return _replay(source, schema, into, keep)


def _todo(source: Folder) -> tuple[DeadLetters, list[Replay]]:
    """The dead letters that were not replayed, and the replays so far."""
    letters = open_dead_letters(source)
    if letters.manifest is None:
        raise ValueError(f"{source.uri} is not complete: its task is still reading, or failed; replay when it is done")
    journal = _read_journal(source)
    done = {sha256 for earlier in journal if earlier.complete for sha256 in earlier.files}
    files = tuple(file for file in letters.files if file.sha256 not in done)
    return dataclasses.replace(letters, files=files), journal


def _complete(journal: list[Replay]) -> tuple[Replay, ...]:
    return tuple(earlier for earlier in journal if earlier.complete)


def _replay(source: Folder, schema: pa.Schema, into: Folder | None, keep: Keep) -> Replayed:
    todo, journal = _todo(source)
    complete = _complete(journal)
    if not todo.files:
        return Replayed(None, complete)  # another process was faster
    begun = next((earlier for earlier in journal if not earlier.complete), None)
    target = _target(source, todo, into, begun)
    if begun is not None and target.fs.exists(target.file(FILE_NAME)):
        manifest = read_manifest(target)  # killed behind the commit
        begun_files = begun.files
    else:
        _refuse_misfits(todo, schema)
        begun_files = [file.sha256 for file in todo.files]
        keep()
        _write_journal(source, [*complete, Replay(files=begun_files, into=target.uri)])
        manifest = _write(todo, schema, target, keep)
    keep()
    _write_journal(source, [*complete, Replay(files=begun_files, into=target.uri, complete=True)])
    return Replayed(manifest, complete)


def _target(source: Folder, todo: DeadLetters, into: Folder | None, begun: Replay | None) -> Folder:
    """Where the records go.

    A replay that was begun and not completed keeps its folder: with two, its records could be in both.
    """
    if into is None:
        name = f"replay-{digest([file.sha256 for file in todo.files])[:12]}"
        into = dataclasses.replace(source, path=source.file(name), uri=f"{source.uri.rstrip('/')}/{name}")
    if begun is not None:
        if begun.into != into.uri:
            raise ValueError(f"a replay into {begun.into} was interrupted; complete it first, with --into {begun.into}")
        return into
    if into.fs.exists(into.path) and into.fs.ls(into.path, detail=False):
        raise ValueError(f"{into.uri} is not empty; a replay makes a data set of its own, name a new folder")
    return into


def _refuse_misfits(letters: DeadLetters, schema: pa.Schema) -> None:
    """Look for one record that fits: a data set without any would only hide the dead letters in another folder."""
    reasons: Counter[str] = Counter()
    for table, misfits, *_ in _decoded(letters, schema):
        if table.num_rows:
            return
        reasons.update(kind_of(misfit.reason) for misfit in misfits)
    shown = "".join(f"\n  {count} x {reason}" for reason, count in reasons.most_common(_SHOWN))
    more = f"\n  and {len(reasons) - _SHOWN} more reasons" if len(reasons) > _SHOWN else ""
    raise NothingFits(f"none of {reasons.total()} records fits the schema; nothing was written:{shown}{more}")


def _write(letters: DeadLetters, schema: pa.Schema, target: Folder, keep: Keep) -> Manifest:
    writer = PartWriter(target, schema)
    for table, misfits, first in _decoded(letters, schema):
        writer.add(table, misfits, page=first.page, position=first.position)
        keep()
        if writer.due:
            writer.flush()
    return writer.commit()


def _decoded(letters: DeadLetters, schema: pa.Schema) -> Iterator[tuple[pa.Table, list[Misfit], DeadLetter]]:
    """Page by page: the records that fit, those that do not, with their old index, and the page's first dead letter."""
    decoder = RecordDecoder(schema)
    for _, group in groupby(letters, key=lambda letter: (letter.page, letter.position)):
        page = list(group)
        table, misfits = decoder.decode([msgspec.Raw(letter.record.encode()) for letter in page])
        yield table, [dataclasses.replace(one, index=page[one.index].index) for one in misfits], page[0]


def _read_journal(source: Folder) -> list[Replay]:
    if not source.fs.exists(source.file(REPLAYED)):
        return []
    return msgspec.json.decode(source.read(REPLAYED), type=list[Replay])


def _write_journal(source: Folder, journal: list[Replay]) -> None:
    source.write(REPLAYED, msgspec.json.format(msgspec.json.encode(journal), indent=1))
