"""Cross-origin headers in strict mode: caches must not mix up origins, and the upstream has no say."""

from collections.abc import Iterable

from airgate.spec.cors import Cors, Header

_ALLOWED = b"access-control-allow-origin"


def with_cross_origin(cors: Cors, headers: Iterable[Header], origin: str | None) -> list[Header]:
    """The headers of an answer (lower-case names) with the cross-origin ones set.

    Other than in compatible mode, an upstream's `Vary` is kept beside `Origin`, its own allowed origin never survives,
    and `Vary: Origin` also stands on answers to other origins, unless every origin gets the same answer.
    """
    before = [header for header in headers if header[0] != _ALLOWED]
    varies = [value for name, value in before if name == b"vary"]
    applied = [header for header in cors.apply(before, origin) if header[0] != b"vary"]
    same_for_all = "*" in cors.origins and not cors.credentials
    if not same_for_all and not any(b"origin" in _names(value) or b"*" in _names(value) for value in varies):
        varies.append(b"Origin")
    return applied + ([(b"vary", b", ".join(varies))] if varies else [])


def _names(value: bytes) -> list[bytes]:
    return [name.strip().lower() for name in value.split(b",")]
