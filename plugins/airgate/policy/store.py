"""Where processes keep what they share about a gateway: a file on one machine, or a Redis for many."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airgate.policy.store_redis import RedisStore
    from airgate.policy.store_sqlite import SqliteStore


class StoreUnavailable(Exception):
    """The store of limits and circuits could not be asked. Says what was tried and what to do; holds no secret."""


def open_store(location: str, *, clock: Callable[[], float] = time.time) -> SqliteStore | RedisStore:
    """The store at a location; nothing is opened or connected before its first use.

    Args:
        location: A file's path, or ``redis://``, ``rediss://``, ``unix://`` (one server) or ``redis+cluster://``,
            ``rediss+cluster://`` with what redis-py understands behind it.
        clock: Unix time in seconds, for a file; a Redis goes by its own clock.

    Raises:
        StoreUnavailable: The location names Redis and its client is not installed.
        ValueError: The location is a URL of another kind.
    """
    scheme, mark, _ = location.partition("://")
    if not mark:
        from airgate.policy.store_sqlite import SqliteStore

        return SqliteStore(location, clock=clock)
    if scheme in ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster"):
        from airgate.policy.store_redis import RedisStore

        return RedisStore(location)
    raise ValueError(f"The limits store is a file path or a redis:// URL, not {scheme}://")
