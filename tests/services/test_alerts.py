"""The alerts service: what is said about what, and where nobody listens. What it shares stands in test_effects.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.effect_cases import ALERTS, ask, done, perform

if TYPE_CHECKING:
    from conftest import Service


@pytest.fixture
def alerts(running: Callable[[str], Service]) -> Service:
    service = running("alerts")
    service.switch(preset="none", seed=0).raise_for_status()
    service.reset()
    return service


def test_an_alert_shows_what_was_said(alerts: Service) -> None:
    """And is found by what it is about."""
    sent = done(alerts, ALERTS, "notice-1", "k-1")
    assert {name: sent[name] for name in ("topic", "severity", "text", "state")} == {**ALERTS.body, "state": "sent"}
    assert ask(alerts, "GET", "/alerts?order=notice-1").json() == {"alerts": [sent]}


def test_nobody_watches_xxx(alerts: Service) -> None:
    """422 in words, however often it is tried; nothing is said."""
    for _ in range(2):
        refused = perform(alerts, ALERTS, "notice-1", "k-1", topic="XXX")
        assert (refused.status_code, refused.json()) == (422, {"error": "nobody watches XXX", "parameter": "topic"})
    assert alerts.truth()["effects"] == 0
    assert alerts.truth()["refusals"] == 2


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"topic": "ewr"}, "topic"),
        ({"topic": "EWRX"}, "topic"),
        ({"severity": "loud"}, "severity"),
        ({"text": ""}, "text"),
        ({"text": "x" * 2001}, "text"),
        ({"volume": 11}, "volume"),
    ],
)
def test_a_wrong_alert_is_refused_by_name(alerts: Service, changes: dict[str, Any], parameter: str) -> None:
    """422, and nothing is said."""
    refused = perform(alerts, ALERTS, "notice-1", "k-1", **changes)
    assert (refused.status_code, refused.json()["parameter"]) == (422, parameter)
    assert alerts.truth()["effects"] == 0
