"""The body of an answer that is put together from its pieces."""

from __future__ import annotations

_MANY = 1024
"""Pieces that are kept apart: of one byte each, they would take forty times what they hold."""


class Gathered:
    """Pieces up to a limit, joined once: bytes that grow are moved, and their memory asked for, again and again.

    Args:
        limit: Bytes that are allowed; 0 for any number.
    """

    __slots__ = ("_apart", "_limit", "_pieces", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._apart = 0
        """Pieces at the end that have not been joined with others."""
        self._size = 0

    def add(self, piece: bytes) -> bool:
        """Take the next piece; False when there is more now than allowed."""
        self._pieces.append(piece)
        self._apart += 1
        self._size += len(piece)
        if self._apart == _MANY:
            self._pieces[-_MANY:] = [b"".join(self._pieces[-_MANY:])]
            self._apart = 0
        return not self._limit or self._size <= self._limit

    def whole(self) -> bytes:
        """All that was taken."""
        return b"".join(self._pieces)
