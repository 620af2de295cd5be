"""One task instance that runs a ``GatewayJobOperator``: in this process, deferred, or in a process that is killed."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airgate.client import clock
from airgate.jobs import JobProtocol
from airgate.testing.time import InstantTime
from tests.state_store import FileStore


class DyingStore(FileStore):
    """Its process dies when it is about to store the handle of a job."""

    def set(self, key: str, value: Any, *, retention: object = None) -> None:
        """Store JSON, or die."""
        if isinstance(value, dict) and value.get("handle"):
            os.kill(os.getpid(), signal.SIGKILL)
        super().set(key, value, retention=retention)


def context_of(folder: Path, *, dying: bool = False) -> dict[str, Any]:
    """The context of one task instance; made again for a retry."""
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(dag_id="d", run_id=folder.name, task_id="t", map_index=-1, max_tries=2, pushed=pushed)
    ti.xcom_push = lambda key, value: pushed.update({key: value})
    return {"ti": ti, "task_state_store": (DyingStore if dying else FileStore)(folder / "state.json")}


def operator_of(protocol: JobProtocol, **options: Any) -> Any:
    """The operator, with polls that follow one another quickly."""
    from airgate.operators.job import GatewayJobOperator

    return GatewayJobOperator(task_id="t", protocol=protocol, **{"poll_interval": (0.1, 0.3), "timeout": 60, **options})


def run_here(protocol: JobProtocol, folder: Path, **options: Any) -> Any:
    """The result of a task that waits in its worker."""
    return operator_of(protocol, deferrable=False, **options).execute(context_of(folder))


def run_deferred(protocol: JobProtocol, folder: Path, **options: Any) -> Any:
    """The result of a task that waits in a triggerer, which knows no more than what Airflow stores."""
    from airflow.sdk.exceptions import TaskDeferred

    operator = operator_of(protocol, **options)
    go_on: Any = operator.execute
    given: tuple[Any, ...] = ()
    for _ in range(5):  # deferrals, one after the other
        try:
            return go_on(context_of(folder), *given)
        except TaskDeferred as deferred:
            go_on, given = getattr(operator, deferred.method_name), (asyncio.run(_first_event(deferred.trigger)),)
    raise AssertionError("the task was deferred again and again")


def killed_before_the_handle(protocol: JobProtocol, folder: Path) -> None:
    """Submit in a process that dies, by SIGKILL, with the service's answer in its hands."""
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(protocol, folder))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def _die(protocol: JobProtocol, folder: Path) -> None:
    operator_of(protocol, deferrable=False).execute(context_of(folder, dying=True))


def ended_by_others(folder: Path) -> str:
    """End the job of a task that was killed before the handle, from what it stored and no more; what was done."""
    from airgate.triggers.lost_job import end_lost_job

    with clock.running(InstantTime()):
        return asyncio.run(end_lost_job(**json.loads(json.dumps(order_of(folder)))))


def order_of(folder: Path) -> dict[str, Any]:
    """What Airflow's servers ask a triggerer for, of a task whose job has no handle."""
    record = context_of(folder)["task_state_store"].get("airgate.job")
    assert record["handle"] is None
    return {
        "gateway_conn_id": record["cancel"]["gateway_conn_id"],
        "trace": record["trace"],
        "settles_at": record["settles_at"],
        "instance": {"dag_id": "d", "run_id": folder.name, "task_id": "t", "map_index": -1},
        "ordered_at": time.time(),
        "task": "d.t",
    }


async def _first_event(trigger: Any) -> Any:
    from airgate.triggers.job import JobTrigger

    _, fields = trigger.serialize()
    async with asyncio.timeout(60):
        async for event in JobTrigger(**json.loads(json.dumps(fields))).run():
            return event.payload
    raise AssertionError("the trigger ended without an event")
