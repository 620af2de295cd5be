"""The endpoints by which clients start runs, follow them and cancel them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from airflow.utils.session import create_session
from starlette.requests import Request
from starlette.responses import Response

from airgate.client import clock
from airgate.edge.rates import MemoryRates
from airgate.ingress import listing
from airgate.ingress.awaiting import RunEnds
from airgate.ingress.callers import NOTHING_HERE, Caller, Callers, Method, check, may_read_results
from airgate.ingress.cancelling import CannotCancel, cancel
from airgate.ingress.dags import IngressDags
from airgate.ingress.description import describe
from airgate.ingress.problem import problem
from airgate.ingress.reading import Refusal, json_object
from airgate.ingress.settings import IngressSettings
from airgate.ingress.showing import Shown, show
from airgate.ingress.starting import CannotRun, DoesNotFit, KeyReused, NoSuchDag, start
from airgate.ingress.tokens import Tokens
from airgate.policy.ingress_prefer import wait_of
from airgate.policy.ingress_run import key_of
from airgate.policy.limits import Scope

log = logging.getLogger(__name__)

_NO_STORE = {"Cache-Control": "no-store"}
_USUAL_PAGE, _LARGEST_PAGE = 50, 200
_LATER = {"Retry-After": "5"}


class RunEndpoints:
    """They share settings, keys, DAGs and limits: one object for each event loop."""

    def __init__(self) -> None:
        self._dags = IngressDags()
        self._rates = MemoryRates()
        self._ready: tuple[IngressSettings, Callers, RunEnds] | None = None

    async def collection(self, request: Request) -> Response:
        """``/dags/{dag_id}/runs``: start a run, or list the caller's own."""
        return await _answered(request, self._start if request.method == "POST" else self._list)

    async def item(self, request: Request) -> Response:
        """``/dags/{dag_id}/runs/{run_id}``: look at a run, or cancel it."""
        return await _answered(request, self._cancel if request.method == "DELETE" else self._show)

    async def document(self, request: Request) -> Response:
        """``/openapi.json``: what this caller may start."""
        return await _answered(request, self._describe)

    def _settings(self) -> tuple[IngressSettings, Callers, RunEnds]:
        if self._ready is None:
            try:
                settings = IngressSettings.read()
            except ValueError as error:
                log.error("the way in is not set up: %s", error)  # noqa: TRY400 - a setting is to be changed
                raise Refusal(problem(503, "The way in is not set up here.", {"Retry-After": "60"})) from None
            tokens = None if settings.tokens is None else Tokens(settings.tokens)
            self._ready = settings, Callers(tokens, settings.gateways), RunEnds(settings.most_waiting)
        return self._ready

    async def _caller(self, request: Request) -> Caller:
        settings, callers, _ = self._settings()
        caller = await callers.of(request)
        if settings.rate:
            turn = self._rates.take_now([Scope(str(caller.identity), settings.rate)])
            if not turn.granted:
                again = {"Retry-After": str(int(turn.wait) + 1)}
                raise Refusal(problem(429, "You send more requests than are taken from one caller.", again))
        return caller

    async def _allowed(self, request: Request, method: Method) -> tuple[Caller, str]:
        """The caller and the DAG, if it may do that with the DAG's runs, and the DAG can be reached at all."""
        caller, dag_id = await self._caller(request), request.path_params["dag_id"]
        await check(caller, request, dag_id, method)
        if not await asyncio.to_thread(self._reachable, dag_id):
            raise Refusal(problem(404, NOTHING_HERE))
        return caller, dag_id

    def _reachable(self, dag_id: str) -> bool:
        with create_session(scoped=False) as session:
            return self._dags.reachable(dag_id, session)

    async def _start(self, request: Request) -> Response:
        caller, dag_id = await self._allowed(request, "POST")
        key = self._key(request)
        params = await json_object(request, caller.body)
        try:
            started = await asyncio.to_thread(start, self._dags, dag_id, caller.identity, key, params)
        except NoSuchDag:
            raise Refusal(problem(404, NOTHING_HERE)) from None
        except CannotRun as error:
            raise Refusal(problem(409, str(error))) from None
        except KeyReused:
            said = "The key stands for a run with other params: send the same ones, or another key."
            errors = [{"header": "Idempotency-Key", "detail": said}]
            raise Refusal(problem(422, said, members={"errors": errors})) from None
        except DoesNotFit as error:
            errors = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
            raise Refusal(problem(422, "The params do not fit.", members={"errors": errors})) from None
        place = self._place(request, dag_id, started.run_id)
        applied, shown = await self._awaited(request, caller, dag_id, started.run_id)
        if shown is None:
            raise Refusal(problem(404, NOTHING_HERE))  # deleted meanwhile
        replayed = {"Idempotent-Replayed": "true"} if started.replayed else {}
        headers = {"Location": place, **replayed, **applied}
        return _run_answer(request, shown, place, 200 if applied and shown.over else 202, headers)

    def _key(self, request: Request) -> str | None:
        settings, _, _ = self._settings()
        if len(given := request.headers.getlist("idempotency-key")) > 1:
            raise Refusal(problem(400, "Send one Idempotency-Key."))
        try:
            key = key_of(given[0] if given else None)
        except ValueError as error:
            raise Refusal(problem(400, str(error))) from None
        if key is None and settings.key_required:
            raise Refusal(
                problem(400, "Send an Idempotency-Key, a new one for each run, so that you can repeat the request.")
            )
        return key

    async def _show(self, request: Request) -> Response:
        caller, dag_id = await self._allowed(request, "GET")
        run_id = request.path_params["run_id"]
        if await self._look(caller, dag_id, run_id) is None:  # before a place is taken
            raise Refusal(problem(404, NOTHING_HERE))
        applied, shown = await self._awaited(request, caller, dag_id, run_id)
        if shown is None:
            raise Refusal(problem(404, NOTHING_HERE))
        return _run_answer(request, shown, self._place(request, dag_id, run_id), 200, applied)

    async def _awaited(
        self, request: Request, caller: Caller, dag_id: str, run_id: str
    ) -> tuple[dict[str, str], Shown | None]:
        """How a run stands, after the wait that the client prefers; with the headers that say so."""
        settings, _, ends = self._settings()
        seconds = wait_of(request.headers.get("prefer"), settings.longest_wait)
        if seconds is None:
            return {}, await self._look(caller, dag_id, run_id)
        with ends.place() as taken:
            if not taken:
                return {}, await self._look(caller, dag_id, run_id)
            await _unless_gone(request, ends.wait((dag_id, run_id), seconds))
        return {"Preference-Applied": f"wait={seconds}"}, await self._look(caller, dag_id, run_id)

    async def _look(self, caller: Caller, dag_id: str, run_id: str) -> Shown | None:
        return await asyncio.to_thread(_look, caller, dag_id, run_id)

    async def _cancel(self, request: Request) -> Response:
        caller, dag_id = await self._allowed(request, "PUT")
        run_id = request.path_params["run_id"]
        try:
            shown = await asyncio.to_thread(cancel, dag_id, run_id, caller.owner, caller.identity)
        except CannotCancel as error:
            raise Refusal(problem(409, str(error))) from None
        if shown is None:
            raise Refusal(problem(404, NOTHING_HERE))
        shown = await asyncio.to_thread(_as_allowed, caller, dag_id, shown)
        return _run_answer(request, shown, self._place(request, dag_id, run_id), 200 if shown.over else 202, {})

    async def _list(self, request: Request) -> Response:
        caller, dag_id = await self._allowed(request, "GET")
        asked = request.query_params
        limit = asked.get("limit", str(_USUAL_PAGE))
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= _LARGEST_PAGE:
            raise Refusal(problem(400, f"limit must be a number from 1 to {_LARGEST_PAGE}."))
        try:
            after = listing.Cursor.read(asked["cursor"]) if "cursor" in asked else None
        except listing.BadCursor as error:
            raise Refusal(problem(400, str(error))) from None
        runs, following = await asyncio.to_thread(listing.page, dag_id, caller.identity, int(limit), after)
        place = self._place(request, dag_id)
        content: dict[str, Any] = {
            "runs": [{**run, "links": {"self": f"{place}/{run['id']}"}} for run in runs],
            "next": None if following is None else f"{place}?limit={int(limit)}&cursor={following}",
        }
        more = {} if following is None else {"Link": f'<{content["next"]}>; rel="next"'}
        return _json(content, 200, more)

    async def _describe(self, request: Request) -> Response:
        caller = await self._caller(request)
        settings, _, _ = self._settings()
        prefix = request.scope.get("root_path", "")
        return _json(await asyncio.to_thread(describe, self._dags, caller, settings, prefix), 200, {})

    def _place(self, request: Request, dag_id: str, run_id: str = "") -> str:
        """Where a run, or all runs of a DAG, are found."""
        settings, _, _ = self._settings()
        own = f"{request.scope.get('root_path', '')}/dags/{quote(dag_id, safe='')}/runs"
        place = settings.urls.get(dag_id, own)
        return f"{place}/{run_id}" if run_id else place


