"""Which flights are served a second time as damaged copies, and how they are damaged."""

import random
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

Record = dict[str, Any]

DAMAGES: Final[Mapping[str, Record]] = {
    "text for a number": {"distance": "n/a"},
    "no key": {"flight": None},
    "object for a number": {"dep_delay": {"minutes": 2}},
}
"""What a damaged copy says instead of the truth, by the name of the damage."""


def damaged_rows(seed: int, per_day: int, days: Mapping[date, slice]) -> dict[int, str]:
    """Return which rows have a damaged copy right before them: ``{row number: name of the damage}``.

    A day's damages depend on the seed and the day alone, so that every reading of the day, by itself or within the
    year, meets the same ones.

    Args:
        seed: Any number.
        per_day: Damaged copies in one day; a day with fewer records gets one for each record.
        days: The row numbers of each day.
    """
    plan: dict[int, str] = {}
    for day, where in days.items():
        rng = random.Random(f"{seed}/{day}")  # noqa: S311 - repeatable on purpose
        rows = range(where.start, where.stop)
        for row in rng.sample(rows, min(per_day, len(rows))):
            plan[row] = rng.choice(tuple(DAMAGES))
    return plan
