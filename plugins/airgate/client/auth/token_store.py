"""A token that all calls of a process share, and whose turn it is to fetch the next one."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from airgate.client.auth.grant import Grant, Refusal


class Turn:
    """The right to fetch a token, held by one caller at a time."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Another caller fetches a token; come back in a moment."""


class TokenStore:
    """The token of one set of credentials.

    Threads and event-loop tasks share it, so its lock is held for moments only, never while a token is fetched.
    """

    SKEW = 60.0
    """Seconds before expiry, a tenth of the lifetime at the most, from which on a new token is fetched."""
    MARGIN = 1.0
    """Seconds before expiry, at which a token is no longer sent: it could expire on the way."""
    LEASE = 120.0
    """Seconds after which a turn is given to another, should its holder have vanished without giving it back."""
    PAUSE = 10.0
    """Seconds until a token is fetched again, after a failure while the old one still holds, or a refused new one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = self._expires_at = 0.0
        self._turn: Turn | None = None
        self._turn_ends = 0.0
        self._after_refusal = False
        self._refused_at: float | None = None
        self._refusals = 0
        self._refusal: Refusal | None = None

    def look(self, now: float) -> str | Turn | Pending:
        """The token to use, the turn to fetch one, or word that another caller is at it."""
        with self._lock:
            if self._token and now < self._renew_at:
                return self._token
            if self._turn is None or now >= self._turn_ends:
                self._turn, self._turn_ends = Turn(), now + self.LEASE
                return self._turn
            if self._token and now < self._expires_at - self.MARGIN:
                return self._token
            return Pending()

    @property
    def refusals(self) -> int:
        """How many fetches failed so far."""
        return self._refusals

    def refusal_since(self, count: int) -> Refusal | None:
        """Why the latest fetch failed, if one did after there were that many refusals."""
        with self._lock:
            return self._refusal if self._refusals > count else None

    def put(self, turn: Turn, grant: Grant, now: float) -> str:
        """Keep the fetched token; ``now`` is the time at which it was asked for."""
        with self._lock:
            if self._turn is turn or not self._token:
                self._token = grant.token
                self._expires_at = now + grant.lifetime
                self._renew_at = self._expires_at - min(self.SKEW, grant.lifetime / 10)
                self._refused_at = time.monotonic() if self._after_refusal else None
                self._after_refusal = False
            self._free(turn)
            return grant.token

    def fail(self, turn: Turn, refusal: Refusal, now: float) -> str | None:
        """Note that no token came; gives the old one where it still holds."""
        with self._lock:
            self._free(turn)
            if self._token and now < self._expires_at - self.MARGIN:
                self._renew_at = min(now + self.PAUSE, self._expires_at - self.MARGIN)
                return self._token
            self._refusals, self._refusal = self._refusals + 1, refusal
            return None

    def give_back(self, turn: Turn) -> None:
        """Let another caller fetch, whatever came of this one's attempt."""
        with self._lock:
            self._free(turn)

    def drop(self, token: str) -> bool:
        """Forget a token that the gateway refused; False where it came just now, in place of another refused one."""
        with self._lock:
            if self._token == token:
                if self._refused_at is not None and time.monotonic() < self._refused_at + self.PAUSE:
                    return False
                self._token, self._after_refusal = "", True
            return True

    def _free(self, turn: Turn) -> None:
        if self._turn is turn:
            self._turn = None


_stores: OrderedDict[str, TokenStore] = OrderedDict()
_stores_lock = threading.Lock()
_MOST_STORES = 256


def store_for(credentials: str) -> TokenStore:
    """The process's store of the tokens for these credentials, named by a digest of them.

    A triggerer makes a hook for each of its triggers: together they fetch one token, not one each.
    """
    with _stores_lock:
        store = _stores.setdefault(credentials, TokenStore())
        _stores.move_to_end(credentials)
        if len(_stores) > _MOST_STORES:
            _stores.popitem(last=False)
        return store


def forget_tokens() -> None:
    """Forget all tokens of the process: auths that are made from now on fetch new ones."""
    with _stores_lock:
        _stores.clear()
