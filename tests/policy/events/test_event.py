"""What is an event, and what is named after it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from airgate.policy.events.event import LONGEST_NAME, Event, NotAnEvent

TOLD: dict[str, Any] = {"specversion": "1.0", "source": "/orders", "id": "7", "type": "order.placed"}
FULL: dict[str, Any] = TOLD | {
    "time": "2026-01-02T03:04:05.678Z",
    "subject": "customer/9",
    "region": "north",
    "attempt": 3,
    "datacontenttype": "application/json",
    "data": {"lines": [{"sku": "a", "quantity": 2}]},
}


@pytest.mark.parametrize("told", [TOLD, FULL])
def test_an_event_is_written_as_it_was_read(told: dict[str, Any]) -> None:
    assert json.loads(json.dumps(Event.read(told).to_json())) == told


def test_an_attribute_that_is_null_is_one_that_is_not_there() -> None:
    assert Event.read(TOLD | {"time": None, "subject": None, "region": None, "data": None}) == Event.read(TOLD)


def test_its_further_attributes_are_extensions() -> None:
    assert Event.read(FULL).extensions == {"region": "north", "attempt": 3}


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (None, "object"),
        ([], "object"),
        (TOLD | {"specversion": "0.3"}, "specversion"),
        ({name: value for name, value in TOLD.items() if name != "specversion"}, "specversion"),
        (TOLD | {"data_base64": "AA=="}, "data_base64"),
        (TOLD | {"id": ""}, "id"),
        (TOLD | {"id": 7}, "id"),
        (TOLD | {"source": None}, "source"),
        (TOLD | {"type": "x" * (LONGEST_NAME + 1)}, "type"),
        (TOLD | {"subject": "a\nb"}, "subject"),
        (TOLD | {"time": "2026-01-02T03:04:05"}, "time"),
        (TOLD | {"time": "yesterday"}, "time"),
        (TOLD | {"time": 1}, "time"),
        (TOLD | {"Region": "north"}, "Region"),
        (TOLD | {"region": {"a": 1}}, "region"),
        (TOLD | {"region": 1.5}, "region"),
    ],
)
def test_what_is_no_event_is_refused_by_the_name_of_what_is_wrong(told: Any, named: str) -> None:
    with pytest.raises(NotAnEvent, match=named):
        Event.read(told)


def test_a_message_shows_no_more_than_the_beginning_of_what_was_told() -> None:
    with pytest.raises(NotAnEvent) as refused:
        Event.read(TOLD | {"id": ["secret" * 100]})
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize("taken", ["id", "data", "specversion", "datacontenttype"])
def test_an_extension_cannot_pass_for_an_attribute(taken: str) -> None:
    with pytest.raises(NotAnEvent, match=taken):
        Event("/orders", "7", "order.placed", extensions={taken: "x"})


def test_source_and_id_alone_say_which_event_it_is() -> None:
    event = Event.read(TOLD)
    again = Event.read(FULL)
    assert event.key("charge") == again.key("charge")
    assert event.run_id("orders") == again.run_id("orders")


def test_names_of_different_things_are_different() -> None:
    event, other = Event("/orders", "7", "t"), Event("/orders/7", "7", "t")
    names = {event.key(), event.key("charge"), other.key(), event.run_id("a"), event.run_id("b"), other.run_id("a")}
    assert len(names) == 6
    # Parts do not run together.
    assert Event("/a", "bc", "t").key() != Event("/ab", "c", "t").key()


def test_a_runs_id_fits_airflows_usual_pattern() -> None:
    assert re.fullmatch("ev__[0-9a-f]{32}", Event("/orders", "7", "t").run_id("dag"))


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_a_name_that_no_other_program_could_store_is_refused(text: str) -> None:
    with pytest.raises(NotAnEvent, match="id"):
        Event("/orders", text, "t")
