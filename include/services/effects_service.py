"""A service with effects: requests that do something once for each key, look-ups, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from include.services.acting import Acting
from include.services.bodies import read
from include.services.effects import Collection, Effect
from include.services.effects_store import Store
from include.services.faults import FaultSettings
from include.services.parameters import Refused, checked_key, idempotency_key
from include.services.upstream import answer, http_error, refused


class _Named(msgspec.Struct):
    """The part of a body that every request for an effect has."""

    order: str


class Service(Acting):
    """The service's state in its process; the effects are in the store.

    Args:
        name: Of the service.
        collections: The kinds of effects that it has.
        settings: How it misbehaves.
        store: The file that keeps the effects; None to keep them in memory.
    """

    def __init__(
        self, name: str, collections: Sequence[Collection[Any]], settings: FaultSettings, store: str | None
    ) -> None:
        super().__init__(name, settings)
        self.collections = collections
        self.store = Store(store or ":memory:", collections)

    def routes(self) -> list[Route]:
        """What every service with effects serves."""
        return [
            *(route for collection in self.collections for route in self._collection(collection)),
            Route("/-/health", self._health),
            Route("/-/truth", self._truth),
            Route("/-/ledger", self._ledger),
            Route("/-/faults", self._show_settings),
            Route("/-/faults", self._switch, methods=["POST"]),
            Route("/-/reset", self._reset, methods=["POST"]),
        ]

    def _collection(self, of: Collection[Any]) -> list[Route]:
        def route(method: str, path: str, handle: Callable[[Collection[Any], Request, bytes], Response]) -> Route:
            path = f"/{of.name}{path}"
            luck = partial(self._luck, of, f"{method} {path}")
            return Route(path, self._served(partial(handle, of), luck), methods=[method])

        back = [] if of.undo_by is None else [route(of.undo_by[0], f"/{{id}}{of.undo_by[1]}", self._undo)]
        return [
            route("POST", "", self._perform),
            route("GET", "", self._list),
            route("GET", "/by-key/{key:path}", self._show_by_key),
            route("DELETE", "/by-key/{key:path}", self._cancel),
            route("GET", "/{id}", self._show),
            *back,
        ]

    # -- what it takes --------------------------------------------------------------------------------------------

    def _perform(self, of: Collection[Any], request: Request, body: bytes) -> Response:
        key = idempotency_key(request) if self.settings.honours_keys else None
        effect, again = self.store.perform(of, read(body, of.wants), key)
        return answer(effect.document(), 201, {"Idempotent-Replayed": "true"} if again else {})

    def _undo(self, of: Collection[Any], request: Request, body: bytes) -> Response:
        return answer(self.store.undo(of, self._named(of, request)).document())

    def _cancel(self, of: Collection[Any], request: Request, body: bytes) -> Response:
        key = self._key(request)
        effect = self.store.cancel(of, key)
        return answer({"key": key, "state": "cancelled"} if effect is None else effect.document())

    def _show(self, of: Collection[Any], request: Request, body: bytes) -> Response:
        return answer(self._named(of, request).document())

    def _show_by_key(self, of: Collection[Any], request: Request, body: bytes) -> Response:
        effect = self.store.by_key(of, self._key(request))
        if effect is None:
            raise Refused(404, f"no {of.singular} was made under this key", "key")
        return answer(effect.document())

    def _list(self, of: Collection[Any], request: Request, body: bytes) -> Response:
        order = request.query_params.get("order")
        if not order:
            raise Refused(400, "order is missing", "order")
        return answer({of.name: [effect.document() for effect in self.store.by_order(of, order)]})

    def _named(self, of: Collection[Any], request: Request) -> Effect:
        effect = self.store.by_id(of, request.path_params["id"])
        if effect is None:
            raise Refused(404, f"there is no {of.singular} {request.path_params['id']!r}", "id")
        return effect

    def _key(self, request: Request) -> str:
        if not self.settings.honours_keys:
            raise Refused(404, "this service knows no keys", "key")
        return checked_key(request.path_params["key"], "key")

    # -- how it misbehaves ----------------------------------------------------------------------------------------

    def _luck(self, of: Collection[Any], route: str, request: Request, body: bytes) -> str:
        """An order's luck is its own: it goes by the route and the order, never by keys and numbers that are drawn."""
        order = self._order(of, request, body)
        return f"{route} {request.url.path}" if order is None else f"{route}?order={quote(order, safe='')}"

    def _order(self, of: Collection[Any], request: Request, body: bytes) -> str | None:
        """The order that a request is about, where it can be known."""
        if "id" in request.path_params or "key" in request.path_params:
            id_, key = request.path_params.get("id"), request.path_params.get("key")
            effect = self.store.by_key(of, key) if key is not None else self.store.by_id(of, str(id_))
            return None if effect is None else effect.order
        if request.method == "GET":
            return request.query_params.get("order")
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(body, type=_Named).order
        return None

    # -- switches -------------------------------------------------------------------------------------------------

    async def _truth(self, request: Request) -> Response:
        return answer({"service": self.name, **self.store.truth(), "served_counts": asdict(self.counts)})

    async def _ledger(self, request: Request) -> Response:
        return answer({"events": self.store.ledger.events()})

    async def _reset(self, request: Request) -> Response:
        self.store.reset()
        return await super()._reset(request)


def app(service: Service) -> Starlette:
    """Return the service as an app."""
    starlette = Starlette(routes=service.routes(), exception_handlers={Refused: refused, HTTPException: http_error})
    starlette.router.redirect_slashes = False  # a redirection would name this process's own address
    return starlette
