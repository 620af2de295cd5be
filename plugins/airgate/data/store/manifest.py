"""What a data set consists of; the only thing about it that travels through XCom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

KIND = "airgate.manifest"
VERSION = 1
FILE_NAME = "manifest.json"


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a data set."""

    name: str
    records: int
    bytes: int
    sha256: str


class Calls(msgspec.Struct, kw_only=True):
    """What it took to read a data set."""

    pages: int = 0
    requests: int = 0
    retries: int = 0
    """Requests that had to be sent again."""
    waited: float = 0.0
    """Seconds waited before those."""
    faults: dict[str, int] = {}
    """What went wrong -> how often."""


class Manifest(msgspec.Struct, kw_only=True):
    """A data set: its files and its balance, ``received == written + dead_lettered``.

    What is received is counted where it comes in, the rest by what the files hold.
    """

    path: str
    """The folder as a URI."""
    schema: dict[str, str] = {}
    """Column -> Arrow type in text."""
    parts: list[File] = []
    dead_letters: list[File] = []
    received: int = 0
    written: int = 0
    dead_lettered: int = 0
    calls: Calls = msgspec.field(default_factory=Calls)

    def check(self) -> None:
        """Refuse a data set whose files do not add up.

        Raises:
            ValueError: When a record that came in is neither written nor dead-lettered, or one is there twice.
        """
        written = sum(part.records for part in self.parts)
        dead = sum(file.records for file in self.dead_letters)
        if (written, dead) != (self.written, self.dead_lettered) or self.received != written + dead:
            raise ValueError(
                f"{self.path}: received {self.received} records, but {written} are written (counted {self.written}) "
                f"and {dead} dead-lettered (counted {self.dead_lettered})"
            )

    @property
    def content(self) -> bytes:
        """What ``manifest.json`` holds: the same manifest makes the same bytes."""
        return msgspec.json.format(msgspec.json.encode(self.to_json()), indent=1)

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain JSON, marked with its kind and version."""
        return {"kind": KIND, "version": VERSION, **msgspec.to_builtins(self)}

    @staticmethod
    def is_manifest(value: object) -> bool:
        """Whether a value, such as one pulled from XCom, is a manifest in JSON."""
        return isinstance(value, Mapping) and value.get("kind") == KIND

    @staticmethod
    def from_json(value: object) -> Manifest:
        """Read a manifest from JSON.

        Raises:
            ValueError: When it is none, or one of a version that this release does not know.
        """
        if not isinstance(value, Mapping) or value.get("kind") != KIND:
            raise ValueError(f"expected the manifest of a data set, got {_shown(value)}")
        if value.get("version") != VERSION:
            raise ValueError(f"manifest version {value.get('version')!r} is not {VERSION}, the one this release reads")
        try:
            return msgspec.convert({name: inner for name, inner in value.items() if name != "kind"}, Manifest)
        except msgspec.ValidationError as error:
            raise ValueError(f"broken manifest: {error}") from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
