"""Fetches pages before they are asked for, in threads, as many as are allowed and no more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

from airgate.client.message import Response
from airgate.client.pages import Position

KEPT_EACH = 2
"""Pages on their way or waiting to be taken, per request in flight: a slow page does not let the others run dry."""


@dataclass(frozen=True, slots=True)
class _Asked:
    position: Position
    answer: Future[Response]


class Ahead:
    """What has been asked for before its turn.

    Each request runs in a copy of the caller's context, so that the task's context and the current span are there.

    Args:
        fetch: Asks for the page that stands somewhere; threads call it at the same time.
        in_flight: Requests at the same time.
        kept: Pages asked for and not yet taken, at the most.
    """

    def __init__(self, fetch: Callable[[Position], Response], *, in_flight: int, kept: int) -> None:
        self._fetch = fetch
        self._in_flight, self._kept = in_flight, kept
        self._asked: deque[_Asked] = deque()
        self._plan: Iterator[Position] = iter(())
        self._failed = threading.Event()
        self._threads: ThreadPoolExecutor | None = None

    def take(self, position: Position) -> Response | None:
        """The answer for the page there if it was asked for, else None; what was guessed wrong is forgotten.

        Raises:
            GatewayError: That page cannot be had.
        """
        if self._asked and self._asked[0].position == position:
            return self._asked.popleft().answer.result()
        self._forget()
        return None

    def expects(self, position: Position) -> bool:
        """Whether the page there is the next that was asked for."""
        return bool(self._asked) and self._asked[0].position == position

    def plan(self, positions: Iterator[Position]) -> None:
        """Ask for these next, in place of what was planned."""
        self._forget()
        self._plan = positions

    def fill(self, most: float) -> None:
        """Ask for as many pages of the plan as may be kept.

        Args:
            most: Pages that may be asked for and not yet taken, if that is fewer.
        """
        while len(self._asked) < min(self._kept, most) and not self._failed.is_set():
            position = next(self._plan, None)
            if position is None:
                return
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._in_flight, thread_name_prefix="airgate-pages")
            context = copy_context()
            self._asked.append(_Asked(position, self._threads.submit(context.run, self._answer, position)))

    def close(self) -> None:
        """Ask for nothing more and wait for what is under way; no thread is left."""
        self._failed.set()
        self._forget()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _answer(self, position: Position) -> Response:
        try:
            return self._fetch(position)
        except BaseException:
            # What comes behind this page will not be used: no more of it is asked for.
            self._failed.set()
            raise

    def _forget(self) -> None:
        for asked in self._asked:
            asked.answer.cancel()
        self._asked.clear()
        self._plan = iter(())
