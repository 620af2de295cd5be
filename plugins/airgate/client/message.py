"""The request that goes to a gateway and the response that comes back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from airgate.client.uploads import Body
from airgate.policy.errors import InvalidResponse
from airgate.policy.redaction import redact_url

Params = Mapping[str, Any]
"""Query parameters; a list value repeats its name, None leaves the name out, booleans become true and false."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, ready to be signed and sent."""

    method: str
    url: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: Body | None = None
    """Bytes, or what is sent piece by piece (``airgate.client.uploads``)."""
    keyed: bool = False
    """Whether it carries an idempotency key that the service honours."""
    route: str = ""
    """Path template below the gateway, such as ``/orders/{order}``: what limits, breaker and metrics go by."""
    in_doubt: bool = False
    """Whether an earlier try may have sent it already."""
    place: str = ""
    """In the line of the gateway's own limits, from an earlier try that had to wait for long."""

    @property
    def safe_url(self) -> str:
        """The URL as it may be shown."""
        return redact_url(self.url)

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """The same request with these headers added; they replace ones of the same name."""
        names = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        return dataclasses.replace(self, headers={**kept, **headers})

    def with_param(self, name: str, value: str) -> Request:
        """The same request with one more query parameter."""
        joint = "&" if urlsplit(self.url).query else "?"
        return dataclasses.replace(self, url=f"{self.url}{joint}{urlencode({name: value}, quote_via=quote)}")


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """The final answer of a call."""

    status: int
    headers: CIMultiDictProxy[str]
    bytes: bytes
    """The whole body, content codings removed."""
    method: str
    url: str
    """Redacted URL that was called."""
    attempts: int = 1
    """Requests sent until this answer came."""
    waited: float = 0.0
    """Seconds waited between the attempts."""
    faults: tuple[str, ...] = ()
    """What came of the attempts before, in order."""

    @property
    def received(self) -> int:
        """Bytes of the body that are in memory."""
        return len(self.bytes)

    @property
    def request_id(self) -> str | None:
        """The id that the gateway or service gave the request, if it named one."""
        return self.headers.get("x-request-id") or self.headers.get("x-correlation-id")

    @property
    def text(self) -> str:
        """The body as text, by the content type's charset, else UTF-8; undecodable bytes are replaced."""
        _, _, charset = self.headers.get("content-type", "").partition("charset=")
        try:
            return self.bytes.decode(charset.partition(";")[0].strip(" \"'") or "utf-8", "replace")
        except (LookupError, ValueError):  # a codec that does not exist, or is none for text
            return self.bytes.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body read as JSON.

        Raises:
            InvalidResponse: When the body is not JSON.
        """
        try:
            return msgspec.json.decode(self.bytes)
        except msgspec.DecodeError as error:
            raise self.invalid(f"the body is not JSON ({error})") from None

    def invalid(self, reason: str) -> InvalidResponse:
        """The error that says this answer cannot be used, and why."""
        return InvalidResponse(
            reason,
            method=self.method,
            url=self.url,
            status=self.status,
            attempts=self.attempts,
            request_id=self.request_id,
        )


def headers_of(pairs: Iterable[tuple[str, str]] = ()) -> CIMultiDictProxy[str]:
    """Response headers looked up case-insensitively, repeated ones kept."""
    return CIMultiDictProxy(CIMultiDict(pairs))


def join_url(
    base_url: str, path: str, path_params: Mapping[str, Any] | None = None, params: Params | None = None
) -> str:
    """The URL of a path behind the gateway.

    Args:
        base_url: The gateway's address; a path of its own is kept as a prefix.
        path: Path below it; ``{name}`` is filled from ``path_params``. A query in it is kept.
        path_params: Values for the placeholders, escaped as one path segment each.
        params: Query parameters.

    Raises:
        ValueError: When the path is a URL of its own, leaves the gateway's prefix or has an unfilled placeholder.
    """
    if urlsplit(path).netloc or urlsplit(path).scheme:
        raise ValueError(f"path must be relative to the gateway, not the address {redact_url(path)!r}")
    bare, _, query = path.partition("?")
    values = {name: quote(str(value), safe="") for name, value in (path_params or {}).items()}
    for name, value in values.items():
        if value in {"", ".", ".."}:
            raise ValueError(f"path parameter {name!r} must be a path segment, not {value!r}")
    try:
        bare = bare.format_map(values)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"path {path!r} has a placeholder without a value in path_params: {error}") from None
    # A server may read these escapes as what they stand for.
    if ".." in unquote(bare).replace("\\", "/").split("/"):
        raise ValueError(f"path {path!r} must not contain '..'")
    added = urlencode(list(_flatten(params or {})), quote_via=quote)
    query = "&".join(part for part in (query, added) if part)
    url = f"{base_url.rstrip('/')}/{bare.lstrip('/')}"
    return f"{url}?{query}" if query else url


def _flatten(params: Params) -> Iterable[tuple[str, str]]:
    for name, value in params.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        for item in values:
            if item is not None:
                yield name, str(item).lower() if isinstance(item, bool) else str(item)
