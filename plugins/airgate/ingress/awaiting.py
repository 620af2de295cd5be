"""Requests that are held until a run is over. However many there are, the database is asked once in a while for all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import State
from sqlalchemy import select, tuple_

log = logging.getLogger(__name__)

POLL_SECONDS = 0.3

Run = tuple[str, str]
"""DAG id and run id."""


class RunEnds:
    """The ends of runs that the requests of one event loop wait for.

    Args:
        most: Requests that are held at the same time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._waiting: dict[Run, set[asyncio.Event]] = {}
        self._polling: asyncio.Task[None] | None = None

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Take a place for one request; gives whether there was one."""
        taken = self._held < self._most
        self._held += taken
        try:
            yield taken
        finally:
            self._held -= taken

    async def wait(self, run: Run, seconds: float) -> None:
        """Come back when the run is over, or that much later."""
        over = asyncio.Event()
        self._waiting.setdefault(run, set()).add(over)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            pass
        finally:
            others = self._waiting.get(run, set())
            others.discard(over)
            if not others:
                self._waiting.pop(run, None)

    async def _poll(self) -> None:
        while self._waiting:
            try:
                ended = await asyncio.to_thread(_over, list(self._waiting))
            except Exception as error:
                log.warning("runs that clients wait for could not be looked at: %s", error)
                ended = set()
            for run in ended:
                for over in self._waiting.get(run, ()):
                    over.set()
            await asyncio.sleep(POLL_SECONDS)


def _over(runs: list[Run]) -> set[Run]:
    """Those of some runs that are over, or gone."""
    wanted = select(DagRun.dag_id, DagRun.run_id).where(
        tuple_(DagRun.dag_id, DagRun.run_id).in_(runs), DagRun.state.not_in(State.finished_dr_states)
    )
    with create_session(scoped=False) as session:
        return set(runs) - {(dag_id, run_id) for dag_id, run_id in session.execute(wanted)}
