"""What a push task is given, as the records that it offers to the service."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airgate.data.frames.library import library_of
from airgate.data.frames.reading import write_frame
from airgate.data.push.batches import Offered
from airgate.data.push.plan import KIND
from airgate.data.store.dead_letters import DeadLetters, open_dead_letters
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder
from airgate.hooks.given_frame import GivenFrame
from airgate.hooks.storage import open_folder

log = logging.getLogger(__name__)

_VERSION = 1


@dataclass(frozen=True, slots=True)
class KeptFrames:
    """Makes a data set of each frame that a task is given, once: what its first try wrote is what all tries push.

    A frame has no identity of its own, and a task that makes one may make another one in its next try. What was pushed
    by then would belong to a frame that is gone. So the next try goes on with what the first one has written.
    """

    folder: Folder
    """Of the task; a frame goes into a folder below."""
    store: Any
    """Airflow's task state store."""
    slot: str
    """Name within the store."""
    max_tries: int
    """Of the task instance: a clear, and nothing else, changes it and has the frames written anew."""

    def manifest(self, place: int, frame: object) -> Manifest:
        """The data set of a frame.

        Args:
            place: Of the frame among all that the task is given.
            frame: As it is now.

        Raises:
            TypeError: It is no frame, or a column has no Arrow type.
            ValueError: Two columns have the same name.
        """
        kept = self._kept()
        if (stored := kept.get(str(place))) is not None:
            manifest = Manifest.from_json(stored)
            log.info("the frame is the one of an earlier try: %d rows at %s", manifest.written, manifest.path)
            return manifest
        manifest = write_frame(frame, open_folder(f"{self.folder.uri.rstrip('/')}/frame-{place:05d}"))
        kept[str(place)] = manifest.to_json()
        self.store.set(self.slot, {"version": _VERSION, "max_tries": self.max_tries, "manifests": kept})
        return manifest

    def _kept(self) -> dict[str, Any]:
        stored = self.store.get(self.slot)
        if stored is None or (stored["version"], stored["max_tries"]) != (_VERSION, self.max_tries):
            return {}
        return dict(stored["manifests"])


def offered_by(
    data: Any, replay_dead_letters: Any, columns: Sequence[str] | None, folder: Folder, frames: KeptFrames
) -> Offered:
    """The records of data sets, and behind them dead letters.

    Args:
        data: A manifest, a frame, or several of them; None for none.
        replay_dead_letters: A manifest, the report of a push or the URI of a folder, or several; None for none.
        columns: Of the data sets, those to push; None for all.
        folder: Where the push writes its own dead letters.
        frames: Makes data sets of the frames.

    Raises:
        TypeError: When a frame is none that can be written.
        ValueError: When something else is given, or its files are not those of its manifest any more.
        OSError: When there are none.
    """
    letters = [_letters(value) for value in _several(replay_dead_letters)]
    if any(one.folder.uri.rstrip("/") == folder.uri.rstrip("/") for one in letters):
        raise ValueError(f"{folder.uri} holds the dead letters to push and would take new ones; change output_path")
    manifests = [_manifest(place, value, frames) for place, value in enumerate(_several(data))]
    return Offered(manifests, letters, open_folder, None if columns is None else tuple(columns))


def _manifest(place: int, value: Any, frames: KeptFrames) -> Manifest:
    frame = value.frame if isinstance(value, GivenFrame) else value
    if library_of(frame) is not None:
        return frames.manifest(place, frame)
    try:
        return Manifest.from_json(value)
    except ValueError as error:
        raise ValueError(f"data must be a pandas, polars or Arrow frame or a manifest: {error}") from None


def _several(value: Any) -> list[Any]:
    """One or several as a list; the results of mapped tasks come as a lazy sequence, which a slice fetches at once."""
    if value is None:
        return []
    return list(value[:]) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _letters(value: Any) -> DeadLetters:
    if isinstance(value, str):
        return open_dead_letters(open_folder(value))
    if isinstance(value, Mapping) and value.get("kind") == KIND:
        value = value["dead_letters"]
    manifest = Manifest.from_json(value)
    found = open_dead_letters(open_folder(manifest.path))
    if found.manifest is None or found.manifest.dead_letters != manifest.dead_letters:
        raise ValueError(
            f"{manifest.path} holds other dead letters than its manifest says: its task has run again since"
        )
    return found
