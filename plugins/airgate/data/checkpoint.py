"""Where a read stands, kept where a dead process cannot take it along."""

from __future__ import annotations

from typing import Any, Protocol

REFUSED = "refused"
"""In a checkpoint: numbers of the pages for whose sake the read has started again."""


class Checkpoint(Protocol):
    """Keeps one JSON object for one piece of work; in Airflow, in the task state store."""

    def load(self) -> dict[str, Any] | None:
        """The object stored last, None without one."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Store the object; durable when this returns."""
        ...

    def clear(self) -> None:
        """Forget the object: the work is complete."""
        ...
