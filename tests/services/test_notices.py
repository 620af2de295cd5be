"""The notices service as a feed: read by cursor, and what is published to it once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airgate.policy.events.event import Event, NotAnEvent
from tests.services.effect_cases import LOST, ask
from tests.services.notice_cases import NOTICE, page, publish, texts

if TYPE_CHECKING:
    from conftest import Service


# -- the feed by cursor -------------------------------------------------------------------------------------------


def test_a_notice_is_told_as_an_event(notices: Service) -> None:
    """With all that CloudEvents asks for, as it was answered to whoever published it."""
    [said] = publish(notices, "Gate A3 is closed.")
    [told] = page(notices).json()["notices"]
    assert told == said
    event = Event.read(told)
    assert (event.source, event.type, event.subject) == ("/notices", "com.example.airport.notice", "EWR")
    assert event.data == NOTICE
    assert event.time is not None


def test_a_reading_goes_on_behind_its_cursor(notices: Service) -> None:
    """Page by page, oldest first; at the end the cursor stands still, and moves when there is something new."""
    publish(notices, "one", "two", "three")
    first = page(notices, limit=2).json()
    assert (texts(first["notices"]), first["more"]) == (["one", "two"], True)
    second = page(notices, limit=2, after=first["next"]).json()
    assert (texts(second["notices"]), second["more"]) == (["three"], False)
    end = page(notices, after=second["next"]).json()
    assert end == {"notices": [], "next": second["next"], "more": False}
    assert page(notices, after="end").json() == end
    publish(notices, "four")
    assert texts(page(notices, after=second["next"]).json()["notices"]) == ["four"]


def test_nothing_new_is_told_by_304(notices: Service) -> None:
    """The ETag stands for a page; with something new on it, it is another one."""
    publish(notices, "one")
    first = page(notices)
    same = page(notices, {"If-None-Match": first.headers["ETag"]})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    publish(notices, "two")
    other = page(notices, {"If-None-Match": first.headers["ETag"]})
    assert (other.status_code, texts(other.json()["notices"])) == (200, ["one", "two"])


@pytest.mark.parametrize("after", ["", "x", "x-y", "-1", "a-1-", f"a-{'9' * 19}"])
def test_what_is_no_cursor_is_refused(notices: Service, after: str) -> None:
    """By name, to a reader and to a listener."""
    for path in ("/notices", "/notices/stream"):
        refused = notices.session.get(notices.url + path, params={"after": after}, timeout=10)
        assert (refused.status_code, refused.json()["parameter"]) == (400, "after")


def test_a_cursor_of_another_log_is_gone(start: Callable[..., Service], notices: Service) -> None:
    """A service that lost its file begins anew with number 1, and says so instead of leaving something out."""
    publish(notices, "one")
    other = start("notices")
    publish(other, "another")
    cursor = page(other).json()["next"]
    gone = page(notices, after=cursor)
    assert (gone.status_code, gone.json()["parameter"]) == (410, "after")
    assert page(notices).json()["notices"][0]["id"] != page(other).json()["notices"][0]["id"]


def test_a_file_outlives_the_process(start: Callable[..., Service], tmp_path: Path) -> None:
    """With ids, cursors and keys."""
    file = ("--store", str(tmp_path / "notices.sqlite"))
    service = start("notices", *file)
    said = ask(service, "POST", "/notices", "k-1", NOTICE).json()
    before = page(service).json()
    service.stop()
    again = start("notices", *file)
    assert page(again).json() == before
    assert page(again, after=before["next"]).json()["notices"] == []
    replayed = ask(again, "POST", "/notices", "k-1", NOTICE)
    assert (replayed.json(), replayed.headers["Idempotent-Replayed"]) == (said, "true")


def test_a_feed_may_tell_again_what_it_told(notices: Service) -> None:
    """Before what is new, and only then: a reader that is up to date hears nothing."""
    publish(notices, "one", "two")
    cursor = page(notices).json()["next"]
    notices.switch(repeated=1).raise_for_status()
    assert page(notices, after=cursor).json()["notices"] == []
    publish(notices, "three")
    assert texts(page(notices, after=cursor).json()["notices"]) == ["two", "three"]


# -- publishing ---------------------------------------------------------------------------------------------------


def test_a_key_publishes_one_notice(notices: Service) -> None:
    """Again the same answer, another notice under it is refused, and the truth counts."""
    first, again = (ask(notices, "POST", "/notices", "k-1", NOTICE) for _ in range(2))
    assert (first.json(), first.headers.get("Idempotent-Replayed")) == (again.json(), None)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = ask(notices, "POST", "/notices", "k-1", {**NOTICE, "text": "It is open."})
    assert (other.status_code, other.json()["parameter"]) == (422, "Idempotency-Key")
    truth = notices.truth()
    assert (truth["notices"], truth["replays"], truth["garbled"]) == (1, 1, 0)


def test_a_lost_answer_has_published(notices: Service) -> None:
    """Who asks again with the key gets the notice that is there."""
    notices.switch(dropped=1.0)
    for _ in range(2):
        with pytest.raises(LOST):
            ask(notices, "POST", "/notices", "k-1", NOTICE)
    told = ask(notices, "POST", "/notices", "k-1", NOTICE)
    assert (told.status_code, told.headers["Idempotent-Replayed"]) == (201, "true")
    assert notices.truth()["notices"] == 1


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"airport": "ewr"}, "airport"),
        ({"severity": "loud"}, "severity"),
        ({"text": ""}, "text"),
        ({"garbled": "yes"}, "garbled"),
        ({"gate": "A3"}, "gate"),
    ],
)
def test_a_wrong_notice_is_refused_by_name(notices: Service, changes: dict[str, Any], parameter: str) -> None:
    """422, and nobody is told."""
    refused = ask(notices, "POST", "/notices", None, {**NOTICE, **changes})
    assert (refused.status_code, refused.json()["parameter"]) == (422, parameter)
    assert notices.truth()["notices"] == 0


def test_a_garbled_notice_is_no_event(notices: Service) -> None:
    """It is told like the others, and cannot be read."""
    publish(notices, "one", garbled=True)
    [told] = page(notices).json()["notices"]
    with pytest.raises(NotAnEvent, match="id"):
        Event.read(told)
