"""The shop behind the real gateway: an order, an order undone, an answer that is lost, and an overview."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests

from tests.edge.edge_process import ROOT, SECRET, edge
from tests.services.effect_cases import CASES, CHARGES, GRANTS, NOTICES, RESERVATIONS, SHIPMENTS, Case, outcome, sums

if TYPE_CHECKING:
    from conftest import Service

CONFIG = ROOT / "include" / "gateway" / "api-config.json"
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Shop:
    """The gateway's address, a client with a token, and the services behind it."""

    address: str
    session: requests.Session
    services: dict[str, Service]

    def ask(self, method: str, case: Case, below: str = "", key: str | None = None, json: Any = None) -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        url = f"{self.address}/{case.service}{case.path}{below}"
        return self.session.request(method, url, json=json, headers=headers, timeout=20)

    def perform(self, case: Case, order: str, key: str) -> Any:
        return self.ask("POST", case, "", key, {"order": order, **case.body})


@pytest.fixture
def shop(running: Callable[[str], Service]) -> Iterator[Shop]:
    services = {name: running(name) for name in dict.fromkeys(case.service for case in CASES)}
    for service in services.values():
        service.switch(preset="none", seed=0).raise_for_status()
        service.reset()
    variables = dict.fromkeys(re.findall(r"\$env\.(\w+)", CONFIG.read_text()), NOWHERE)
    variables |= {f"{name.upper()}_URL": service.url for name, service in services.items()}
    claims = {"sub": "tests", "iss": "https://airgate.example/", "aud": "sample-services", "exp": time.time() + 600}
    variables |= {"GATEWAY_JWT_SECRET": SECRET, "GATEWAY_IDENTITY_SECRET": SECRET[::-1]}
    with edge(CONFIG, variables=variables) as port, requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"
        yield Shop(f"http://127.0.0.1:{port}", session, services)


def test_an_order_goes_through(shop: Shop) -> None:
    """Reserved, charged, shipped and announced; each can be looked up by key and by order."""
    for case in CASES:
        done = shop.perform(case, "o-1", f"k-{case}")
        assert (done.status_code, done.json()["state"]) == (201, case.done)
        again = shop.perform(case, "o-1", f"k-{case}")
        assert (again.json(), again.headers["Idempotent-Replayed"]) == (done.json(), "true")
        assert shop.ask("GET", case, f"/by-key/k-{case}").json() == done.json()
        assert shop.ask("GET", case, "?order=o-1").json() == {case.name: [done.json()]}
        assert shop.ask("GET", case, f"/{done.json()['id']}").json() == done.json()
    assert sums(shop.services["shipping"], "o-1") == (2, 0, 2, ["dispatched", "sent"])


def test_an_order_that_cannot_be_shipped_is_undone(shop: Shop) -> None:
    """Refunded and released in each service's own way, the parcel's key closed for good."""
    held = shop.perform(RESERVATIONS, "o-1", "k-1").json()
    taken = shop.perform(CHARGES, "o-1", "k-1").json()
    address = {**SHIPMENTS.body["address"], "country": "XX"}
    refused = shop.ask("POST", SHIPMENTS, "", "k-1", {"order": "o-1", **SHIPMENTS.body, "address": address})
    assert (refused.status_code, refused.json()["parameter"]) == (422, "address.country")
    assert shop.ask("DELETE", SHIPMENTS, "/by-key/k-1").json() == {"key": "k-1", "state": "cancelled"}
    assert shop.ask("POST", CHARGES, f"/{taken['id']}/refund").json()["state"] == "refunded"
    assert shop.ask("DELETE", RESERVATIONS, f"/{held['id']}").json()["state"] == "released"
    assert shop.ask("DELETE", RESERVATIONS, "/by-key/k-1").json()["state"] == "released"
    for case in (RESERVATIONS, CHARGES, SHIPMENTS):
        assert shop.perform(case, "o-1", "k-1").status_code == 409
    assert {service.truth()["net"] for service in shop.services.values()} == {0}


OVERVIEW = (RESERVATIONS, CHARGES, SHIPMENTS, GRANTS)


def overview(shop: Shop, **params: str) -> Any:
    return shop.session.get(f"{shop.address}/overview", params=params, timeout=20)


def test_an_overview_has_all_that_was_done_for_an_order(shop: Shop) -> None:
    """By four services, each asked for that order alone; what one did for another order is not in it."""
    done = {case.name: shop.perform(case, "o-1", "k-1").json() for case in OVERVIEW}
    shop.perform(CHARGES, "o-2", "k-2")
    found = overview(shop, order="o-1").json()
    assert found.pop("_status") == {case.name: {"status": 200} for case in OVERVIEW}
    assert found == {name: [{"id": each["id"], "state": each["state"]}] for name, each in done.items()}
    assert overview(shop, order="o-3").json()["charges"] == []


def test_an_overview_has_a_hole_where_a_service_fails(shop: Shop) -> None:
    """And says why; the others' answers stand."""
    shop.perform(RESERVATIONS, "o-1", "k-1")
    shop.services["loyalty"].switch(unavailable=1.0).raise_for_status()
    holes = [found for _ in range(3) if (found := overview(shop, order="o-1").json())["grants"] is None]
    assert holes, "of three answers one is served, and two are not"
    assert {found["_status"]["grants"]["status"] for found in holes} == {503}
    assert {found["reservations"][0]["state"] for found in holes} == {"held"}


def test_an_overview_is_of_an_order(shop: Shop) -> None:
    """Which has to be named; no service is asked otherwise."""
    assert overview(shop).status_code == 400
    assert shop.services["inventory"].truth()["served_counts"]["requests"] == 0


def test_an_answer_that_is_lost_is_502_or_cut_and_its_effect_is_found(shop: Shop) -> None:
    """The gateway sends a request with an effect once, and does not make up what became of it."""
    shop.services["payments"].switch(dropped=1.0)
    orders = [f"o-{number}" for number in range(8)]
    came = [
        [outcome(lambda order=order: shop.perform(CHARGES, order, f"k-{order}")) for _ in range(3)] for order in orders
    ]
    assert {tries[2] for tries in came} == {"201"}
    assert {status for tries in came for status in tries[:2]} == {"502", "lost"}
    shop.services["payments"].switch(preset="none")
    assert shop.ask("GET", CHARGES, "/by-key/k-o-1").json()["state"] == "captured"
    truth = shop.services["payments"].truth()
    assert (truth["effects"], truth["replays"]) == (8, 16)


def test_without_a_token_nothing_is_done(shop: Shop) -> None:
    """Neither an effect nor an undo."""
    done = shop.perform(NOTICES, "o-1", "k-1").json()
    url = f"{shop.address}/shipping/notices"
    assert requests.post(url, json={"order": "o-2", **NOTICES.body}, timeout=10).status_code == 401
    assert requests.get(f"{url}/{done['id']}", timeout=10).status_code == 401
    assert requests.delete(f"{url}/by-key/k-2", timeout=10).status_code == 401
    truth = shop.services["shipping"].truth()
    assert (truth["effects"], truth["tombstones"]) == (1, 0)
