"""Orders of clients, through the gateway and the way in, to services behind the gateway; all processes are real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from stack import marks
from stack.environment import GATEWAY_ISSUER
from tests.integration.example_stack import until
from tests.integration.ordering import ORDER, OrderStack, order_stack

pytestmark = pytest.mark.integration
RUNS = "/airgate/v1/dags/order_fulfillment/runs"
ALL = {"reservations": 1, "charges": 1, "shipments": 1, "notices": 1}
REORDER = Path(__file__).parent / "ordering_dags" / "reorder.py"


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderStack]:
    """A stack that takes orders."""
    home = tmp_path_factory.mktemp("ordering") / "home"
    with order_stack(home, REORDER) as running:
        yield running
    assert marks.marked(home) == []


def test_an_order_is_fulfilled_while_its_client_waits(orders: OrderStack) -> None:
    """The client sends one request with its token, and another one only if it must: it gets the parcel's number."""
    ada = orders.client("ada")
    answer = ada.order("A-1", wait=25)
    assert answer.status_code in {200, 202}, answer.text
    assert answer.headers["preference-applied"] == "wait=25"
    place = answer.headers["location"]
    assert place == f"/orders/{answer.json()['id']}"
    ended = ada.followed(place)
    assert ended["state"] == "success", ended
    assert ended["result"]["order"] == "A-1"
    assert ended["result"]["tracking"].startswith("AG")
    assert ended["links"] == {"self": place, "runs": "/orders"}
    assert orders.done("A-1") == ALL


def test_an_order_is_the_clients_own(orders: OrderStack) -> None:
    """Another client of the same gateway does not find it, and cannot cancel it; each has a list of its own."""
    ada, eve = orders.client("ada"), orders.client("eve")
    place = ada.order("A-2").headers["location"]
    assert [eve.ask(method, place).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert place.rpartition("/")[2] in {run["id"] for run in ada.ask("GET", "/orders").json()["runs"]}
    assert eve.ask("GET", "/orders").json() == {"runs": [], "next": None}
    assert ada.followed(place)["state"] == "success"


def test_the_same_request_twice_is_one_order(orders: OrderStack) -> None:
    """However often a client repeats it; and nothing is charged twice."""
    ada = orders.client("ada")
    first, second = ada.order("A-3", key="k-3"), ada.order("A-3", key="k-3")
    assert first.headers["location"] == second.headers["location"]
    assert second.headers["idempotent-replayed"] == "true"
    assert ada.order("A-4", key="k-3").status_code == 422
    assert ada.followed(first.headers["location"])["state"] == "success"
    assert orders.done("A-3") == ALL


def test_what_is_no_order_is_refused_at_the_gateway(orders: OrderStack) -> None:
    """With the place of the fault, before Airflow hears of it."""
    before = orders.client("bob").ask("GET", "/orders").json()["runs"]
    answer = orders.client("bob").order("B-1", items=[{"sku": "eye-mask", "quantity": 0}])
    assert answer.status_code == 422
    fault = {"in": "body", "pointer": "/items/0/quantity", "detail": "must be >= 1, not 0"}
    assert answer.json()["errors"] == [fault]
    assert orders.client("bob").ask("GET", "/orders").json()["runs"] == before


def test_an_order_is_cancelled_in_the_middle(orders: OrderStack) -> None:
    """What was reserved goes back, and nothing is charged: the client asked for it while the card was looked at."""
    ada = orders.client("ada")
    orders.switch("payments", latency=6.0)
    try:
        place = ada.order("A-5").headers["location"]
        until(lambda: orders.done("A-5") or None, 0.1)
        cancelled = ada.ask("DELETE", place)
        assert cancelled.status_code in {200, 202}, cancelled.text
    finally:
        orders.switch("payments", latency=0.0)
    ended = ada.followed(place)
    assert (ended["state"], ended["problem"]["title"]) == ("failed", "The run was cancelled")
    until(lambda: None if any(orders.done("A-5").values()) else True, 0.3)
    assert ada.ask("DELETE", place).status_code in {200, 202}, "a second time changes nothing"


def test_an_order_that_cannot_be_shipped_says_so(orders: OrderStack) -> None:
    """The client is told which step refused it, and that nothing is left of it."""
    ada = orders.client("ada")
    place = ada.order("A-6", address={**ORDER["address"], "country": "XX"}).headers["location"]
    ended = ada.followed(place)
    assert ended["state"] == "failed"
    assert ended["problem"]["sagas"][0]["state"] == "compensated"
    assert "does not deliver there: XX" in ended["problem"]["detail"]
    assert not any(orders.done("A-6").values())


def test_nobody_names_itself(orders: OrderStack) -> None:
    """Not through the gateway, which drops what a client says of itself; nor past it, where a signature is missing."""
    ada, eve = orders.client("ada"), orders.client("eve")
    place = ada.order("A-7").headers["location"]
    assert ada.followed(place)["state"] == "success"
    direct = f"{orders.stack.airflow.address}{RUNS}/{place.rpartition('/')[2]}"
    with requests.Session() as session:
        session.trust_env = False
        for forged in ("ada", eve.token, ada.token):
            headers = {"Airgate-Identity": forged}
            assert eve.ask("GET", place, **headers).status_code == 404
            assert session.get(direct, headers=headers, timeout=60).status_code == 401
        assert session.get(direct, headers={"Authorization": f"Bearer {ada.token}"}, timeout=60).status_code == 401


def test_another_airflow_orders_as_by_any_job(orders: OrderStack) -> None:
    """By the protocol for services that answer 202: the task waits in the triggerer, and returns the order's result."""
    run = orders.stack.start("reorder", "by-job", {})
    assert run.ended() == "success", run.told()
    shipped = run.xcom("order")
    assert shipped["tracking"].startswith("AG")
    assert orders.done(shipped["order"]) == ALL
    [order] = orders.stack.airflow.runs("order_fulfillment", shipped["order"])
    assert order["triggering_user_name"] == f"airgate-demo ({GATEWAY_ISSUER})"


def test_an_order_without_a_token_reaches_nobody(orders: OrderStack) -> None:
    """The gateway turns it away."""
    with requests.Session() as session:
        session.trust_env = False
        assert session.post(f"{orders.stack.gateway}/orders", json=ORDER, timeout=60).status_code == 401
