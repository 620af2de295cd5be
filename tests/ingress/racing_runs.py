"""A program: clients that ask for runs at the same moment, in Airflow's real database. Prints what came of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import func, select

from airgate.ingress.cancelling import CannotCancel, cancel
from airgate.ingress.dags import IngressDags
from airgate.ingress.starting import KeyReused, start
from airgate.policy.ingress_run import Identity
from tests.ingress.serving_runs import Doing, prepare

RACES, AT_ONCE = 8, 6
ADA = Identity("airflow", "ada")
BEGUN = {"epoch": 1, "at": 1.0, "deadline": None}


def together(calls: list[Callable[[], Any]]) -> list[Any]:
    """Call them at the same moment."""
    ready = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        ready.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result() for each in [pool.submit(one, call) for call in calls]]


def asked(dags: IngressDags, key: str, count: int) -> list[Any]:
    """What one client is told."""
    try:
        started = start(dags, "orders", ADA, key, {"item": "book", "count": count})
    except KeyReused:
        return ["reused"]
    return [started.run_id, started.replayed]


def send_pivot(run_id: str) -> bool:
    """What a step does: it says that it will be sent, then looks for the fence; whether it would be sent."""
    done = Doing()
    done.push("shipping", run_id, "sale.journal", "1.ship.sent", {"at": 2.0, "first_at": 2.0, "settles_at": 9.0})
    return "1.fence" not in done.xcoms("shipping", run_id, "sale.journal")


def cancelled(run_id: str) -> bool:
    """Whether a client may cancel a run."""
    try:
        return cancel("shipping", run_id, ADA, ADA) is not None
    except CannotCancel:
        return False


def main() -> None:
    """Run it."""
    prepare()
    dags = IngressDags()
    same, other, pivots = [], [], []
    for race in range(RACES):
        same.append(together([partial(asked, dags, f"same-{race}", 1)] * AT_ONCE))
        other.append(together([partial(asked, dags, f"other-{race}", 1 + each % 2) for each in range(AT_ONCE)]))
    for race in range(RACES):
        run_id = start(dags, "shipping", ADA, f"pivot-{race}", {}).run_id
        for name, entry in {"pivot": {"step": "ship"}, "begun": BEGUN}.items():
            Doing().push("shipping", run_id, "sale.journal", name, entry)
        pivots.append(together([partial(send_pivot, run_id), partial(cancelled, run_id)]))
    with create_session(scoped=False) as session:
        runs = session.scalar(select(func.count()).where(DagRun.dag_id == "orders"))
        tasks = session.scalar(select(func.count()).where(TaskInstance.dag_id == "orders"))
    made = {"races": RACES, "at once": AT_ONCE, "runs": runs, "tasks": tasks}
    print("came: " + json.dumps({"same": same, "other": other, "pivots": pivots, **made}))


if __name__ == "__main__":
    main()
