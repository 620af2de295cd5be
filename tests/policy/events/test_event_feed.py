"""What an answer of a feed means: tables of what services send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.policy.events.feed import Feed, FeedPosition, first_position, is_expired, query_and_headers
from airgate.policy.events.feed_answer import MOST_SEEN, FeedBroken, Turn, pause_after, read_answer
from airgate.policy.events.pauses import pause_after_failure


def event(number: int) -> dict[str, Any]:
    return {"specversion": "1.0", "source": "/s", "id": str(number), "type": "t"}


def read(feed: Feed, position: FeedPosition, body: Any, status: int = 200, **headers: str) -> Turn:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_answer(feed, position, status, sent, json.dumps(body).encode(), 1000.0)


def ids(turn: Turn) -> list[str]:
    return [told.id for told in turn.events]


FEED = Feed("/feed")


def test_a_page_that_names_another_cursor_is_followed_by_the_next_at_once() -> None:
    turn = read(FEED, FeedPosition("a"), {"events": [event(1)], "next_cursor": "b"})
    assert (ids(turn), turn.position.cursor, turn.again) == (["1"], "b", True)
    assert pause_after(FEED, turn, 0.5) == 0


@pytest.mark.parametrize(
    ("body", "cursor"),
    [
        ({"events": [event(1)]}, "a"),
        ({"events": [event(1)], "next_cursor": None}, "a"),
        ({"events": [event(1)], "next_cursor": ""}, "a"),
        ({"events": [event(1)], "next_cursor": "a"}, "a"),
        ({"events": [], "next_cursor": "b"}, "b"),
        ({"next_cursor": "b"}, "b"),
        ({"events": None, "next_cursor": "b"}, "b"),
    ],
)
def test_other_pages_are_the_end_for_now(body: Any, cursor: str) -> None:
    """An empty page with another cursor, too: services that stamp every cursor would be asked without a pause."""
    turn = read(FEED, FeedPosition("a"), body)
    assert (turn.position.cursor, turn.again) == (cursor, False)
    assert 27 <= pause_after(FEED, turn, 0.0) <= pause_after(FEED, turn, 1.0) <= 33


@pytest.mark.parametrize("more", [True, False])
def test_a_feed_that_says_whether_there_is_more_is_believed(more: bool) -> None:
    feed = Feed("/feed", more_field="meta.more")
    for page in ([], [event(1)]):
        turn = read(feed, FeedPosition("a"), {"events": page, "next_cursor": "b", "meta": {"more": more}})
        assert turn.again is more


def test_a_cursor_that_does_not_move_is_not_asked_without_a_pause_whatever_the_service_says() -> None:
    feed = Feed("/feed", more_field="more")
    assert not read(feed, FeedPosition("a"), {"events": [event(1)], "next_cursor": "a", "more": True}).again


def test_the_cursor_may_stand_in_a_header_or_in_the_last_record() -> None:
    feed = Feed("/feed", items="", cursor_header="X-Next")
    assert read(feed, FeedPosition(), [event(1)], x_next="h").position.cursor == "h"
    feed = Feed("/feed", items="", cursor_item="id", cursor_param="after")
    turn = read(feed, FeedPosition("3"), [event(4), event(5)])
    assert turn.position.cursor == "5"
    assert query_and_headers(feed, turn.position)[0] == {"limit": 500, "after": "5"}
    assert read(feed, turn.position, []).position.cursor == "5"


def test_a_feed_that_gives_the_record_at_its_cursor_once_more_does_not_tell_it_twice() -> None:
    feed = Feed("/feed", items="", cursor_item="id", cursor_param="since")
    turn = read(feed, FeedPosition(), [event(1), event(2)])
    again = read(feed, turn.position, [event(2)])
    assert (ids(again), again.again) == ([], False)
    assert ids(read(feed, again.position, [event(2), event(3)])) == ["3"]


def test_a_last_page_that_grows_tells_what_is_new_on_it_once() -> None:
    position = FeedPosition("a")
    told: list[str] = []
    for page in ([1], [1, 2], [1, 2], [2, 3]):
        turn = read(FEED, position, {"events": [event(number) for number in page]})
        told += ids(turn)
        position = turn.position
    assert told == ["1", "2", "3"]


def test_a_page_larger_than_what_is_remembered_otherwise_is_remembered_whole() -> None:
    page = {"events": [event(number) for number in range(MOST_SEEN + 500)]}
    turn = read(FEED, FeedPosition(), page)
    assert len(turn.events) == MOST_SEEN + 500
    assert ids(read(FEED, turn.position, page)) == []


def test_what_is_no_event_is_told_once_as_well() -> None:
    page = {"events": [{"id": 1}, "text", event(1)]}
    turn = read(FEED, FeedPosition(), page)
    assert [entry.where for entry in turn.unreadable] == ["record 0 of a page of /feed", "record 1 of a page of /feed"]
    assert turn.unreadable[0].raw == '{"id": 1}'
    assert read(FEED, turn.position, page).unreadable == ()


@pytest.mark.parametrize("status", [204, 304])
def test_nothing_new_leaves_the_position(status: int) -> None:
    position = FeedPosition("a", '"e"', ("x",))
    turn = read_answer(FEED, position, status, {}, b"", 0.0)
    assert (turn.position, turn.events, turn.again) == (position, (), False)


def test_an_etag_is_sent_for_the_same_page_only() -> None:
    stays = read(FEED, FeedPosition("a"), {"events": [event(1)]}, etag='"v1"').position
    assert query_and_headers(FEED, stays)[1] == {"If-None-Match": '"v1"'}
    moves = read(FEED, stays, {"events": [event(2)], "next_cursor": "b"}, etag='"v2"').position
    assert query_and_headers(FEED, moves)[1] == {}


@pytest.mark.parametrize(("header", "seconds"), [("120", 120), ("1", 27), ("Thu, 01 Jan 1970 00:18:40 GMT", 120)])
def test_a_good_answer_may_ask_to_wait_too(header: str, seconds: float) -> None:
    turn = read(FEED, FeedPosition(), {"events": []}, retry_after=header)
    assert pause_after(FEED, turn, 0.0) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "not JSON"),
        (b'{"data": []}', "no list at 'events', the feed's `items`; it has data"),
        (b'{"events": {}}', "must be a list, not dict"),
        (b"[]", "must be a list, not NoneType"),
        (b'{"events": [], "next_cursor": {}}', "next cursor must be a text or a whole number, not dict"),
        (b'{"events": [], "next_cursor": true}', "next cursor must be"),
    ],
)
def test_an_answer_that_nothing_can_be_read_from_says_what_was_expected(body: bytes, said: str) -> None:
    with pytest.raises(FeedBroken, match=said):
        read_answer(FEED, FeedPosition(), 200, {}, body, 0.0)


def test_the_way_to_the_latest_tells_nothing_and_ends_at_the_end() -> None:
    position = first_position(Feed("/feed", start="latest"))
    turn = read(FEED, position, {"events": [event(1)], "next_cursor": "b"})
    assert (ids(turn), turn.again, turn.position.passing) == ([], True, True)
    turn = read(FEED, turn.position, {"events": [event(2)]})
    assert (ids(turn), turn.position.passing) == ([], False)
    assert ids(read(FEED, turn.position, {"events": [event(2), event(3)]})) == ["3"]


@pytest.mark.parametrize(
    ("position", "status", "expired"),
    [
        (FeedPosition("a"), 410, True),
        (FeedPosition("a"), 400, True),
        (FeedPosition("a"), 404, False),
        (FeedPosition("a"), None, False),
        (FeedPosition(), 410, False),
    ],
)
def test_a_cursor_has_expired_only_where_one_was_sent(
    position: FeedPosition, status: int | None, expired: bool
) -> None:
    assert is_expired(FEED, position, status) is expired


@pytest.mark.parametrize("position", [FeedPosition(), FeedPosition("a", '"e"', ("x", "y"), passing=True)])
def test_a_position_is_read_as_it_was_written(position: FeedPosition) -> None:
    assert FeedPosition.read(json.loads(json.dumps(position.to_json()))) == position


@pytest.mark.parametrize("stored", [None, [], {}, {"version": 2, "cursor": "a"}])
def test_a_position_of_another_release_is_none(stored: Any) -> None:
    assert FeedPosition.read(stored) is None


def test_pauses_after_failures_double_up_to_a_bound_and_heed_the_service() -> None:
    pauses = [pause_after_failure(30, 900, failures, None, 0.5) for failures in range(1, 8)]
    assert pauses == [30, 60, 120, 240, 480, 900, 900]
    assert pause_after_failure(30, 900, 1, 5000.0, 0.5) == 5000
    assert pause_after_failure(30, 900, 10_000, None, 1.0) == pytest.approx(990)
