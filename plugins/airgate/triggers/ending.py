"""Ends the job of a task that was ended, from the triggerer, when no worker does it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from airgate.client import clock
from airgate.hooks.job_calls import aend
from airgate.jobs.job import JobHandle
from airgate.policy.errors import GatewayError, NotFound
from airgate.triggers.watch import Watch, watches

log = logging.getLogger(__name__)

Tell = Callable[..., Awaitable[None]]
"""Takes the level, the line and its values, as a logger does."""

HEAD_START = 3.0
"""Seconds in which the task's own worker or trigger ends the job, if one of them is still there."""
PATIENCE = 900.0
"""Seconds for which a service that cannot be reached is asked again."""
_PAUSES = (2.0, 60.0)
"""Seconds between two attempts: the first one, and the longest."""
_LOOK_SECONDS = 8.0
_CANCEL_SECONDS = 20.0
_KEPT_SECONDS = 600.0
"""How long it is known that a job was seen to."""


async def end_running(conn_id: str, protocol: Mapping[str, Any], handle: JobHandle, tell: Tell) -> bool:
    """Cancel a job unless it is over, and tell whether it was cancelled.

    Args:
        conn_id: Connection of type ``gateway``.
        protocol: What ``airgate.jobs.protocol.reference`` gave.
        handle: The job.
        tell: Where to report.

    Raises:
        GatewayError: The typed error of what came in place of a cancellation.
    """
    async with watches().watch(conn_id, protocol) as watch:
        if await _is_over(watch, handle, tell):
            return False
        async with watch.gateways.hook(conn_id) as hook:
            await aend(hook, watch.protocol.cancel(handle), deadline=clock.now() + _CANCEL_SECONDS)
    return True


async def _is_over(watch: Watch, handle: JobHandle, tell: Tell) -> bool:
    """Whether there is nothing to cancel: for some services that would be to delete what the job made."""
    try:
        return (await watch.status(handle, seconds=_LOOK_SECONDS)).over
    except NotFound:
        return True
    except GatewayError as error:
        await tell("warning", "job %s: cancelled without a look at it: %s", handle.id, error)
        return False


_Work = dict[str, asyncio.Task[str]]
_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Work] = WeakKeyDictionary()


async def end_job(*, gateway_conn_id: str, protocol: Mapping[str, Any], handle: Mapping[str, Any], task: str) -> str:
    """Stand in for whoever should have ended a task's job; Airflow runs this as a callback in a triggerer.

    Where there are several triggerers, Airflow hands a callback from one to the other in every round and cancels it
    each time (``Trigger.get_sorted_triggers``, read in 3.3.2). So the work goes on by itself, and who comes back for
    it finds it under way or done.

    Args:
        gateway_conn_id: Connection of type ``gateway``.
        protocol: What ``airgate.jobs.protocol.reference`` gave.
        handle: The job's handle, as JSON.
        task: Name of the task, for the log.

    Returns:
        What was done, in words.

    Raises:
        GatewayError: The service refused, or could not be reached for ``PATIENCE`` seconds.
    """
    name = json.dumps([gateway_conn_id, protocol, handle], sort_keys=True)
    return await once(name, lambda: _end(gateway_conn_id, protocol, JobHandle.from_json(handle), task))


async def once(name: str, begin: Callable[[], Coroutine[Any, Any, str]]) -> str:
    """Carry work out that goes on although who waits for it is cancelled, and comes back.

    Args:
        name: Of the work; what has this name is begun once, and known for some minutes after its end.
        begin: Gives what is to be done.
    """
    loop = asyncio.get_running_loop()
    under_way = _of_loop.setdefault(loop, {})
    if name not in under_way:
        work = under_way[name] = asyncio.create_task(begin(), name="airgate-end-job")
        work.add_done_callback(lambda _: loop.call_later(_KEPT_SECONDS, under_way.pop, name, None))
    return await asyncio.shield(under_way[name])


async def _end(conn_id: str, protocol: Mapping[str, Any], handle: JobHandle, task: str) -> str:
    await clock.asleep(HEAD_START)
    gives_up, pause = clock.now() + PATIENCE, _PAUSES[0]
    while True:
        try:
            ended = await end_running(conn_id, protocol, handle, tell)
        except GatewayError as error:
            if not error.retryable or clock.now() + pause > gives_up:
                raise
            await tell("warning", "job %s of %s: not cancelled yet, again later: %s", handle.id, task, error)
            await clock.asleep(pause)
            pause = min(2 * pause, _PAUSES[1])
        else:
            break
    said = f"job {handle.id} of {task}: {'cancelled, as the task was ended' if ended else 'over already'}"
    await tell("info", "%s", said)
    return said


async def tell(level: str, *line: object) -> None:
    """Report to the triggerer's log."""
    await asyncio.to_thread(getattr(log, level), *line)  # see JobTrigger: a line may have to wait
