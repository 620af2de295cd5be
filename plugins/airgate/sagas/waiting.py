"""Waits of a saga's own tasks."""

from __future__ import annotations

from typing import Any

from airgate.client import clock

INLINE = 5.0
"""Seconds that a worker is held at most."""


def wait_until(task: Any, until: float) -> None:
    """Wait until a Unix time: a short wait here, a long one without a worker, after which ``resume`` goes on."""
    left = until - clock.now()
    if left > INLINE:
        from airgate.triggers.wait import WaitTrigger

        task.log.info("waiting for %.0f s: until then a request may still arrive", left)
        task.defer(trigger=WaitTrigger(until), method_name="resume")
    elif left > 0:
        clock.sleep(left)
