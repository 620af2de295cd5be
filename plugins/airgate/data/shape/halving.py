"""Finds the few that fail among many by halving, and gives up on it where they are not few."""

from __future__ import annotations

from collections.abc import Callable

DENSE = 8
"""More stretches than this that fail at once are no longer halved: each failing one would cost two tries a level."""


def halve(count: int, fits: Callable[[int, int], bool]) -> list[range]:
    """Where those are that fail, of many that fail together.

    Args:
        count: Of all, 1 or more; known to fail together.
        fits: Tries those from a place to the one before another.

    Returns:
        In order: single places that failed alone; or, as soon as more than ``DENSE`` stretches fail at once, these,
        which may hold others too. ``fits`` has been true for all places besides. It is called ``2 * DENSE`` times a
        level at the most, of which there are as many as the count has binary digits.
    """
    failing = [range(count)]
    while len(failing) <= DENSE and any(len(stretch) > 1 for stretch in failing):
        failing = [
            half
            for stretch in failing
            for half in _halves(stretch)
            if half is stretch or not fits(half.start, half.stop)
        ]
    return failing


def _halves(stretch: range) -> tuple[range, ...]:
    middle = len(stretch) // 2
    return (stretch[:middle], stretch[middle:]) if middle else (stretch,)
