"""What stand-ins are written with: the request and the context that they are called with, the response they may return.

from airgate.edge.services import Context, Env, Request, Response

async def hello(request: Request, env: Env, context: Context) -> Response:
return Response.json({"hello": context.matched_path.parameters["name"]})
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from airgate.spec.mapping import is_header_name
from airgate.spec.url import parse_form

Env: TypeAlias = Mapping[str, str]
"""Variables by name: in strict mode those that the file names under `x-airgate`, in compatible mode all."""

BODILESS = frozenset({204, 205, 304})
"""Statuses whose responses have no body."""

_TEXT = "text/plain;charset=UTF-8"
_JSON = "application/json"
_CONTROLS = frozenset(map(chr, [*range(0x20), 0x7F])) - {"\t"}


class Headers(Mapping[str, str]):
    """Headers by name, in any case of letters; repeated ones are joined with a comma and a space (RFC 9110, 5.3)."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def all(self, name: str) -> list[str]:
        """The values of a header as they were sent; none when it was not."""
        return list(self._values.get(name.lower(), ()))

    def __repr__(self) -> str:
        return f"Headers({', '.join(self._values)})"  # their values may be secrets


@dataclass(frozen=True)
class Request:
    """The request of a client.

    `url` is absolute, its path and query as sent; `body` is the whole body in bytes, empty without one.
    """

    method: str
    url: str = field(repr=False)
    headers: Headers
    body: bytes = field(repr=False, default=b"")

    @property
    def path(self) -> str:
        """The path of the URL, not decoded."""
        return urlsplit(self.url).path

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query by name, decoded as a form's; of a repeated name the first value."""
        found: dict[str, str] = {}
        for name, value in parse_form(urlsplit(self.url).query.encode()):
            found.setdefault(name, value)
        return found

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 become U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The value of a JSON body.

        Raises:
            ValueError: the body is not JSON.
        """
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class MatchedPath:
    """The route that serves a request, and how it matches.

    `position` is its place among the `paths` of the file, `parameters` what its placeholders stand for by name, not
    decoded. `exact`, `count` and `wildcard` are what the gateway orders matching routes by.
    """

    position: int
    path: str
    parameters: Mapping[str, str]
    exact: bool
    count: int
    wildcard: bool


class Context:
    """What the gateway knows about a request.

    Args:
        config: JSON text of the file.
        request_url: The URL of the request.
        jwt_payload: The claims of the caller's token; empty where the route asks for none.
        matched_path: The route.
    """

    def __init__(
        self, config: str, request_url: str, jwt_payload: Mapping[str, object], matched_path: MatchedPath
    ) -> None:
        self._config = config
        self.request_url = request_url
        self.jwt_payload = jwt_payload
        self.matched_path = matched_path

    @cached_property
    def api_config(self) -> dict[str, Any]:
        """The gateway's file, a copy for this call. In strict mode it holds no secret: `$secret.NAME` stays that."""
        value: dict[str, Any] = json.loads(self._config)
        return value

    def __repr__(self) -> str:
        return f"Context({self.matched_path.path!r})"


class Response:
    """A response that is sent as it is.

    Args:
        body: Text goes out as UTF-8, with the content type of plain text unless `headers` has one.
        status: 200 to 599.
        headers: By name, or pairs where a name is repeated. Length and framing are set by the edge.

    Raises:
        ValueError: the status is none, a status without body has one, or a header cannot be sent.
    """

    def __init__(
        self,
        body: str | bytes = b"",
        status: int = 200,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    ) -> None:
        if not isinstance(body, str | bytes):
            raise TypeError(f"body is a {type(body).__name__}: give text or bytes, or use Response.json")
        if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"status is {status!r}: give a whole number from 200 to 599")
        if status in BODILESS and body:
            raise ValueError(f"a response with the status {status} has no body: leave it out")
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        for name, value in pairs:
            _check_header(name, value)
        if isinstance(body, str) and body and not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.append(("content-type", _TEXT))
        self.status = status
        self.headers = tuple((name.lower(), value.strip(" \t")) for name, value in pairs)
        self.body = body.encode("utf-8", "replace") if isinstance(body, str) else body

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> "Response":
        """A response whose body is a JSON value.

        Raises:
            TypeError: the value is none of JSON.
            ValueError: as for any response, or a number is infinite or not a number.
        """
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return cls(text, status, {"content-type": _JSON, **{k.lower(): v for k, v in (headers or {}).items()}})

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"


def _check_header(name: str, value: str) -> None:
    if not is_header_name(name):
        raise ValueError(f"{name!r} is no header name: use letters, digits and hyphens")
    if any(sign in _CONTROLS for sign in value):
        raise ValueError(f"the header {name!r} holds a line end or another control character")
