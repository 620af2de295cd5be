"""A line of the log that waits for Airflow's busy process keeps no other wait from going on."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time

import pytest

from airgate.jobs.protocol import reference
from airgate.triggers.job import JobTrigger, Waiting
from tests.job_farm import FarmJob, farm


class Stuck(logging.Handler):
    """Takes a line only once somebody else has got on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.others_went_on = threading.Event(), threading.Event()
        self.freed: list[bool] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        self.freed.append(self.others_went_on.wait(5))


@pytest.mark.parametrize("answer", ["a new state", "a failed poll"])
def test_the_loop_goes_on_while_a_line_waits_to_be_written(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    stuck = Stuck()
    log = logging.Logger("stuck")
    log.addHandler(stuck)
    with farm() as known:
        value = {"conn_type": "gateway", "host": known.address, "extra": {"attempts": 1}}
        monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(value))
        known.submit("k", {})
        if answer == "a failed poll":
            known.refuse = [(503, {})]
        waiting = Waiting(reference(FarmJob()), {"id": "job-1"}, time.time(), shortest=0.1, longest=0.1)
        trigger = JobTrigger("gateway_default", waiting)
        monkeypatch.setattr(trigger, "_log", log, raising=False)

        async def others() -> None:
            await asyncio.to_thread(stuck.entered.wait, 10)
            stuck.others_went_on.set()

        async def both() -> list[object]:
            going_on = asyncio.create_task(others())
            said = [event.payload async for event in trigger.run()]
            await going_on
            return said

        (event,) = asyncio.run(both())
    assert stuck.freed
    assert all(stuck.freed)
    assert event["status"]["state"] == "succeeded"  # type: ignore[index]
