"""Which headers of a client strict mode passes on to an upstream. Pure."""

from collections.abc import Sequence, Set
from functools import lru_cache

from airgate.edge.forwarding import NAMES
from airgate.policy.signed_identity import HEADER as IDENTITY

Header = tuple[str, str]

OVERRIDES = frozenset(
    {"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"}
)
"""Headers with which a request asks for another method or path than its own: routes and tokens were chosen by those."""

_OWN = frozenset({"x-request-id", "traceparent"})
"""Headers that the edge has set before."""

_RESERVED = NAMES | OVERRIDES | {IDENTITY} | {"content-length", "content-type", "transfer-encoding", "x-request-id"}
"""Names of which a client's spelling with `_` is dropped: applications behind CGI or WSGI see both as one."""


def passed_on(headers: Sequence[Header], connection: str | None, mapped: Set[str]) -> list[Header]:
    """The headers that go on.

    Args:
        headers: What the route makes of the client's headers, with names in small letters.
        connection: The client's `Connection`: headers that it names are for this connection only (RFC 9110, 7.6.1).
        mapped: Names that the file sets, which no client can take away or replace.
    """
    dropped = _always(frozenset(mapped))
    if connection is not None:
        dropped |= {name.strip().lower() for name in connection.split(",")} - _OWN - mapped
    return [
        header
        for header in headers
        if header[0] not in dropped
        and ("_" not in header[0] or header[0].replace("_", "-") not in _RESERVED or header[0] in mapped)
    ]


@lru_cache(maxsize=1024)
def _always(mapped: frozenset[str]) -> frozenset[str]:
    return ((NAMES | OVERRIDES) - mapped) | {IDENTITY}
