"""One way to call for tests that hold for both drivers."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any

from airgate.client.async_session import AsyncGatewaySession
from airgate.client.gateway import Gateway
from airgate.client.message import Request, Response
from airgate.client.session import GatewaySession
from airgate.policy.retry import RetrySettings

FAST = RetrySettings(attempts=4, backoff=0.01, deadline=10)
KINDS = ("requests", "aiohttp")


class EitherSession:
    """A session of one of the drivers; the asynchronous one runs on a loop of its own."""

    def __init__(self, kind: str, gateway: Gateway, **kwargs: Any) -> None:
        self.gateway = gateway
        self.runner = asyncio.Runner() if kind == "aiohttp" else None
        self.inner: Any = (GatewaySession if self.runner is None else AsyncGatewaySession)(gateway, **kwargs)

    def call(self, request: Request, **kwargs: Any) -> Response:
        """Make a call."""
        called = self.inner.call(request, **kwargs)
        return called if self.runner is None else self.runner.run(called)

    def get(
        self, path: str = "/x", method: str = "GET", *, given: dict[str, Any] | None = None, **kwargs: Any
    ) -> Response:
        """Make a call of a path; keyword arguments are the request's, ``given`` are the call's."""
        return self.call(Request(method, self.gateway.base_url + path, **kwargs), **(given or {}))

    def stream(self, path: str = "/x", *, stop_after: int | None = None, **kwargs: Any) -> tuple[int, int]:
        """Read a streamed answer; gives its status and the bytes that were read."""
        response: Any = self.get(path, given={"stream": True}, **kwargs)

        async def read() -> int:
            size = 0
            async with response:
                async for piece in response.aiter_bytes():
                    size += len(piece)
                    if stop_after is not None and size >= stop_after:
                        break
            return size

        if self.runner is not None:
            return response.status, self.runner.run(read())
        size = 0
        with response:
            for piece in response.iter_bytes():
                size += len(piece)
                if stop_after is not None and size >= stop_after:
                    break
        return response.status, size

    def whole(self, response: Any) -> bytes:
        """The body of a streamed answer."""
        return response.bytes if self.runner is None else self.runner.run(response.aread())

    def idle(self, seconds: float) -> None:
        """Let time pass between two calls; the loop goes on meanwhile."""
        if self.runner is None:
            time.sleep(seconds)
        else:
            self.runner.run(asyncio.sleep(seconds))

    def __enter__(self) -> EitherSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        closed = self.inner.close()
        if self.runner is not None:
            self.runner.run(closed)
            self.runner.close()


class Driver:
    """Makes sessions of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def session(self, url: str, *, shared: Any = None, **settings: Any) -> EitherSession:
        """A session with fast retries."""
        return EitherSession(self.kind, Gateway(url, **{"retry": FAST, **settings}), shared=shared)
