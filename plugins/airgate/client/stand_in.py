"""Who answers in a gateway's place: the seam between the drivers and ``airgate.testing``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from airgate.client.effects import Reply, Send
from airgate.client.gateway import Gateway


class StandIn(Protocol):
    """Answers what would otherwise go over the wire."""

    def answer(self, effect: Send, gateway: Gateway) -> Reply:
        """What comes of sending the request; must not block."""
        ...


_standing: dict[str, StandIn] = {}


def stand_in_for(gateway: Gateway) -> StandIn | None:
    """Who answers in the gateway's place; None, as always outside of tests, for nobody."""
    return _standing.get(gateway.base_url) if _standing else None


@contextmanager
def standing_in(base_url: str, stand_in: StandIn) -> Iterator[None]:
    """Answer for the gateway at this address, in all threads of the process, until the end of the context."""
    if base_url in _standing:
        raise ValueError(f"somebody stands in for {base_url} already")
    _standing[base_url] = stand_in
    try:
        yield
    finally:
        del _standing[base_url]
