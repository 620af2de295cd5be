"""The program of `begin`: which epoch holds."""

from __future__ import annotations

import logging

from airgate.policy.errors import SagaClosed
from airgate.policy.saga.effects import Now, Program, Read, Write
from airgate.policy.saga.entries import BEGUN, Epoch, last_epoch

log = logging.getLogger(__name__)

OVER = frozenset({"completed", "compensated"})
"""Final states that leave nothing to settle."""


def begin(deadline: float | None) -> Program[Epoch]:
    """The epoch to work in: the one that is under way, or a new one when that is over.

    Args:
        deadline: Seconds for all that stands before the pivot, None for no limit.

    Raises:
        SagaClosed: The epoch before is being undone, or waits for a person.
    """
    earlier = yield from last_epoch()
    number = 1
    if earlier is not None:
        verdict = yield Read(earlier.verdict)
        if verdict is None or verdict["state"] not in OVER:
            if (yield Read(earlier.fence)) is None:
                return earlier  # begun again before anything was decided: the same keys, so nothing happens twice
            raise SagaClosed(
                f"epoch {earlier.number} of this saga is not over, and a new one would leave behind what it has done: "
                "clear the undo that failed or `decide`, with all downstream, or start another run"
            )
        number = earlier.number + 1
        log.info("epoch %d ended as %s: everything is wanted anew", earlier.number, verdict["state"])
    now = yield Now()
    epoch = Epoch(number, now, None if deadline is None else now + deadline)
    yield Write(BEGUN, epoch.entry())
    return epoch
