"""Answers split into records and what stands beside them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.client import splitting
from airgate.client.message import Response, headers_of
from airgate.client.splitting import MOST_NAMES, Splitter, split_page
from airgate.policy.errors import InvalidResponse


def answer(body: Any) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(200, headers_of(), content, "GET", "http://gw/x")


class Counted:
    """A decoder that counts the bytes it is given."""

    def __init__(self, decoder: Any, scanned: list[int]) -> None:
        self._decoder, self._scanned = decoder, scanned

    def decode(self, raw: bytes | msgspec.Raw) -> Any:
        self._scanned.append(len(bytes(raw)))
        return self._decoder.decode(raw)


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of what was scanned for members or records apart from one another."""
    sizes: list[int] = []
    monkeypatch.setattr(splitting, "_OBJECT", Counted(splitting._OBJECT, sizes))
    monkeypatch.setattr(splitting, "_LIST", Counted(splitting._LIST, sizes))
    return sizes


def test_pages_behind_the_first_are_scanned_once(scanned: list[int]) -> None:
    """What was looked for beside the records of one page is found in the next without a scan of its own."""
    splitter = Splitter("data")
    for number in range(4):
        page = splitter.split(answer({"data": [{"id": number}], "next": number + 1, "other": "x"}))
        assert page.get("next") == number + 1
        assert not page.has("total")
        assert [bytes(record) for record in page.records] == [b'{"id": %d}' % number]
        assert len(scanned) == 2


def test_what_was_never_looked_for_is_there_all_the_same(scanned: list[int]) -> None:
    """It costs a scan the first time, and none from the next page on."""
    splitter = Splitter("data")
    splitter.split(answer({"data": [], "next": 1, "late": 2}))
    scanned.clear()
    page = splitter.split(answer({"data": [], "next": 1, "late": 2}))
    assert page.get("late") == 2
    assert len(scanned) == 1
    assert splitter.split(answer({"data": [], "late": 3})).get("late") == 3
    assert len(scanned) == 1
    assert dict(splitter.split(answer({"data": [], "late": 3, "next": 4})).envelope) == {
        "late": msgspec.Raw(b"3"),
        "next": msgspec.Raw(b"4"),
    }


def test_ever_new_names_do_not_make_ever_new_decoders() -> None:
    """Where names are data, pages are split as the first one was."""
    splitter = Splitter("data")
    for number in range(3 * MOST_NAMES):
        page = splitter.split(answer({"data": [1], f"n{number}": number}))
        assert page.get(f"n{number}") == number
        assert splitter._scan is None or len(splitter._scan.kept) <= MOST_NAMES


@pytest.mark.parametrize("body", [b'{"data": [{"a": NaN}], "next": 2}', b'{"data": [{"a": "\\ud800"}], "next": 2}'])
def test_a_damaged_record_costs_itself_on_any_page(body: bytes) -> None:
    """The page is salvaged, be it the first or a later one."""
    splitter = Splitter("data")
    for content in (body, b'{"data": [], "next": 2}', body):
        page = splitter.split(answer(content))
        assert page.get("next") == 2
    assert len(page.records) == 1


@pytest.mark.parametrize(
    "body", [{"next": 1}, {"data": 7}, {"data": None}, [1], b"<html>", {"data": {"a": [1]}}, b'{"gr\xf6\xdfe": 1}']
)
def test_a_later_page_without_records_is_refused_as_a_first_one(body: Any) -> None:
    """The message is the same: it names the path and what is there."""
    with pytest.raises(InvalidResponse) as first:
        split_page(answer(body), "data")
    splitter = Splitter("data")
    splitter.split(answer({"data": []}))
    with pytest.raises(InvalidResponse) as later:
        splitter.split(answer(body))
    assert str(later.value) == str(first.value)


NAMES = st.sampled_from(["data", "result", "next", "a", "b", 'q"\\', "é"])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@given(
    st.sampled_from(["data", "result.data", "result.next.data"]),
    st.lists(
        st.tuples(st.lists(VALUES, max_size=3), st.dictionaries(NAMES, VALUES, max_size=4)), min_size=2, max_size=5
    ),
    st.lists(st.sampled_from(["next", "a", "result.next", "result.a", "result.next.b", "data", "result"]), max_size=4),
)
def test_a_page_says_the_same_whatever_came_before_it(path: str, pages: list[Any], asked: list[str]) -> None:
    """Records, and all that is asked for, are those of the page split alone."""
    splitter = Splitter(path)
    for records, beside in pages:
        body: Any = records
        for name in reversed(path.split(".")):
            body = {**beside, name: body}
        page, alone = splitter.split(answer(body)), split_page(answer(body), path)
        assert list(page.records) == list(alone.records)
        assert page.within == alone.within
        assert [(page.has(name), page.get(name)) for name in asked] == [
            (alone.has(name), alone.get(name)) for name in asked
        ]
