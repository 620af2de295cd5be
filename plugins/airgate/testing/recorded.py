"""What a fake gateway saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from airgate.client.message import Request
from airgate.client.uploads import Body
from airgate.policy.redaction import redact_sent_headers, redact_url


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it would have gone over the wire, signature included."""

    method: str
    path: str
    """Below the gateway, escapes kept."""
    params: Mapping[str, list[str]]
    """Query parameters, escapes removed."""
    headers: CIMultiDictProxy[str]
    """Looked up case-insensitively."""
    body: bytes
    url: str
    path_params: Mapping[str, str] = field(default_factory=dict)
    """What stands in the places of the path template that it matched."""

    def json(self) -> Any:
        """The body read as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def idempotency_key(self) -> str | None:
        """The key that it carries, if any."""
        return self.headers.get("idempotency-key")

    def __repr__(self) -> str:
        headers = redact_sent_headers(self.headers)
        return f"RecordedRequest({self.method!r}, {redact_url(self.url)!r}, headers={headers!r}, body={self.body!r})"


def record(request: Request, base_url: str) -> RecordedRequest:
    """The record of a request that was about to leave, its body not read yet.

    A request to elsewhere, such as one for a token, has its whole address as its path.
    """
    split = urlsplit(request.url)
    bare = request.url.partition("#")[0].partition("?")[0]
    below = bare.removeprefix(base_url.rstrip("/"))
    return RecordedRequest(
        request.method,
        below if below.startswith("/") else bare,
        parse_qs(split.query, keep_blank_values=True),
        CIMultiDictProxy(CIMultiDict(request.headers)),
        b"",
        request.url,
    )


def body_bytes(body: Body | None) -> bytes:
    """A request's body as it goes over the wire; a stream is read for it, as by sending it."""
    if body is None or isinstance(body, bytes):
        return body or b""
    return b"".join(body.open())
