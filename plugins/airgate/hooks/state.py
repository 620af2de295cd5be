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


class SentMark:
    """Remembers that a write is on its way, so that no later try of the task sends it again.

    The mark counts until the task is cleared, which is a person's word that the write is wanted (again): only then does
    ``max_tries`` change.

    Args:
        store: The context's ``task_state_store``.
        max_tries: The task instance's.
    """

    _KEY = "airgate.sent"

    def __init__(self, store: Any, max_tries: int) -> None:
        self._store = store
        self._max_tries = max_tries

    @property
    def there(self) -> bool:
        """Whether an earlier try may have sent the write."""
        mark = self._store.get(self._KEY)
        return mark is not None and mark["max_tries"] == self._max_tries

    def put(self) -> None:
        """Remember it; durable when this returns, so to be called before the write leaves."""
        self._store.set(self._KEY, {"version": 1, "max_tries": self._max_tries})

    def take_back(self) -> None:
        """Forget it: the write provably had no effect."""
        self._store.delete(self._KEY)
