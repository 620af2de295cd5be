"""When a service misbehaves: settings plus a plan that is a pure function, so that a run can be repeated exactly.

The attempts on one request target (path and query) go in rounds of three. The first two may fail, the third never does:
a client that asks again always gets its page, and no target fails more than twice in a row.
"""

import enum
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

ROUND: Final = 3


class Kind(enum.Enum):
    """What happens to one attempt."""

    SERVED = "served"
    UNAVAILABLE = "503"
    RATE_LIMITED = "429"
    DROPPED = "dropped before the answer"
    CUT = "dropped inside the answer"
    FAILED = "500 after the effect"


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """How a service misbehaves. Rates are shares of attempts, 0 to 1; all zero is a service that behaves."""

    seed: int = 0
    """Chooses which targets are hit and which records are damaged."""
    unavailable: float = 0.0
    """Rate of 503 answers; every other one of them carries Retry-After."""
    rate_limited: float = 0.0
    """Rate of 429 answers, always with Retry-After."""
    dropped: float = 0.0
    """Rate of dropped connections, half of them inside the body. What was asked for has been done."""
    failed_after: float = 0.0
    """Rate of 500 answers. What was asked for has been done."""
    slow: float = 0.0
    """Rate of served answers that are slow."""
    opening: bool = False
    """Deal one fault to the first page of every day: 503, 429 and a cut body in turn, so that three days in a row meet
    all three, and one day in three is slow as well."""
    malformed_per_day: int = 0
    """Damaged copies that stand among the flights of one day, besides the real ones."""
    slow_seconds: float = 0.3
    """Length of a slow answer, in seconds."""
    retry_after: int = 1
    """Seconds named by Retry-After."""
    latency: float = 0.0
    """Seconds added to every page, misbehaving or not; time for a test to kill somebody."""
    late: float = 0.0
    """Seconds between a dropped connection and the effect of its request, where there is one; 0 has the effect first.
    A process that ends meanwhile never does it."""
    honours_keys: bool = True
    """Whether a service with effects knows Idempotency-Key at all."""
    repeated: int = 0
    """Records of a feed that are told once more before what is new."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be carried out.

        Raises:
            ValueError: A rate outside 0 to 1, rates that sum to more than 1, a negative or infinite number.
        """
        for name in ("unavailable", "rate_limited", "dropped", "failed_after", "slow"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a rate between 0 and 1, not {getattr(self, name)}")
        if self.unavailable + self.rate_limited + self.dropped + self.failed_after > 1:
            raise ValueError("unavailable, rate_limited, dropped and failed_after together exceed 1")
        for name in ("malformed_per_day", "slow_seconds", "retry_after", "latency", "late", "repeated"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is 0 or more, not {getattr(self, name)}")


PRESETS: Final[Mapping[str, FaultSettings]] = {
    "none": FaultSettings(),
    "demo": FaultSettings(
        unavailable=0.04, rate_limited=0.02, dropped=0.04, slow=0.03, opening=True, malformed_per_day=3, repeated=1
    ),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one attempt: a kind, its Retry-After in seconds (503 and 429 only), seconds of planned delay."""

    kind: Kind
    retry_after: int | None = None
    delay: float = 0.0


def switched(current: FaultSettings, changes: Mapping[str, Any]) -> FaultSettings:
    """Return the settings after a switch.

    Args:
        current: The settings in force; a preset keeps their seed.
        changes: ``preset`` (a key of `PRESETS`, replaces every field but the seed) and fields of `FaultSettings`.

    Raises:
        ValueError: An unknown preset or field, or a value of the wrong type or range.
    """
    fields = dict(changes)
    base = asdict(current)
    if "preset" in fields:
        preset = fields.pop("preset")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ValueError(f"preset is one of {', '.join(PRESETS)}, not {preset!r}")
        base = {**asdict(PRESETS[preset]), "seed": current.seed}
    if unknown := sorted(fields.keys() - base.keys()):
        raise ValueError(f"unknown setting {', '.join(unknown)}; there are preset, {', '.join(base)}")
    return msgspec.convert({**base, **fields}, FaultSettings)


def decide(settings: FaultSettings, target: str, asked: int) -> Decision:
    """Return what happens to one attempt.

    Args:
        settings: Rates and seed in force.
        target: Path and query of the request, exactly as it was asked.
        asked: How many times this target was asked before.
    """
    step = asked % ROUND
    opened = _opened_day(target) if settings.opening else None
    if opened is not None:
        turn = (opened.toordinal() + settings.seed) % len(_OPENINGS)
        if step == 0:
            return _fault(settings, _OPENINGS[turn], retry_after=True)
        return _served(settings, slow=turn == 0 and step == 1)

    attempt = (settings.seed, target, asked)
    if step < ROUND - 1:
        share = _share(*attempt, "fault")
        for kind, rate in (
            (Kind.UNAVAILABLE, settings.unavailable),
            (Kind.RATE_LIMITED, settings.rate_limited),
            (Kind.DROPPED, settings.dropped / 2),
            (Kind.CUT, settings.dropped / 2),
            (Kind.FAILED, settings.failed_after),
        ):
            if share < rate:
                return _fault(settings, kind, retry_after=_share(*attempt, "retry-after") < 0.5)
            share -= rate
    return _served(settings, slow=_share(*attempt, "slow") < settings.slow)


# A cut body and not a drop before the answer: a gateway may quietly repeat a GET that got no answer at all.
_OPENINGS: Final = (Kind.UNAVAILABLE, Kind.RATE_LIMITED, Kind.CUT)


def _fault(settings: FaultSettings, kind: Kind, *, retry_after: bool) -> Decision:
    named = kind is Kind.RATE_LIMITED or (kind is Kind.UNAVAILABLE and retry_after)
    return Decision(kind, retry_after=settings.retry_after if named else None)


def _served(settings: FaultSettings, *, slow: bool) -> Decision:
    return Decision(Kind.SERVED, delay=settings.slow_seconds if slow else 0.0)


def _share(*parts: object) -> float:
    """Return a number from 0 to below 1 that depends on the parts alone, in every process."""
    digest = blake2b("\n".join(map(str, parts)).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48


def _opened_day(target: str) -> date | None:
    """Return the day whose first page this target asks for, None for any other target."""
    query = dict(parse_qsl(urlsplit(target).query))
    if "date" not in query or query.get("cursor") or query.get("offset", "0") != "0":
        return None
    try:
        return date.fromisoformat(query["date"])
    except ValueError:
        return None
