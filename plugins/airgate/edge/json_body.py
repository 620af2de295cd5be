"""The JSON of a request, read so that the edge and the upstream cannot read it differently."""

import json
import math
from collections.abc import Sequence

import msgspec

from airgate.edge.refusal import refusal
from airgate.openapi.styles import is_json
from airgate.spec.answer import Answer
from airgate.spec.message import Request


class BadBody(ValueError):
    """A body that cannot be read; `answer` says why.

    Args:
        status: 400 or 415.
        detail: What is wrong, and what to send.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.answer: Answer = refusal(status, detail)


def read_json(request: Request, body: bytes) -> object:
    """The value of a JSON body.

    Raises:
        BadBody: it is of another media type (415), encoded, no JSON, or has a name twice in an object (400): of two
            values the edge might check one and the upstream use the other (RFC 8259, 4).
    """
    media_type = request.header("content-type") or ""
    if not is_json(media_type) or "*" in media_type:
        raise BadBody(415, "The body must be JSON, with the Content-Type application/json.")
    if (request.header("content-encoding") or "identity").lower() != "identity":
        raise BadBody(415, "The body must not have a Content-Encoding.")
    return parse_json(body)


def parse_json(body: bytes) -> object:
    """The value of a JSON text in UTF-8.

    Raises:
        BadBody: as for `read_json`.
    """
    if not body:
        raise BadBody(400, "The request needs a JSON body.")
    try:
        text = body.decode()
        return json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_no_constant)
    except _TwiceNamed as error:
        raise BadBody(400, f"The body names {error} twice in one object.") from None
    except (ValueError, RecursionError):
        raise BadBody(400, "The body is not JSON in UTF-8.") from None


class _TwiceNamed(Exception):
    """A name that stands twice in an object."""


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceNamed(repr(next(name for name in names if names.count(name) > 1)[:60]))
    return made


def write_json(value: object) -> bytes:
    """A JSON value as compact text in UTF-8, with escapes for the halves of characters that JSON text may hold."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("the number is too large")
    return number


def _no_constant(name: str) -> object:
    raise ValueError(name)
