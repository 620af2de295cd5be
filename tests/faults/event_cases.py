"""What the feeds tell, and which servers are killed meanwhile: a plan that a seed fixes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults.events_service import REFUSED

SERVERS = ("triggerer", "scheduler", "api-server")
SHARE_TOLD_AGAIN = 0.05
SHARE_LATE = 0.05
"""Of the events that are told behind younger ones."""
_LATER = 400
"""Records behind which such an event comes, at most."""
_BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Telling:
    """What one feed tells, in order."""

    feed: str
    records: tuple[dict[str, Any], ...]
    good: frozenset[str]
    """Ids of the events of which each has to have one effect."""
    parked: int
    """Events and others that somebody has to look at."""


def telling(feed: str, count: int, seed: int, *, poison: int, params: bool) -> Telling:
    """Draw what a feed tells.

    Args:
        feed: Its name.
        count: Good events.
        seed: The same one gives the same records.
        poison: Events of each kind that nobody can take.
        params: Whether the DAG of the events has Params that some of them break.
    """
    draw = random.Random(f"{feed} {seed}")
    good = [_event(f"{feed}-{number:05d}", number) for number in range(count)]
    bad = [_event(f"{REFUSED}-{feed}-{number}", number) for number in range(poison)]
    if params:
        bad += [{**_event(f"odd-{feed}-{number}", number), "data": {}} for number in range(poison)]
    bad += [{"specversion": "1.0", "type": "placed", "source": "/orders", "number": number} for number in range(poison)]
    # Place -> record; what comes late or again has a place behind its own.
    places = [(float(number), record) for number, record in enumerate(good)]
    for number, record in enumerate(good):
        share = draw.random()
        later = number + draw.uniform(1, min(_LATER, count))
        if share < SHARE_TOLD_AGAIN:
            places.append((later, record))
        elif share < SHARE_TOLD_AGAIN + SHARE_LATE:
            places[number] = (later, record)
    places += [(draw.uniform(0, count), record) for record in bad]
    places.sort(key=lambda place: place[0])
    return Telling(feed, tuple(record for _, record in places), frozenset(record["id"] for record in good), len(bad))


def kills(rounds: int, seed: int, longest: float = 8.0) -> list[tuple[str, float]]:
    """Draw servers to be killed, each as often as the others, and how many seconds after the last one was back.

    Args:
        rounds: How often each.
        seed: The same one gives the same kills.
        longest: Of these seconds.
    """
    draw = random.Random(f"kills {seed}")
    servers = [server for _ in range(rounds) for server in SERVERS]
    draw.shuffle(servers)
    return [(server, draw.uniform(2.0, longest)) for server in servers]


def _event(name: str, number: int) -> dict[str, Any]:
    at = (_BEGAN + timedelta(seconds=number)).isoformat()
    return {
        "specversion": "1.0",
        "id": name,
        "source": "/orders",
        "type": "placed",
        "time": at,
        "data": {"sku": f"sku-{number % 50}", "note": "n" * 100},
    }
