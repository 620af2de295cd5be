"""Serving the edge with uvicorn until a signal ends it, with a drain that loses no request."""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import uvicorn

from airgate.edge.certificate import Certificate
from airgate.edge.exact_target import ExactTarget
from airgate.edge.last_call import SETTLE_SECONDS, turn_new_away
from airgate.edge.serving import Serving

_SHUTDOWN_SECONDS = 10.0


Beside = Callable[["DrainingServer"], Coroutine[None, None, None]]
"""Runs next to a server, from its start until its drain is over."""


class DrainingServer(uvicorn.Server):
    """A server that ends without losing a request.

    It lets no new connection begin, takes those that have, answers one more request on each that stays open, with
    `Connection: close`, and only then closes those on which nothing came.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain_seconds: float,
        beside: Sequence[Beside] = (),
        *,
        certificate: Certificate | None = None,
        shared: bool = False,
    ) -> None:
        super().__init__(config)
        self._certificate = certificate
        self._shared = shared
        self._drain_seconds = drain_seconds
        self._beside = beside
        self._tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        self.config.ssl = None if self._certificate is None else self._certificate.listening
        await super().startup(sockets)
        self._tasks = [asyncio.create_task(each(self)) for each in self._beside]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve what is under way, and end."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._drain_seconds
        if not self._shared:
            for listener in sockets or ():
                turn_new_away(listener)
            await asyncio.sleep(min(SETTLE_SECONDS, self._drain_seconds))
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        self.config.timeout_graceful_shutdown = max(0.0, ends - loop.time())  # type: ignore[assignment]
        await super().shutdown()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def serve(
    app: Serving,
    listener: socket.socket,
    *,
    protocol: type[ExactTarget] = ExactTarget,
    drain_seconds: float = _SHUTDOWN_SECONDS,
    certificate: Certificate | None = None,
    beside: Sequence[Beside] = (),
    shared: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        app: The edge.
        listener: A listening socket.
        protocol: Reads the connections.
        drain_seconds: How long running requests may take then.
        certificate: Serves HTTPS with it.
        beside: What else runs meanwhile.
        shared: Whether other processes serve the listener, too: then it is not for this one to turn clients away.
    """
    config = uvicorn.Config(
        cast(Any, app),  # uvicorn's types name each message
        http=protocol,
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    server = DrainingServer(config, drain_seconds, beside, certificate=certificate, shared=shared)

    def end(*_: object) -> None:
        server.should_exit = True

    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, end)  # before uvicorn listens for them, and when it raises them again at its end
    gc.freeze()  # routes and modules live as long as the process; collections need not look at them
    server.run(sockets=[listener])
