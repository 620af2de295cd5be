"""Events: where they come from, who is told of them, and what is done because of each.

The names are imported when they are first used: a DAG file that only watches a feed does not pay for the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airgate.events.dispatch import DispatchEventsOperator
    from airgate.events.folding import logged_events
    from airgate.events.handling import Handled, each_event, events_of
    from airgate.policy.events.event import Event, NotAnEvent
    from airgate.policy.events.records import EventFields
    from airgate.triggers.event_stream import EventStreamTrigger
    from airgate.triggers.feed import FeedTrigger
    from airgate.triggers.redis_stream import RedisStreamTrigger

_HOMES = {
    "DispatchEventsOperator": "airgate.events.dispatch",
    "Event": "airgate.policy.events.event",
    "EventFields": "airgate.policy.events.records",
    "EventStreamTrigger": "airgate.triggers.event_stream",
    "FeedTrigger": "airgate.triggers.feed",
    "Handled": "airgate.events.handling",
    "NotAnEvent": "airgate.policy.events.event",
    "RedisStreamTrigger": "airgate.triggers.redis_stream",
    "each_event": "airgate.events.handling",
    "events_of": "airgate.events.handling",
    "logged_events": "airgate.events.folding",
}
"""Where each public name is defined."""

__all__ = [
    "DispatchEventsOperator",
    "Event",
    "EventFields",
    "EventStreamTrigger",
    "FeedTrigger",
    "Handled",
    "NotAnEvent",
    "RedisStreamTrigger",
    "each_event",
    "events_of",
    "logged_events",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
