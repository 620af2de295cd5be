"""What a client is told about its limits: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers)."""

from collections.abc import Iterable, Sequence

from airgate.edge.rates import Standing
from airgate.policy.limits import Limit

Header = tuple[bytes, bytes]


def policy_header(named: Iterable[tuple[str, Limit]]) -> Header:
    """The limits themselves: for each window its requests (`q`) and its seconds (`w`)."""
    items = [f'"{name}";q={window.requests};w={window.seconds:g}' for name, limit in named for window in limit.windows]
    return b"ratelimit-policy", ", ".join(items).encode()


def standing_header(names: Sequence[str], standing: Sequence[Standing]) -> Header:
    """What is left: for each limit its requests (`r`), and the seconds until more are there (`t`)."""
    items = [
        f'"{name}";r={each.remaining};t={max(0, int(-(-each.reset // 1)))}'
        for name, each in zip(names, standing, strict=True)
    ]
    return b"ratelimit", ", ".join(items).encode()
