"""Reads what a client sends: bounded in bytes and in time."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from airgate.edge.json_body import BadBody, parse_json
from airgate.ingress.problem import problem
from airgate.openapi.styles import is_json

LARGEST_BODY = 64 * 1024
"""Bytes."""
BODY_SECONDS = 10.0


class Refusal(Exception):
    """A request that is not carried out; ``answer`` says why."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


async def json_object(request: Request) -> dict[str, Any]:
    """The object of a JSON body; an empty one where nothing was sent.

    Raises:
        Refusal: It is too large, too slow, of another type, or no object.
    """
    body = await _body(request)
    media_type = request.headers.get("content-type", "")
    if not body and not media_type:
        return {}
    if not is_json(media_type) or "*" in media_type:
        raise Refusal(problem(415, "The body must be JSON, with the Content-Type application/json."))
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(problem(415, "The body must not have a Content-Encoding."))
    try:
        value = parse_json(body)
    except BadBody as error:
        raise Refusal(problem(400, str(error))) from None
    if not isinstance(value, dict):
        raise Refusal(problem(400, "The body must be an object: the params of the DAG."))
    return value


async def _body(request: Request) -> bytes:
    close = {"Connection": "close"}
    too_much = problem(413, f"At most {LARGEST_BODY} bytes are taken.", close)
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > LARGEST_BODY:
        raise Refusal(too_much)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise Refusal(too_much)
    except TimeoutError:
        raise Refusal(problem(408, f"The body was not there within {BODY_SECONDS:g} seconds.", close)) from None
    except ClientDisconnect:
        raise Refusal(Response(status_code=400)) from None  # nobody reads it
    return bytes(body)
