"""The notices service as a stream: server-sent events, as they come, also through the gateway."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests

from airgate.policy.events.event import Event
from tests.edge.edge_process import ROOT, SECRET, edge
from tests.services.notice_cases import NOTICE, messages_of, page, publish, texts, told

if TYPE_CHECKING:
    from conftest import Service

PATIENCE = 20.0


@contextmanager
def listening(at: Service, last: str | None = None, **query: Any) -> Iterator[Iterator[dict[str, str]]]:
    """The messages of a stream as they come, a comment as ``{"": text}``."""
    headers = {} if last is None else {"Last-Event-ID": last}
    url = at.url + "/notices/stream"
    with closing(requests.get(url, params=query, headers=headers, stream=True, timeout=10)) as answer:
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield messages_of(answer)


def test_a_stream_tells_what_was_and_what_comes(notices: Service) -> None:
    """In the order in which it was published, each as the feed tells it, with the cursor behind it as its id."""
    publish(notices, "one")
    with listening(notices) as messages:
        assert next(messages) == {"retry": "1000"}
        [first] = told(messages, 1)
        publish(notices, "two")
        [second] = told(messages, 1)
    events = [Event.read(json.loads(each["data"])) for each in (first, second)]
    assert [event.data["text"] for event in events] == ["one", "two"]
    assert {each["event"] for each in (first, second)} == {"notice"}
    assert texts(page(notices, after=first["id"]).json()["notices"]) == ["two"]
    assert page(notices).json()["next"] == second["id"]


def told_at_once(at: Service, messages: Iterator[dict[str, str]]) -> bool:
    """Whether a notice comes before the next comment; on a busy machine not each of them does."""
    for number in range(5):
        publish(at, f"at once {number}")
        if "data" in next(messages):
            return True
        told(messages, 1)
    return False


def test_a_notice_is_told_when_it_is_published(notices: Service) -> None:
    """Not when the stream would have said next that it is there."""
    with listening(notices, after="end") as messages:
        next(messages)
        assert told_at_once(notices, messages)


def test_a_stream_goes_on_behind_the_last_event_id(notices: Service) -> None:
    """Which stands before `after`; `after=end` hears only what is still to come."""
    publish(notices, "one", "two")
    with listening(notices) as messages:
        first, second = told(messages, 2)
    with listening(notices, first["id"], after="end") as messages:
        assert told(messages, 1) == [second]
    with listening(notices, after="end") as messages:
        next(messages)
        publish(notices, "three")
        [third] = told(messages, 1)
    assert "three" in third["data"]


def test_a_silent_stream_says_that_it_is_there(notices: Service) -> None:
    """By a comment every two seconds."""
    with listening(notices, after="end") as messages:
        next(messages)
        assert next(messages) == {"": "still here"}


def test_a_stream_misbehaves_like_the_rest(notices: Service) -> None:
    """Refused, reset, or broken off inside a message; of three attempts one is served."""
    publish(notices, "one")
    url = notices.url + "/notices/stream"
    notices.switch(unavailable=1.0)
    for _ in range(2):
        assert requests.get(url, timeout=10).status_code == 503
    with listening(notices) as messages:
        assert told(messages, 1)
    notices.switch(preset="none", dropped=1.0)
    assert {_end(f"{url}?n={number}") for number in range(12)} == {"reset", "broken off"}


def _end(url: str) -> str:
    """How a stream ended that ought to go on."""
    try:
        answer = requests.get(url, stream=True, timeout=10)
    except requests.ConnectionError:
        return "reset"
    said = b""
    try:
        for chunk in answer.iter_content(None):
            said += chunk
    except requests.exceptions.ChunkedEncodingError:
        assert b"id: " in said
        assert not said.endswith(b"}\n\n")
        return "broken off"
    return "ended"


def test_a_stream_ends_with_its_service(start: Callable[..., Service]) -> None:
    """Within the second that it takes to stop."""
    service = start("notices")
    with listening(service) as messages:
        next(messages)
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < PATIENCE / 4


# -- behind the gateway -------------------------------------------------------------------------------------------


@pytest.fixture
def gateway(notices: Service) -> Iterator[requests.Session]:
    """A client with a token, and the gateway's address as its `url`."""
    config = ROOT / "include" / "gateway" / "api-config.json"
    variables = dict.fromkeys(re.findall(r"\$(?:env|secret)\.(\w+)", config.read_text()), "http://127.0.0.1:9")
    variables |= {name: f"{name}-{SECRET}" for name in variables if name.endswith("_SECRET")}
    claims = {"sub": "tests", "iss": "https://airgate.example/", "aud": "sample-services", "exp": time.time() + 600}
    token = jwt.encode(claims, variables["GATEWAY_JWT_SECRET"], "HS256")
    with edge(config, variables={**variables, "NOTICES_URL": notices.url}) as port, requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        session.url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
        yield session


def test_the_feed_is_the_same_behind_the_gateway(notices: Service, gateway: Any) -> None:
    """Published and read with a token, 304 included; without one, neither."""
    address = f"{gateway.url}/notices"
    said = gateway.post(address, json=NOTICE, headers={"Idempotency-Key": "k-1"}, timeout=10)
    assert said.status_code == 201
    first = gateway.get(address, params={"limit": 5}, timeout=10)
    assert first.json() == page(notices, limit=5).json()
    same = gateway.get(address, params={"limit": 5}, headers={"If-None-Match": first.headers["ETag"]}, timeout=10)
    assert same.status_code == 304
    for path in ("/notices", "/notices/stream"):
        assert requests.get(gateway.url + path, timeout=10).status_code == 401


def test_the_stream_comes_through_the_gateway_as_it_is_told(notices: Service, gateway: Any) -> None:
    """A message at once, and the comments that keep the connection."""
    address = f"{gateway.url}/notices/stream"
    with closing(gateway.get(address, params={"after": "end"}, stream=True, timeout=10)) as answer:
        messages = messages_of(answer)
        assert next(messages) == {"retry": "1000"}
        assert told_at_once(notices, messages)
        assert next(messages) == {"": "still here"}
