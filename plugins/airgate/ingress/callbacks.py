"""The endpoint that services call when a job is over."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from airgate.client import clock
from airgate.hooks.callbacks import signing_secrets
from airgate.ingress.delivery import Callbacks, Outcome
from airgate.ingress.problem import problem
from airgate.policy.callback import CallbackToken, NotSigned

log = logging.getLogger(__name__)

LARGEST_BODY = 64 * 1024
"""Bytes; what is sent is read, so that the connection can be used again, and dropped."""
_BODY_SECONDS = 10.0
_SECRETS_SECONDS = 60.0
"""How long the secrets are kept: to read them may mean to ask a secrets backend, and anybody may send requests."""
_LATER = {"Retry-After": "10"}


class CallbackEndpoint:
    """Answers ``POST /callbacks/{token}``; the token is the only credential."""

    def __init__(self) -> None:
        self._callbacks = Callbacks()
        self._secrets: tuple[str, ...] = ()
        self._read_at: float | None = None
        self._reading = asyncio.Lock()

    async def __call__(self, request: Request) -> Response:
        """Say what became of the callback."""
        if refusal := await _body_refused(request):
            return refusal
        try:
            known = await self._known()
        except ValueError as error:
            log.error("callbacks cannot be checked: %s", error)  # noqa: TRY400 - a setting is missing
            return problem(503, "Callbacks are not set up here.", {"Retry-After": "60"})
        try:
            token = CallbackToken.read(request.path_params["token"], known)
        except NotSigned:
            return problem(401, "The address is not one that was given out here.")
        if token.expired(clock.now()):
            return problem(410, "The address has expired.")
        try:
            return _answer(await self._callbacks.deliver(token))
        except Exception:
            log.exception("a callback could not be delivered")
            return problem(503, "The callback could not be delivered; send it again later.", _LATER)

    async def _known(self) -> tuple[str, ...]:
        async with self._reading:
            if self._read_at is None or clock.now() - self._read_at > _SECRETS_SECONDS:
                self._secrets = await asyncio.to_thread(signing_secrets)
                self._read_at = clock.now()
            return self._secrets


def _answer(outcome: Outcome) -> Response:
    if outcome is Outcome.RESUMED:
        return Response(status_code=204)
    if outcome in {Outcome.NOT_OVER, Outcome.TOO_SOON}:
        return Response(status_code=202, headers={"Cache-Control": "no-store"})
    if outcome is Outcome.NOTHING_WAITS:
        return problem(409, "Nothing waits for this callback, or not any more.")
    return problem(503, "The job cannot be looked at now; send the callback again later.", _LATER)


async def _body_refused(request: Request) -> Response | None:
    """Read what was sent and forget it; the refusal where it is too much or too slow."""
    too_much = problem(413, f"At most {LARGEST_BODY} bytes are taken.", {"Connection": "close"})
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > LARGEST_BODY:
        return too_much
    read = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                read += len(chunk)
                if read > LARGEST_BODY:
                    return too_much
    except TimeoutError:
        return problem(408, f"The body was not there within {_BODY_SECONDS:g} seconds.", {"Connection": "close"})
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    return None
