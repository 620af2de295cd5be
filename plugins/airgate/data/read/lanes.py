"""Several readers at work at once, what they read handed on as if one had followed the other."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD = 2
"""Items that a reader may have waiting: so that memory does not grow with what it reads."""


def in_order(
    readers: Iterator[Callable[[], Iterator[T]]], in_flight: int, ahead: int = AHEAD
) -> Generator[T, None, None]:
    """Give the items of all readers, reader by reader, while up to ``in_flight`` of them read.

    An error is raised where its item would have come; all before it are given. Closing the iterator stops the
    readers and waits for those that are in the middle of an item.

    Args:
        readers: Each gives its items when called; in a thread of its own, with the caller's context variables.
        in_flight: Readers at work; with 1 there are no threads.
        ahead: Items that a reader may have waiting.
    """
    if in_flight == 1:
        for reader in readers:
            yield from reader()
        return
    lanes: deque[_Lane[T]] = deque()
    with ThreadPoolExecutor(in_flight, thread_name_prefix="airgate-read") as pool:
        try:
            while True:
                while len(lanes) < in_flight and (started := next(readers, None)) is not None:
                    lane: _Lane[T] = _Lane(started, ahead)
                    lanes.append(lane)
                    # A task's context and its span live in context variables, which a new thread does not have.
                    pool.submit(contextvars.copy_context().run, lane.read)
                if not lanes:
                    return
                yield from lanes[0].items()
                lanes.popleft()
        finally:
            for lane in lanes:
                lane.close()


class _Lane(Generic[T]):
    """What one reader has read and nobody has taken yet."""

    def __init__(self, reader: Callable[[], Iterator[T]], ahead: int) -> None:
        self._reader = reader
        self._ahead = ahead
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def read(self) -> None:
        """Read to the end, or until nobody wants more."""
        try:
            for item in self._reader():
                if not self._put(item):
                    break
        except BaseException as error:
            self._error = error  # raised again where the items are taken
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._ahead)
            if not self._closed:
                self._waiting.append(item)
                self._changed.notify_all()
            return not self._closed

    def items(self) -> Iterator[T]:
        """What is read, until the end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                item = self._waiting.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Nobody wants more."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
