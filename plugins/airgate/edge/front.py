"""What a request may look like before a route is known: its target and its headers. Pure."""

from airgate.edge.refusal import refusal
from airgate.spec.answer import Answer
from airgate.spec.extension_defaults import FrontLimits
from airgate.spec.message import Request

_LINE = 4
"""Bytes of a header line besides name and value: colon, space, end of line."""


def front_refusal(request: Request, limits: FrontLimits) -> Answer | None:
    """The answer to a request whose target (414) or headers (431, RFC 6585) are too large, else None."""
    if limits.uri is not None and len(request.raw_path) + len(request.query) > limits.uri:
        return refusal(414, f"The request target has more than {limits.uri} bytes.")
    if limits.headers is not None and len(request.headers) > limits.headers:
        return refusal(431, f"The request has more than {limits.headers} header lines.")
    if limits.header_bytes is not None:
        size = sum([len(name) + len(value) + _LINE for name, value in request.headers])
        if size > limits.header_bytes:
            return refusal(431, f"The header lines have more than {limits.header_bytes} bytes.")
    return None


def declared_refusal(request: Request, limit: int | None) -> Answer | None:
    """The answer to a request that says itself that its body is too large (413), else None."""
    length = request.header("content-length") if limit is not None else None
    if length is None or limit is None or not (length.isascii() and length.isdecimal()):
        return None
    digits = length.lstrip("0")
    larger = len(digits) > len(str(limit)) or int(digits or "0") > limit
    return too_large(limit) if larger else None


def too_large(limit: int) -> Answer:
    """The answer to a request whose body is too large."""
    return refusal(413, f"The body has more than {limit} bytes.", headers=((b"connection", b"close"),))


def too_slow(seconds: float) -> Answer:
    """The answer to a request whose body did not come in time (RFC 9110, 15.5.9: the connection ends)."""
    return refusal(408, f"The body did not arrive within {seconds:g} s.", headers=((b"connection", b"close"),))
