"""A request that asks for another protocol, as HTTP clients do that would rather speak HTTP/2: its body.

The wish may be ignored (RFC 9110, 7.8), and the request holds as it stands. But the parser takes all that follows the
head for the other protocol, so the body is read by a parser that has not heard of the wish.
"""

from collections.abc import Callable, Sequence

from httptools import HttpRequestParser


def framing_of(watched: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The header line that says where the body ends; empty where there is no body."""
    for name, value in watched:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            return name + b": " + value + b"\r\n"
    return b""


class BodyReader:
    """Hands on the pieces of one body and tells of its end. What `ends` raises ends the reading.

    Trailers and all that comes after the body are dropped.
    """

    def __init__(self, takes: Callable[[bytes], None], ends: Callable[[], None]) -> None:
        self.on_body = takes
        self.on_message_complete = ends

    def parser(self, framing: bytes) -> HttpRequestParser:
        """A parser that stands at the beginning of a body with this framing."""
        parser = HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n")
        return parser
