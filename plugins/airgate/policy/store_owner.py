"""Who holds something in a store of one machine, and whether that process still lives."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

_PROC = Path("/proc")


def owner() -> str:
    """This process: the space in which its number counts, its number, and when it started."""
    return _owner(os.getpid())


@lru_cache(maxsize=2)
def _owner(pid: int) -> str:
    return f"{_space()}/{pid}/{_started(pid) or ''}"


def is_gone(holder: str) -> bool:
    """Whether the process of an ``owner`` text has ended, for sure; a process of another container counts as living."""
    space, number, started = holder.split("/")
    if space != _space():
        return False
    pid = int(number)
    if started:
        return _started(pid) != started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@lru_cache(maxsize=1)
def _space() -> str:
    """The process number space: containers that share a folder have their own numbers."""
    try:
        return str((_PROC / "self" / "ns" / "pid").stat().st_ino)
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Clock ticks between the machine's start and the process's; None when it has ended or nobody can tell."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name in brackets may hold anything, so the fields are counted from its end: state first, then 18 more.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()
