"""Looks at many jobs with one connection pool and one token a gateway, and together where the service can.

All of it belongs to one event loop: the triggerer's. A gateway's connection is read anew every few minutes, so that a
secret that was changed meanwhile is taken over without a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from airgate.client import clock
from airgate.client.gateway import Gateway
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import alook
from airgate.jobs.job import JobHandle, JobStatus
from airgate.jobs.protocol import JobProtocol, recreate
from airgate.policy.errors import GatewayError

_HOOK_SECONDS = 300.0
"""How long a connection's settings are kept."""
_GATHER_SECONDS = 0.05
"""How long a poll waits for others to go with."""
_AT_ONCE = 32
"""Polls of one protocol at one gateway that are under way at the same time."""


@dataclass(eq=False)
class _Shared:
    """A hook with those who use it at this moment."""

    hook: GatewayHook
    opening: asyncio.Future[Gateway]
    """Its connection, looked up once for all of them."""
    born: float
    users: int = 0

    async def leave(self, *, retired: bool) -> None:
        """One user less; the last one closes what nobody comes back to."""
        self.users -= 1
        if retired and not self.users:
            await self.hook.aclose()


class Gateways:
    """The hooks of one event loop, one a connection."""

    def __init__(self) -> None:
        self._shared: dict[str, _Shared] = {}

    @asynccontextmanager
    async def hook(self, conn_id: str) -> AsyncIterator[GatewayHook]:
        """The connection's hook, for one poll.

        Raises:
            ValueError: There is no such connection, or it is none of a gateway.
        """
        shared = self._shared.get(conn_id)
        if shared is None or clock.now() - shared.born > _HOOK_SECONDS:
            old, shared = shared, self._open(conn_id)
            if old is not None:
                old.users += 1
                await old.leave(retired=True)
        shared.users += 1
        try:
            await asyncio.shield(shared.opening)
            yield shared.hook
        finally:
            if shared.opening.done() and shared.opening.exception() is not None and self._is_current(conn_id, shared):
                del self._shared[conn_id]  # asked for anew by the next poll
            await shared.leave(retired=not self._is_current(conn_id, shared))

    async def close(self, conn_id: str) -> None:
        """Nobody waits at this gateway any longer."""
        shared = self._shared.pop(conn_id, None)
        if shared is not None:
            shared.users += 1
            await shared.leave(retired=True)

    def _open(self, conn_id: str) -> _Shared:
        hook = GatewayHook(conn_id)
        hook.quiet = True
        opening = asyncio.ensure_future(asyncio.to_thread(lambda: hook.gateway))  # it blocks
        shared = self._shared[conn_id] = _Shared(hook, opening, clock.now())
        return shared

    def _is_current(self, conn_id: str, shared: _Shared) -> bool:
        return self._shared.get(conn_id) is shared


@dataclass(eq=False)
class Watch:
    """Looks at the jobs of one protocol at one gateway."""

    conn_id: str
    protocol: JobProtocol
    gateways: Gateways
    waits: int = 0
    """Triggers that wait for jobs here."""
    _asked: dict[str, tuple[JobHandle, asyncio.Future[JobStatus]]] = field(default_factory=dict)
    _gathering: asyncio.Task[None] | None = None
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def status(self, handle: JobHandle, *, seconds: float) -> JobStatus:
        """How a job stands; asked for together with others where the protocol can.

        Args:
            handle: The job.
            seconds: Time for all of it.

        Raises:
            GatewayError: The typed error of what came instead.
        """
        if not self.protocol.batch:
            return await self._look(handle, seconds)
        if handle.id not in self._asked:
            self._asked[handle.id] = (handle, asyncio.get_running_loop().create_future())
        waited_for = self._asked[handle.id][1]
        if self._gathering is None:
            self._gathering = asyncio.create_task(self._gather(seconds))
        # Shielded: another trigger may wait for the same job.
        return await asyncio.shield(waited_for)

    async def _look(self, handle: JobHandle, seconds: float) -> JobStatus:
        async with self._room, self.gateways.hook(self.conn_id) as hook:
            return await alook(hook, self.protocol.status(handle), deadline=clock.now() + seconds)

    async def _gather(self, seconds: float) -> None:
        await asyncio.sleep(_GATHER_SECONDS)
        asked, self._asked = self._asked, {}
        self._gathering = None
        jobs = list(asked.values())
        size = self.protocol.batch
        parts = [jobs[start : start + size] for start in range(0, len(jobs), size)]
        await asyncio.gather(*(self._look_at(part, seconds) for part in parts))

    async def _look_at(self, jobs: list[tuple[JobHandle, asyncio.Future[JobStatus]]], seconds: float) -> None:
        found: Mapping[str, JobStatus] = {}
        if len(jobs) > 1:
            try:
                async with self._room, self.gateways.hook(self.conn_id) as hook:
                    talk = self.protocol.statuses([handle for handle, _ in jobs])
                    found = await alook(hook, talk, deadline=clock.now() + seconds)
            except Exception as error:
                # A service that refuses the question for all of them may answer for each.
                if not isinstance(error, GatewayError) or error.retryable:
                    for _, waited_for in jobs:
                        _fail(waited_for, error)
                    return
        for handle, waited_for in jobs:
            if waited_for.done():
                continue
            if handle.id in found:
                waited_for.set_result(found[handle.id])
                continue
            try:
                waited_for.set_result(await self._look(handle, seconds))
            except Exception as error:
                _fail(waited_for, error)


def _fail(waited_for: asyncio.Future[JobStatus], error: Exception) -> None:
    if not waited_for.done():
        waited_for.set_exception(error)
        waited_for.exception()  # looked at: nobody may wait for it any longer


class Watches:
    """All that one event loop watches."""

    def __init__(self) -> None:
        self.gateways = Gateways()
        self._watches: dict[tuple[str, str], Watch] = {}

    @asynccontextmanager
    async def watch(self, conn_id: str, protocol: Mapping[str, Any]) -> AsyncIterator[Watch]:
        """The watch over a gateway's jobs of one protocol, for as long as one of them is waited for.

        Args:
            conn_id: The connection.
            protocol: What ``airgate.jobs.protocol.reference`` gave.
        """
        name = (conn_id, json.dumps(protocol, sort_keys=True))
        watch = self._watches.get(name)
        if watch is None:
            watch = self._watches[name] = Watch(conn_id, recreate(protocol), self.gateways)
        watch.waits += 1
        try:
            yield watch
        finally:
            watch.waits -= 1
            if not watch.waits:
                self._watches.pop(name, None)
                if not any(other == conn_id for other, _ in self._watches):
                    with contextlib.suppress(Exception):
                        await self.gateways.close(conn_id)


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Watches] = WeakKeyDictionary()


def watches() -> Watches:
    """Those of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        found = _of_loop[loop] = Watches()
    return found
