"""Finds the job of a submission whose answer nobody heard, and ends it, from the triggerer.

That is the job of a task whose worker was killed while it submitted, and that no other try comes back to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airgate.client import clock
from airgate.client.sealing import NotSealed, unseal
from airgate.hooks.gateway import GatewayHook
from airgate.hooks.job_calls import alook, arepeat_submission
from airgate.hooks.task_states import ENDED, RUN_ENDED, run_state_of, state_of
from airgate.jobs.job import JobHandle
from airgate.jobs.protocol import recreate
from airgate.policy.errors import Conflict, GatewayError
from airgate.triggers.ending import HEAD_START, PATIENCE, end_running, once, tell
from airgate.triggers.watch import watches

GRACE = 30.0
"""Seconds after which a service that took a submission in time shows its job to who looks for it."""
KEY_SECONDS = 3600.0
"""How long a service is trusted to know a key again after the submission: later, a repetition could start a job."""
_PAUSES = (2.0, 20.0)
"""Seconds between two looks for the job: the first pause, and the longest."""
_FIND_SECONDS = 20.0


async def end_lost_job(
    *,
    gateway_conn_id: str,
    trace: Mapping[str, Any],
    settles_at: float,
    instance: Mapping[str, Any],
    ordered_at: float,
    task: str,
) -> str:
    """Find the job of a submission and end it; Airflow runs this as a callback in a triggerer, see ``end_job``.

    Args:
        gateway_conn_id: Connection of type ``gateway``.
        trace: What finds the job, as ``airgate.operators.job_trace.trace_of`` gave it.
        settles_at: When nothing of the submission can arrive any more, Unix time.
        instance: The task instance: ``dag_id``, ``run_id``, ``task_id``, ``map_index``.
        ordered_at: When it was asked for, Unix time: what is asked for again is done again.
        task: Name of the task, for the log.

    Returns:
        What was done, in words.

    Raises:
        GatewayError: The service refused, or could not be reached for ``PATIENCE`` seconds.
        ValueError: The submission cannot be read any more.
    """
    lost = _Lost(gateway_conn_id, trace, settles_at, instance, task)
    return await once(json.dumps([gateway_conn_id, trace["key"], ordered_at]), lost.end)


@dataclass(frozen=True, slots=True)
class _Lost:
    conn_id: str
    trace: Mapping[str, Any]
    settles_at: float
    instance: Mapping[str, Any]
    task: str

    async def end(self) -> str:
        """Look until the job is found, or nothing can arrive any more."""
        await clock.asleep(HEAD_START)
        gives_up, pause = max(clock.now(), self.settles_at) + PATIENCE, _PAUSES[0]
        while True:
            try:
                said = await self._end_found()
            except GatewayError as error:
                if not self._passes(error) or clock.now() + pause > gives_up:
                    raise
                await tell("warning", "%s: its job is not ended yet, again later: %s", self.task, error)
            else:
                if said is not None:
                    await tell("info", "%s", said)
                    return said
            await clock.asleep(pause)
            pause = min(2 * pause, _PAUSES[1])

    async def _end_found(self) -> str | None:
        """End the job if it is there; what was done, None where it may still come."""
        if await self._lives():
            return f"{self.task}: runs again, and sees to its job itself"
        if self._repeats and clock.now() > self.settles_at + KEY_SECONDS:
            return f"{self.task}: whether its submission left a job cannot be told any more, look at the service"
        handle = await self._find()
        if handle is None:
            late = clock.now() > self.settles_at + GRACE
            return f"{self.task}: its submission left no job" if late else None
        if await self._lives():  # it was cleared meanwhile, and submits under the same key
            return f"job {handle.id} of {self.task}: goes on, as the task runs again"
        ended = await end_running(self.conn_id, self.trace["protocol"], handle, tell)
        done = "cancelled, as the task was ended" if ended else "over already"
        return f"job {handle.id} of {self.task}: found by its key, {done}"

    async def _find(self) -> JobHandle | None:
        key = str(self.trace["key"])
        async with (
            watches().watch(self.conn_id, self.trace["protocol"]) as watch,
            watch.gateways.hook(self.conn_id) as hook,
        ):
            if self._repeats:
                return await arepeat_submission(hook, self._submitted(hook).submit(key), key)
            return await alook(hook, watch.protocol.find(key), deadline=clock.now() + _FIND_SECONDS)

    def _submitted(self, hook: GatewayHook) -> Any:
        try:
            whole = unseal(hook.gateway.own_secrets, self.trace["sealed"], self.trace["key"])
        except NotSealed:
            raise ValueError(
                f"{self.task}: its submission was stored sealed with secrets that the connection {self.conn_id} no "
                "longer has, so its job cannot be found; look at the service"
            ) from None
        return recreate(json.loads(whole))

    @property
    def _repeats(self) -> bool:
        """Whether the submission is sent once more, as the service cannot be asked for the job of a key."""
        return "sealed" in self.trace

    def _passes(self, error: GatewayError) -> bool:
        """Whether an error is one that another attempt may not meet."""
        busy = self._repeats and isinstance(error, Conflict) and clock.now() < self.settles_at
        return error.retryable or busy

    async def _lives(self) -> bool:
        """Whether the task was cleared since: what it submits has the same key, and is its own affair."""
        tells = RuntimeTaskInstance
        state = await asyncio.to_thread(state_of, tells.get_task_states, **self.instance)
        if state is None or state in ENDED:
            return False
        dag_id, run_id = self.instance["dag_id"], self.instance["run_id"]
        return await asyncio.to_thread(run_state_of, tells.get_dagrun_state, dag_id, run_id) not in RUN_ENDED
