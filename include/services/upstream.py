"""What every sample service shares: pages that misbehave as planned, true counts, the switches under ``/-/``."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from include.services.faults import Decision, FaultSettings, Kind, decide, switched
from include.services.parameters import Refused
from include.services.severed import Cut, Dropped


@dataclass(slots=True)
class Counts:
    """What really happened since the start or the last reset.

    ``requests`` is the sum of ``pages``, ``status_503``, ``status_429``, ``status_500``, ``dropped``, ``rejected`` and
    ``abandoned``.
    """

    requests: int = 0
    """Requests for a page, all of them."""
    pages: int = 0
    """Pages answered in full."""
    records: int = 0
    """Real records on those pages."""
    malformed: int = 0
    """Damaged copies on those pages."""
    status_503: int = 0
    status_429: int = 0
    status_500: int = 0
    dropped: int = 0
    """Connections dropped, before the answer or inside it."""
    slow: int = 0
    """Pages that were answered slowly as planned; `FaultSettings.latency` does not count."""
    rejected: int = 0
    """Requests with a wrong parameter or without the subject header."""
    abandoned: int = 0
    """Requests whose client left while its answer was delayed."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its JSON body and how many real and damaged records it holds."""

    body: dict[str, Any]
    records: int
    malformed: int = 0


@dataclass(slots=True)
class Upstream:
    """A sample service's state in its process."""

    name: str
    settings: FaultSettings
    counts: Counts = field(default_factory=Counts)
    _asked: Counter[str] = field(default_factory=Counter)

    def app(self, pages: dict[str, Callable[[Request], Page]], truth: Callable[[Request], dict[str, Any]]) -> Starlette:
        """Return the service.

        Args:
            pages: By path, what makes a page; raises `Refused` for a wrong request.
            truth: What one complete reading holds: ``{"records": int, "malformed": int, ...}``.
        """

        async def tell_truth(request: Request) -> Response:
            return answer({"service": self.name, **truth(request), "served_counts": asdict(self.counts)})

        routes: Sequence[Route] = [
            *(Route(path, self._misbehaving(make)) for path, make in pages.items()),
            Route("/-/health", self._health),
            Route("/-/truth", tell_truth),
            Route("/-/faults", self._show_settings),
            Route("/-/faults", self._switch, methods=["POST"]),
            Route("/-/reset", self._reset, methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={Refused: refused, HTTPException: http_error})

    def _misbehaving(self, make: Callable[[Request], Page]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            self.counts.requests += 1
            try:
                page = make(request)
            except Refused:
                self.counts.rejected += 1
                raise
            target = request.url.path + "?" + request.url.query
            decision = decide(self.settings, target, self._asked[target])
            self._asked[target] += 1
            delay = decision.delay + self.settings.latency
            if delay:
                await asyncio.sleep(delay)
                if await request.is_disconnected():
                    self.counts.abandoned += 1
                    return Response()
            return self._carried_out(decision, page)

        return endpoint

    def _carried_out(self, decision: Decision, page: Page) -> Response:
        headers = {} if decision.retry_after is None else {"Retry-After": str(decision.retry_after)}
        match decision.kind:
            case Kind.UNAVAILABLE:
                self.counts.status_503 += 1
                return answer({"error": "the service is not available, on purpose"}, 503, headers)
            case Kind.RATE_LIMITED:
                self.counts.status_429 += 1
                return answer({"error": "too many requests, on purpose"}, 429, headers)
            case Kind.FAILED:
                self.counts.status_500 += 1
                return answer({"error": "the service failed, on purpose"}, 500)
            case Kind.DROPPED:
                self.counts.dropped += 1
                return Dropped()
            case Kind.CUT:
                self.counts.dropped += 1
                return Cut(msgspec.json.encode(page.body), media_type="application/json")
            case Kind.SERVED:
                self.counts.pages += 1
                self.counts.records += page.records
                self.counts.malformed += page.malformed
                self.counts.slow += bool(decision.delay)
                return answer(page.body)

    async def _health(self, request: Request) -> Response:
        return answer({"status": "ok", "service": self.name})

    async def _show_settings(self, request: Request) -> Response:
        return answer(asdict(self.settings))

    async def _switch(self, request: Request) -> Response:
        try:
            changes = msgspec.json.decode(await request.body(), type=dict[str, Any])
            self.settings = switched(self.settings, changes)
        except (ValueError, msgspec.MsgspecError) as error:
            raise Refused(400, f"the settings stay as they were: {error}") from None
        return answer(asdict(self.settings))

    async def _reset(self, request: Request) -> Response:
        self.counts = Counts()
        self._asked.clear()
        return answer({"status": "reset", "service": self.name})


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


async def refused(request: Request, error: Exception) -> Response:
    """Answer a request that is refused."""
    assert isinstance(error, Refused)
    return answer(error.body(), error.status)


async def http_error(request: Request, error: Exception) -> Response:
    """Answer what no route takes."""
    assert isinstance(error, HTTPException)
    message = f"{HTTPStatus(error.status_code).phrase}: {request.method} {request.url.path}"
    return answer({"error": message, "parameter": None}, error.status_code, dict(error.headers or {}))
