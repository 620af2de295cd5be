"""What a callback does: it makes the job be looked at, and ends the wait when the job is over.

Nothing in the request is believed. A callback that comes early, twice, or from someone who got hold of its address
leads to a look that the trigger would have made later, and to nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum, auto

from airgate.client import clock
from airgate.hooks.callbacks import SETTLES
from airgate.ingress.waiting import WaitingTask, find, resume
from airgate.jobs.job import JobHandle
from airgate.policy.callback import CallbackToken
from airgate.triggers.watch import watches

log = logging.getLogger(__name__)

LOOK_SECONDS = 8.0
"""For one look: the service waits for its answer meanwhile."""
LOOKS_AGAIN = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between the looks after a callback that came early: a job that calls as its last step is not over yet."""
_APART = 1.0
"""Seconds between two looks at a job that callbacks keep asking for."""
_MOST_FOLLOWED = 1000
"""Jobs that are looked at again at the same time; the others are left to their triggers."""


class Outcome(Enum):
    """What became of a callback."""

    RESUMED = auto()
    NOT_OVER = auto()
    UNKNOWN = auto()
    """The job could not be looked at."""
    TOO_SOON = auto()
    """The job is over; the task goes on as soon as its deferral has settled."""
    NOTHING_WAITS = auto()


_DONE = frozenset({Outcome.RESUMED, Outcome.NOTHING_WAITS})


@dataclass(eq=False)
class _Followed:
    """A job that is looked at again."""

    looked_at: float
    looking: asyncio.Task[None] | None = None


class Callbacks:
    """The callbacks of one event loop. A job is looked at once at a time, however many callbacks come for it."""

    def __init__(self) -> None:
        self._delivering: dict[str, asyncio.Task[Outcome]] = {}
        self._followed: dict[str, _Followed] = {}

    async def deliver(self, token: CallbackToken) -> Outcome:
        """Look at the job of a token, and end its task's wait if it is over."""
        name = token.mark
        followed = self._followed.get(name)
        if followed is not None and clock.now() - followed.looked_at < _APART:
            return Outcome.NOT_OVER  # it is looked at again in a moment
        outcome = await self._once(token)
        if outcome not in _DONE:
            self._follow(token)
        return outcome

    async def _once(self, token: CallbackToken) -> Outcome:
        name = token.mark
        delivering = self._delivering.get(name)
        if delivering is None:
            delivering = self._delivering[name] = asyncio.create_task(self._deliver(token))
            delivering.add_done_callback(lambda _: self._delivering.pop(name, None))
        # Shielded: a service that hangs up ends nobody else's delivery.
        return await asyncio.shield(delivering)

    async def _deliver(self, token: CallbackToken) -> Outcome:
        task = await asyncio.to_thread(find, token)
        if task is None:
            return Outcome.NOTHING_WAITS
        handle = JobHandle.from_json(task.waiting.handle)
        try:
            async with watches().watch(task.gateway_conn_id, task.waiting.protocol) as watch:
                status = await watch.status(handle, seconds=LOOK_SECONDS)
        except Exception as error:  # the trigger meets it too, and says on the worker what it is
            log.warning("job %s of %s: called back, but could not be looked at: %s", handle.id, _named(token), error)
            return Outcome.UNKNOWN
        if not status.over:
            log.info("job %s of %s: called back while %s", handle.id, _named(token), status)
            return Outcome.NOT_OVER
        if clock.now() < task.deferred_at + SETTLES:
            return Outcome.TOO_SOON
        return await self._resume(token, task, {"status": status.to_json()})

    async def _resume(self, token: CallbackToken, task: WaitingTask, event: dict[str, object]) -> Outcome:
        whole = {**event, "polls": task.waiting.polls + 1, "called_back": True}
        if not await asyncio.to_thread(resume, task, whole):
            return Outcome.NOTHING_WAITS
        log.info("job %s of %s: called back, the task goes on", task.waiting.handle["id"], _named(token))
        return Outcome.RESUMED

    def _follow(self, token: CallbackToken) -> None:
        """Look again for a while, without anybody waiting for it; what is not seen is left to the trigger."""
        name = token.mark
        followed = self._followed.get(name)
        if followed is not None:
            followed.looked_at = clock.now()
        elif len(self._followed) < _MOST_FOLLOWED:
            followed = self._followed[name] = _Followed(clock.now())
            followed.looking = asyncio.create_task(self._look_again(token, followed))
            followed.looking.add_done_callback(lambda _: self._followed.pop(name, None))

    async def _look_again(self, token: CallbackToken, followed: _Followed) -> None:
        for pause in LOOKS_AGAIN:
            await clock.asleep(pause)
            try:
                outcome = await self._once(token)
            except Exception as error:
                log.warning("a job of %s could not be looked at again: %s", _named(token), error)
                return
            if outcome in _DONE:
                return
            followed.looked_at = clock.now()


def _named(token: CallbackToken) -> str:
    index = "" if token.map_index < 0 else f"[{token.map_index}]"
    return f"{token.dag_id}.{token.task_id}{index} ({token.run_id})"
