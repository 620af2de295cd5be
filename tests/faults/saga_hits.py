"""Listens where the tasks and the requests of sagas are, and does to them what their cases say."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stack.airflow_api import AirflowApi, ApiFailed
from tests.faults.effects_service import kill_marked
from tests.faults.saga_cases import READ, SERVERS, WORKERS, SagaCase
from tests.faults.shop_under_fire import ShopUnderFire

GROUP = "order"
"""The saga's task group."""
REST = 15.0
"""Seconds between two kills of servers, at the least: what they need to come back."""
SERVICES = {
    "reserve": "inventory",
    "undo_reserve": "inventory",
    "charge": "payments",
    "undo_charge": "payments",
    "ship": "shipping",
    "notify": "shipping",
}

_ENDING = frozenset({"marked failed", "triggerer", "begun again", "driven on"})
"""Cases in which a person marks the run as failed."""

Event = dict[str, Any]


@dataclass(eq=False)
class Order:
    """One order of one run."""

    case: SagaCase
    dag: str
    run: str
    index: int = -1
    """Its map index; -1 where it is the only one of its run."""
    reached: bool = False
    """Whether its case's task has come to the stage."""
    hit: list[str] = field(default_factory=list)
    """What was done to it; to its run, or to a server that it needs, by another order's case as well."""
    ended: bool = False
    _processes: tuple[int, int] = (0, 0)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:
        """As the services know it."""
        return self.run if self.index < 0 else f"{self.run}.{self.index}"

    def concerns(self, event: Event) -> bool:
        """Whether an event is one of it, or of its whole run."""
        if "order" in event:
            return bool(event["order"] == self.name)
        return bool(event["run"] == self.run and event["index"] in (-1, self.index))


class Hits:
    """Who does it."""

    def __init__(self) -> None:
        self.stack: ShopUnderFire | None = None
        """What it is done to; known once it is up."""
        self.airflow: AirflowApi | None = None
        self.orders: list[Order] = []
        self._hands = threading.Lock()
        self._servers = threading.Lock()
        self._last_server = 0.0

    def add(self, orders: Sequence[Order]) -> None:
        """Look after these orders as well."""
        self.orders = [*self.orders, *orders]

    def heard(self, event: Event) -> None:
        """Something is at a stage, and goes on when this returns."""
        for order in self.orders:
            if order.concerns(event):
                self._heard(order, event)

    def _heard(self, order: Order, event: Event) -> None:
        case = order.case
        if "pid" in event:
            order._processes = (event["pid"], event["parent"])
        with order.lock:
            first = not order.reached and (event["task"], event["stage"]) == (case.task, case.stage)
            order.reached |= first
        if case.what in SERVERS and order.reached and case.what not in order.hit:
            if case.what != "triggerer":
                self._server(order, SERVICES[case.task] if case.what == "service" else case.what)
            elif not first and event["task"] == ("decide" if case.task == "ship" else "undo_charge"):
                self._server(order, "triggerer")  # the task is about to wait there
        if first and case.what in WORKERS:
            self._worker(order)
        elif first and case.what in _ENDING | {"cleared", "marked success"}:
            self._by_hand(order)

    def _worker(self, order: Order) -> None:
        task, supervisor = order._processes
        victims = {"task": (task,), "supervisor": (supervisor,), "both": (supervisor, task)}[order.case.what]

        def kill() -> None:
            assert self.stack is not None
            killed = [kill_marked(pid, self.stack.home) for pid in victims]
            if any(killed):
                order.hit.append(order.case.what)

        if order.case.stage in ("arrived", "done"):
            kill()
        else:
            threading.Timer(order.case.pause, kill).start()

    def _server(self, order: Order, name: str) -> None:
        assert self.stack is not None
        with self._servers:
            if time.monotonic() - self._last_server < REST:
                return  # its next event will do
            if not self.stack.kill(name):
                return
            self._last_server = time.monotonic()
        self.note(order, order.case.what)

    def note(self, by: Order, what: str, run: str | None = None) -> None:
        """Write down what was done, for all it was done to.

        Args:
            by: Whose case it was.
            what: What.
            run: To all orders of a run; None for everything that goes on, empty for this order alone.
        """
        by.hit.append(what)
        for other in self.orders:
            if other is not by and not other.ended and (run is None or other.run == run):
                other.hit.append(f"{what}, by {by.case.number}")

    def _by_hand(self, order: Order) -> None:
        case = order.case
        task_id = case.task if case.task == READ else f"{GROUP}.{case.task}"
        with self._hands, contextlib.suppress(ApiFailed):
            assert self.airflow is not None
            if case.what == "cleared":
                self.airflow.clear(order.dag, order.run, [task_id], map_index=order.index)
            elif case.what == "marked success":
                self.airflow.mark(order.dag, order.run, task_id, "success", order.index)
            else:
                self.airflow.fail_run(order.dag, order.run)
            done = "marked failed" if case.what in _ENDING else case.what
            self.note(order, done, order.run if case.what in _ENDING else "")

    def again(self, order: Order) -> None:
        """Do to an order what its case has for the time after its end.

        Raises:
            ApiFailed: Airflow is not to be reached.
        """
        assert self.airflow is not None
        task = {"decided again": "decide", "begun again": "begin", "driven on": "notify"}.get(
            order.case.what, order.case.task
        )
        downstream = order.case.what != "cleared after"
        with self._hands:
            self.airflow.clear(order.dag, order.run, [f"{GROUP}.{task}"], map_index=order.index, downstream=downstream)
        order.hit.append(order.case.what)


@contextmanager
def listening(heard: Callable[[Event], None]) -> Iterator[str]:
    """Listen on loopback; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard(json.loads(body))
            with contextlib.suppress(OSError):  # it may be dead by now
                self.send_response(204)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not a word."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
