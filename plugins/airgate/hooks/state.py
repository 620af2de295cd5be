"""What a task instance must remember, kept in Airflow's task state store: it outlives retries and killed processes."""

from __future__ import annotations

import logging
from typing import Any, cast

from airgate.data.checkpoint import REFUSED

log = logging.getLogger(__name__)

_COMPLETE, _MAX_TRIES = "complete", "max_tries"


class TaskStateCheckpoint:
    """A checkpoint of one task instance.

    With ``max_tries`` it outlives the completion: a process that dies between the end of its work and the moment at
    which Airflow knows would otherwise do all of it again. A task that is cleared after a success starts afresh all the
    same, because a clear, and nothing else, changes ``max_tries``.

    Args:
        store: The context's ``task_state_store``.
        key: Name within the store.
        max_tries: Of the task instance; None for a checkpoint that ends with its work.
        restart_on_clear: Also start afresh when a task that had failed is cleared.
    """

    def __init__(
        self,
        store: Any,
        key: str = "airgate.checkpoint",
        *,
        max_tries: int | None = None,
        restart_on_clear: bool = False,
    ) -> None:
        self._store = store
        self._key = key
        self._max_tries = max_tries
        self._restart_on_clear = restart_on_clear
        self._state: dict[str, Any] | None = None

    def load(self) -> dict[str, Any] | None:
        """The object stored last, None without one or when the task has been cleared since."""
        state = cast("dict[str, Any] | None", self._store.get(self._key))
        if state is not None and self._max_tries is not None and state.get(_MAX_TRIES) != self._max_tries:
            if state.get(_COMPLETE):
                log.info("the task was cleared after a success: starting from the beginning")
                state = None
            elif self._restart_on_clear:
                log.info("the task was cleared: starting from the beginning, as restart_on_clear asks")
                state = None
            else:  # whoever clears it wants what was in vain to be tried once more
                state = {name: value for name, value in state.items() if name != REFUSED}
        self._state = state
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Store the object."""
        self._state = state if self._max_tries is None else {**state, _MAX_TRIES: self._max_tries}
        self._store.set(self._key, self._state)

    def clear(self) -> None:
        """The work is complete."""
        if self._max_tries is None:
            self._store.delete(self._key)
        elif self._state is not None:
            self.save({**self._state, _COMPLETE: True})
