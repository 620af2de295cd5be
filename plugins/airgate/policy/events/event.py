"""One event, by the names of CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md).

``source`` and ``id`` together say which event it is: whoever tells it a second time uses the same two. All that is
made of an event, runs and idempotency keys, is named after them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from airgate.policy.idempotency import digest

SPEC_VERSION: Final = "1.0"
LONGEST_NAME: Final = 1024
"""Characters of ``source``, ``id``, ``type`` and ``subject``."""
_ATTRIBUTES: Final = frozenset(
    {"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema"}
)
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,64}")
_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


class NotAnEvent(ValueError):
    """What was told is no event; the message names the attribute and says what it should be."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened."""

    source: str
    """Who tells it, a URI or a path such as ``/orders``."""
    id: str
    """Its name, one for each event of a source."""
    type: str
    """What kind of thing happened, such as ``com.example.order.placed``."""
    time: str | None = None
    """When, as RFC 3339."""
    subject: str | None = None
    """To what."""
    data: Any = None
    """What else there is to know of it: anything JSON can hold."""
    extensions: Mapping[str, str | int | bool] = field(default_factory=dict)
    """Further attributes, by names of lower case letters and digits."""

    def __post_init__(self) -> None:
        for name in ("source", "id", "type"):
            _check_text(name, getattr(self, name))
        if self.subject is not None:
            _check_text("subject", self.subject)
        if self.time is not None:
            _check_time(self.time)
        for name, value in self.extensions.items():
            if not _EXTENSION.fullmatch(name) or name in _ATTRIBUTES | {"data"}:
                raise NotAnEvent(f"attribute {name!r:.80} must be a name of lower case letters and digits")
            if not isinstance(value, str | int):
                raise NotAnEvent(f"attribute {name} must be text, a whole number or a truth value")

    @classmethod
    def read(cls, told: object) -> Event:
        """The event of an object in CloudEvents' JSON format.

        Raises:
            NotAnEvent: It is none.
        """
        if not isinstance(told, Mapping):
            raise NotAnEvent(f"an event must be an object, not {type(told).__name__}")
        if (version := told.get("specversion")) != SPEC_VERSION:
            raise NotAnEvent(f"specversion must be {SPEC_VERSION}, not {version!r:.40}")
        if "data_base64" in told:
            raise NotAnEvent("data_base64 is not read: send data as JSON")
        known = {name: told.get(name) for name in ("source", "id", "type", "time", "subject")}
        extensions = {name: value for name, value in told.items() if name not in _ATTRIBUTES | {"data"}}
        # An attribute that is null is one that is not there.
        return cls(
            **known,  # type: ignore[arg-type]  # checked as the event is made
            data=told.get("data"),
            extensions={name: value for name, value in extensions.items() if value is not None},
        )

    def to_json(self) -> dict[str, Any]:
        """As an object in CloudEvents' JSON format."""
        told: dict[str, Any] = {"specversion": SPEC_VERSION, "id": self.id, "source": self.source, "type": self.type}
        if self.time is not None:
            told["time"] = self.time
        if self.subject is not None:
            told["subject"] = self.subject
        told.update(self.extensions)
        if self.data is not None:
            told["datacontenttype"] = "application/json"
            told["data"] = self.data
        return told

    def key(self, purpose: str = "") -> str:
        """The idempotency key of what is done because of the event: 32 hexadecimal digits.

        Args:
            purpose: Tells several effects of one event from each other.
        """
        return digest(("event", self.source, self.id, purpose))[:32]

    def run_id(self, dag_id: str) -> str:
        """The id of the run of a DAG that stands for the event."""
        return f"ev__{digest(('event run', dag_id, self.source, self.id))[:32]}"


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise NotAnEvent(f"{name} must be a text that is not empty, not {value!r:.40}")
    if len(value) > LONGEST_NAME or not _PRINTABLE.fullmatch(value):
        raise NotAnEvent(
            f"{name} must have at most {LONGEST_NAME} characters, none that controls and no half of a pair"
        )


def _check_time(value: object) -> None:
    try:
        when = datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        when = None
    if when is None or when.tzinfo is None:
        raise NotAnEvent(f"time must be RFC 3339 with an offset, such as 2026-01-02T03:04:05Z, not {value!r:.40}")
