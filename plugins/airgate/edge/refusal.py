"""Answers with which a policy turns a request away: problem details (RFC 9457) with what the client should know."""

from collections.abc import Iterable, Mapping

import msgspec

from airgate.spec.answer import Answer

_TYPE = (b"content-type", b"application/problem+json")
_TITLES = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    410: "Gone",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


def refusal(
    status: int,
    detail: str,
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    members: Mapping[str, object] | None = None,
) -> Answer:
    """Problem details.

    Args:
        status: One of those that policies answer with.
        detail: What was wrong with this request, and what to do; no secret.
        headers: More headers, lower-case names.
        members: More members of the body, such as `errors`.
    """
    body = {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail, **(members or {})}
    return Answer(status, (_TYPE, *headers), msgspec.json.encode(body))


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """The header that says when to come back, in whole seconds and at least one (RFC 9110, 10.2.3)."""
    return b"retry-after", str(max(1, int(-(-seconds // 1)))).encode()
