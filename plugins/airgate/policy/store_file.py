"""The file of a store: made for its owner alone, and refused when somebody else could have put it there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def prepare(path: Path) -> None:
    """See that a private file stands at the path, and create it and its folder if need be.

    Raises:
        PermissionError: The file or its folder is a link, belongs to somebody else or can be written by others.
        OSError: It cannot be created.
    """
    folder = path.parent
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    _check(folder, folder.lstat(), stat.S_ISDIR, "folder", 0o022)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    _check(path, path.lstat(), stat.S_ISREG, "file", 0o077)


def _check(path: Path, found: os.stat_result, is_right: Callable[[int], bool], kind: str, closed: int) -> None:
    if not is_right(found.st_mode):
        raise PermissionError(f"{path} is not a plain {kind}; give the path of one that is no link")
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another user; give each user a store of their own")
    if found.st_mode & closed:
        raise PermissionError(f"{path} is open to other users; run chmod {'go-w' if kind == 'folder' else '600'} on it")
