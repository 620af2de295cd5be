"""Requests that do something: they misbehave around their effect, which counts for more than a page that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from include.services.faults import Decision, Kind, decide
from include.services.parameters import Refused
from include.services.severed import Cut, Dropped
from include.services.upstream import Page, Upstream, answer

Handle = Callable[[Request, bytes], Response]
"""What makes the answer to a request and its body; raises `Refused`."""
Luck = Callable[[Request, bytes], str]

_INSTEAD: Final = frozenset({Kind.UNAVAILABLE, Kind.RATE_LIMITED})
_LOST: Final = frozenset({Kind.DROPPED, Kind.CUT})


class Acting(Upstream):
    """A sample service with effects."""

    resets: int = 0

    def _served(self, handle: Handle, luck: Luck | None = None) -> Callable[[Request], Any]:
        """Misbehave as planned.

        A 503 or 429 comes instead of the effect. A 500 or a dropped connection comes after it; a refusal may be lost
        as well. With the setting ``late`` the connection is dropped first.

        Args:
            handle: Does it.
            luck: What the plan goes by, in place of the request target.
        """

        async def endpoint(request: Request) -> Response:
            self.counts.requests += 1
            body = await request.body()
            decision = self._decided(request, None if luck is None else luck(request, body))
            if decision.kind in _INSTEAD:
                return self._carried_out(decision, Page({}, 0))
            if decision.kind in _LOST and self.settings.late and request.method != "GET":
                self._do_later(handle, request, body)
                self.counts.dropped += 1
                return Dropped()
            if delay := decision.delay + self.settings.latency:
                await asyncio.sleep(delay)
            return self._told(decision, _response(handle, request, body))

        return endpoint

    def _decided(self, request: Request, luck: str | None) -> Decision:
        target = asked = f"{request.method} {request.url.path}?{request.url.query}"
        if luck is not None:
            target, asked = luck, f"{luck}\n{asked}\n{request.headers.get('idempotency-key', '')}"
        decision = decide(self.settings, target, self._asked[asked])
        self._asked[asked] += 1
        return decision

    def _told(self, decision: Decision, response: Response) -> Response:
        """The answer, or what comes in its place now that the effect is there."""
        if decision.kind in _LOST:
            self.counts.dropped += 1
            whole = bytes(response.body)
            return Cut(whole, response.status_code) if decision.kind is Kind.CUT and len(whole) > 1 else Dropped()
        if decision.kind is Kind.FAILED:
            return self._carried_out(decision, Page({}, 0))
        if response.status_code >= 400:
            self.counts.rejected += 1
        else:
            self.counts.pages += 1
            self.counts.slow += bool(decision.delay)
        return response

    def _do_later(self, handle: Handle, request: Request, body: bytes) -> None:
        """Do what was asked for when nobody waits for it any more, unless all was forgotten meanwhile."""
        resets = self.resets

        def act() -> None:
            if resets == self.resets:
                _response(handle, request, body)

        asyncio.get_running_loop().call_later(self.settings.late, act)

    async def _reset(self, request: Request) -> Response:
        self.resets += 1
        return await super()._reset(request)


def _response(handle: Handle, request: Request, body: bytes) -> Response:
    """What the service says; a refusal is an answer."""
    try:
        return handle(request, body)
    except Refused as error:
        return answer(error.body(), error.status)
