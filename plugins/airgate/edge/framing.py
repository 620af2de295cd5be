"""What a request's head must say before anything is made of it: which protocol, which host, where its body ends. Pure.

The parser in front of it is strict by itself; it takes what is listed here, and a server or proxy on the way may read
that in another way. Two readings of one request are how a second one is smuggled past a gateway (RFC 9112, 11.2).
"""

import re
from collections.abc import Sequence

from airgate.edge.refusal import refusal
from airgate.spec.answer import Answer

Header = tuple[bytes, bytes]

WATCHED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
"""Headers that the server itself acts on, in small letters."""

METHODS = frozenset(
    {
        *("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY", "LINK", "UNLINK", "PURGE"),
        *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "BIND", "REBIND", "UNBIND"),
        *("ACL", "REPORT", "MKACTIVITY", "MKCALENDAR", "CHECKOUT", "MERGE"),
        *("M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE"),
    }
)
"""Methods of HTTP that a gateway can pass on: the parser also knows those of RTSP and ICE, and CONNECT."""

CLOSE = (b"connection", b"close")

# RFC 3986, 3.2.2 and 3.2.3: a registered name or an address in brackets, perhaps with a port.
_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*(?::[0-9]*)?|\[[0-9A-Fa-f:.]+\](?::[0-9]*)?")


def head_refusal(method: str, version: str, watched: Sequence[Header]) -> Answer | None:
    """The answer to a head that leaves its protocol, its host or its framing in doubt, else None.

    Args:
        method: As it was sent.
        version: `1.1`, of the request line.
        watched: The headers of `WATCHED`, in order, with names in small letters and values without spaces around them.
    """
    if version not in ("1.0", "1.1"):
        return _refused(505, "The edge speaks HTTP/1.1.")
    if method not in METHODS:
        return _refused(501, "The edge does not know this method.")
    return _host_refusal(version, [value for name, value in watched if name == b"host"]) or _framing_refusal(
        version,
        [value for name, value in watched if name == b"content-length"],
        [value for name, value in watched if name == b"transfer-encoding"],
    )


def _host_refusal(version: str, hosts: Sequence[bytes]) -> Answer | None:
    if len(hosts) != 1:  # RFC 9112, 3.2
        return None if version == "1.0" and not hosts else _refused(400, "A request has exactly one Host header.")
    if _HOST.fullmatch(hosts[0]) is None:
        return _refused(400, "The Host header is neither a name nor an address, with or without a port.")
    return None


def _framing_refusal(version: str, lengths: Sequence[bytes], codings: Sequence[bytes]) -> Answer | None:
    if len(lengths) + len(codings) > 1:
        return _refused(400, "A request says once where its body ends: by Content-Length or by Transfer-Encoding.")
    if lengths and not lengths[0].isdigit():
        return _refused(400, "Content-Length must be a number.")
    if codings and version == "1.0":
        return _refused(400, "HTTP/1.0 knows no Transfer-Encoding.")
    if codings and codings[0].lower() != b"chunked":  # another coding would be lost on the way (RFC 9112, 6.1)
        return _refused(501, "The edge knows one transfer coding: chunked.")
    return None


def _refused(status: int, detail: str) -> Answer:
    return refusal(status, detail, headers=(CLOSE,))
