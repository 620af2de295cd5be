"""What holds for a route: its own value, else the file's, else strict mode's default."""

from dataclasses import dataclass
from typing import TypeVar

import msgspec
from msgspec import UnsetType

from airgate.policy.breaker import BreakerSettings
from airgate.policy.limits import Limit, parse_limits
from airgate.spec.extension import BreakerPolicy, ClientLimits, FileLimits, FileUpstream, RouteLimits, RouteUpstream

T = TypeVar("T")

_RETRY_BUDGET = 0.2

UNLIMITED = Limit()


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """What holds before a route is known; None is no limit. Sizes are bytes, times seconds."""

    headers: int | None = None
    header_bytes: int | None = None
    header_seconds: float | None = None
    uri: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for one route; None is no limit, and so is an empty `Limit`. Sizes are bytes, times seconds."""

    body: int | None = None
    body_seconds: float | None = None
    seconds: float | None = None
    all_clients: Limit = UNLIMITED
    each_client: Limit = UNLIMITED


@dataclass(frozen=True, slots=True)
class Calling:
    """How a route's upstream is called; None is no limit. Times are seconds."""

    connect: float | None = None
    read: float | None = None
    total: float | None = None
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Protection:
    """How servers are spared while they fail: their circuit breaker, None for none, and the share of retries."""

    breaker: BreakerSettings | None
    retry_budget: float


STRICT_FRONT = FrontLimits(headers=100, header_bytes=32 * 1024, header_seconds=10.0, uri=8 * 1024)
STRICT_LIMITS = Limits(
    body=10 * 1024 * 1024,
    body_seconds=60.0,
    seconds=300.0,
    all_clients=Limit(concurrency=1000),
    each_client=Limit(concurrency=200),
)
STRICT_CALLING = Calling(
    connect=5.0,
    read=60.0,
    total=300.0,
    retries=0,  # callers that retry, as airgate's own client does, would multiply what the edge adds
)


def front_limits(file: FileLimits) -> FrontLimits:
    """The limits before routing."""
    return FrontLimits(
        headers=_first(file.headers, STRICT_FRONT.headers),
        header_bytes=_first(file.header_bytes, STRICT_FRONT.header_bytes),
        header_seconds=_first(file.header_seconds, STRICT_FRONT.header_seconds),
        uri=_first(file.uri, STRICT_FRONT.uri),
    )


def limits(route: RouteLimits, file: RouteLimits) -> Limits:
    """The limits of a route.

    Raises:
        ValueError: a rate cannot be read; the text says which form it has.
    """
    return Limits(
        body=_first(route.body, file.body, STRICT_LIMITS.body),
        body_seconds=_first(route.body_seconds, file.body_seconds, STRICT_LIMITS.body_seconds),
        seconds=_first(route.seconds, file.seconds, STRICT_LIMITS.seconds),
        all_clients=_limit(route, file, STRICT_LIMITS.all_clients),
        each_client=_limit(_or_empty(route.per_client), _or_empty(file.per_client), STRICT_LIMITS.each_client),
    )


def calling(route: RouteUpstream, file: FileUpstream, default: Calling = STRICT_CALLING) -> Calling:
    """How the upstream of a route is called."""
    return Calling(
        connect=_first(route.connect, file.connect, default.connect),
        read=_first(route.read, file.read, default.read),
        total=_first(route.total, file.total, default.total),
        retries=_first(route.retries, file.retries, default.retries),
    )


def protection(file: FileUpstream) -> Protection:
    """How the servers of a file are spared."""
    policy = _first(file.breaker, BreakerPolicy())
    settings = None if policy is None else BreakerSettings(**msgspec.structs.asdict(policy))
    return Protection(settings, _first(file.retry_budget, _RETRY_BUDGET))


def _limit(route: RouteLimits | ClientLimits, file: RouteLimits | ClientLimits, default: Limit) -> Limit:
    rate = _first(route.rate, file.rate, None)
    windows = parse_limits({} if rate is None else {"rate": rate}).connection.windows
    return Limit(windows, _first(route.concurrency, file.concurrency, default.concurrency))


def _or_empty(limits: ClientLimits | UnsetType) -> ClientLimits:
    return ClientLimits() if isinstance(limits, UnsetType) else limits


def _first(*values: T | UnsetType) -> T:
    """The first value that is set; the last one always is."""
    for value in values:
        if not isinstance(value, UnsetType):
            return value
    raise AssertionError("the default is not set")
