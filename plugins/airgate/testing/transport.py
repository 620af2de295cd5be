"""What the wire would make of a request and of an answer."""

from __future__ import annotations

from airgate.client.codings import DamagedCoding, Decoder, UnknownCoding, codings
from airgate.client.effects import Reply
from airgate.client.gathered import Gathered
from airgate.client.message import Request, Response, headers_of
from airgate.client.outgoing import headers_for, origin_of
from airgate.policy.outcome import Unanswered, Unusable
from airgate.testing.answers import Answer


def refuse_unsendable(request: Request) -> None:
    """Refuse what no driver would send: a test that passes with it would be followed by a task that fails.

    Raises:
        ValueError: Method, address or a header cannot be sent.
    """
    headers_for(request)
    try:
        origin_of(request.url)
    except ValueError as error:
        raise ValueError(f"{request.method} {request.safe_url} {error}") from None


def received(answer: Answer, request: Request, limit: int) -> Reply:
    """The answer as a driver gives it: content codings removed, and of a size that the connection allows.

    Args:
        answer: What was scripted.
        request: What it answers.
        limit: Bytes of the body, 0 for no limit.
    """
    from airgate.client.wire import beyond_limit  # it brings the HTTP library, which a session has loaded by now

    headers = headers_of(answer.headers.items())
    body = Gathered(limit)
    try:
        decoder = Decoder(codings(headers))
        for piece in decoder.feed(b"" if request.method == "HEAD" else answer.body):
            if not body.add(piece):
                return Unusable(answer.status, beyond_limit(limit))
        decoder.finish()
    except UnknownCoding as error:
        return Unusable(answer.status, f"the answer has {error}")
    except DamagedCoding:
        return Unanswered("the answer broke off")
    return Response(answer.status, headers, body.whole(), request.method, request.safe_url)
