"""The inventory service: what is held is missing on the shelf, all of an order or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.effect_cases import RESERVATIONS, ask, done, perform, take_back, under

if TYPE_CHECKING:
    from conftest import Service


@pytest.fixture
def inventory(running: Callable[[str], Service]) -> Service:
    service = running("inventory")
    service.switch(preset="none", seed=0).raise_for_status()
    service.reset()
    return service


def stock(at: Service, sku: str) -> tuple[int, int]:
    """What is available and what is reserved."""
    found = ask(at, "GET", f"/stock/{sku}").json()
    return found["available"], found["reserved"]


def test_the_catalogue_has_prices_and_plenty_of_all_but_one(inventory: Service) -> None:
    """By sku; each can be looked at alone, an unknown one not."""
    shelves = ask(inventory, "GET", "/stock").json()["stock"]
    assert len(shelves) == 10
    assert [shelf["sku"] for shelf in shelves] == sorted(shelf["sku"] for shelf in shelves)
    for shelf in shelves:
        assert ask(inventory, "GET", f"/stock/{shelf['sku']}").json() == shelf
        assert shelf["price"] > 0
        assert shelf["reserved"] == 0
        assert shelf["available"] == (0 if shelf["sku"] == "sold-out" else 1_000_000)
    missing = ask(inventory, "GET", "/stock/anvil")
    assert (missing.status_code, missing.json()["parameter"]) == (404, "sku")


def test_a_reservation_has_its_price_and_its_stock(inventory: Service) -> None:
    """The total is what the items cost; replays reserve nothing more; a release puts all back, once."""
    held = done(inventory, RESERVATIONS, "o-1", "k-1")
    done(inventory, RESERVATIONS, "o-1", "k-1")
    assert (held["total"], held["currency"]) == (2 * 2490 + 350, "EUR")
    assert (stock(inventory, "neck-pillow"), stock(inventory, "ear-plugs")) == ((999_998, 2), (999_999, 1))
    for _ in range(2):
        take_back(inventory, RESERVATIONS, held["id"])
        under(inventory, RESERVATIONS, "k-1", "DELETE")
    assert (stock(inventory, "neck-pillow"), stock(inventory, "ear-plugs")) == ((1_000_000, 0), (1_000_000, 0))


def test_lines_with_the_same_sku_add_up(inventory: Service) -> None:
    """In stock and in price."""
    items = [{"sku": "eye-mask", "quantity": 2}, {"sku": "eye-mask", "quantity": 3}]
    held = perform(inventory, RESERVATIONS, "o-1", items=items).json()
    assert (held["items"], held["total"]) == (items, 5 * 790)
    assert stock(inventory, "eye-mask") == (999_995, 5)
    take_back(inventory, RESERVATIONS, held["id"])
    assert stock(inventory, "eye-mask") == (1_000_000, 0)


@pytest.mark.parametrize(
    ("item", "words", "parameter"),
    [
        ({"sku": "sold-out", "quantity": 1}, "only 0 of 'sold-out' are left", "items[1].quantity"),
        ({"sku": "anvil", "quantity": 1}, "there is no sku 'anvil'", "items[1].sku"),
        ({"sku": "ear-plugs", "quantity": 0}, ">= 1", "items[1].quantity"),
        ({"sku": "ear-plugs", "quantity": 1001}, "<= 1000", "items[1].quantity"),
        ({"sku": "ear-plugs", "quantity": 1.5}, "multiple of 1", "items[1].quantity"),
        ({"sku": "ear-plugs", "quantity": "1"}, "got `str`", "items[1].quantity"),
        ({"sku": "ear-plugs"}, "required field `quantity`", "items[1].quantity"),
        ({"sku": "ear-plugs", "quantity": 1, "size": "L"}, "unknown field `size`", "items[1].size"),
    ],
)
def test_what_cannot_be_held_is_named_and_nothing_is(
    inventory: Service, item: dict[str, Any], words: str, parameter: str
) -> None:
    """422 with the line and the field; the lines before it are back on the shelf."""
    refused = perform(inventory, RESERVATIONS, "o-1", "k-1", items=[{"sku": "neck-pillow", "quantity": 5}, item])
    assert (refused.status_code, refused.json()["parameter"]) == (422, parameter)
    assert words in refused.json()["error"]
    assert stock(inventory, "neck-pillow") == (1_000_000, 0)


def test_a_shelf_can_be_emptied_and_no_further(inventory: Service) -> None:
    """The last piece is held by whoever comes first; once it is released another can have it."""
    whole: list[dict[str, Any]] = [{"sku": "water-bottle", "quantity": 1000}] * 100
    for number in range(10):
        perform(inventory, RESERVATIONS, f"o-{number}", items=whole).raise_for_status()
    assert stock(inventory, "water-bottle") == (0, 1_000_000)
    one: dict[str, Any] = {"items": [{"sku": "water-bottle", "quantity": 1}]}
    refused = perform(inventory, RESERVATIONS, "late", **one)
    assert (refused.status_code, "'water-bottle'" in refused.json()["error"]) == (422, True)
    [first] = ask(inventory, "GET", "/reservations?order=o-0").json()["reservations"]
    take_back(inventory, RESERVATIONS, first["id"])
    assert perform(inventory, RESERVATIONS, "late", **one).status_code == 201
    assert stock(inventory, "water-bottle") == (99_999, 900_001)


def test_a_reset_fills_the_shelves(inventory: Service) -> None:
    """Whatever was held."""
    done(inventory, RESERVATIONS, "o-1")
    inventory.reset()
    assert stock(inventory, "neck-pillow") == (1_000_000, 0)
