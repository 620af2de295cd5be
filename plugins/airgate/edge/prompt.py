"""Answers that are known at once: those of routes that ask nobody and look at nothing but method and path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airgate.edge.answer_head import Header, answer_head


@dataclass(frozen=True, slots=True)
class Prompt:
    """An answer as it is written, but for headers that differ from request to request."""

    route: str
    """Path of the route as the file has it."""
    status: int
    head: bytes
    """Status line and headers, each with its line end."""
    body: bytes

    @classmethod
    def of(cls, route: str, status: int, headers: Sequence[Header], body: bytes) -> "Prompt":
        """An answer with these headers, which say how long it is."""
        head = answer_head(status, headers, "GET", keep_alive=True)
        return cls(route, status, head.data.removesuffix(b"\r\n"), body)

    def written(self, request_id: bytes | None, *, keep_alive: bool) -> bytes:
        """All of it as it goes out, with the request's id where there is one."""
        named = b"x-request-id: " + request_id + b"\r\n" if request_id is not None else b""
        return self.head + named + (b"\r\n" if keep_alive else b"connection: close\r\n\r\n") + self.body


Prompts = Mapping[tuple[str, bytes], Prompt]
"""By method and path as they are sent."""
