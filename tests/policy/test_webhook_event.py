"""What a delivery is called, and the event that it tells of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from airgate.policy.events.event import NotAnEvent
from airgate.policy.webhook_event import Delivery, Place, Reading

BODY = {"type": "order.placed", "order": {"id": 7, "a/b": ["x", {"~": "deep"}], "paid": True, "none": None, "": "e"}}
READING = Reading(Place("header:Webhook-Id"), Place("#/type"), "webhook")


def delivery(body: Any = BODY, headers: Mapping[str, str] | None = None) -> Delivery:
    """One of a body."""
    return Delivery({"webhook-id": "msg_1", **(headers or {})}, json.dumps(body).encode(), body)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("#/type", "order.placed"),
        ("#/order/id", "7"),
        ("#/order/a~1b/0", "x"),
        ("#/order/a~1b/1/~0", "deep"),
        ("#/order/a%2Fb/0", None),
        ("#/order/%61~1b/0", "x"),
        ("#/order/", "e"),
        ("#/order/a~1b/2", None),
        ("#/order/a~1b/-1", None),
        ("#/order/a~1b/00", None),
        ("#/order/paid", None),
        ("#/order/none", None),
        ("#/order", None),
        ("#/nowhere/at/all", None),
        ("header:WEBHOOK-ID", "msg_1"),
        ("header:x", None),
    ],
)
def test_a_place_is_a_pointer_or_a_header(place: str, found: str | None) -> None:
    assert Place(place).find(delivery()) == found


@pytest.mark.parametrize("text", ["", "id", "/id", "#", "#id", "header:", "header:a b", "header:a\n"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a JSON pointer|names no header"):
        Place(text)


def test_a_delivery_is_called_what_it_is_called_there_or_by_its_body() -> None:
    assert READING.id_of(delivery()) == "msg_1"
    assert Reading(Place("#/order/id"), "t").id_of(delivery()) == "7"
    assert Reading(None, "t").id_of(delivery()) == hashlib.sha256(json.dumps(BODY).encode()).hexdigest()
    for body in ({}, {"order": {"id": "x" * 256}}, {"order": {"id": "a b"}}):
        with pytest.raises(NotAnEvent, match="at #/order/id"):
            Reading(Place("#/order/id"), "t").id_of(delivery(body))


def test_a_body_becomes_the_data_of_an_event() -> None:
    event = READING.event_of(delivery(), "shop", "msg_1")
    assert (event.source, event.id, event.type, event.data) == ("/webhooks/shop", "msg_1", "order.placed", BODY)
    assert event.time is None  # the time of sending changes when it is sent again


def test_a_type_may_be_fixed_or_missing() -> None:
    assert READING.event_of(delivery({}), "shop", "m").type == "webhook"
    assert Reading(None, "order").event_of(delivery(), "shop", "m").type == "order"
    with pytest.raises(NotAnEvent, match="name the event's type at #/kind"):
        Reading(None, Place("#/kind")).event_of(delivery(), "shop", "m")


def test_a_source_may_be_given() -> None:
    assert Reading(None, "t", source="/orders").event_of(delivery(), "shop", "m").source == "/orders"


def test_a_cloud_event_stays_what_it_is_but_for_a_source_that_it_may_not_speak_for() -> None:
    told = {"specversion": "1.0", "id": "e1", "source": "/orders", "type": "placed", "data": 1}
    event = READING.event_of(delivery(told), "shop", "msg_1")
    assert (event.source, event.id, event.type, event.data) == ("/orders", "e1", "placed", 1)
    assert Reading(None, "t", source="/orders").event_of(delivery(told), "shop", "m") == event
    with pytest.raises(NotAnEvent, match="source must be /payments, not '/orders'"):
        Reading(None, "t", source="/payments").event_of(delivery(told), "shop", "m")


def test_half_a_cloud_event_is_none() -> None:
    with pytest.raises(NotAnEvent, match="source must be"):
        READING.event_of(delivery({"specversion": "1.0", "id": "e1", "type": "t"}), "shop", "m")
