"""What a push task is given, as the records that it offers to the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airgate.data.push.batches import Offered
from airgate.data.push.pushing import KIND
from airgate.data.store.dead_letters import DeadLetters, open_dead_letters
from airgate.data.store.manifest import Manifest
from airgate.data.store.storage import Folder
from airgate.hooks.storage import open_folder


def offered_by(data: Any, replay_dead_letters: Any, columns: Sequence[str] | None, folder: Folder) -> Offered:
    """The records of data sets, and behind them dead letters.

    Args:
        data: A manifest or several; None for none.
        replay_dead_letters: A manifest, the report of a push or the URI of a folder, or several; None for none.
        columns: Of the data sets, those to push; None for all.
        folder: Where the push writes its own dead letters.

    Raises:
        ValueError: When something else is given, or its files are not those of its manifest any more.
        OSError: When there are none.
    """
    letters = [_letters(value) for value in _several(replay_dead_letters)]
    if any(one.folder.uri.rstrip("/") == folder.uri.rstrip("/") for one in letters):
        raise ValueError(f"{folder.uri} holds the dead letters to push and would take new ones; change output_path")
    manifests = [Manifest.from_json(value) for value in _several(data)]
    return Offered(manifests, letters, open_folder, None if columns is None else tuple(columns))


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
