"""The work service: long-running jobs that are submitted once, asked for and cancelled."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from include.services import work_orders
from include.services.acting import Acting
from include.services.bodies import read
from include.services.faults import FaultSettings
from include.services.parameters import Refused, idempotency_key
from include.services.upstream import answer, http_error, refused
from include.services.work_jobs import Job
from include.services.work_orders import Apply, Deployment, Order
from include.services.work_store import OtherOrder, Store

_MOST_IDS: Final = 200


class Work(Acting):
    """The service's state in its process; the jobs are in the store."""

    store: Store

    def routes(self) -> list[Route]:
        """What is served."""
        jobs = [kind for kind in work_orders.KINDS if kind != "exports"]
        return [
            *(Route(f"/{kind}", self._served(self._submit(kind, "/jobs")), methods=["POST"]) for kind in jobs),
            Route("/jobs", self._served(self._list)),
            Route("/jobs/{id}", self._served(self._show)),
            Route("/jobs/{id}", self._served(self._cancel), methods=["DELETE"]),
            Route("/jobs/{id}/log", self._served(self._log)),
            Route("/exports", self._served(self._submit("exports", "/exports")), methods=["POST"]),
            Route("/exports/{id}", self._served(self._show_export)),
            Route("/exports/{id}", self._served(self._cancel), methods=["DELETE"]),
            Route("/exports/{id}/result", self._served(self._export_result)),
            Route("/deployments/current", self._served(self._deployed)),
            Route("/environments/{name}", self._served(self._environment)),
            Route("/-/health", self._health),
            Route("/-/truth", self._truth),
            Route("/-/ledger", self._ledger),
            Route("/-/faults", self._show_settings),
            Route("/-/faults", self._switch, methods=["POST"]),
            Route("/-/reset", self._reset, methods=["POST"]),
        ]

    # -- jobs -----------------------------------------------------------------------------------------------------

    def _submit(self, kind: str, place: str) -> Callable[[Request, bytes], Response]:
        def submit(request: Request, body: bytes) -> Response:
            key = idempotency_key(request) if self.settings.honours_keys else None
            order: Order = read(body, work_orders.KINDS[kind], name="order")
            if isinstance(order, Apply):
                self._check_plan(order)
            try:
                job, again = self.store.submit(kind, order, key)
            except OtherOrder:
                raise Refused(422, "this key has gone with another order", "Idempotency-Key") from None
            headers = {"Location": self._location(request, f"{place}/{job.id}", order), **self._later()}
            headers |= {"Idempotent-Replayed": "true"} if again else {}
            now = time.time()
            shown = job.document(now) if kind != "exports" else {"id": job.id, "status": job.status(now)}
            return answer(shown, 202, headers)

        return submit

    def _check_plan(self, order: Apply) -> None:
        plan = self.store.job(order.plan)
        if plan is None or plan.kind != "plans" or not plan.succeeded(time.time()):
            raise Refused(422, f"plan must be the id of a plan that succeeded, not {order.plan!r}", "plan")
        if getattr(plan.order, "environment", None) != order.environment:
            raise Refused(422, f"plan {order.plan} is for another environment", "plan")

    def _location(self, request: Request, path: str, order: Order) -> str:
        if order.location == "signed":
            return f"{path}?version=1&sig={self.store.signature(path)}"
        if order.location == "absolute":
            return f"{request.url.scheme}://{request.url.netloc}{path}"
        return path

    def _later(self) -> dict[str, str]:
        return {"Retry-After": str(self.settings.retry_after)}

    def _job(self, request: Request, *, export: bool) -> Job:
        """The job that is asked for.

        Raises:
            Refused: 404, or 403 where its address has a signature and the request has none.
        """
        id_ = request.path_params["id"]
        job = self.store.job(id_)
        if job is None or (job.kind == "exports") is not export:
            raise Refused(404, f"there is no {'export' if export else 'job'} {id_!r}", "id")
        if job.order.location == "signed":
            path = f"/{'exports' if export else 'jobs'}/{job.id}"
            given = request.query_params.get("sig", "")
            if not hmac.compare_digest(given.encode(), self.store.signature(path).encode()):
                raise Refused(403, "the signature is missing or wrong", "sig")
        return job

    def _show(self, request: Request, body: bytes) -> Response:
        job = self._job(request, export=False)
        now = time.time()
        return answer(job.document(now), headers={} if job.over(now) else self._later())

    def _log(self, request: Request, body: bytes) -> Response:
        return PlainTextResponse(self._job(request, export=False).log(time.time()))

    def _cancel(self, request: Request, body: bytes) -> Response:
        job = self._job(request, export=request.url.path.startswith("/exports/"))
        if not self.store.cancel(job):
            raise Refused(409, f"{job.id} is over: {job.status(time.time())}")
        return answer({"id": job.id, "status": "cancelled"})

    def _list(self, request: Request, body: bytes) -> Response:
        asked = request.query_params.get("ids")
        if asked is None:
            jobs = self.store.jobs(key=request.query_params.get("key"), reference=request.query_params.get("reference"))
        else:
            ids = [each for each in asked.split(",") if each]
            if len(ids) > _MOST_IDS:
                raise Refused(400, f"ids must be at most {_MOST_IDS} names, not {len(ids)}", "ids")
            jobs = [job for job in map(self.store.job, dict.fromkeys(ids)) if job is not None]
        jobs = [job for job in jobs if job.kind != "exports"]
        now = time.time()
        # What has a signed address is not shown to those who do not have it.
        return answer({"jobs": [job.document(now) for job in jobs if job.order.location != "signed"]})

    # -- exports --------------------------------------------------------------------------------------------------

    def _show_export(self, request: Request, body: bytes) -> Response:
        job = self._job(request, export=True)
        status = job.status(time.time())
        if status == "succeeded":
            path = f"/exports/{job.id}"
            query = f"?sig={self.store.signature(path)}" if job.order.location == "signed" else ""
            return answer({"id": job.id, "status": status}, 303, {"Location": f"{path}/result{query}"})
        if status == "failed":
            raise Refused(422, str(job.order.fail))
        if status == "cancelled":
            raise Refused(410, f"{job.id} was cancelled")
        return answer({"id": job.id, "status": status}, 202, self._later())

    def _export_result(self, request: Request, body: bytes) -> Response:
        job = self._job(request, export=True)
        if not job.succeeded(time.time()):
            raise Refused(409, f"{job.id} has no result: {job.status(time.time())}")
        return answer(job.order.result(job.id, job.before))

    # -- what jobs leave behind -----------------------------------------------------------------------------------

    def _deployed(self, request: Request, body: bytes) -> Response:
        environment = request.query_params.get("environment")
        if not environment:
            raise Refused(400, "environment is missing", "environment")
        job = self.store.deployed(environment, time.time())
        if job is None:
            raise Refused(404, f"nothing was deployed to {environment!r}", "environment")
        assert isinstance(job.order, Deployment)
        return answer(
            {
                "environment": environment,
                "version": job.order.version,
                "digest": job.order.digest,
                "healthy": job.order.healthy,
                "previous": job.before,
                "job": job.id,
                "since": job.ends_at,
            }
        )

    def _environment(self, request: Request, body: bytes) -> Response:
        name, now = request.path_params["name"], time.time()
        resources, last = self.store.resources(name, now)
        changing = self.store.changing(name, now)
        state = "changing" if changing is not None else "ready" if resources else "absent"
        job = changing or last
        return answer({"name": name, "state": state, "resources": resources, "job": None if job is None else job.id})

    # -- switches -------------------------------------------------------------------------------------------------

    async def _truth(self, request: Request) -> Response:
        return answer({"service": self.name, **self.store.truth(time.time()), "served_counts": asdict(self.counts)})

    async def _ledger(self, request: Request) -> Response:
        return answer({"events": self.store.ledger()})

    async def _reset(self, request: Request) -> Response:
        self.store.reset()
        return await super()._reset(request)


def build(settings: FaultSettings, store: str | None = None) -> Starlette:
    """Return the service.

    Args:
        settings: How it misbehaves.
        store: The file that keeps the jobs; None to keep them in memory.
    """
    work = Work("work", settings)
    work.store = Store(store or ":memory:")
    app = Starlette(routes=work.routes(), exception_handlers={Refused: refused, HTTPException: http_error})
    app.router.redirect_slashes = False  # a redirection would name this process's own address
    return app
