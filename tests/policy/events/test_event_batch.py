"""What one asset event holds of ours, and what is made of an asset event of somebody else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from airgate.policy.events.batch import (
    FOREIGN_TYPE,
    LARGEST_EVENT,
    LONGEST_EXCERPT,
    MOST_BYTES,
    MOST_EVENTS,
    EventBatch,
    NotABatch,
    Unreadable,
    batch_of,
    slices,
)
from airgate.policy.events.event import Event


def placed(number: int, data: Any = None) -> Event:
    return Event("/orders", str(number), "order.placed", data=data)


def size(batch: EventBatch) -> int:
    return len(json.dumps(batch.to_json()))


def test_a_batch_is_read_as_it_was_written() -> None:
    batch = EventBatch((placed(1, {"a": [1, "ü"]}), placed(2)), (Unreadable.of("page 2", "no id", {"x": 1}),))
    told = json.loads(json.dumps(batch.to_json()))
    assert told["airgate"] == 1
    assert EventBatch.read(told) == batch


def test_without_anything_unreadable_a_payload_does_not_speak_of_it() -> None:
    assert EventBatch((placed(1),)).to_json() == {"airgate": 1, "events": [placed(1).to_json()]}


@pytest.mark.parametrize(
    "payload",
    [
        *(None, "text", [], {}, {"airgate": 1}, {"events": []}, {"airgate": True, "events": []}),
        *({"airgate": 1, "events": {}}, {"airgate": 1, "events": [], "unreadable": "x"}),
    ],
)
def test_another_payload_is_not_taken_for_a_batch(payload: Any) -> None:
    with pytest.raises(NotABatch):
        EventBatch.read(payload)


def test_a_payload_of_a_later_version_is_refused_with_the_cure() -> None:
    with pytest.raises(NotABatch, match=r"version 2 was written by another release.*update"):
        EventBatch.read({"airgate": 2, "events": []})


def test_an_entry_that_is_no_event_does_not_hide_the_others() -> None:
    batch = EventBatch.read({"airgate": 1, "events": [placed(1).to_json(), {"id": "2"}, placed(3).to_json()]})
    assert [event.id for event in batch.events] == ["1", "3"]
    assert batch.unreadable[0].raw == '{"id": "2"}'
    assert "specversion" in batch.unreadable[0].why


def test_an_unreadable_entry_in_another_form_is_kept_too() -> None:
    batch = EventBatch.read({"airgate": 1, "events": [], "unreadable": [{"where": 1}, "x"]})
    assert [entry.raw for entry in batch.unreadable] == ['{"where": 1}', "x"]


def test_many_events_become_batches_that_fit_in_their_order() -> None:
    batches = list(slices([placed(number) for number in range(MOST_EVENTS * 2 + 1)]))
    assert [len(batch) for batch in batches] == [MOST_EVENTS, MOST_EVENTS, 1]
    assert [event.id for batch in batches for event in batch.events] == [str(n) for n in range(MOST_EVENTS * 2 + 1)]


def test_batches_stay_within_their_bytes_whatever_the_alphabet() -> None:
    told = [placed(number, "ü" * 5000) for number in range(40)]
    batches = list(slices(told))
    assert 1 < len(batches) < 10
    # The brackets and names around the entries come on top.
    assert all(size(batch) < MOST_BYTES + 2048 for batch in batches)
    assert [event for batch in batches for event in batch.events] == told


def test_an_event_larger_than_a_batch_travels_alone() -> None:
    large = placed(2, "x" * (MOST_BYTES + 1))
    assert [batch.events for batch in slices([placed(1), large, placed(3)])] == [(placed(1),), (large,), (placed(3),)]


def test_an_event_too_large_for_airflow_is_unreadable_with_an_excerpt() -> None:
    (batch,) = slices([placed(1), placed(2, "x" * LARGEST_EVENT)])
    assert batch.events == (placed(1),)
    (entry,) = batch.unreadable
    assert entry.where == "event 2 of /orders"
    assert str(LARGEST_EVENT) in entry.why
    assert len(entry.raw) == LONGEST_EXCERPT


@pytest.mark.parametrize("data", [2**70, float("nan"), float("inf"), "\ud800", {"\udfff": 1}])
def test_what_airflow_cannot_store_is_unreadable_instead_of_taking_down_a_triggerer(data: Any) -> None:
    (batch,) = slices([placed(1, data), placed(2)])
    assert batch.events == (placed(2),)
    assert "Airflow cannot store it" in batch.unreadable[0].why
    stored = batch.to_json()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(stored)) == stored
    assert EventBatch.read(json.loads(json.dumps(stored, allow_nan=False))) == batch


def test_unreadable_entries_count_as_much_as_events() -> None:
    entries = [Unreadable.of("a page", "no id", "x" * LONGEST_EXCERPT) for _ in range(9)]
    batches = list(slices([placed(1)], entries))
    assert [len(batch.unreadable) for batch in batches] == [3, 3, 3]
    assert all(size(batch) < MOST_BYTES + 2048 for batch in batches)


def test_nothing_makes_no_batch() -> None:
    assert list(slices([])) == []
    assert not EventBatch()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a", "a"),
        (b"\xffa", "\ufffda"),
        ({"a": "ü"}, '{"a": "ü"}'),
        (None, "null"),
        ("\ud800", "?"),
        ({1, 2}, '"{1, 2}"'),
    ],
)
def test_whatever_was_told_becomes_an_excerpt(raw: Any, text: str) -> None:
    assert Unreadable.of("x", "y", raw).raw == text


def test_an_excerpt_is_bounded_in_bytes_and_cuts_no_character() -> None:
    raw = Unreadable.of("x", "y", "€" * LONGEST_EXCERPT).raw
    assert LONGEST_EXCERPT - 3 < len(raw.encode()) <= LONGEST_EXCERPT
    assert set(raw) == {"€"}


@pytest.mark.parametrize("came", ["from_trigger", "from_webhook"])
def test_an_asset_event_of_a_source_holds_the_sources_events(came: str) -> None:
    batch = EventBatch((placed(1),), (Unreadable.of("a", "b", "c"),))
    assert batch_of({came: True, "payload": batch.to_json()}, asset="a", asset_event_id=7) == batch


@pytest.mark.parametrize(
    ("extra", "data"),
    [
        ({"from_trigger": True, "payload": {"message": "hello"}}, {"message": "hello"}),
        ({"from_trigger": True, "payload": "text"}, "text"),
        ({"rows": 3}, {"rows": 3}),
        ({"payload": 3}, {"payload": 3}),
        ({}, None),
        (None, None),
    ],
)
def test_an_asset_event_of_somebody_else_is_one_event(extra: Any, data: Any) -> None:
    batch = batch_of(extra, asset="s3://bucket/orders", asset_event_id=7, time="2026-01-02T03:04:05Z")
    event = Event("s3://bucket/orders", "7", FOREIGN_TYPE, "2026-01-02T03:04:05Z", data=data)
    assert batch == EventBatch((event,))


def test_a_cloud_event_of_another_broker_stays_the_event_that_it_is() -> None:
    extra = {"from_trigger": True, "payload": placed(5).to_json()}
    assert batch_of(extra, asset="a", asset_event_id=7).events == (placed(5),)


@pytest.mark.parametrize("payload", [{"airgate": 2, "events": []}, {"specversion": "1.0", "id": 5}])
def test_what_cannot_be_read_is_told_and_does_not_raise(payload: Any) -> None:
    batch = batch_of({"from_trigger": True, "payload": payload}, asset="a", asset_event_id=7)
    assert not batch.events
    assert batch.unreadable[0].where == "asset event 7 of a"
    assert json.loads(batch.unreadable[0].raw) == payload


def test_an_asset_whose_name_can_be_no_source_has_one_all_the_same() -> None:
    (first,), (second,) = (batch_of({}, asset=name, asset_event_id=7).events for name in ("a" * 1500, "b\n"))
    assert first.source != second.source
    assert batch_of({}, asset="b\n", asset_event_id=8).events[0].source == second.source
