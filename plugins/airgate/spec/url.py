"""URLs the way the WHATWG URL standard reads them, as far as a gateway needs it."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes

import idna

HTTP_SCHEMES = frozenset({"http", "https"})
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}

# A path without these needs no work: nothing to escape, no backslash, no segment that could be `.` or `..`.
_PATH_WORK = re.compile(rb"[^!$-;=@-\[\]_a-z|~]|/\.|/%2[eE]")
_DOT = re.compile(r"\.|%2e", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"[/\\]*([^/\\?#]*)(.*)", re.DOTALL)
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")
_NUMBER_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_CONTROLS = "".join(map(chr, range(0x21)))
_SLASHES = re.compile("/{2,}")
# Letters, digits and -._~: RFC 3986 (2.3) says that their escapes mean the same.
_PLAIN_ESCAPE = re.compile("%(2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")

# What no server should have to read: a `%` that begins no escape, NUL, and UTF-8 in more bytes than it takes, which old
# decoders take for `.` and `/` (RFC 3629, 3). Undoing escapes could also make new ones of the first.
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})|%00|%[Cc][01]%[89ABab]|%[Ee]0%[89]|%[Ff]0%8")


def _escape_table(kept: str) -> list[str]:
    """A text for each byte: itself when printable ASCII in `kept`, else its percent escape."""
    return [chr(byte) if chr(byte) in kept else f"%{byte:02X}" for byte in range(256)]


_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_PATH = _escape_table("".join(c for c in _PRINTABLE if c not in '"#<>?^`{}'))
_QUERY = _escape_table("".join(c for c in _PRINTABLE if c not in "\"#<>'"))
_FRAGMENT = _escape_table("".join(c for c in _PRINTABLE if c not in '"<>`'))
_FORM = _escape_table("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-._")
_FORM[0x20] = "+"
_QUERY_WORK = re.compile(rb"[^!$-&(-;=?-~]")


def normalise_path(raw: bytes) -> str:
    """The pathname of a request path: dot segments removed, backslashes turned, unsafe bytes escaped.

    `raw` is the path as sent, without query. Escapes stay as they are; applying it twice changes nothing.
    """
    if raw.startswith(b"/") and not _PATH_WORK.search(raw):
        return raw.decode("ascii")
    escaped = "".join([_PATH[byte] for byte in raw.replace(b"\\", b"/")])
    segments = escaped.removeprefix("/").split("/")
    kept: list[str] = []
    for position, segment in enumerate(segments):
        dots = _DOT.sub(".", segment) if len(segment) <= len("%2e%2e") else segment
        if dots not in (".", ".."):
            kept.append(segment)
            continue
        if dots == ".." and kept:
            kept.pop()
        if position == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)


def escape_query(raw: bytes) -> str:
    """A query as it goes on to an upstream: byte for byte, but for space, quotes, `#`, `<`, `>` and non-ASCII."""
    if not _QUERY_WORK.search(raw):
        return raw.decode("ascii")
    return "".join([_QUERY[byte] for byte in raw])


def collapse_slashes(path: str) -> str:
    """The path with each run of slashes as one."""
    return _SLASHES.sub("/", path) if "//" in path else path


def canonical_path(path: str) -> str | None:
    """The one spelling of a normalised path: runs of slashes as one, no escape that stands for a plain character.

    Routing and upstream then speak of the same path, and a guarded one has no second name. None when the path hides a
    `..` behind an escaped slash or backslash, or has escapes that are none: what an upstream makes of that cannot be
    known.
    """
    if "%" in path and _BAD_ESCAPE.search(path):
        return None
    plain = _PLAIN_ESCAPE.sub(lambda found: chr(int(found[1], 16)), collapse_slashes(path))
    hidden = "%" in plain and ".." in unquote(plain).replace("\\", "/").split("/")
    return None if hidden else plain


def parse_form(query: bytes) -> list[tuple[str, str]]:
    """Names and values of a query, decoded: `+` is a space, bad UTF-8 becomes U+FFFD, empty parts are dropped."""
    pairs = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            pairs.append((_decode(name), _decode(value)))
    return pairs


def _decode(part: bytes) -> str:
    return unquote_to_bytes(part).decode("utf-8", "replace")


def serialise_form(pairs: list[tuple[str, str]]) -> str:
    """Names and values as an `application/x-www-form-urlencoded` query."""
    return "&".join(f"{_form_escape(name)}={_form_escape(value)}" for name, value in pairs)


def _form_escape(text: str) -> str:
    return "".join([_FORM[byte] for byte in text.encode("utf-8", "replace")])


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream is: scheme, host (ASCII, IPv6 without brackets), port, and the path all calls go below."""

    scheme: str
    host: str
    port: int | None
    path: str


