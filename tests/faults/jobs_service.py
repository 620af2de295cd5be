"""A service with jobs that counts them, and kills whoever starts, watches or fetches one at the planned moment.

It speaks the protocol of ``tests.job_farm`` and adds to ``tests.faults.effects_service``, whose effect here is a job
that runs for some seconds. A key in the header is honoured; one in the body only finds the job again.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.faults.effects_service import Effects, holder
from tests.faults.job_cases import JOB_SECONDS, LAST, UNHEARD


@dataclass
class Job:
    """One job; it runs by the clock."""

    id: str
    order: str
    key: str
    made_at: float
    runs: float = JOB_SECONDS
    """Seconds that it takes."""
    cancelled_at: float | None = None
    looks: int = 0
    fetched: int = 0

    @property
    def ended_at(self) -> float:
        """When it was or will be over, Unix time."""
        due = self.made_at + self.runs
        return due if self.cancelled_at is None else min(due, self.cancelled_at)

    @property
    def state(self) -> str:
        """As the protocol names it."""
        if time.time() < self.ended_at:
            return "running"
        return "succeeded" if self.cancelled_at is None or self.cancelled_at > self.ended_at else "cancelled"

    def as_json(self) -> dict[str, Any]:
        """What is told of it."""
        done = min(1.0, (time.time() - self.made_at) / self.runs)
        return {"id": self.id, "state": self.state, "percent": round(100 * done)}


class Jobs(Effects):
    """The service.

    Args:
        home: of the stack whose processes it may kill.
    """

    def __init__(self, home: Path | None = None) -> None:
        super().__init__(home)
        self.jobs: dict[str, Job] = {}
        self.app = Starlette(
            routes=[
                Route("/-/health", self.health),
                Route("/-/plan", self.plan, methods=["POST"]),
                Route("/-/started", self.started, methods=["POST"]),
                Route("/-/orders", self.told),
                Route("/jobs", self.submit, methods=["POST"]),
                Route("/jobs", self.find),
                Route("/jobs/{job}", self.look),
                Route("/jobs/{job}", self.cancel, methods=["DELETE"]),
                Route("/jobs/{job}/result", self.result),
            ]
        )

    async def told(self, _request: Request) -> Response:
        """Tell everything, with the jobs of each order and when they ran."""
        shown = {name: order.as_json() for name, order in self.orders.items()}
        for order in shown.values():
            order["jobs"] = []
        for job in self.jobs.values():
            shown[job.order]["jobs"].append({**job.as_json(), "from": job.made_at, "to": job.ended_at})
        return JSONResponse(shown)

    async def submit(self, request: Request) -> Response:
        """Make a job, with a key in the header only once."""
        sent = await request.json()
        name, header = sent["name"], request.headers.get("idempotency-key", "")
        order = self.orders[name]
        order.arrivals += 1
        order.keys.add(header or sent["key"])
        case = order.plan if order.arrivals == 1 else {}
        if case:
            order.stage = "arrived"
            self._at(order, "before effect")
        if not header:
            answer = await self._make(name, sent["key"], case)
        else:
            async with self._turns[header]:
                if header not in self._answers:
                    self._answers[header] = await self._make(name, header, case)
                answer = self._answers[header]
        return JSONResponse(answer, 202, background=BackgroundTask(self._answered, order) if case else None)

    async def _make(self, name: str, key: str, case: dict[str, Any]) -> dict[str, Any]:
        order = self.orders[name]
        await asyncio.sleep(case.get("before_effect", 0))
        order.effects += 1
        runs = order.plan.get("runs", JOB_SECONDS)
        job = Job(f"{name}.{order.effects}", name, key, time.time(), runs)
        self.jobs[job.id] = job
        if case:
            order.stage = "done"
            for moment in ("before answer", *UNHEARD):
                self._at(order, moment)
        await asyncio.sleep(case.get("before_answer", 0))
        return {"id": job.id}

    async def find(self, request: Request) -> Response:
        """List the jobs of a key."""
        key = request.query_params["key"]
        return JSONResponse([job.as_json() for job in self.jobs.values() if job.key == key])

    async def look(self, request: Request) -> Response:
        """Say how a job stands."""
        job = self.jobs.get(request.path_params["job"])
        if job is None:
            return JSONResponse({"error": "no such job"}, 404)
        job.looks += 1
        await self._meet(request, job, "at look", job.looks)
        await self._meet(request, job, LAST, job.looks)
        return JSONResponse(job.as_json())

    async def result(self, request: Request) -> Response:
        """Give what a job made."""
        job = self.jobs[request.path_params["job"]]
        job.fetched += 1
        await self._meet(request, job, "at result", job.fetched)
        return JSONResponse({"made": job.order, "by": job.id})

    async def cancel(self, request: Request) -> Response:
        """End a job."""
        job = self.jobs.get(request.path_params["job"])
        if job is None:
            return JSONResponse({"error": "no such job"}, 404)
        if job.cancelled_at is None:
            job.cancelled_at = time.time()
        return JSONResponse(job.as_json())

    async def _meet(self, request: Request, job: Job, moment: str, count: int) -> None:
        """Kill whoever asks, from the planned look on, before there is an answer; another kill may come first."""
        order = self.orders[job.order]
        if order.plan.get("moment") != moment or order.killed or count < order.plan["look"] or not request.client:
            return
        order.processes = await asyncio.to_thread(holder, request.client.port)
        order.stage = moment
        self._at(order, moment)
        await asyncio.sleep(order.plan["pause"] + 0.3)


def main(arguments: Sequence[str]) -> None:
    """`PORT [HOME]`: serve on loopback until told to end."""
    home = Path(arguments[1]) if len(arguments) > 1 else None
    uvicorn.run(Jobs(home).app, host="127.0.0.1", port=int(arguments[0]), log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1:])
