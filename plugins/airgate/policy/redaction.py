"""What must not be seen in a log line, an error or an XCom."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote_plus, urlsplit, urlunsplit

MASK = "***"

_WORDS = (
    r"api_?keys?|token|secrets?|password|passwd|pwd|pass|passphrase|passcode|signature|sig|credentials?|creds|code|"
    r"assertion|(jwt|sas|session|otp|totp|sid)$|session_?(id|key|token)|(php|j)?sessid|jsessionid|bearer|cookies?|"
    r"authorization|(access|auth|private|secret|subscription|client|account|master|shared|signing|functions?)_?keys?|"
    r"(access|auth|refresh|id|csrf|xsrf|bearer)_?token|client_?secret"
)
_SECRET_NAME = re.compile(rf"(^|_)({_WORDS})\d*($|_)")
_KEY = re.compile(r"(.*_)?key")
_HARMLESS_KEY = re.compile(
    r"(.*_)?(idempotency|public|primary|foreign|partition|sort|range|hash|order|group|cache|routing|row|record|object|"
    r"message|business|natural|surrogate|join|lookup|dedup|deduplication|issue|project|translation|i18n)_?key"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN = re.compile(r"[^a-z0-9]+")
_HARMLESS_HEADERS = frozenset(
    {"accept", "accept_charset", "accept_encoding", "accept_language", "cache_control", "connection", "content_type"}
    | {"content_language", "date", "from", "if_match", "if_none_match", "origin", "pragma", "prefer", "referer"}
    | {"user_agent", "te", "x_requested_with", "traceparent", "tracestate"}
)
_HARMLESS_WORDS = frozenset(
    {"tenant", "region", "zone", "version", "language", "locale", "country", "currency", "format", "environment", "env"}
    | {"stage", "channel", "source", "timezone", "idempotency"}
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(\x07|\x1b\\)?|[ -/]*[0-~])")
"""Escape sequences of a terminal (ECMA-48)."""
_BREAK = re.compile(r"[\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a header, query parameter or field of this name is likely to hold a secret.

    What is called a key counts, unless its name says of what kind it is, as in ``Idempotency-Key`` or ``primary_key``.
    """
    words = _words(name)
    if _KEY.fullmatch(words):
        return not _HARMLESS_KEY.fullmatch(words)
    return bool(_SECRET_NAME.search(words))


def is_harmless_header(name: str) -> bool:
    """Whether what is sent under this name with every request may be shown.

    Services have names of their own for credentials, so this is a list of what is none: the common headers of HTTP, and
    names such as ``X-Tenant`` or ``X-API-Version`` that say of themselves what they hold.
    """
    words = _words(name)
    if words in _HARMLESS_HEADERS:
        return True
    return not is_secret_name(name) and bool(_HARMLESS_WORDS & set(words.split("_")))


def is_secret_header(name: str, value: str) -> bool:
    """Whether the value of a header that is sent must be masked wherever it stands.

    One shorter than 8 characters only where the name says that it is secret: with a word such as ``north`` masked
    everywhere, logs could not be read.
    """
    return is_secret_name(name) or (len(value) >= 8 and not is_harmless_header(name))


def _words(name: str) -> str:
    """A name in small letters, with an underscore between its words."""
    return _BETWEEN.sub("_", _CAMEL.sub("_", name).lower()).strip("_")


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an answer with the values of secret ones masked."""
    return {name: MASK if is_secret_name(name) else value for name, value in headers.items()}


def redact_sent_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request with all values masked but those that are known to be harmless."""
    return {name: value if is_harmless_header(name) else MASK for name, value in headers.items()}


@lru_cache(maxsize=16)  # a call asks several times for that of its own
def redact_url(url: str) -> str:
    """The URL without user information and with the values of secret query parameters masked.

    Everything else is kept to the letter, so that the text can be compared with a server's log.
    """
    split = urlsplit(url)
    netloc = split.netloc.rpartition("@")[2]
    parts = []
    for part in split.query.split("&"):
        name, equals, _ = part.partition("=")
        parts.append(f"{name}={MASK}" if equals and is_secret_name(unquote_plus(name)) else part)
    return urlunsplit((split.scheme, netloc, split.path, "&".join(parts), split.fragment))


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with known secrets, bearer or basic credentials and JWTs masked.

    Args:
        text: Any text, such as the beginning of an answer.
        secrets: Values that are known to be secret; ones shorter than 4 characters are passed over, since masking them
            would make the text unreadable without hiding anything.
    """
    return _JWT.sub(MASK, _BEARER.sub(lambda match: f"{match[1]} {MASK}", redact_values(text, secrets)))


def redact_values(text: str, secrets: Iterable[str]) -> str:
    """The text with these values masked, longer ones first; ones shorter than 4 characters are passed over."""
    found = [secret for secret in secrets if len(secret) >= 4 and secret in text]
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def printable(text: str) -> str:
    """The text without what could steer a terminal or deceive who reads it; its lines and tabs are kept.

    Control characters and escape sequences go, and so do the marks that change the direction of writing.
    """
    return "".join(sign for sign in _ESCAPE.sub("", text) if sign.isprintable() or sign in "\n\t")


def one_line(text: str) -> str:
    """The text in one line, so that a service cannot write lines of its own into a log; otherwise as ``printable``."""
    return " ".join(printable(_BREAK.sub(" ", text)).split())
