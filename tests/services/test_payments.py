"""The payments service: what is charged, what is declined, and that no card is repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.effect_cases import CHARGES, ask, done, perform, sums, take_back, under

if TYPE_CHECKING:
    from conftest import Service


@pytest.fixture
def payments(running: Callable[[str], Service]) -> Service:
    service = running("payments")
    service.switch(preset="none", seed=0).raise_for_status()
    service.reset()
    return service


def test_a_charge_shows_amount_and_currency_and_never_the_card(start: Callable[..., Service], tmp_path: Path) -> None:
    """Neither an answer nor the ledger nor the file has it."""
    at = start("payments", "--store", str(tmp_path / "payments.sqlite"))
    first = perform(at, CHARGES, "o-1", "k-1", card="tok_canary_4242")
    assert first.json() | {"id": "c", "key": "k"} == {
        "id": "c",
        "order": "o-1",
        "amount": 5330,
        "currency": "EUR",
        "state": "captured",
        "key": "k",
    }
    refused = perform(at, CHARGES, "o-1", "k-1", card="tok_canary_4243")
    assert refused.status_code == 422
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"captured" in kept
    shown = first.text + refused.text + ask(at, "GET", "/-/ledger").text + ask(at, "GET", "/-/truth").text
    assert "canary" not in shown
    assert b"canary" not in kept


def test_a_declined_card_is_402_and_charges_nothing(payments: Service) -> None:
    """However often it is tried; the ledger has each refusal; another card goes through under the same key."""
    for _ in range(2):
        declined = perform(payments, CHARGES, "o-1", "k-1", card="tok_declined")
        assert (declined.status_code, declined.json()) == (402, {"error": "the card is declined", "parameter": "card"})
    assert sums(payments, "o-1") == (0, 0, 0, [])
    assert payments.truth()["refusals"] == 2
    assert done(payments, CHARGES, "o-1", "k-1")["state"] == "captured"


def test_a_refund_has_one_address_and_needs_no_body(payments: Service) -> None:
    """Only that, and only for a charge that is there."""
    first = done(payments, CHARGES, "o-1", "k-1")
    assert ask(payments, "DELETE", f"/charges/{first['id']}").status_code == 405
    assert ask(payments, "POST", "/charges/charge-0/refund").status_code == 404
    assert take_back(payments, CHARGES, first["id"]).json()["state"] == "refunded"
    assert under(payments, CHARGES, "k-1").json()["state"] == "refunded"


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": 0.5}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": 100_000_001}, "amount"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"card": ""}, "card"),
        ({"card": "a b"}, "card"),
        ({"cvc": "123"}, "cvc"),
    ],
)
def test_a_wrong_charge_is_refused_by_name(payments: Service, changes: dict[str, Any], parameter: str) -> None:
    """422, and nothing is charged."""
    refused = perform(payments, CHARGES, "o-1", "k-1", **changes)
    assert (refused.status_code, refused.json()["parameter"]) == (422, parameter)
    assert payments.truth()["effects"] == 0