def parse_origin(text: str) -> Origin:
    """Read the absolute URL of a server; user information, query and fragment are dropped.

    Raises:
        ValueError: the text is empty, relative or not a URL.
    """
    text = re.sub(r"[\t\n\r]", "", text.strip(_CONTROLS))
    found = _SCHEME.fullmatch(text)
    if found is None:
        raise ValueError("it is not an absolute URL")
    scheme = found[1].lower()
    if scheme not in _DEFAULT_PORTS:
        return Origin(scheme, "", None, "")  # well-formed, but nothing that HTTP can be sent to
    authority, rest = _split(found[2])
    host, port = _host_and_port(authority.rpartition("@")[2])
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    return Origin(scheme, host, port if port is not None else _DEFAULT_PORTS[scheme], normalise_path(path.encode()))


def is_guarded_url(value: object) -> bool:
    """Whether a value is a URL whose traffic nobody else reads or changes: https, or http on this machine."""
    if not isinstance(value, str):
        return False
    try:
        origin = parse_origin(value)
    except ValueError:
        return False
    if origin.scheme == "https":
        return True
    if origin.scheme != "http":
        return False
    try:
        return ipaddress.ip_address(origin.host).is_loopback
    except ValueError:
        return origin.host == "localhost" or origin.host.endswith(".localhost")


def absolute_url(text: str) -> str:
    """An absolute URL as the URL standard writes it: nothing escaped but what cannot stand in a URL.

    Raises:
        ValueError: the text is empty, relative or not a URL.
    """
    origin = parse_origin(text)
    bare, hash_sign, fragment = re.sub(r"[\t\n\r]", "", text.strip(_CONTROLS)).partition("#")
    _, mark, query = bare.partition("?")
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    port = "" if origin.port in (None, _DEFAULT_PORTS.get(origin.scheme)) else f":{origin.port}"
    escaped = "".join([_FRAGMENT[byte] for byte in fragment.encode("utf-8", "replace")])
    asked = escape_query(query.encode("utf-8", "replace"))
    return f"{origin.scheme}://{host}{port}{origin.path}{mark}{asked}{hash_sign}{escaped}"


def _split(text: str) -> tuple[str, str]:
    found = _AUTHORITY.fullmatch(text)
    if found is None:  # cannot happen: the pattern matches any text
        raise ValueError("it has no host")
    return found[1], found[2]


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        literal, closed, port = authority[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            raise ValueError("the brackets around its host are not closed")
        return ipaddress.IPv6Address(literal).compressed, _port(port[1:])
    host, _, port = authority.partition(":")
    return _host(host), _port(port)


def _port(digits: str) -> int | None:
    if not digits:
        return None
    if not (digits.isascii() and digits.isdigit()) or int(digits) > 65535:
        raise ValueError(f"{digits!r} is no port")
    return int(digits)


def _host(text: str) -> str:
    try:
        name = unquote_to_bytes(text).decode()
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode()
    except (UnicodeError, idna.IDNAError):
        raise ValueError("its host is no valid name") from None
    if not name or _FORBIDDEN_IN_HOST.search(name):
        raise ValueError("its host is no valid name" if name else "it has no host")
    if _NUMBER_LABEL.fullmatch(name.rstrip(".").rpartition(".")[2]):
        try:
            return socket.inet_ntoa(socket.inet_aton(name.rstrip(".")))  # also reads 127.1, as browsers do
        except OSError:
            raise ValueError("its host is no valid address") from None
    return name
