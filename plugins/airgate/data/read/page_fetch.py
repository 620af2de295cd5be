"""Asks for the pages of one collection through a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airgate.client.gateway import Gateway
from airgate.client.message import Params, Response
from airgate.client.pages import PageRequest
from airgate.client.paging.links import LinkScope


class Caller(Protocol):
    """Makes a call; ``GatewayHook.call`` is one."""

    def __call__(
        self,
        method: str,
        path: str,
        *,
        path_params: Mapping[str, Any] | None = ...,
        params: Params | None = ...,
        json: Any = ...,
        headers: Mapping[str, str] | None = ...,
        idempotency_key: str | bool | None = ...,
    ) -> Response:
        """Call and give the final answer."""
        ...


class Hook(Protocol):
    """What makes calls and knows where they go; ``GatewayHook`` is one."""

    @property
    def call(self) -> Caller:
        """Makes a call."""
        ...

    @property
    def gateway(self) -> Gateway:
        """The gateway's settings."""
        ...


@dataclass(frozen=True, slots=True)
class PageFetch:
    """Asks for the pages of one collection; a ``Fetch`` for ``read_pages``. Threads may share it."""

    call: Caller = field(repr=False)
    path: str
    """Of the collection, below the gateway's address."""
    query: Params = field(default_factory=dict, repr=False)
    """Query parameters of the collection. A link has them already, and is taken as it is."""
    method: str = "GET"
    """``POST`` for a search whose criteria are in the body; it then carries no idempotency key."""
    path_params: Mapping[str, Any] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    """Body of the collection."""
    links: LinkScope = field(default_factory=LinkScope)
    """The gateway's address and secrets: where links may lead."""

    @property
    def source(self) -> str:
        """Names the collection in messages."""
        return f"{self.method} {self.path}"

    @classmethod
    def through(
        cls,
        hook: Hook,
        path: str,
        query: Params | None = None,
        *,
        method: str = "GET",
        path_params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> PageFetch:
        """Ask through a hook; links are held against its gateway."""
        links = LinkScope(hook.gateway.base_url, hook.gateway.auth.secrets)
        return cls(hook.call, path, query or {}, method, path_params, headers or {}, json, links)

    def __call__(self, request: PageRequest) -> Response:
        """Ask for a page.

        Raises:
            GatewayError: There is none.
        """
        body = None if self.json is None and request.json is None else {**(self.json or {}), **(request.json or {})}
        link = request.path is not None
        return self.call(
            self.method,
            self.path if request.path is None else request.path,
            path_params=None if link else self.path_params,
            params=request.params if link else {**self.query, **request.params},
            json=body,
            headers={**self.headers, **request.headers},
            idempotency_key=None if self.method in ("GET", "HEAD") else False,
        )
