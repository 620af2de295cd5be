"""The routes of the demo's gateway by which clients order from Airflow: checked, signed, and open to some pages."""

import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from airgate.policy.signed_identity import SignedIdentity
from tests.edge.echo_upstream import EchoUpstream, Seen
from tests.edge.edge_process import ROOT, SECRET, call, edge

CONFIG = ROOT / "include" / "gateway" / "api-config.json"
SCHEMA = json.loads((CONFIG.parent / "schemas" / "order.json").read_text())
SIGNING = SECRET[::-1]
RUNS = "/airgate/v1/dags/order_fulfillment/runs"
ORDER: dict[str, Any] = {
    "customer": {"name": "Ada", "email": "ada@example.com"},
    "items": [{"sku": "eye-mask", "quantity": 2}],
    "address": {"street": "1 Quay", "city": "Delft", "postcode": "2611", "country": "NL"},
    "card": "tok_visa",
}
ALLOWED, REFUSED = ("https://shop.example", "http://localhost:5173"), ("https://evil.example", "http://localhost.evil")


@pytest.fixture(scope="module")
def airflow() -> Iterator[EchoUpstream]:
    opened = EchoUpstream()
    opened.open("airflow")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def port(airflow: EchoUpstream) -> Iterator[int]:
    address = f"http://127.0.0.1:{airflow.ports['airflow']}"
    file = json.loads(CONFIG.read_text())
    variables = dict.fromkeys((server["url"].removeprefix("$env.") for server in file["servers"]), address)
    with edge(
        CONFIG, variables={**variables, "GATEWAY_JWT_SECRET": SECRET, "GATEWAY_IDENTITY_SECRET": SIGNING}
    ) as opened:
        yield opened


def token(subject: str = "ada") -> tuple[str, str]:
    claims = {"sub": subject, "iss": "https://airgate.example/", "aud": "sample-services", "exp": time.time() + 60}
    return "Authorization", f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"


def asked(
    port: int, airflow: EchoUpstream, method: str, target: str, order: Any = None, *more: tuple[str, str]
) -> Seen:
    """What reaches Airflow of a good request."""
    airflow.take()
    body = None if order is None else json.dumps(order).encode()
    content = [] if order is None else [("Content-Type", "application/json")]
    assert call(port, method, target, [token(), *content, *more], body).status == 200
    [seen] = airflow.take()
    return seen


@pytest.mark.parametrize(
    ("method", "target", "order", "sent"),
    [
        ("POST", "/orders", ORDER, RUNS),
        ("POST", "/orders", {**ORDER, "order": "A-1"}, RUNS),
        ("GET", "/orders?limit=5&cursor=abc", None, f"{RUNS}?limit=5&cursor=abc"),
        ("GET", "/orders/in__1", None, f"{RUNS}/in__1"),
        ("DELETE", "/orders/in__1", None, f"{RUNS}/in__1"),
    ],
)
def test_orders_are_runs(port: int, airflow: EchoUpstream, method: str, target: str, order: Any, sent: str) -> None:
    """At the way in's own address, in the client's name, with what it prefers and its key."""
    more = (("Prefer", "wait=20"), ("Idempotency-Key", "k-1"))
    seen = asked(port, airflow, method, target, order, *more)
    headers = {name.lower(): value for name, value in seen.headers}
    assert (seen.method, seen.target) == (method, sent)
    assert (headers["prefer"], headers["idempotency-key"]) == ("wait=20", "k-1")
    word = SignedIdentity.read(headers["airgate-identity"], (SIGNING,), time.time())
    word.check(method, sent.partition("?")[0], "k-1")
    assert (word.identity.issuer, word.identity.subject) == ("https://airgate.example/", "ada")
    assert word.dags == {"order_fulfillment"}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"items": []}, "/items"),
        ({"items": [{"sku": "EYE MASK", "quantity": 1}]}, "/items/0/sku"),
        ({"items": [{"sku": "eye-mask", "quantity": -1}]}, "/items/0/quantity"),
        ({"customer": {"name": "Ada", "email": "ada"}}, "/customer/email"),
        ({"address": {**ORDER["address"], "country": "nl"}}, "/address/country"),
        ({"card": "4111 1111 1111 1111"}, "/card"),
        ({"airgate": {"issuer": "me"}}, ""),
    ],
)
def test_what_is_no_order_does_not_reach_airflow(
    port: int, airflow: EchoUpstream, changes: dict[str, Any], pointer: str
) -> None:
    """It is refused at the gateway, with the place of the fault."""
    airflow.take()
    body = json.dumps({**ORDER, **changes}).encode()
    answer = call(port, "POST", "/orders", [token(), ("Content-Type", "application/json")], body)
    assert answer.status == 422
    assert json.loads(answer.body)["errors"][0]["pointer"].startswith(pointer)
    assert airflow.take() == []


@pytest.mark.parametrize("name", SCHEMA["required"])
def test_nothing_of_an_order_can_be_left_out(port: int, name: str) -> None:
    """The DAG's own params have defaults, for people who try it; a client must not order by accident."""
    body = json.dumps({key: value for key, value in ORDER.items() if key != name}).encode()
    assert call(port, "POST", "/orders", [token(), ("Content-Type", "application/json")], body).status == 422


@pytest.mark.parametrize(("method", "target"), [("POST", "/orders"), ("GET", "/orders"), ("DELETE", "/orders/in__1")])
def test_nobody_orders_without_a_token(port: int, airflow: EchoUpstream, method: str, target: str) -> None:
    airflow.take()
    forged = ("Airgate-Identity", "x")
    assert call(port, method, target, [forged], b"{}" if method == "POST" else None).status == 401
    assert airflow.take() == []


@pytest.mark.parametrize("origin", [*ALLOWED, *REFUSED])
def test_pages_of_some_origins_may_order(port: int, origin: str) -> None:
    """A browser asks first; it is told what a page may send and read, and pages of other origins are told nothing."""
    asks = [("Origin", origin), ("Access-Control-Request-Method", "POST")]
    answer = call(port, "OPTIONS", "/orders", asks)
    told = dict(answer.headers)
    assert answer.status == 204
    assert told.get("access-control-allow-origin") == (origin if origin in ALLOWED else None)
    assert {"Authorization", "Content-Type", "Idempotency-Key", "Prefer"} <= set(
        told["access-control-allow-headers"].split(",")
    )
    assert {"GET", "POST", "DELETE"} == set(told["access-control-allow-methods"].split(","))
    answer = call(port, "GET", "/orders", [("Origin", origin), token()])
    assert answer.header("access-control-allow-origin") == (origin if origin in ALLOWED else None)
    assert {"Location", "Retry-After", "ETag"} <= set((answer.header("access-control-expose-headers") or "").split(","))
