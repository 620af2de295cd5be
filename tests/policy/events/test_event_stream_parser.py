"""``text/event-stream`` by the rules of the HTML standard, however the bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.events.event_stream import EventStreamParser, Message
from airgate.policy.events.stream_messages import read_messages


def parse(*pieces: bytes, last: str = "", limit: int = 1000) -> list[Message]:
    parser = EventStreamParser(last, limit=limit)
    return [message for piece in pieces for message in parser.feed(piece)]


# The examples of the standard, 9.2.6 and 9.2.7.
@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Message("YHOO\n+2\n10")]),
        (b"data: This is the first message.\n\n: comment\n\ndata:second\n\n", [Message("This is the first message."),
                                                                            Message("second")]),
        (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
         [Message("first event", id="1", own_id=True), Message("second event", own_id=True), Message(" third event")]),
        (b"data\n\ndata\ndata\n\ndata:", [Message(""), Message("\n")]),
        (b"data:test\n\ndata: test\n\n", [Message("test"), Message("test")]),
        (b"event: add\ndata: 73857293\n\n", [Message("73857293", "add")]),
        (b"event: add\n\ndata: x\n\n", [Message("x")]),
        (b"\xef\xbb\xbfdata: marked\n\n", [Message("marked")]),
        (b"unknown: x\ndata: y\n\n", [Message("y")]),
        (b"data: a\nid: x\0y\n\n", [Message("a")]),
        (b"data: \xff\n\n", [Message("\ufffd")]),
        (b"data: unfinished\n", []),
    ],
)  # fmt: skip
def test_a_stream_is_read_as_the_standard_says(stream: bytes, messages: list[Message]) -> None:
    assert parse(stream) == messages
    assert parse(*(stream[place : place + 1] for place in range(len(stream)))) == messages
    for end in (b"\r\n", b"\r"):
        other = stream.replace(b"\n", end)
        assert parse(*(other[place : place + 1] for place in range(len(other)))) == messages


@given(st.lists(st.sampled_from([b"data: a", b"id: 7", b"", b"event: b", b":c", b"retry: 5", b"\xc3\xa4"])), st.data())
def test_how_the_bytes_are_cut_makes_no_difference(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])) for line in lines) + b"\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parse(*pieces) == parse(stream)


def test_an_id_holds_until_another_comes_and_moves_without_data_too() -> None:
    parser = EventStreamParser("before")
    assert [message.id for message in parser.feed(b"data: a\n\nid: 5\ndata: b\n\ndata: c\n\n")] == ["before", "5", "5"]
    assert list(parser.feed(b"id: 6\n\nid: 7\n")) == []
    assert parser.last_event_id == "6"  # the block of 7 is not complete


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        *((b"retry: 2500", 2.5), (b"retry: 0", 0.0), (b"retry: x", None), (b"retry: -1", None), (b"retry:", None)),
        *((b"retry: 999999999999", 86_400.0), (b"retry: " + b"9" * 5000, None)),
    ],
)
def test_a_server_says_when_to_come_back(line: bytes, seconds: float | None) -> None:
    parser = EventStreamParser()
    list(parser.feed(line + b"\n"))
    assert parser.retry == seconds


@pytest.mark.parametrize("line", [b"data: " + b"x" * 5000, b"\n".join([b"data: " + b"x" * 90] * 50)])
def test_a_message_beyond_the_limit_is_cut_and_the_next_one_is_whole(line: bytes) -> None:
    stream = b"id: 1\n" + line + b"\n\nid: 2\ndata: y\n\n"
    for size in (1, 7, len(stream)):
        large, small = parse(*(stream[at : at + size] for at in range(0, len(stream), size)))
        assert large.too_large
        assert large.id == "1"
        assert 0 < len(large.data) < 1200
        assert small == Message("y", id="2", own_id=True)


def test_comments_count_for_nothing_however_many_keep_the_connection_alive() -> None:
    assert parse(b": still here\n" * 500 + b"data: x\n\n") == [Message("x")]


def test_messages_become_events_by_their_own_ids_only() -> None:
    messages = parse(b'id: 1\nevent: e\ndata: {"a": 1}\n\ndata: plain\n\n')
    events, unreadable = read_messages(messages, source="/s", where="/stream")
    assert [(told.id, told.type, told.data) for told in events] == [("1", "e", {"a": 1})]
    assert [(entry.where, entry.raw) for entry in unreadable] == [("a message of /stream", "plain")]


def test_a_message_that_is_too_large_is_unreadable_with_its_beginning() -> None:
    messages = parse(b"id: 1\ndata: " + b"x" * 3000 + b"\n\n")
    events, (entry,) = read_messages(messages, source="/s", where="/stream")
    assert not events
    assert entry.where == "a message of /stream with the id 1"
    assert entry.raw.startswith("xxx")


def test_a_type_that_is_not_wanted_is_left_out() -> None:
    messages = parse(b"id: 1\nevent: a\ndata: 1\n\nid: 2\ndata: 2\n\n")
    wanted = [read_messages(messages, source="/s", where="/", types=[kind])[0] for kind in ("a", "message")]
    assert [[told.id for told in events] for events in wanted] == [["1"], ["2"]]
