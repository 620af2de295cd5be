"""What a task instance must remember, kept in Airflow's task state store: it outlives retries and killed processes."""

from __future__ import annotations

from typing import Any, cast


class TaskStateCheckpoint:
    """A checkpoint of one task instance.

    Args:
        store: The context's ``task_state_store``.
        key: Name within the store.
    """

    def __init__(self, store: Any, key: str = "airgate.checkpoint") -> None:
        self._store = store
        self._key = key

    def load(self) -> dict[str, Any] | None:
        """The object stored last, None without one."""
        return cast("dict[str, Any] | None", self._store.get(self._key))

    def save(self, state: dict[str, Any]) -> None:
        """Store the object."""
        self._store.set(self._key, state)

    def clear(self) -> None:
        """Forget the object."""
        self._store.delete(self._key)
