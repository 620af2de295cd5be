"""Where an answer's body ends, by its headers (RFC 9112, 6.3), and heads that cannot be trusted to say it. Pure."""

from collections.abc import Sequence

Header = tuple[bytes, bytes]

MOST_BYTES = 256 * 1024
"""Bytes of status line and headers of one answer, interim ones included; as many without any of the body."""
_MOST_HEADERS = 1000
_VERSIONS = ("1.1", "1.0")
_SWITCHING_PROTOCOLS = 101


class BadAnswer(ValueError):
    """A head that is not to be passed on; the text says what the server did."""


def check_status(status: int, version: str) -> bool:
    """Whether a status line is that of the answer; False for an interim one (1xx), after which another follows.

    Raises:
        BadAnswer: the protocol is to be changed, which nobody asked for, or there is no such status or version.
    """
    if version not in _VERSIONS:
        raise BadAnswer(f"answered with HTTP/{version}")
    if 200 <= status <= 599:
        return True
    if status == _SWITCHING_PROTOCOLS:
        raise BadAnswer("wanted to change the protocol")
    if 100 <= status < 200:
        return False
    raise BadAnswer(f"answered with the status {status}")


def check_size(headers: Sequence[Header], received: int) -> None:
    """Bound a head.

    Args:
        headers: Of the answer.
        received: Bytes that came so far, of which some may already be the body's.

    Raises:
        BadAnswer: there are more headers, or bytes of headers, than are passed on.
    """
    if len(headers) > _MOST_HEADERS:
        raise BadAnswer(f"sent more than {_MOST_HEADERS} headers")
    if received > MOST_BYTES and sum(len(name) + len(value) for name, value in headers) > MOST_BYTES:
        raise BadAnswer(f"sent more than {MOST_BYTES} bytes of headers")


def body_announced(headers: Sequence[Header]) -> bool | None:
    """Whether the headers announce a body; None when they do not say, and it would last as long as the connection.

    The parser has refused a length that is no number, that is there twice, or that stands beside a transfer coding.

    Raises:
        BadAnswer: the body is in a transfer coding other than chunks, for which the edge never asks: passed on without
            the coding's name it would be read as something that it is not.
    """
    announced: bool | None = None
    for name, value in headers:
        if name == b"content-length":
            announced = value.strip(b"0") != b""
        elif name == b"transfer-encoding":
            if announced is not None or value.lower() != b"chunked":
                raise BadAnswer("sent its answer in a transfer coding that nobody asked for")
            announced = True
    return announced
