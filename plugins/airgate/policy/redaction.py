"""What must not be seen in a log line, an error or an XCom."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit, urlunsplit

MASK = "***"

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-amz-security-token"})
_SECRET_NAME = re.compile(
    r"(^|[-_.])(api[-_]?key|token|secret|password|passwd|pwd|signature|sig|credentials?|assertion|code)($|[-_.])",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def is_secret_name(name: str) -> bool:
    """Whether a header, query parameter or field of this name is likely to hold a secret."""
    return name.lower() in _SECRET_HEADERS or bool(_SECRET_NAME.search(_CAMEL.sub("_", name)))


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the values of secret ones masked."""
    return {name: MASK if is_secret_name(name) else value for name, value in headers.items()}


def redact_url(url: str) -> str:
    """The URL without user information and with the values of secret query parameters masked.

    Everything else is kept to the letter, so that the text can be compared with a server's log.
    """
    split = urlsplit(url)
    netloc = split.netloc.rpartition("@")[2]
    parts = []
    for part in split.query.split("&"):
        name, equals, _ = part.partition("=")
        parts.append(f"{name}={MASK}" if equals and is_secret_name(name) else part)
    return urlunsplit((split.scheme, netloc, split.path, "&".join(parts), split.fragment))


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with known secrets, bearer or basic credentials and JWTs masked.

    Args:
        text: Any text, such as the beginning of an answer.
        secrets: Values that are known to be secret; ones shorter than 4 characters are passed over, since masking them
            would make the text unreadable without hiding anything.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, MASK)
    return _JWT.sub(MASK, _BEARER.sub(lambda match: f"{match[1]} {MASK}", text))
