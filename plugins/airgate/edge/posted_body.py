"""The small body of a request that the edge itself answers."""

import asyncio

from airgate.edge.reply import Receive
from airgate.edge.request_head import has_body
from airgate.edge.upload import ClientLeft
from airgate.spec.answer import Answer, problem
from airgate.spec.message import Request

_MOST_BYTES = 64 * 1024
_MOST_SECONDS = 10.0


async def posted_body(request: Request, receive: Receive) -> bytes | Answer:
    """All of a request's body, or the answer to one that is too large or too slow.

    Raises:
        ClientLeft: the client left before it had sent all of it.
    """
    if not has_body(request):
        return b""
    pieces: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientLeft
                pieces.append(message.get("body", b""))
                more = message.get("more_body", False)
                size += len(pieces[-1])
                if size > _MOST_BYTES:
                    return problem(413, f"The body has more than {_MOST_BYTES} bytes.", with_cors=True)
    except TimeoutError:
        return problem(408, f"The body did not arrive within {_MOST_SECONDS:g} s.", with_cors=True)
    return b"".join(pieces)
