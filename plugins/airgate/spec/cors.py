"""Cross-origin headers, added to every answer while `cors` is on."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from airgate.spec.javascript import to_text, truthy

Header = tuple[bytes, bytes]

_LISTS = {
    "allow_methods": b"access-control-allow-methods",
    "allow_headers": b"access-control-allow-headers",
    "expose_headers": b"access-control-expose-headers",
}

LIST_KEYS = ("allow_origins", *_LISTS)
"""The settings that are lists."""


class BadList(ValueError):
    """A list setting that is no list; the gateway then fails on every request."""


@dataclass(frozen=True, slots=True)
class Cors:
    """Compiled `cors` settings: the headers that are always set, and which origins are let in."""

    fixed: tuple[Header, ...]
    origins: tuple[str, ...]
    credentials: bool

    def apply(self, headers: Iterable[Header], origin: str | None) -> list[Header]:
        """The headers of an answer (lower-case names) with the cross-origin ones set.

        An upstream's own allowed origin and `Vary` survive when the caller's origin is not listed.
        """
        own = list(self.fixed)
        allowed = self._allowed(origin) if origin else None
        if allowed is not None:
            own += [(b"access-control-allow-origin", allowed.encode("utf-8", "replace")), (b"vary", b"Origin")]
        replaced = {name for name, _ in own}
        return [header for header in headers if header[0] not in replaced] + own

    def _allowed(self, origin: str) -> str | None:
        for entry in self.origins:
            if entry == "*":
                return origin if self.credentials else "*"
            if entry == origin or ("*" in entry and _pattern(entry).fullmatch(origin)):
                return origin
        return None


def build(settings: object) -> Cors | None:
    """Compile `cors`, or None when it is absent, false, null, zero or empty text.

    Raises:
        BadList: a list setting is something else.
    """
    if not truthy(settings):
        return None
    options = settings if isinstance(settings, dict) else {}
    credentials = truthy(options.get("allow_credentials"))
    max_age = options.get("max_age")
    fixed = [(header, _joined(options.get(key), key)) for key, header in _LISTS.items()]
    fixed.append((b"access-control-allow-credentials", b"true" if credentials else b"false"))
    fixed.append((b"access-control-max-age", to_text(max_age).encode() if truthy(max_age) else b"0"))
    origins = options.get("allow_origins")
    entries = tuple(item for item in origins if isinstance(item, str)) if isinstance(origins, list) else ()
    return Cors(tuple(fixed), entries, credentials)


def _joined(value: object, key: str) -> bytes:
    if not truthy(value):
        return b""
    if not isinstance(value, list):
        raise BadList(f"{key} is not a list")
    return to_text(value).encode("utf-8", "replace")


def _pattern(entry: str) -> re.Pattern[str]:
    """Each `*` stands for any text; all else is literal. Compiled once an entry: `re` keeps what it compiled."""
    return re.compile(".*".join(map(re.escape, entry.split("*"))))
