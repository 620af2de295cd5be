"""What the demo says while it works: one line an event, and on a terminal a last line that tells what is going on."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any

from stack.runs import Look

ENDINGS = {"success", "failed", "up_for_retry", "upstream_failed", "skipped", "removed"}
"""Task states that are worth a line; the others are summed up in the status."""


class Console:
    """Lines with the seconds since the start in front."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._stream = sys.stdout
        self._terminal = self._stream.isatty()
        self._told: set[tuple[str, str, int, int, str]] = set()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        """Print an event."""
        self._clear()
        print(f"{self.seconds:6.1f} s  {text}", file=self._stream, flush=True)

    def show(self, text: str) -> None:
        """Print a part of the result, as it is."""
        self._clear()
        print(text, file=self._stream, flush=True)

    def conclude(self, line: str) -> None:
        """Print the last line of stdout. What is said after it goes to stderr; concluding again does nothing."""
        if self._stream is sys.stdout:
            self.show(line)
            self._stream, self._terminal = sys.stderr, False

    def status(self, text: str) -> None:
        """Replace the status line; nothing where there is no terminal."""
        if self._terminal:
            room = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{f'{self.seconds:6.1f} s  {text}'[:room]}", end="", file=self._stream, flush=True)

    def follow(self, look: Look, days: dict[str, str]) -> None:
        """Tell what a look at the runs shows that is new.

        Args:
            look: at the runs.
            days: run id -> day.
        """
        for task in sorted(look.ended, key=lambda task: str(task["end_date"])):
            key = (task["dag_run_id"], task["task_id"], task["map_index"], task["try_number"], task["state"])
            if task["state"] in ENDINGS and key not in self._told:
                self._told.add(key)
                self.say(f"{days[task['dag_run_id']]}  {described(task)}")
        done = sum(state == "success" for *_, state in self._told)
        self.status(f"{done} tasks done; runs: {', '.join(look.states.values()) or 'none yet'}")

    def _clear(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=self._stream)


def described(task: dict[str, Any]) -> str:
    """Say in one line how a task instance ended."""
    name = task["task_id"] + (f"[{task['map_index']}]" if task["map_index"] >= 0 else "")
    duration = f"{task['duration']:5.1f} s" if task["duration"] is not None else ""
    tries = f"  (try {task['try_number']})" if task["try_number"] > 1 or task["state"] == "up_for_retry" else ""
    return f"{name:<24} {task['state']:<12} {duration}{tries}".rstrip()
