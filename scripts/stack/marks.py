"""Every process of a stack carries a mark in its environment, which its children inherit: so none can be overlooked.

It finds workers whose parent was killed, tasks that started a session of their own, and a whole stack whose owner was
killed with SIGKILL. Airflow's processes rename themselves, which by default overwrites what the system shows as their
environment; SPT_NOENV, which belongs to the mark, keeps it readable.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil  # type: ignore[import-untyped]

NAME = "AIRGATE_STACK"
"""Environment variable; its value is the stack's home."""

ROUNDS = 6
"""Children may appear while their parents end, so looking once is not enough."""


def mark(home: Path) -> dict[str, str]:
    """Give the environment variables that mark a process as belonging to the stack of `home`."""
    return {NAME: str(home), "SPT_NOENV": "1"}


def marked(home: Path) -> list[psutil.Process]:
    """Find the living processes of the stack of `home`, this one not counted."""
    found = []
    for process in psutil.process_iter():
        # Other users' processes cannot be read, and are not ours; a zombie has no environment any more.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(NAME) == str(home):
                found.append(process)
    return found


def sweep(home: Path, patience: float = 5.0) -> int:
    """End every process of the stack of `home`, asking first; give how many there were.

    Args:
        home: the stack's home.
        patience: seconds between asking (SIGTERM) and ending (SIGKILL).

    Raises:
        RuntimeError: some processes outlived SIGKILL.
    """
    asked: set[int] = set()
    for _ in range(ROUNDS):
        if not (remaining := marked(home)):
            return len(asked)
        for process in remaining:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.pid in asked:
                    process.kill()
                else:
                    process.terminate()
        asked.update(process.pid for process in remaining)
        psutil.wait_procs(remaining, timeout=patience)
    stuck = ", ".join(str(process.pid) for process in marked(home))
    raise RuntimeError(f"these processes of the stack do not end: {stuck}")
