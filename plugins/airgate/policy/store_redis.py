"""Limits and circuits shared by the machines of a cluster, in Redis.

Every question is one script, so it is one step for everybody; the clock is the server's. All keys expire by themselves.
The keys of one connection carry one hash tag, so a Redis Cluster keeps them together. Nobody can tell from afar
whether a process lives, so the concurrency slots of a dead one are free when their lease is over.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec

from airgate.policy.breaker_shared import Change, SharedBreaker, read_circuit
from airgate.policy.limits import Granted, Queued, Scope
from airgate.policy.store import StoreUnavailable
from airgate.policy.store_redis_scripts import ACQUIRE, READ, RELEASE, SWAP

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds to wait for a connection to the server, and for each of its answers."""
RACES = 50
"""How often a change of a circuit is tried again because another process was faster."""


class RedisStore(SharedBreaker):
    """Limits and circuits in a Redis; threads share it, and it is safe to use after a fork.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; ``redis+cluster://`` for a Redis Cluster.
        clock: Unix time in seconds instead of the server's, for tests.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._url = url
        self._clock = clock
        self._client: Any = None
        self._failures: tuple[type[Exception], ...] = (OSError,)

    def __repr__(self) -> str:
        return "RedisStore(...)"  # the URL may hold a password

    def acquire(self, scopes: Sequence[Scope], *, lease: float, ticket: str | None = None) -> Granted | Queued:
        """Take one request of all scopes or a place in line; see ``Limiter``."""
        if not scopes:
            return Granted("", time.time())
        tag, names = _tag(scopes[0].key), [_digest(scope.key) for scope in scopes]
        seq = ticket.partition(".")[0] if ticket else ""
        arguments: list[Any] = [self._now(), max(1, round(lease * 1e6)), seq if seq.isdecimal() else ""]
        for scope in scopes:
            windows = [number for window in scope.limit.windows for number in (window.requests, window.micros)]
            arguments += [scope.limit.concurrency or 0, len(scope.limit.windows), *windows]
        granted, seq, number = self._run("acquire", _keys(tag, names), arguments)
        whole = f"{int(seq)}.{tag}.{'.'.join(names)}"
        if not granted:
            return Queued(whole, int(number) / 1e6)
        return Granted(whole if any(scope.limit.concurrency for scope in scopes) else "", int(number) / 1e6)

    def release(self, ticket: str) -> None:
        """Free the slots of a ticket or leave the line; see ``Limiter``."""
        seq, _, rest = ticket.partition(".")
        tag, _, names = rest.partition(".")
        if seq.isdecimal() and names:
            self._run("release", _keys(tag, names.split(".")), [seq])

    def exchange(self, key: str, change: Change[T], keep: float) -> T:
        """Change a circuit in one step; see ``SharedBreaker``."""
        name = f"airgate:{{{_digest(key)}}}:circuit"
        for race in range(RACES):
            before, now = self._run("read", [name], [self._now()])
            circuit = read_circuit(before)
            changed, result = change(circuit, int(now) / 1e6)
            if changed is circuit:
                return result
            after = msgspec.json.encode(changed)
            if self._run("swap", [name], [before or b"", after, max(1000, round(keep * 1000))]):
                return result
            time.sleep(random.uniform(0, 0.001) * min(race, 10))  # noqa: S311 - spreads the racers, hides nothing
        raise StoreUnavailable(f"The circuit in Redis changed {RACES} times while it was read; ask again later.")

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _now(self) -> int | str:
        return "" if self._clock is None else int(self._clock() * 1e6)

    def _run(self, script: str, keys: list[str], arguments: list[Any]) -> Any:
        if self._client is None:
            self._connect()
        try:
            return self._scripts[script](keys=keys, args=arguments)
        except self._failures as error:
            raise StoreUnavailable(
                f"The limits store in Redis cannot be used ({type(error).__name__}). Check that the server runs and "
                "that the address, user and password of the limits store are right."
            ) from None  # redis-py's texts may name the address and the user

    def _connect(self) -> None:
        try:
            import redis
        except ImportError as error:
            raise StoreUnavailable("A limits store in Redis needs the extra airgate[redis].") from error
        kind, url = redis.Redis, self._url
        if "+cluster://" in url:
            kind, url = cast("Any", redis.RedisCluster), url.replace("+cluster://", "://", 1)
        self._failures = (redis.RedisError, OSError)
        try:
            # What the client sends again after a lost answer may take twice: less is sent then, never more.
            client = kind.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        except self._failures as error:
            raise StoreUnavailable(
                f"The limits store in Redis cannot be reached ({type(error).__name__}). Check that the server runs."
            ) from None
        except ValueError:
            raise StoreUnavailable("The address of the limits store in Redis cannot be read.") from None
        texts = {"acquire": ACQUIRE, "release": RELEASE, "read": READ, "swap": SWAP}
        self._scripts = {name: client.register_script(text) for name, text in texts.items()}
        self._client = client


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _tag(key: str) -> str:
    """Keys with one tag live on one server: those of a connection, whose own key stands before the first space."""
    return _digest(key.partition(" ")[0])


def _keys(tag: str, names: list[str]) -> list[str]:
    """The clock, and of each scope: its grants, the line (by age), the line's due times, the slots held."""
    parts = [f"{name}:{part}" for name in names for part in ("grants", "line", "due", "held")]
    return [f"airgate:{{{tag}}}:{part}" for part in ("clock", *parts)]
