"""Upstream calls whose answer is wanted whole, as a branch of an aggregation: bounded in time and in bytes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from airgate.spec.url import Origin

_IDLE_SECONDS = 4.0  # before uvicorn and Node close theirs


@dataclass(frozen=True, slots=True)
class Call:
    """One call: method, where to, headers with lower-case names, body or None, seconds for all of it, bytes back."""

    method: str
    origin: Origin
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes | None
    timeout: float
    limit: int


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """What came back: the body decompressed, header names in small letters."""

    status: int
    media_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class CallFailed(Exception):
    """No usable answer came.

    Args:
        status: What a gateway says of it: 502, or 504 when time ran out.
        what: What happened, in words that follow the server's name.
    """

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


class WholeCalls(Protocol):
    """Makes calls."""

    async def call(self, call: Call) -> WholeAnswer:
        """Make a call; cancelled, it closes the connection.

        Raises:
            CallFailed: no usable answer came.
        """


class HttpCalls:
    """Calls over connections of their own, which answers in between keep open."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def call(self, call: Call) -> WholeAnswer:
        """Make a call.

        Raises:
            CallFailed: no usable answer came.
        """
        try:
            async with asyncio.timeout(call.timeout):
                return await self._call(call)
        except TimeoutError:
            raise CallFailed(504, f"did not answer within {call.timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise CallFailed(502, f"could not be reached or broke off ({type(error).__name__})") from None

    async def _call(self, call: Call) -> WholeAnswer:
        origin = call.origin
        url = URL.build(
            scheme=origin.scheme,
            host=origin.host,
            port=origin.port,
            path=call.path,
            query_string=call.query,
            encoded=True,
        )
        headers = CIMultiDict(call.headers)
        async with self._open().request(
            call.method, url, headers=headers, data=call.body, allow_redirects=False
        ) as response:
            pieces: list[bytes] = []
            size = 0
            async for piece in response.content.iter_any():
                size += len(piece)
                if size > call.limit:
                    response.close()
                    raise CallFailed(502, f"answered with more than {call.limit} bytes")
                pieces.append(piece)
            received = {name.lower(): value for name, value in response.headers.items()}
            return WholeAnswer(response.status, received.get("content-type", ""), b"".join(pieces), received)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                skip_auto_headers=("Content-Type", "User-Agent"),
            )
            self._session._retry_connection = False  # sending again is the caller's decision
        return self._session
