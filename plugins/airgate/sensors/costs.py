"""What the polls of a sensor cost, summed up over the processes in which one try of it asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred

from airgate.client.tally import CallTally

_KEY = "airgate.polls"
"""Name in the task state store of what the polls before a pause cost."""


class PollCosts:
    """The costs of this try, those of the processes before this one included.

    Args:
        context: The task's.
        event: Of the trigger that polled meanwhile.
    """

    def __init__(self, context: Any, event: Mapping[str, Any] | None = None) -> None:
        self._ti = context["ti"]
        self._store = context["task_state_store"]
        self._try = getattr(self._ti, "try_number", 1)
        self.tally = CallTally()
        kept = self._store.get(_KEY)
        if kept is not None and kept["try_number"] == self._try:
            self.tally.add(kept["calls"])
        if event is not None and "calls" in event:
            self.tally.add(event["calls"])

    @contextmanager
    def told(self, *, push: bool) -> Iterator[None]:
        """Remember them where the sensor only pauses, and push ``airgate_calls`` where it ends, well or badly.

        Args:
            push: Whether the task pushes XComs.
        """
        paused = False
        try:
            yield
        except (TaskDeferred, AirflowRescheduleException):
            paused = True
            self._store.set(_KEY, {"version": 1, "try_number": self._try, "calls": self.tally.state()})
            raise
        finally:
            xcom_push = getattr(self._ti, "xcom_push", None)
            if push and not paused and xcom_push is not None:
                xcom_push(key="airgate_calls", value=self.tally.summary())
