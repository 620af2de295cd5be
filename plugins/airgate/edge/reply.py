"""The answering half of one request: adds the cross-origin headers and sends ASGI messages."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from airgate.spec.answer import Answer, problem
from airgate.spec.config import Gateway
from airgate.spec.message import Request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Reply:
    """Sends one response, whole or as it comes in."""

    def __init__(self, gateway: Gateway, request: Request, send: Send) -> None:
        self._cors = gateway.cors
        self._strict = gateway.mode == "strict"
        self._origin = request.header("origin") if gateway.cors else None
        self._send = send

    async def whole(self, answer: Answer) -> None:
        """Send an answer of the gateway's own."""
        await self.start(answer.status, own_headers(answer), with_cors=answer.with_cors)
        await self._send({"type": "http.response.body", "body": answer.body})

    async def failed(self, status: int, detail: str) -> None:
        """Send problem details. In compatible mode without cross-origin headers: the gateway lets this one slip."""
        await self.whole(problem(status, detail, with_cors=self._strict))

    async def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], *, with_cors: bool = True) -> None:
        """Send status and headers (lower-case names)."""
        if self._cors and with_cors:
            headers = self._cors.apply(headers, self._origin)
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """Say that the body is complete."""
        await self._send({"type": "http.response.body", "body": b""})


def own_headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The headers of an answer of the gateway's own, with its length."""
    length = () if answer.status == 204 else ((b"content-length", str(len(answer.body)).encode()),)
    return [*answer.headers, *length]
