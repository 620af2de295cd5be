"""The connections to all servers: opened when needed, kept for a moment when idle."""

import asyncio
import ssl
from collections import deque

from airgate.edge.connection import CallFailed, Connection
from airgate.spec.url import Origin

# Idle connections go before uvicorn and Node close theirs (5 s): nothing is sent again, so none may be stale.
_IDLE_SECONDS = 4.0
_DEFAULT_PORT = 80


class Pool:
    """Connections of one event loop, the most recently used one first."""

    def __init__(self) -> None:
        self._idle: dict[Origin, deque[tuple[float, Connection]]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None

    def idle(self, origin: Origin) -> Connection | None:
        """A connection that stands and is free, if there is one."""
        waiting = self._idle.get(origin)
        while waiting:
            since, connection = waiting.pop()
            if connection.usable and asyncio.get_running_loop().time() - since < _IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def connect(self, origin: Origin, seconds: float | None) -> Connection:
        """Open a connection.

        Args:
            origin: The server.
            seconds: Until it must stand, name look-up and TLS handshake included; None for no limit.

        Raises:
            CallFailed: it cannot be reached, or not in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop),
                    origin.host,
                    origin.port or _DEFAULT_PORT,
                    ssl=self._context() if origin.scheme == "https" else None,
                )
        except TimeoutError:
            raise CallFailed(504, "did not take the connection in time") from None
        except (OSError, ValueError) as error:  # TLS failures are OSErrors; a name that IDNA refuses is a ValueError
            raise CallFailed(502, f"could not be reached ({type(error).__name__})") from None
        if origin.scheme == "http" and not connection.usable:  # over TLS, session tickets may come at any time
            connection.close()
            raise CallFailed(502, "did not wait for a request")
        return connection

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """End the call on a connection, and keep it for the next call when it is fit for one."""
        if connection.release():
            loop = asyncio.get_running_loop()
            self._idle.setdefault(origin, deque()).append((loop.time(), connection))
            if self._sweep is None:
                self._sweep = loop.call_later(_IDLE_SECONDS, self._close_old)

    def close(self) -> None:
        """Close the idle connections; those in use are closed by their calls."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for waiting in self._idle.values():
            for _, connection in waiting:
                connection.close()
        self._idle.clear()

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = None
        oldest = loop.time() - _IDLE_SECONDS
        for origin, waiting in list(self._idle.items()):
            while waiting and waiting[0][0] <= oldest:
                waiting.popleft()[1].close()
            if not waiting:
                del self._idle[origin]
        if self._idle:
            self._sweep = loop.call_later(_IDLE_SECONDS, self._close_old)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
