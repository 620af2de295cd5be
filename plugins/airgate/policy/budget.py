"""A budget for retries: a service that is down gets its usual calls and a few more, not a multiple of them."""

from __future__ import annotations

import threading


class RetryBudget:
    """Retries that the calls of one process may still spend on one gateway.

    Each call adds ``share`` of a retry, each retry takes one, and never more than ``reserve`` are saved up. While most
    calls succeed nobody notices; when all fail, the load on the service grows by ``share`` instead of by ``attempts``.

    Args:
        share: Retries that each call pays in, such as 0.2 for one in five; 0 means that the budget never ends.
        reserve: Retries that are there at the start, and the most that can be saved up.
    """

    def __init__(self, share: float, reserve: float = 20.0) -> None:
        self._share = share
        self._reserve = reserve
        self._left = reserve
        self._lock = threading.Lock()

    def pay_in(self) -> None:
        """Count a call."""
        with self._lock:
            self._left = min(self._reserve, self._left + self._share)

    def spend(self) -> bool:
        """Take one retry; False when none is left."""
        if not self._share:
            return True
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True
