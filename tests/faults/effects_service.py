"""A service whose only purpose is to count: how often it was asked, and how often it did what it was asked for.

It honours ``Idempotency-Key``: a request is performed once, and its first answer is repeated to every later request
with that key, also to one that comes while the first is still being performed. Without a key each request is performed.
It is also the one that kills: nobody else knows as exactly where a call is. It kills nothing but processes that carry
the mark of the stack it belongs to.

    POST /orders/ORDER      an order: one effect
    POST /-/plan            {order: case}; what to do at the first request for an order
    POST /-/started         {"order", "pid", "parent"}; a task says that it is about to make its call
    GET  /-/orders          {order: what happened}
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack import marks
from tests.faults.cases import RETRY_AFTER


@dataclass
class Order:
    """What happened to one order."""

    plan: dict[str, Any] = field(default_factory=dict)
    """The case; empty once there is nothing left to do."""
    stage: str = "unknown"
    """How far its first call has come: started, arrived, done, answered or refused."""
    starts: int = 0
    """Tasks that were about to send it."""
    arrivals: int = 0
    """Requests."""
    effects: int = 0
    """What must be 1 in the end."""
    keys: set[str] = field(default_factory=set)
    killed: list[str] = field(default_factory=list)
    """Names of the processes that were killed."""
    killed_at: str = ""
    """The stage at which."""
    processes: tuple[int, int] = (0, 0)
    """The ids of the task's process and its supervisor."""

    def as_json(self) -> dict[str, Any]:
        """What is told of it."""
        shown = ("stage", "starts", "arrivals", "effects", "killed", "killed_at")
        return {name: getattr(self, name) for name in shown} | {"keys": len(self.keys)}


class Effects:
    """The service.

    Args:
        home: of the stack whose processes it may kill; None if it is to kill none.
    """

    def __init__(self, home: Path | None = None) -> None:
        self._home = home
        self.orders: defaultdict[str, Order] = defaultdict(Order)
        self._answers: dict[str, dict[str, Any]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._kills: set[asyncio.Task[None]] = set()
        self.app = Starlette(
            routes=[
                Route("/-/health", self.health),
                Route("/-/plan", self.plan, methods=["POST"]),
                Route("/-/started", self.started, methods=["POST"]),
                Route("/-/orders", self.told),
                Route("/orders/{order}", self.order, methods=["POST"]),
            ]
        )

    async def health(self, _request: Request) -> Response:
        """Say that it works."""
        return JSONResponse({})

    async def plan(self, request: Request) -> Response:
        """Take cases."""
        for name, case in (await request.json()).items():
            self.orders[name].plan = case
        return JSONResponse({})

    async def told(self, _request: Request) -> Response:
        """Tell everything."""
        return JSONResponse({name: order.as_json() for name, order in self.orders.items()})

    async def started(self, request: Request) -> Response:
        """Learn which processes are about to make a call."""
        said = await request.json()
        order = self.orders[said["order"]]
        order.starts += 1
        order.processes = (said["pid"], said["parent"])
        if order.starts == 1:
            order.stage = "started"
        self._at(order, "before arrival")
        return JSONResponse({})

    async def order(self, request: Request) -> Response:
        """Perform an order, with a key only once."""
        order, key = self.orders[request.path_params["order"]], request.headers.get("idempotency-key", "")
        await request.body()
        order.arrivals += 1
        case = order.plan if order.arrivals == 1 else {}
        if key:
            order.keys.add(key)
        if case:
            order.stage = "arrived"
            if case["victim"] == "triggerer" and request.client:
                order.processes = await asyncio.to_thread(holder, request.client.port)
            self._at(order, "before effect")
        if case.get("refusal"):
            order.stage = "refused"
            return JSONResponse({}, case["refusal"], {"Retry-After": str(RETRY_AFTER)})
        if not key:
            answer = await self._perform(order, case)
        else:
            async with self._turns[key]:
                if key not in self._answers:
                    self._answers[key] = await self._perform(order, case)
                answer = self._answers[key]
        return JSONResponse(answer, background=BackgroundTask(self._answered, order) if case else None)

    async def _perform(self, order: Order, case: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(case.get("before_effect", 0))
        order.effects += 1
        if case:
            order.stage = "done"
            self._at(order, "before answer")
        await asyncio.sleep(case.get("before_answer", 0))
        return {"effect": order.effects}

    async def _answered(self, order: Order) -> None:
        order.stage = "answered"
        self._at(order, "before end")

    def _at(self, order: Order, moment: str) -> None:
        """A moment begins: if the kill is to come in it, arrange for that."""
        if order.plan.get("moment") != moment or order.killed or self._home is None:
            return
        kill = asyncio.get_running_loop().create_task(self._kill(order, order.plan["victim"], order.plan["pause"]))
        self._kills.add(kill)
        kill.add_done_callback(self._kills.discard)

    async def _kill(self, order: Order, victim: str, pause: float) -> None:
        await asyncio.sleep(pause)
        task, supervisor = order.processes
        named = {"task": task, "supervisor": supervisor}
        if victim in named:
            named = {victim: named[victim]}
        elif victim == "triggerer":
            named = {"trigger runner": task, "triggerer": supervisor}
        stage = order.stage
        order.killed = [name for name, pid in named.items() if kill_marked(pid, self._home)]
        order.killed_at = stage if order.killed else ""


def kill_marked(pid: int, home: Path | None) -> bool:
    """Kill a process with SIGKILL if it belongs to the stack of `home`; tell whether it did."""
    with contextlib.suppress(psutil.Error, OSError):
        if pid > 1 and psutil.Process(pid).environ().get(marks.NAME) == str(home):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def holder(port: int) -> tuple[int, int]:
    """The process at the other end of a connection from a loopback port, and its parent; zeros when it is gone."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp4"):
            if connection.pid and connection.laddr and connection.laddr.port == port:
                return connection.pid, psutil.Process(connection.pid).ppid()
    return 0, 0


def main(arguments: Sequence[str]) -> None:
    """`PORT [HOME]`: serve on loopback until told to end."""
    home = Path(arguments[1]) if len(arguments) > 1 else None
    uvicorn.run(Effects(home).app, host="127.0.0.1", port=int(arguments[0]), log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1:])
