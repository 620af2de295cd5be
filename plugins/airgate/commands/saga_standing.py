"""How a saga stands that has no verdict yet: what its journal says so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from airgate.policy.saga.effects import Done, Program, Read
from airgate.policy.saga.entries import Epoch, last_epoch
from airgate.policy.saga.plan import Step
from airgate.policy.saga.settling import Absent, recorded

T = TypeVar("T")

SENT = "sent"
"""State of a step whose outcome is not recorded while it may still be; behind the fence it is ``in doubt``."""


def standing(journal: Mapping[str, Any], steps: Sequence[str], key_of: Callable[[str, int], str]) -> dict[str, Any]:
    """The saga as its verdict would show it, as far as it is known.

    Args:
        journal: The entries, by name.
        steps: The steps' names.
        key_of: The key of a step, by its name and the epoch's number.

    Returns:
        ``epoch`` and ``began_at``, 0 and None before `begin`; ``decided``, which way it goes and why, None before
        `decide`; and ``steps`` as in a verdict, without ``pivot`` and ``retriable``.
    """
    epoch = _read(last_epoch(), journal)
    if epoch is None:
        none = [_step(name, "not sent") for name in steps]
        return {"epoch": 0, "began_at": None, "decided": None, "steps": none}
    return {
        "epoch": epoch.number,
        "began_at": epoch.began_at,
        "decided": journal.get(epoch.decision),
        "steps": [_seen(name, epoch, journal, key_of) for name in steps],
    }


def _seen(name: str, epoch: Epoch, journal: Mapping[str, Any], key_of: Callable[[str, int], str]) -> dict[str, Any]:
    def fact(of: str) -> Any:
        return journal.get(epoch.of(name, of))

    known = _read(recorded(Step(name), epoch), journal)
    sent, done, undone, failed = fact("sent"), fact("done"), fact("undone"), fact("undo_failed")
    why = "" if isinstance(known, Done) else known.why
    if undone is not None and not (undone["how"] == "nothing" and isinstance(known, Absent)):
        state = {"undone": "undone", "by hand": "undone by hand", "nothing": "nothing to undo"}[undone["how"]]
        why = undone["why"]
    elif failed is not None:
        state, why = "undo failed", failed["why"]
    elif isinstance(known, Done):
        state = "done"
    elif isinstance(known, Absent):
        state = "not sent" if sent is None else "refused"
    else:
        state = SENT if journal.get(epoch.fence) is None else "in doubt"
    if state in {SENT, "not sent"}:
        why = ""
    return _step(
        name,
        state,
        why,
        None if sent is None else key_of(name, epoch.number),
        None if sent is None else sent["first_at"],
        None if done is None else done["at"],
        None if undone is None or undone["how"] == "nothing" else undone["at"],
    )


def _step(
    name: str,
    state: str,
    why: str = "",
    key: str | None = None,
    sent_at: float | None = None,
    done_at: float | None = None,
    undone_at: float | None = None,
) -> dict[str, Any]:
    times = {"sent_at": sent_at, "done_at": done_at, "undone_at": undone_at}
    return {"name": name, "state": state, "why": why, "key": key, **times}


def _read(program: Program[T], journal: Mapping[str, Any]) -> T:
    """What a program comes to that does nothing but read."""
    told: Any = None
    while True:
        try:
            wanted = program.send(told)
        except StopIteration as end:
            found: T = end.value
            return found
        assert isinstance(wanted, Read)
        told = journal.get(wanted.name)
