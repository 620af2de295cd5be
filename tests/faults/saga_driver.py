"""Runs the orders of some cases, a few at a time, and looks after them until they have ended."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stack.airflow_api import AirflowApi, ApiFailed
from tests.faults.saga_books import End
from tests.faults.saga_cases import AFTER, BATCH, HELD, SagaCase
from tests.faults.saga_hits import GROUP, Hits, Order
from tests.faults.shop_under_fire import ShopUnderFire

AT_ONCE = 12
"""Orders that run at a time."""
LATEST = 6.0
"""Seconds after the end of a run in which something of it may still arrive at a service."""
COUNTING = f"{GROUP}_verdicts"
"""The task that counts the verdicts of a mapped group."""
_ENDED = frozenset({"success", "failed"})


@dataclass
class Run:
    """One DAG run."""

    dag: str
    id: str
    orders: list[Order]
    state: str = ""
    again: bool = False
    """Whether it was set going again after its end."""
    ended_at: float | None = None
    """On the monotonic clock."""
    views: dict[int, Any] = field(default_factory=dict)
    """Map index -> the verdict's view, None without one."""
    tasks: dict[tuple[str, int], str | None] = field(default_factory=dict)
    """Task and map index -> its state at the end."""

    def end(self) -> End:
        """How it ended, by Airflow."""
        views = list(self.views.values())
        if self.orders[0].index < 0:
            return End(self.state, views)
        expanded = any(name.startswith(f"{GROUP}.") and index >= 0 for name, index in self.tasks)
        return End(self.state, views, expanded, str(self.tasks.get((COUNTING, -1))))

    @property
    def queued(self) -> bool:
        """Whether it is to be marked as failed before it starts."""
        return any(order.case.what == "queued" for order in self.orders)

    def conf(self) -> dict[str, Any]:
        """Its orders as the DAG wants them."""
        return {"orders": [_wanted(order) for order in self.orders]}


def _wanted(order: Order) -> dict[str, str]:
    business = order.case.business
    return {
        "id": order.name,
        "sku": "sold-out" if business == "sold out" else "neck-pillow",
        "card": "tok_declined" if business == "declined" else "tok_visa",
        "country": "XX" if business == "nowhere" else "US",
    }


def runs_of(cases: Sequence[SagaCase], stamp: str) -> list[Run]:
    """The runs of some cases."""
    runs: list[Run] = []
    for _, together in itertools.groupby(cases, key=lambda case: case.run):
        some = list(together)
        way, name = some[0].way, f"{stamp}-{some[0].number:04d}"
        dag = HELD[way] if any(case.what == "queued" for case in some) else way
        indexed = way == BATCH
        runs.append(
            Run(dag, name, [Order(case, dag, name, place if indexed else -1) for place, case in enumerate(some)])
        )
    return runs


class Driver:
    """Runs orders.

    Args:
        stack: Where.
        hits: Who does to them what their cases say.
        stamp: What the ids of the runs begin with.
    """

    def __init__(self, stack: ShopUnderFire, hits: Hits, stamp: str) -> None:
        self._airflow: AirflowApi = stack.airflow()
        self._hits = hits
        self._stamp = stamp

    def drive(self, runs: Sequence[Run], patience: float) -> Iterator[Run]:
        """Run them; gives each once nothing of it can come any more, or the time is over.

        Args:
            runs: The runs.
            patience: Seconds for all of them.
        """
        deadline = time.monotonic() + patience
        waiting, going = list(runs), []
        for run in [run for run in waiting if run.queued]:
            self._until(lambda run=run: self._queue(run), deadline)  # type: ignore[misc]
            waiting.remove(run)
            going.append(run)
        for dag in {run.dag for run in going}:
            self._until(lambda dag=dag: self._airflow.pause(dag, paused=False), deadline)  # type: ignore[misc]
        while (waiting or going) and time.monotonic() < deadline:
            with contextlib.suppress(ApiFailed):
                while waiting and _orders([*going, waiting[0]]) <= AT_ONCE:
                    self._start(waiting[0])
                    going.append(waiting.pop(0))
                self._look(going)
            for run in [run for run in going if run.ended_at and time.monotonic() - run.ended_at > LATEST]:
                # What came after the end may have set it going once more; then it has not ended.
                if self._until(lambda run=run: self._read(run), deadline) and run.ended_at:  # type: ignore[misc]
                    going.remove(run)
                    yield run
            time.sleep(1)
        for run in (*going, *waiting):
            self._read(run)
            yield run

    def _until(self, act: Callable[[], None], deadline: float) -> bool:
        """Do something that Airflow may not be there for; tells whether it was done."""
        while time.monotonic() < deadline:
            with contextlib.suppress(ApiFailed):
                act()
                return True
            time.sleep(1)
        return False

    def _start(self, run: Run) -> None:
        self._hits.add([order for order in run.orders if order not in self._hits.orders])
        self._airflow.trigger(run.dag, run.id, run.conf())

    def _queue(self, run: Run) -> None:
        self._start(run)
        self._airflow.fail_run(run.dag, run.id)
        for order in run.orders:
            order.hit[:] = ["queued"]

    def _look(self, runs: list[Run]) -> None:
        for dag in {run.dag for run in runs}:
            states = self._states(dag, self._stamp)
            for run in runs:
                if run.dag == dag and run.ended_at is None:
                    run.state = states.get(run.id, "")
                    if run.state in _ENDED:
                        self._ended(run)

    def _states(self, dag: str, prefix: str) -> dict[str, str]:
        return {run["dag_run_id"]: run["state"] for run in self._airflow.runs(dag, prefix)}

    def _ended(self, run: Run) -> None:
        """It has ended, perhaps for the first time of two."""
        due = [order for order in run.orders if order.case.what in AFTER and order.case.what not in order.hit]
        if due and not run.again:
            # Of a group that never was expanded nothing can be cleared: Airflow answers 500.
            there = {task["map_index"] for task in self._airflow.tasks(run.dag, [run.id])}
            for order in due:
                if order.index in there and (order.reached or order.case.what in ("cleared after", "decided again")):
                    self._hits.again(order)
                    run.again = True
            if run.again:
                return
        run.ended_at = time.monotonic()
        for order in run.orders:
            order.ended = True

    def _read(self, run: Run) -> None:
        """What there is to be known of a run, all of it by now."""
        run.state = self._states(run.dag, run.id).get(run.id, "")
        if run.state not in _ENDED:
            run.ended_at = None
        run.tasks = {
            (task["task_id"], task["map_index"]): task["state"] for task in self._airflow.tasks(run.dag, [run.id])
        }
        for order in run.orders:
            try:
                run.views[order.index] = self._airflow.xcom(run.dag, run.id, f"{GROUP}.verdict", "saga", order.index)
            except ApiFailed as error:
                if error.status != 404:
                    raise
                run.views[order.index] = None


def _orders(runs: Sequence[Run]) -> int:
    return sum(len(run.orders) for run in runs)
