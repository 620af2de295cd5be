"""How a task waits where a wait is too long to be spent within a call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from airgate.client import clock
from airgate.client.gateway import Gateway
from airgate.hooks.waits import LongWait, TaskDeadline, long_wait, refuse_beyond
from airgate.policy.errors import GatewayError, RateLimited

log = logging.getLogger(__name__)

_SPENT = {"defer": "in the triggerer", "inline": "in this worker"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How a task waits."""

    defer: Callable[[float], NoReturn]
    """Gives the worker back until a Unix time."""
    mode: LongWait | None = None
    """None for the connection's."""
    deferrable: bool = True
    deadline: float | None = None
    """Seconds over all tries, 0 for no limit; None for the connection's ``task_deadline``."""

    def spend(self, error: GatewayError, gateway: Gateway, time: TaskDeadline, began: float) -> str:
        """Spend the wait that ended a call.

        Args:
            error: What ended it.
            gateway: Whose settings hold.
            time: When the task must be over, and what it has sent.
            began: When the task began to call, Unix time.

        Returns:
            The place in the line of the gateway's own limits to come back with; empty for none.

        Raises:
            GatewayError: The error itself, where it asks for no long wait or another try has to wait, and
                ``DeadlineExceeded`` where the wait would end behind a deadline.
        """
        wait = long_wait(error, gateway)
        if wait is None:
            raise error
        time.leaves(wait, error)
        place = error.place if isinstance(error, RateLimited) else ""
        # In line for our own limits one gets on, and a deadline ends it. A service that is asked again and again, and a
        # circuit that stays open, are not waited for without end.
        time.count(0 if place else max(error.attempts, 1), place)
        mode = self.mode or gateway.long_wait
        if mode == "defer" and not self.deferrable:
            mode = "retry"
        if mode == "retry" or (not place and time.attempts >= gateway.retry.attempts):
            raise error
        if mode == "inline":
            refuse_beyond(gateway.retry.deadline and began + gateway.retry.deadline, wait, error)
        log.warning("%s; the wait of %.0f s is spent %s", error, wait, _SPENT[mode])
        if mode == "defer":
            self.defer(clock.now() + wait)
        clock.sleep(wait)
        return place
