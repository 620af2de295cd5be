"""One stack a home: the lock that its owner holds as long as it lives, with a note for others where to find it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from stack.failure import Failed


class HomeTaken(Failed):
    """Another living process owns the stack of this home."""


class Ownership:
    """Hold a home. The system lets go of it when this process ends, however that happens."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file = home / "stack.json"
        self._descriptor = -1
        self.pid = os.getpid()

    def __enter__(self) -> Ownership:
        """Take the home, making the folder if need be.

        Raises:
            HomeTaken: another process holds it.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise HomeTaken(
                f"a stack is already running in {self._home}{owner(self._file)}; "
                "stop it, or set AIRGATE_HOME to another folder for a second one"
            ) from None
        self.note({"pid": self.pid})
        return self

    def note(self, content: Mapping[str, object]) -> None:
        """Write down what others may want to know about the running stack."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(content).encode(), 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def owner(file: Path) -> str:
    """Give ` (process N)` if the note at `file` tells, else nothing."""
    try:
        return f" (process {int(json.loads(file.read_text())['pid'])})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
