"""What the services with effects take, a case for each collection, and short ways to ask them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from conftest import Service

ITEMS = [{"sku": "neck-pillow", "quantity": 2}, {"sku": "ear-plugs", "quantity": 1}]
ADDRESS = {"name": "Ada", "street": "1 Quay", "city": "Delft", "postcode": "2611", "country": "NL"}
LOST = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
"""No answer, and half of one."""


@dataclass(frozen=True)
class Case:
    """A collection."""

    service: str
    path: str
    body: dict[str, Any]
    """A good body, but for the order."""
    other: dict[str, Any]
    """Another good one."""
    refused: tuple[dict[str, Any], int]
    """What the business refuses, and how."""
    done: str
    undone: str | None
    undo: tuple[str, str] | None
    """Method and path, below the effect's own."""

    @property
    def name(self) -> str:
        return self.path.removeprefix("/")

    def __str__(self) -> str:
        return self.name


RESERVATIONS = Case(
    "inventory",
    "/reservations",
    {"items": ITEMS},
    {"items": ITEMS[:1]},
    ({"items": [*ITEMS, {"sku": "sold-out", "quantity": 1}]}, 422),
    "held",
    "released",
    ("DELETE", ""),
)
CHARGES = Case(
    "payments",
    "/charges",
    {"amount": 5330, "currency": "EUR", "card": "tok_visa"},
    {"amount": 5331, "currency": "EUR", "card": "tok_visa"},
    ({"amount": 5330, "currency": "EUR", "card": "tok_declined"}, 402),
    "captured",
    "refunded",
    ("POST", "/refund"),
)
SHIPMENTS = Case(
    "shipping",
    "/shipments",
    {"items": ITEMS, "address": ADDRESS},
    {"items": ITEMS[:1], "address": ADDRESS},
    ({"items": ITEMS, "address": {**ADDRESS, "country": "XX"}}, 422),
    "dispatched",
    None,
    None,
)
NOTICES = Case(
    "shipping",
    "/notices",
    {"email": "ada@example.org", "text": "It is on its way."},
    {"email": "ada@example.org", "text": "It is there."},
    ({"email": "nobody", "text": "It is on its way."}, 422),
    "sent",
    None,
    None,
)
ALERTS = Case(
    "alerts",
    "/alerts",
    {"topic": "EWR", "severity": "warning", "text": "Gate A3 is closed."},
    {"topic": "UA", "severity": "info", "text": "It is open again."},
    ({"topic": "XXX", "severity": "warning", "text": "Gate A3 is closed."}, 422),
    "sent",
    None,
    None,
)
GRANTS = Case(
    "loyalty",
    "/grants",
    {"member": "ada@example.org", "points": 20},
    {"member": "ada@example.org", "points": 21},
    ({"member": "eve@example.invalid", "points": 20}, 422),
    "granted",
    "revoked",
    ("DELETE", ""),
)
CASES = [RESERVATIONS, CHARGES, SHIPMENTS, NOTICES, ALERTS, GRANTS]
REVERSIBLE = [RESERVATIONS, CHARGES, GRANTS]
FINAL = [SHIPMENTS, NOTICES, ALERTS]


def ask(service: Service, method: str, path: str, key: str | None = None, json: Any = None) -> requests.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return service.session.request(method, service.url + path, json=json, headers=headers, timeout=20)


def outcome(send: Callable[[], requests.Response]) -> str:
    """The status that came, or that none did."""
    try:
        return str(send().status_code)
    except LOST:
        return "lost"


def perform(service: Service, case: Case, order: str, key: str | None = None, **changes: Any) -> requests.Response:
    return ask(service, "POST", case.path, key, {"order": order, **case.body, **changes})


def done(service: Service, case: Case, order: str, key: str | None = None) -> dict[str, Any]:
    """Do it; gives the answer's document."""
    answer = perform(service, case, order, key)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def take_back(service: Service, case: Case, id_: str) -> requests.Response:
    assert case.undo is not None
    method, below = case.undo
    return ask(service, method, f"{case.path}/{id_}{below}")


def under(service: Service, case: Case, key: str, method: str = "GET") -> requests.Response:
    return ask(service, method, f"{case.path}/by-key/{key}")


def events(service: Service) -> list[tuple[str, str | None, str | None]]:
    """The ledger: event, order, key."""
    found = ask(service, "GET", "/-/ledger").json()["events"]
    assert [event["at"] for event in found] == sorted(event["at"] for event in found)
    return [(event["event"], event["order"], event["key"]) for event in found]


def sums(service: Service, order: str) -> tuple[int, int, int, list[str]]:
    """What came of an order: effects, undone, net, states."""
    of = service.truth()["orders"][order]
    return of["effects"], of["undone"], of["net"], of["states"]
