"""What is asked of a DB-API driver (PEP 249), whichever it is."""

from __future__ import annotations

from typing import Any, Protocol


class Cursor(Protocol):
    """A cursor."""

    description: Any

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Run a statement."""

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Run a statement for each of several rows."""

    def fetchall(self) -> Any:
        """All rows of the result."""


class Connection(Protocol):
    """A connection, not in autocommit."""

    def cursor(self) -> Cursor:
        """A new cursor."""

    def commit(self) -> None:
        """End the transaction."""

    def rollback(self) -> None:
        """End the transaction as if it had not been."""
