"""The head of a request as it goes to a server, and what it says of the body that follows. Pure."""

from airgate.spec.gateway import Forward
from airgate.spec.message import Request

_DEFAULT_PORTS = {"http": 80, "https": 443}


class BadHead(ValueError):
    """A line of the head would break it in two: a control character in a header that HTTP does not allow."""


def has_body(request: Request) -> bool:
    """Whether a request's headers say that a body follows (RFC 9112, 6.3)."""
    for name, value in request.headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return True
    return False


def request_head(method: str, call: Forward, *, framed: bool) -> tuple[bytes, int | None]:
    """Request line and headers up to the empty line, and the declared length of the body; None when it is chunked.

    Args:
        method: The method.
        call: Where it goes; its headers are complete but for `Host` and the framing of a body of unknown length.
        framed: Whether a body follows.

    Raises:
        BadHead: a header holds CR, LF or NUL.
    """
    origin = call.origin
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port is not None and origin.port != _DEFAULT_PORTS.get(origin.scheme):
        host = f"{host}:{origin.port}"
    target = f"{call.path}?{call.query}" if call.query else call.path
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in call.headers]
    length: int | None = 0
    if framed:
        declared = next((value for name, value in call.headers if name == "content-length"), None)
        length = int(declared) if declared is not None and declared.isdecimal() else None
        if length is None:
            if declared is not None:  # never two framings, whatever the server in front lets through
                lines = [line for line in lines if not line.startswith("content-length:")]
            lines.append("Transfer-Encoding: chunked")
    head = "\r\n".join(lines)
    ends = len(lines) - 1
    if head.count("\n") != ends or head.count("\r") != ends or "\0" in head:
        raise BadHead("a header holds a line end or NUL")
    return head.encode("utf-8", "replace") + b"\r\n\r\n", length
