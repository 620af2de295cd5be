"""The request that goes to a gateway and the response that comes back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
from multidict import CIMultiDict, CIMultiDictProxy

from airgate.client.texts import query_of, text_of
from airgate.client.uploads import Body
from airgate.policy.errors import InvalidResponse
from airgate.policy.json_faults import NOT_JSON
from airgate.policy.redaction import one_line, redact_headers, redact_sent_headers, redact_url, redact_values

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
    secrets: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    """Values that must not be shown, wherever they stand: a redirect may repeat a key under any name."""

    @property
    def safe_url(self) -> str:
        """The URL as it may be shown."""
        return redact_values(redact_url(self.url), self.secrets)

    def __repr__(self) -> str:
        # The generated one would show the signature, and the client secret in the body of a token request.
        headers = {
            name: redact_values(value, self.secrets) for name, value in redact_sent_headers(self.headers).items()
        }
        shown = f"{self.method!r}, {self.safe_url!r}, headers={headers!r}, body={_size(self.body)}"
        return f"Request({shown}, keyed={self.keyed}, in_doubt={self.in_doubt})"

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """The same request with these headers added; they replace ones of the same name."""
        names = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        return dataclasses.replace(self, headers={**kept, **headers})

    def with_secret_param(self, name: str, value: str) -> Request:
        """The same request with one more query parameter, whose value is not shown whatever its name."""
        joint, escaped = "&" if urlsplit(self.url).query else "?", quote(value, safe="")
        url = f"{self.url}{joint}{quote(name, safe='')}={escaped}"
        return dataclasses.replace(self, url=url, secrets=(*self.secrets, value, escaped))


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

    def __repr__(self) -> str:
        # Without the body: it may be large, still to come, or a token endpoint's.
        shown = f"{self.status}, {self.method!r}, {self.url!r}, headers={redact_headers(self.headers)!r}"
        return f"{type(self).__name__}({shown}, received={self.received}, attempts={self.attempts})"

    @property
    def received(self) -> int:
        """Bytes of the body that are in memory."""
        return len(self.bytes)

    @property
    def request_id(self) -> str | None:
        """The id that the gateway or service gave the request, if it named one."""
        named = self.headers.get("x-request-id") or self.headers.get("x-correlation-id")
        return one_line(named)[:_LONGEST_ID] if named else None

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
            # RFC 8259, 8.1: a reader may pass over a byte order mark, and some servers write one.
            return msgspec.json.decode(self.bytes.removeprefix(_MARK))
        except NOT_JSON as error:
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


def merged(headers: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """The headers, those of the second mapping in place of ones of the same name in whatever case."""
    replaced = {str(name).lower() for name in over}
    return {**{name: value for name, value in headers.items() if name.lower() not in replaced}, **over}


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
        ValueError: When the path is a URL of its own, leaves the gateway's prefix, has an unfilled placeholder or a
            fragment, or when a value is none that a URL can hold.
    """
    template, query, names = _parts(path)
    bare = _filled(path, template, names, path_params) if path_params or names else template
    # A server may read these escapes as what they stand for, and parameters of a segment (RFC 3986, 3.3) as nothing.
    segments = unquote(bare).replace("\\", "/").split("/")
    if climbing := {".", ".."} & {segment.partition(";")[0] for segment in segments}:
        raise ValueError(f"path {redact_url(path)!r} must not contain {climbing.pop()!r} as a segment")
    query = "&".join(part for part in (query, query_of("params", params or {})) if part)
    url = f"{base_url.rstrip('/')}/{bare.lstrip('/')}"
    return f"{url}?{query}" if query else url


_LONGEST_ID = 200
_MARK = b"\xef\xbb\xbf"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@lru_cache(maxsize=256)
def _parts(path: str) -> tuple[str, str, tuple[str, ...]]:
    """The path without its query, the query, and the names of its placeholders: few paths are called many times."""
    split = urlsplit(path)
    if split.netloc or split.scheme:
        raise ValueError(f"path must be relative to the gateway, not the address {redact_url(path)!r}")
    if "#" in path:
        raise ValueError(
            f"path {redact_url(path)!r} must not contain '#', behind which nothing is sent; escape it: %23"
        )
    template, _, query = path.partition("?")
    names = tuple(_PLACEHOLDER.findall(template))
    # Names only, and no more of what str.format understands: a width could be any number of bytes.
    if template.count("{") != len(names) or template.count("}") != len(names):
        raise ValueError(
            f"path {redact_url(path)!r} has a brace that is no placeholder such as {{name}}; escape it: %7B"
        )
    return template, query, names


def _filled(path: str, bare: str, names: tuple[str, ...], path_params: Mapping[str, Any] | None) -> str:
    given = path_params or {}
    values = {name: quote(text_of(f"path_params: {name!r}", value), safe="") for name, value in given.items()}
    for name, value in values.items():
        if value in {"", ".", ".."}:
            raise ValueError(f"path parameter {name!r} must be a path segment, not {value!r}")
    if missing := [name for name in names if name not in values]:
        raise ValueError(f"path {redact_url(path)!r} has a placeholder without a value in path_params: {missing[0]!r}")
    return _PLACEHOLDER.sub(lambda place: values[place[1]], bare)


def _size(body: Body | None) -> str:
    if body is None:
        return "None"
    return f"<{len(body)} bytes>" if isinstance(body, bytes) else f"<{type(body).__name__}>"
