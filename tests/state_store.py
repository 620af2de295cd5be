"""Airflow's task state store, kept in a file: it outlives tries and processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class FileStore:
    """Behaves as ``context["task_state_store"]`` does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keys(self) -> list[str]:
        """The names that are stored."""
        return list(self._read())

    def get(self, key: str, default: Any = None) -> Any:
        """The value stored last."""
        return self._read().get(key, default)

    def set(self, key: str, value: Any, *, retention: object = None) -> None:
        """Store JSON."""
        if value is None:
            raise ValueError("Cannot set value as None")
        if json.loads(json.dumps(value)) != value:
            raise TypeError(f"not JSON, and Airflow would refuse it: {value!r}")  # such as a tuple
        self._write({**self._read(), key: value})

    def delete(self, key: str) -> None:
        """Forget a key."""
        self._write({name: value for name, value in self._read().items() if name != key})

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}

    def _write(self, values: dict[str, Any]) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(values))
        temporary.replace(self._path)
