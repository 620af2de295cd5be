"""Status line and headers of an answer as bytes on the wire, and how its body is framed. Pure."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

Header = tuple[bytes, bytes]

_NO_NAME = re.compile(b'[\x00-\x20\x7f()<>@,;:\\[\\]={}\\\\"]')
_CONTROLS = bytes([*(code for code in range(0x20) if code != ord("\t")), 0x7F])
_MOST_NAMES = 1024
_FRAMING = frozenset({b"content-length: ", b"transfer-encoding: ", b"connection: "})
_WITHOUT_BODY = (204, 304)


class BadAnswerHead(RuntimeError):
    """A header would break the head in two: its name or value has characters that HTTP does not allow there."""


class AnswerHead(NamedTuple):
    """The bytes up to the empty line and with it; what the body may be; whether the connection stays."""

    data: bytes
    length: int
    """Bytes of the body; 0 as well where it is chunked."""
    chunked: bool
    keep_alive: bool


def answer_head(status: int, headers: Iterable[Header], method: str, *, keep_alive: bool) -> AnswerHead:
    """The head of an answer.

    Args:
        status: From 100 to 599.
        headers: In order. Without a length and a coding among them, the body is chunked.
        method: Of the request; an answer to HEAD has no body.
        keep_alive: Whether the connection may stay; a `Connection: close` among the headers ends it, too.

    Raises:
        BadAnswerHead: a name or a value cannot be sent.
    """
    parts, values = [_STATUS_LINES[status]], []
    length, chunked, framed, told = 0, False, False, False
    for name, value in headers:
        start = _STARTS.get(name) or _start(name)
        if start in _FRAMING:
            if start == b"content-length: ":
                if not framed:
                    length, framed = int(value), True
            elif start == b"transfer-encoding: ":
                if value.lower() == b"chunked":
                    length, chunked, framed = 0, True, True
            elif b"close" in [token.strip() for token in value.lower().split(b",")]:
                keep_alive, told = False, True
        parts += (start, value, b"\r\n")
        values.append(value)
    if not keep_alive and not told:
        parts.append(b"connection: close\r\n")
    if not framed and method != "HEAD" and status not in _WITHOUT_BODY:
        chunked = True
        parts.append(b"transfer-encoding: chunked\r\n")
    parts.append(b"\r\n")
    joined = b"".join(values)
    if len(joined.translate(None, _CONTROLS)) != len(joined):
        raise BadAnswerHead("a header of the answer has a value with control characters")
    return AnswerHead(b"".join(parts), 0 if method == "HEAD" else length, chunked, keep_alive)


def _status_line(status: int) -> bytes:
    try:
        return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
    except ValueError:
        return f"HTTP/1.1 {status} \r\n".encode()


def _start(name: bytes) -> bytes:
    """The beginning of a header's line; those of names that were sent before are kept."""
    if not name or _NO_NAME.search(name):
        raise BadAnswerHead("a header of the answer has a name that is none")
    start = name.lower() + b": "
    if len(_STARTS) < _MOST_NAMES:
        _STARTS[name] = start
    return start


_STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}
_STARTS: dict[bytes, bytes] = {}
