"""A request as the edge receives it, with the views of it that routing, checks and mapping need."""

from collections.abc import Sequence
from dataclasses import dataclass


def header_text(value: bytes) -> str:
    """A header value as text: UTF-8 as it is sent today, else Latin-1 as HTTP/1.1 once had it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Request:
    """Method, path and query as sent (not decoded), headers in order with lower-case names."""

    method: str
    raw_path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]

    def header(self, name: str) -> str | None:
        """The value of a header, repeated ones joined with a comma and a space; None when it was not sent."""
        wanted = name.lower().encode("utf-8", "replace")
        values = [value for sent, value in self.headers if sent == wanted]
        return header_text(b", ".join(values)) if values else None
