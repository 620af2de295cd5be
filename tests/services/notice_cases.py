"""What the notices service takes, and short ways to ask it and to listen to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import requests

from tests.services.effect_cases import ask

if TYPE_CHECKING:
    from conftest import Service

NOTICE = {"airport": "EWR", "severity": "warning", "text": "Gate A3 is closed."}


def publish(at: Service, *texts: str, **changes: Any) -> list[dict[str, Any]]:
    """One notice a text; what the service says of each."""
    answers = [ask(at, "POST", "/notices", None, {**NOTICE, **changes, "text": text}) for text in texts]
    assert {answer.status_code for answer in answers} == {201}
    return [answer.json() for answer in answers]


def texts(notices: list[dict[str, Any]]) -> list[str]:
    return [notice["data"]["text"] for notice in notices]


def page(at: Service, headers: dict[str, str] | None = None, **query: Any) -> requests.Response:
    return at.session.get(at.url + "/notices", params=query, headers=headers, timeout=10)


def messages_of(answer: requests.Response) -> Iterator[dict[str, str]]:
    """The messages of a stream as they come, a comment as ``{"": text}``."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        if line:
            name, _, value = line.partition(": ")
            fields[name.rstrip(":")] = value
        elif fields:
            yield fields
            fields = {}


def told(messages: Iterator[dict[str, str]], count: int) -> list[dict[str, str]]:
    """The next messages that are notices."""
    found: list[dict[str, str]] = []
    while len(found) < count:
        if "data" in (message := next(messages)):
            found.append(message)
    return found
