"""Records of strangers as events."""

from __future__ import annotations

from typing import Any

import pytest

from airgate.policy.events.event import Event, NotAnEvent
from airgate.policy.events.records import EventFields, event_of, read_json, value_at

CLOUD = {"specversion": "1.0", "source": "/a", "id": "1", "type": "t"}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("a.b", 1),
        ("/a/b", 1),
        ("list.1.x", 2),
        ("/list/1/x", 2),
        ("/with~1slash", 3),
        ("/with~0tilde", 4),
        ("dotted", None),
        ("a.b.c", None),
        ("list.7", None),
        ("list.x", None),
        ("list.-1", None),
        ("text.0", None),
        ("/", None),
    ],
)
def test_a_place_is_a_dotted_name_or_a_pointer(place: str, value: Any) -> None:
    record = {"a": {"b": 1}, "list": [0, {"x": 2}], "with/slash": 3, "with~tilde": 4, "text": "abc"}
    assert value_at(record, place) == value


def test_an_empty_place_is_all_of_it() -> None:
    assert value_at([1], "") == [1]


def test_a_cloud_event_stays_as_it_is_whatever_the_fields() -> None:
    told = event_of(CLOUD, source="/other", fields=EventFields(id="x", default_type="y"), told_id="9", told_type="z")
    assert told == Event.read(CLOUD)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"k": "t"}, "id, at 'id'"),
        ({"id": True, "k": "t"}, "id, at 'id'"),
        ({"id": 1.5, "k": "t"}, "id, at 'id'"),
        ({"id": "", "k": "t"}, "id"),
        ({"id": 1}, "type"),
        ({"id": 1, "k": 5}, "type"),
        ({"id": 1, "k": "t", "at": "today"}, "time"),
        ({"id": 1, "k": "t", "at": 1e30}, "time"),
        ({"id": 1, "k": "t", "to": []}, "subject"),
        ("text", "object"),
    ],
)
def test_a_record_that_lacks_a_part_is_refused_by_its_name(record: Any, said: str) -> None:
    with pytest.raises(NotAnEvent, match=said):
        event_of(record, source="/s", fields=EventFields(type="k", time="at", subject="to"))


@pytest.mark.parametrize(
    ("at", "time"),
    [
        (None, None),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        (1767323045, "2026-01-02T03:04:05+00:00"),
        (1767323045678, "2026-01-02T03:04:05.678000+00:00"),
    ],
)
def test_a_time_may_be_a_number(at: Any, time: str | None) -> None:
    assert event_of({"id": 1, "at": at}, source="/s", fields=EventFields(time="at", default_type="t")).time == time


def test_a_default_type_stands_in_where_a_record_has_none() -> None:
    fields = EventFields(type="k", default_type="thing")
    assert [event_of({"id": 1, **kind}, source="/s", fields=fields).type for kind in ({}, {"k": "x"})] == ["thing", "x"]


def test_without_fields_a_record_needs_the_name_that_its_broker_gives_it() -> None:
    assert event_of([1], source="/s", told_id="7-0", told_type="t") == Event("/s", "7-0", "t", data=[1])
    with pytest.raises(NotAnEvent, match="say with fields"):
        event_of([1], source="/s")


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf"a"', "a"),
        ('"\u00e4"', "\u00e4"),
        (b'["\\ud800"]', ["\ud800"]),
        (b'["\xff"]', ["\ufffd"]),
        (b"[123456789012345678901234567890]", [123456789012345678901234567890]),
    ],
)
def test_json_is_read_generously(body: bytes | str, value: Any) -> None:
    assert read_json(body) == value


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[" * 100_000])
def test_what_is_no_json_is_said(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"not JSON|nested too deeply"):
        read_json(body)
