"""The shipping service: parcels with a tracking number, notices, and places where nobody delivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.effect_cases import ADDRESS, ITEMS, NOTICES, SHIPMENTS, ask, done, perform

if TYPE_CHECKING:
    from conftest import Service


@pytest.fixture
def shipping(running: Callable[[str], Service]) -> Service:
    service = running("shipping")
    service.switch(preset="none", seed=0).raise_for_status()
    service.reset()
    return service


def test_each_parcel_has_its_tracking_number(shipping: Service) -> None:
    """One effect keeps its number, two have two; who gets the parcel is not repeated."""
    first, again, other = (done(shipping, SHIPMENTS, "o-1", key) for key in ("k-1", "k-1", "k-2"))
    assert first["tracking"] == again["tracking"] != other["tracking"]
    assert first.keys() == {"id", "order", "tracking", "state", "key"}


def test_a_notice_shows_what_was_written_to_whom(shipping: Service) -> None:
    """With an id and a key like all the others."""
    sent = done(shipping, NOTICES, "o-1", "k-1")
    assert {name: sent[name] for name in ("email", "text", "state")} == {**NOTICES.body, "state": "sent"}


def test_nobody_delivers_to_xx(shipping: Service) -> None:
    """422 in words; nothing is sent, and with another country it is."""
    refused = perform(shipping, SHIPMENTS, "o-1", "k-1", address={**ADDRESS, "country": "XX"})
    assert (refused.status_code, refused.json()["parameter"]) == (422, "address.country")
    assert "does not deliver there" in refused.json()["error"]
    assert ask(shipping, "GET", "/shipments?order=o-1").json() == {"shipments": []}
    done(shipping, SHIPMENTS, "o-1", "k-1")


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"address": {**ADDRESS, "country": "nl"}}, "address.country"),
        ({"address": {**ADDRESS, "city": ""}}, "address.city"),
        ({"address": {**ADDRESS, "planet": "Mars"}}, "address.planet"),
        ({"address": {name: ADDRESS[name] for name in ADDRESS if name != "street"}}, "address.street"),
        ({"address": "Delft"}, "address"),
        ({"items": []}, "items"),
        ({"items": ITEMS[:1] * 101}, "items"),
        ({"items": [{"sku": "", "quantity": 1}]}, "items[0].sku"),
    ],
)
def test_a_wrong_shipment_is_refused_by_name(shipping: Service, changes: dict[str, Any], parameter: str) -> None:
    """With the path of the field."""
    refused = perform(shipping, SHIPMENTS, "o-1", "k-1", **changes)
    assert (refused.status_code, refused.json()["parameter"]) == (422, parameter)


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"email": "ada"}, "email"),
        ({"email": "a@b@c"}, "email"),
        ({"text": ""}, "text"),
        ({"text": "x" * 2001}, "text"),
    ],
)
def test_a_wrong_notice_is_refused_by_name(shipping: Service, changes: dict[str, Any], parameter: str) -> None:
    """Nothing is sent."""
    refused = perform(shipping, NOTICES, "o-1", "k-1", **changes)
    assert (refused.status_code, refused.json()["parameter"]) == (422, parameter)
    assert shipping.truth()["effects"] == 0
