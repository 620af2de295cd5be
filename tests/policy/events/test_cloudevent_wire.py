"""Events as HTTP messages: what CloudEvents' HTTP binding asks for, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.events.cloudevent import MODES, Mode, of_message, to_message
from airgate.policy.events.event import Event, NotAnEvent

PLACED = Event(
    "/shop/orders",
    "A-1",
    "order.placed",
    time="2026-01-02T03:04:05Z",
    subject="Ada",
    data={"total": 5},
    extensions={"tenant": "north", "attempt": 2, "test": True},
)

BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}


def test_a_structured_message_is_the_event_as_json() -> None:
    """All of it stands in the body, under the media type that says so."""
    headers, body = to_message(PLACED)
    assert headers == {"Content-Type": "application/cloudevents+json; charset=utf-8"}
    assert json.loads(body) == {
        "specversion": "1.0", "id": "A-1", "source": "/shop/orders", "type": "order.placed", "subject": "Ada",
        "time": "2026-01-02T03:04:05Z", "tenant": "north", "attempt": 2, "test": True,
        "datacontenttype": "application/json", "data": {"total": 5},
    }  # fmt: skip


def test_a_binary_message_has_the_data_as_its_body() -> None:
    """Attributes and extensions are headers, by their canonical forms."""
    headers, body = to_message(PLACED, "binary")
    assert json.loads(body) == {"total": 5}
    assert headers == {
        "ce-specversion": "1.0", "ce-id": "A-1", "ce-source": "/shop/orders", "ce-type": "order.placed",
        "ce-subject": "Ada", "ce-time": "2026-01-02T03:04:05Z", "ce-tenant": "north", "ce-attempt": "2",
        "ce-test": "true", "Content-Type": "application/json",
    }  # fmt: skip


def test_without_data_there_is_no_body_and_no_type_of_it() -> None:
    """In binary mode; in structured mode the attributes are still there."""
    bare = Event("/s", "1", "t")
    assert to_message(bare, "binary") == (
        {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"},
        b"",
    )
    assert json.loads(to_message(bare)[1]) == {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


@pytest.mark.parametrize(
    ("subject", "header"),
    [
        ("plain-!#$&'()*+,/:;=?@[]^_`{|}~", "plain-!#$&'()*+,/:;=?@[]^_`{|}~"),
        ("two words", "two%20words"),
        ('a "quoted" one', "a%20%22quoted%22%20one"),
        ("100%", "100%25"),
        ("Euro €", "Euro%20%E2%82%AC"),
        ("\N{GRINNING FACE}", "%F0%9F%98%80"),
    ],
)
def test_a_header_holds_what_is_printable_and_escapes_the_rest(subject: str, header: str) -> None:
    """The rules of 3.1.3.2, with the binding's own examples."""
    headers, body = to_message(Event("/s", "1", "t", subject=subject), "binary")
    assert headers["ce-subject"] == header
    assert of_message(headers, body).subject == subject


@pytest.mark.parametrize(
    ("header", "subject"),
    [('"two words"', "two words"), (r'"a \"quoted\" one"', 'a "quoted" one'), ("%E2%82%ac", "€"), ("100%25", "100%")],
)
def test_headers_of_older_senders_are_read(header: str, subject: str) -> None:
    """Quoted values, and escapes in small letters, once each."""
    headers = {"CE-SpecVersion": "1.0", "CE-Id": "1", "Ce-Source": "/s", "ce-type": "t", "ce-subject": header}
    assert of_message(headers, b"").subject == subject


@pytest.mark.parametrize(
    ("media_type", "body", "data"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("application/geo+json; charset=utf-8", b"[1]", [1]),
        ("text/plain", "Größe".encode(), "Größe"),
        ("", b"3", 3),
        ("application/json", b"", None),
    ],
)
def test_binary_data_is_read_as_json_or_as_text(media_type: str, body: bytes, data: Any) -> None:
    """By its own type."""
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "Content-Type": media_type}
    assert of_message(headers, body).data == data


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({"Content-Type": "application/json"}, b"{}", "neither Content-Type is application/cloudevents+json nor"),
        ({"Content-Type": "application/cloudevents+json"}, b"{", "the body is no JSON"),
        ({"Content-Type": "application/cloudevents+json"}, b"[]", "an event must be an object"),
        ({"Content-Type": "application/cloudevents-batch+json"}, b"[]", "send each event as"),
        ({**BINARY, "ce-specversion": "0.3"}, b"", "specversion must be 1.0"),
        ({**BINARY, "ce-data": "x"}, b"", "the data is the body"),
        ({**BINARY, "ce-id": "%FF"}, b"", "the header ce-id is not percent-encoded UTF-8"),
        ({**BINARY, "ce-id": "a%0Ab"}, b"", "none that controls"),
        ({**BINARY, "Content-Type": "application/json"}, b"nope", "the data is no JSON"),
        ({**BINARY, "Content-Type": "text/plain"}, b"\xff", "no text in UTF-8"),
        ({**BINARY, "Content-Type": "image/png"}, b"\x89PNG", "image/png is not read"),
        ({name: value for name, value in BINARY.items() if name != "ce-id"}, b"", "id must be a text"),
    ],
)
def test_what_tells_no_event_is_refused_with_the_reason(headers: dict[str, str], body: bytes, said: str) -> None:
    """Whoever sent it learns what is wrong."""
    with pytest.raises(NotAnEvent, match=said.replace("+", r"\+")):
        of_message(headers, body)


def test_data_that_is_no_json_is_not_told() -> None:
    """Rather than half of it."""
    for mode in MODES:
        with pytest.raises(NotAnEvent, match="the data cannot be told as JSON"):
            to_message(Event("/s", "1", "t", data={"at": object()}), mode)


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=50)
JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
))  # fmt: skip


@given(st.sampled_from(MODES), TEXT, TEXT, TEXT, st.none() | TEXT, JSON)
def test_every_event_comes_back_as_it_was(
    mode: Mode, source: str, id_: str, type_: str, subject: str | None, data: Any
) -> None:
    """In both modes, whatever is in it."""
    event = Event(source, id_, type_, subject=subject, data=data, extensions={"tenant": "north"})
    assert of_message(*to_message(event, mode)) == event
