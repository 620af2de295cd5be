"""When to ask for a job's status again: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass

SETTLING = 30.0
"""Seconds after its submission in which a job that the service does not know is one that it does not know yet."""
_SHARE = 0.1
"""Of the time waited so far: a job is noticed at the latest a tenth of its length after its end."""
_LONGEST_ASKED = 3600.0
_SPREAD = 0.1
"""Of an interval, taken off at random, so that jobs started together are not asked for together for ever."""


@dataclass(frozen=True, slots=True)
class PollPace:
    """Between which bounds the interval of polls grows; seconds."""

    shortest: float = 1.0
    longest: float = 60.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.shortest <= self.longest:
            raise ValueError(
                f"poll_interval must be from 0.1 s up, the shorter bound first, not {self.shortest:g} to "
                f"{self.longest:g}"
            )

    def interval(self, waited: float, asked: float | None, jitter: float) -> float:
        """Seconds until the next poll.

        Args:
            waited: Seconds since the job was submitted.
            asked: Seconds that the service wants to be left alone; it counts for more than the longer bound.
            jitter: A random number from 0 to 1.
        """
        own = min(self.longest, max(self.shortest, waited * _SHARE)) * (1.0 - _SPREAD * jitter)
        return (
            own if asked is None else max(min(asked, _LONGEST_ASKED), self.shortest) + _SPREAD * self.shortest * jitter
        )
