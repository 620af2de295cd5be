"""What a callback's context says has happened.

Airflow calls notifiers from three places, with a context of three kinds (3.3.2, read and run): a task's own process,
with the task's context; the DAG processor, with that of a task whose process is gone, or with that of a run's last task
and a ``reason``; and the triggerer, for deadline alerts, with the run as JSON. None has a word for "what happened".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SAGA_KEY = "airgate_saga"
"""Name in the context of what a saga tells its notifiers: an object with ``saga``, ``state``, ``why`` and the like."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """What happened to a task, or to a run as a whole."""

    dag_id: str
    run_id: str
    outcome: str
    """``success``, ``failed``, ``up_for_retry``, ``skipped``, ``running``, ``deadline_missed``, or what a saga says."""
    task_id: str | None = None
    """None for a run."""
    map_index: int = -1
    try_number: int | None = None
    ended: str | None = None
    """When, RFC 3339; None while it goes on, and where the context does not know."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else is known: ``reason`` of a run's end, ``error``, the class of an exception, or ``saga``."""

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Occasion:
        """The occasion of a context.

        Raises:
            ValueError: It is the context of no task and no run.
        """
        run = context.get("dag_run")
        ti = context.get("ti")
        dag_id = _one_of(ti, run, name="dag_id") or getattr(context.get("dag"), "dag_id", None)
        run_id = context.get("run_id") or _one_of(ti, run, name="run_id") or _one_of(run, name="dag_run_id")
        if not dag_id or not run_id:
            raise ValueError("the context has no dag_id and run_id: give the one that Airflow gives to a callback")
        if "deadline" in context:
            return cls(dag_id, run_id, "deadline_missed", facts={"deadline": _deadline(context["deadline"])})
        if "reason" in context or ti is None:
            # Airflow hands on the run's last task with it, which is not what this is about.
            reason = context.get("reason")
            outcome = "success" if reason == "success" else "failed"
            facts = {"reason": str(reason)} if reason else {}
            return cls(dag_id, run_id, outcome, ended=_moment(_one_of(run, name="end_date")), facts=facts)
        return cls(
            dag_id,
            run_id,
            _outcome(ti, context),
            _one_of(ti, name="task_id"),
            -1 if (index := _one_of(ti, name="map_index")) is None else index,
            _one_of(ti, name="try_number"),
            None if SAGA_KEY in context else _moment(_one_of(ti, name="end_date")),
            _facts(context),
        )

    @property
    def identity(self) -> tuple[object, ...]:
        """What is the same whenever the same is told again; each retry is an occasion of its own."""
        again = self.try_number if self.outcome == "up_for_retry" else None
        parts: tuple[object, ...] = (self.dag_id, self.run_id, self.task_id, self.map_index, self.outcome, again)
        return (*parts, self.facts["deadline"]["id"]) if "deadline" in self.facts else parts

    def to_json(self) -> dict[str, Any]:
        """As the data of an event. No exception's text, which may hold anything."""
        told: dict[str, Any] = {"dag_id": self.dag_id, "run_id": self.run_id, "outcome": self.outcome}
        if self.task_id is not None:
            told |= {"task_id": self.task_id, "map_index": self.map_index, "try_number": self.try_number}
        return {**told, **self.facts}


def _outcome(ti: Any, context: Mapping[str, Any]) -> str:
    saga = context.get(SAGA_KEY)
    if isinstance(saga, Mapping):
        return str(saga.get("state", "needs-attention"))
    state = getattr(ti, "state", None)
    if state is not None:
        return str(getattr(state, "value", state))
    # The DAG processor does not say what the task has become, and calls for these two only.
    again = (_one_of(ti, name="try_number") or 0) <= (_one_of(ti, name="max_tries") or 0)
    return "up_for_retry" if again else "failed"


def _facts(context: Mapping[str, Any]) -> dict[str, Any]:
    saga, error = context.get(SAGA_KEY), context.get("exception")
    facts: dict[str, Any] = {"saga": dict(saga)} if isinstance(saga, Mapping) else {}
    return {**facts, "error": type(error).__name__} if isinstance(error, BaseException) else facts


def _one_of(*things: Any, name: str) -> Any:
    """The first of these that there is; Airflow gives objects, and for a deadline the run as JSON."""
    for thing in things:
        found = thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
        if found is not None:
            return found
    return None


def _deadline(told: Any) -> dict[str, Any]:
    time = _one_of(told, name="deadline_time")
    return {"id": str(_one_of(told, name="id")), "time": _moment(time)}


def _moment(when: Any) -> str | None:
    if when is None or isinstance(when, str):
        return when
    return str(when.isoformat())
