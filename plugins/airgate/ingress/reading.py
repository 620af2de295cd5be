"""Reads what a client sends: bounded in bytes and in time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from airgate.edge.json_body import BadBody, parse_json
from airgate.ingress.problem import problem
from airgate.openapi.styles import is_json
from airgate.policy.signed_identity import digest_of

log = logging.getLogger(__name__)

INVALID = 'Bearer error="invalid_token"'
"""The challenge to whoever came with a credential that is none (RFC 6750, 3)."""
LARGEST_BODY = 64 * 1024
"""Bytes."""
BODY_SECONDS = 10.0


class Refusal(Exception):
    """A request that is not carried out; ``answer`` says why."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


def not_spoken_for(why: str) -> Refusal:
    """What a request gets for which the gateway's word for its client does not count.

    Args:
        why: For the log alone: whoever called may be anybody, and a gateway that is set up wrongly is found by it.
    """
    log.warning("a gateway's word for its client does not count: %s", why)
    return Refusal(
        problem(401, "The gateway's word for who you are does not count here.", {"WWW-Authenticate": INVALID})
    )


async def json_object(request: Request, signed: str | None = None) -> dict[str, Any]:
    """The object of a JSON body; an empty one where nothing was sent.

    Args:
        request: The request.
        signed: Digest of the body that a gateway has vouched for; None where none did.

    Raises:
        Refusal: It is too large, too slow, another one than was signed, of another type, or no object.
    """
    body = await body_of(request)
    if signed is not None and signed != digest_of(body):
        raise not_spoken_for("it was signed for a request with another body")
    if not body and not request.headers.get("content-type", ""):
        return {}
    return object_of(request, body, "the params of the DAG")


def object_of(request: Request, body: bytes, meaning: str) -> dict[str, Any]:
    """The object of a JSON body that was read.

    Args:
        request: With its headers.
        body: As it came.
        meaning: What the object should be, for the refusal.

    Raises:
        Refusal: It is of another type, or no object.
    """
    media_type = request.headers.get("content-type", "")
    if not is_json(media_type) or "*" in media_type:
        raise Refusal(problem(415, "The body must be JSON, with the Content-Type application/json."))
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(problem(415, "The body must not have a Content-Encoding."))
    try:
        value = parse_json(body)
    except BadBody as error:
        raise Refusal(problem(400, str(error))) from None
    if not isinstance(value, dict):
        raise Refusal(problem(400, f"The body must be an object: {meaning}."))
    return value


async def body_of(request: Request, largest: int = LARGEST_BODY) -> bytes:
    """The body of a request.

    Args:
        request: The request.
        largest: Bytes.

    Raises:
        Refusal: It is too large or too slow.
    """
    close = {"Connection": "close"}
    too_much = problem(413, f"At most {largest} bytes are taken.", close)
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > largest:
        raise Refusal(too_much)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > largest:
                    raise Refusal(too_much)
    except TimeoutError:
        raise Refusal(problem(408, f"The body was not there within {BODY_SECONDS:g} seconds.", close)) from None
    except ClientDisconnect:
        raise Refusal(Response(status_code=400)) from None  # nobody reads it
    return bytes(body)
