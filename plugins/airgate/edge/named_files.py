"""The files that a gateway's file names: each is read once for one look at it, and then watched."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_OF_PYTHON = "__pycache__"

Stamp = tuple[object, ...]


@dataclass(slots=True)
class NamedFiles:
    """What was read, and how it looked then.

    `contents` (bytes by path) is what other processes are given, so that all of them serve the same.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    _stamps: dict[Path, Stamp | None] = field(default_factory=dict)

    def begin(self, contents: Mapping[str, bytes] | None = None) -> None:
        """Forget everything before another look, or have it as another process read it."""
        self.contents = dict(contents or {})
        self._stamps = {}

    def read(self, path: Path) -> bytes:
        """The bytes of a file, from now on watched, also when it cannot be read.

        Raises:
            OSError: it cannot be read.
        """
        name = str(path)
        if name not in self.contents:
            self.watch(path)
            self.contents[name] = path.read_bytes()
        return self.contents[name]

    def watch(self, path: Path) -> None:
        """Have a file count, or all files in a folder, that somebody else reads. Call it before they are read."""
        self._stamps[path] = _stamp(path)

    def changed(self) -> bool:
        """Whether one of them is another one than it was; one that is gone may be about to be replaced."""
        return any((now := _stamp(path)) is not None and now != then for path, then in self._stamps.items())


def _stamp(path: Path) -> Stamp | None:
    """What changes with a file; also when a symbolic link above it is turned to another one, as Kubernetes does."""
    try:
        found = path.stat()
        if not path.is_dir():
            return found.st_mtime_ns, found.st_size, found.st_ino
        inner = sorted(each for each in path.rglob("*") if _OF_PYTHON not in each.parts and not each.is_dir())
    except OSError:
        return None
    return tuple((str(each), _stamp(each)) for each in inner)
