"""Answers the gateway gives itself, without asking an upstream."""

from dataclasses import dataclass

from airgate.spec.javascript import stringify

JSON_TYPE = (b"content-type", b"application/json")
_PROBLEM_TYPE = (b"content-type", b"application/problem+json")
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    408: "Request Timeout",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response: status, headers (lower-case names), body. `with_cors` is off where none are added."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    with_cors: bool = True


def json_answer(status: int, value: object) -> Answer:
    """An answer whose body is a JSON value, written compactly."""
    return Answer(status, (JSON_TYPE,), stringify(value).encode("utf-8", "replace"))


def problem(status: int, detail: str, *, with_cors: bool) -> Answer:
    """Problem details (RFC 9457) for a refusal, or a failure between the edge and another server."""
    body = stringify({"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail})
    return Answer(status, (_PROBLEM_TYPE,), body.encode("utf-8", "replace"), with_cors)


NO_MATCH = json_answer(404, {"message": "No match found."})
INTERNAL_ERROR = json_answer(500, {"message": "Internal server error"})
UNCAUGHT = Answer(500, (), b"", with_cors=False)
"""The gateway's code failed outside its own error handling: no JSON, no CORS headers."""

PREFLIGHT = Answer(204)
EMPTY_STATIC = Answer(200, (JSON_TYPE,))

AMBIGUOUS_PATH = problem(400, "The path hides a '..' behind an escape, or has a bad escape in it.", with_cors=True)
"""Strict mode's answer to a path that routing and upstream could read differently."""
