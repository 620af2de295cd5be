"""Whether a run may still be cancelled, by the journals of its sagas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PIVOT = "pivot"
"""The entry of a saga's journal that names its pivot."""

_DONE = "{} is completed."
_PAST = "{} has passed its point of no return."
_PASSING = "{} is at its point of no return: what becomes of it is not known yet."


def hindrance(saga: str, journal: Mapping[str, Any]) -> str | None:
    """Why a saga keeps its run from being cancelled; None where it would be undone.

    Args:
        saga: Its name.
        journal: Its entries by name.
    """
    begun = journal.get("begun")
    if begun is None:
        return None
    epoch = begun["epoch"]
    if (verdict := journal.get(f"{epoch}.verdict")) is not None:
        return {"completed": _DONE.format(saga)}.get(verdict["state"]) or _of_pivot(saga, epoch, journal)
    if (decision := journal.get(f"{epoch}.decision")) is not None:
        said = {"complete": _DONE, "forward": _PAST, "nowhere": _PASSING}.get(decision["direction"])
        return None if said is None else said.format(saga)
    return _of_pivot(saga, epoch, journal)


def is_undecided(journal: Mapping[str, Any]) -> int | None:
    """The epoch in which a step may be sent for the first time, None where that is over or has not begun."""
    begun = journal.get("begun")
    if begun is None:
        return None
    epoch: int = begun["epoch"]
    closed = any(f"{epoch}.{name}" in journal for name in ("fence", "decision", "verdict"))
    return None if closed else epoch


def _of_pivot(saga: str, epoch: int, journal: Mapping[str, Any]) -> str | None:
    named = journal.get(PIVOT)
    if named is None:
        return None
    step = f"{epoch}.{named['step']}"
    if f"{step}.done" in journal:
        return _PAST.format(saga)
    word = journal.get(f"{step}.word")
    if word is not None:
        return _PAST.format(saga) if word["happened"] else None
    sent = journal.get(f"{step}.sent")
    if sent is None:
        return None
    refused = journal.get(f"{step}.refused")
    if f"{step}.again" not in journal and refused is not None and refused["of"] == sent["at"]:
        return None
    return _PASSING.format(saga)
