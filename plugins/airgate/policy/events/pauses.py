"""How long a source of events waits before it asks again."""

from __future__ import annotations

from typing import Final

_JITTER: Final = 0.1
"""Share by which pauses differ, so that many sources at one service do not ask in the same moment."""


def spread(seconds: float, chance: float) -> float:
    """About as many seconds.

    Args:
        seconds: How many.
        chance: A random number from 0 to 1.
    """
    return seconds * (1 + _JITTER * (2 * chance - 1))


def pause_after_failure(shortest: float, longest: float, failures: int, asked: float | None, chance: float) -> float:
    """Seconds until the next try after failures: doubled from one to the next, and never less than was asked for.

    Args:
        shortest: After the first failure.
        longest: After many.
        failures: In a row, from 1.
        asked: By the service.
        chance: A random number from 0 to 1.
    """
    pause = min(longest, shortest * 2.0 ** min(failures - 1, 32))
    return max(spread(pause, chance), asked or 0.0)
