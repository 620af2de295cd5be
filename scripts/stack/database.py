"""Airflow's metadata database: made completely or not at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from interrupts import INTERRUPTS
from stack.failure import Failed


class DatabaseFailed(Failed):
    """The metadata database could not be made; the message holds what Airflow said."""


def make(target: Path, environment: Mapping[str, str]) -> bool:
    """Make the metadata database at `target` unless it is there; tell whether it had to be made.

    Args:
        target: the SQLite file, in an existing folder.
        environment: the stack's; the database it names is replaced for the making.

    Raises:
        DatabaseFailed: the migration failed.
    """
    if target.exists():
        return False
    # Built under another name and renamed when whole, so an interruption leaves nothing that looks like a database.
    new = target.with_name(target.name + ".new")
    for leftover in target.parent.glob(f"{new.name}*"):
        leftover.unlink()
    settings = {**environment, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{new}"}
    with INTERRUPTS:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    said, _ = process.communicate()
    if process.returncode:
        tail = "\n".join(said.splitlines()[-25:])
        raise DatabaseFailed(f"airflow db migrate failed with exit code {process.returncode}:\n{tail}")
    connection = sqlite3.connect(new)
    # Readers and the writer no longer wait for each other: a property of the file, so it is set once.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    new.replace(target)
    return True