def _look(caller: Caller, dag_id: str, run_id: str) -> Shown | None:
    shown = show(dag_id, run_id, caller.owner)
    return None if shown is None else _as_allowed(caller, dag_id, shown)


def _as_allowed(caller: Caller, dag_id: str, shown: Shown) -> Shown:
    """A run without what the caller may not read of it."""
    kept = shown.content
    if ("result" in kept or "problem" in kept) and not may_read_results(caller, dag_id):
        kept = {name: value for name, value in kept.items() if name not in {"result", "problem"}}
    return Shown(shown.run_id, shown.over, kept)


async def _unless_gone(request: Request, waiting: Awaitable[None]) -> None:
    """Wait for something, but no longer than the client does; what it sends meanwhile is not read."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _answered(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refusal.answer
    except Exception:
        log.exception("a request could not be carried out")
        return problem(503, "The request could not be carried out; send it again later.", _LATER)


def _run_answer(request: Request, shown: Shown, place: str, status: int, more: Mapping[str, str]) -> Response:
    links = {"self": place, "runs": place.rpartition("/")[0]}
    if not shown.over:
        more = {**more, "Retry-After": str(_again_in(shown.content["created_at"]))}
    content = {**shown.content, "links": links}
    etag = f'"{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]}"'
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if request.method in {"GET", "HEAD"} and (etag in known or "*" in known):
        return Response(status_code=304, headers={**_NO_STORE, **more, "ETag": etag})
    return _json(content, status, {**more, "ETag": etag})


def _again_in(created_at: str) -> int:
    """Seconds after which to look again: the longer a run takes, the less a second counts."""
    age = clock.now() - datetime.fromisoformat(created_at).timestamp()
    return 1 if age < 15 else 5 if age < 120 else 15


def _json(content: Any, status: int, more: Mapping[str, str]) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=True).encode("utf-8", "replace")
    return Response(body, status, {**_NO_STORE, **more}, media_type="application/json")
