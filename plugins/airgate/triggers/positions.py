"""Where a source of events remembers how far it has read: in the state store of the assets that it brings events of."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

from airgate.client import clock
from airgate.policy.events.pauses import pause_after_failure
from airgate.policy.idempotency import digest, json_digest

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0
_TRIES = 4
"""Of writing a position. One that is not written costs no event: some are told twice after a restart."""


class StateOfAsset(Protocol):
    """What Airflow keeps of one asset, asked without holding up the event loop."""

    async def aget(self, key: str, default: Any = None) -> Any:
        """The value of a key."""
        ...

    async def aset(self, key: str, value: Any) -> None:
        """Store JSON under a key."""
        ...


class Positions:
    """The position of one source, kept with every asset that the source brings events of.

    Args:
        states: Of these assets.
        name: Of the source: another one has another position.
    """

    def __init__(self, states: Sequence[StateOfAsset], name: str) -> None:
        self._states = states
        self.key = f"airgate.position.{name}"
        self._number = 0

    async def read(self) -> dict[str, Any] | None:
        """The position that was written last, None when there is none; asks until the store answers.

        A store that cannot be asked is no reason to begin from the start.
        """
        failures = 0
        while True:
            try:
                stored = [await state.aget(self.key, None) for state in self._states]
                break
            except Exception as error:
                failures += 1
                pause = pause_after_failure(1.0, _LONGEST_PAUSE, failures, None, 0.5)
                log.warning("the position %s cannot be read, again in %.0f s: %s", self.key, pause, error)
                await clock.asleep(pause)
        # An asset that began to watch the same source later has none, or an older one.
        known = [entry for entry in stored if isinstance(entry, dict) and isinstance(entry.get("position"), dict)]
        latest = max(known, key=lambda entry: int(entry.get("number") or 0), default=None)
        if latest is None:
            return None
        self._number = int(latest.get("number") or 0)
        return dict(latest["position"])

    async def write(self, position: dict[str, Any]) -> None:
        """Remember a position; what cannot be written is logged, as the next one takes its place."""
        self._number += 1
        entry = {"number": self._number, "position": position}
        for state in self._states:
            await self._write(state, entry)

    async def _write(self, state: StateOfAsset, entry: dict[str, Any]) -> None:
        for tried in range(1, _TRIES + 1):
            try:
                await state.aset(self.key, entry)
            except Exception as error:
                if tried == _TRIES:
                    log.warning(
                        "the position %s cannot be written, and after a restart events would be told twice: %s",
                        *(self.key, error),
                    )
                else:
                    await clock.asleep(0.2 * 2**tried)
            else:
                return


def states_of(store: Any) -> list[StateOfAsset]:
    """The state of each asset that a trigger watches for.

    Args:
        store: What Airflow gives a trigger as ``asset_state_store``; None where it gives nothing.
    """
    if store is None:
        return []
    # Airflow's accessors can be asked by asset only, and a trigger is not told of which assets it is.
    each = [*getattr(store, "_by_name", {}).values(), *getattr(store, "_by_uri", {}).values()]
    return each or [store]


def name_of(*parts: object) -> str:
    """A short name of what makes a source the one that it is, the same in every process."""
    return digest([json_digest(part) for part in parts])[:16]
