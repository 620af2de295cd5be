"""The gateway's file of the demo, include/gateway/api-config.json, on a real edge in strict mode."""

import json
import time
from collections.abc import Iterator

import jwt
import pytest

from airgate.spec.check import problems
from tests.edge.echo_upstream import EchoUpstream
from tests.edge.edge_process import ROOT, SECRET, call, edge

CONFIG = ROOT / "include" / "gateway" / "api-config.json"
ALIASES = ("flights", "weather", "reference", "work", "inventory", "payments", "shipping")
ALIASES += ("notices", "alerts", "loyalty")

SIGNING = SECRET[::-1]
"""By which the edge says who its clients are."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[EchoUpstream]:
    opened = EchoUpstream()
    for alias in (*ALIASES, "airflow"):
        opened.open(alias)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def port(upstream: EchoUpstream) -> Iterator[int]:
    urls = {f"{alias.upper()}_URL": f"http://127.0.0.1:{number}" for alias, number in upstream.ports.items()}
    with edge(CONFIG, variables={**urls, "GATEWAY_JWT_SECRET": SECRET, "GATEWAY_IDENTITY_SECRET": SIGNING}) as opened:
        yield opened


def token(audience: str = "sample-services") -> list[tuple[str, str]]:
    claims = {"sub": "dag-runner", "iss": "https://airgate.example/", "aud": audience, "exp": time.time() + 60}
    return [("Authorization", f"Bearer {jwt.encode(claims, SECRET, 'HS256')}")]


def test_strict_mode_names_every_variable_the_file_needs() -> None:
    """Without an environment the file has one problem for each variable, and no other."""
    found = problems(CONFIG.read_text(), {}, policies=True)
    named = {each.what.split("'")[1] for each in found}
    secrets = {"GATEWAY_JWT_SECRET", "GATEWAY_IDENTITY_SECRET"}
    assert named == {*(f"{alias.upper()}_URL" for alias in (*ALIASES, "airflow")), *secrets}
    assert len(found) == len(named)


def test_health_is_open_and_answered_by_the_edge(port: int, upstream: EchoUpstream) -> None:
    """GET /health needs no token and calls no upstream."""
    upstream.take()
    assert call(port, "GET", "/health").body == b'{"status":"ok"}'
    assert upstream.take() == []


@pytest.mark.parametrize(
    ("target", "alias", "sent"),
    [
        ("/flights?date=2013-01-01&limit=5", "flights", "/flights?date=2013-01-01&limit=5"),
        ("/weather?offset=0", "weather", "/weather?offset=0"),
        ("/reference/airports?page=2", "reference", "/airports?page=2"),
        ("/work/jobs/build-1?a=b", "work", "/jobs/build-1?a=b"),
        ("/inventory/reservations/by-key/k-1", "inventory", "/reservations/by-key/k-1"),
        ("/payments/charges?order=o-1", "payments", "/charges?order=o-1"),
        ("/shipping/notices/notice-1", "shipping", "/notices/notice-1"),
        ("/notices?after=end", "notices", "/notices?after=end"),
        ("/notices/stream", "notices", "/notices/stream"),
        ("/alerts/alerts/by-key/k-1", "alerts", "/alerts/by-key/k-1"),
    ],
)
def test_data_routes_go_to_their_service_with_the_mapped_headers(
    port: int, upstream: EchoUpstream, target: str, alias: str, sent: str
) -> None:
    """With a token the request reaches its service, subject and consumer set by the gateway, the query untouched."""
    upstream.take()
    response = call(port, "GET", target, [*token(), ("X-Gateway-Subject", "someone-else")])
    assert json.loads(response.body)["server"] == alias
    (seen,) = upstream.take()
    headers = {name.lower(): value for name, value in seen.headers}
    assert (seen.alias, seen.target) == (alias, sent)
    assert headers["x-gateway-subject"] == "dag-runner"
    assert headers["x-gateway-consumer"] == "airgate"


BELOW = ("work", "inventory", "payments", "shipping", "alerts", "loyalty")
"""Aliases of which all paths are below their name."""
EFFECTS = [(method, f"/{alias}/x/y") for alias in BELOW for method in ("POST", "DELETE")]


@pytest.mark.parametrize(("method", "target"), EFFECTS)
def test_requests_with_effects_go_through_with_body_and_key(
    port: int, upstream: EchoUpstream, method: str, target: str
) -> None:
    """To the service, as they were sent."""
    upstream.take()
    response = call(port, method, target, [*token(), ("Idempotency-Key", "k-1")], b'{"order": "o-1"}')
    assert response.status == 200
    (seen,) = upstream.take()
    headers = {name.lower(): value for name, value in seen.headers}
    assert (seen.alias, seen.method, seen.target) == (target.split("/")[1], method, "/x/y")
    assert (headers["idempotency-key"], seen.body) == ("k-1", b'{"order": "o-1"}')


READS = ["/flights", "/weather", "/reference/planes", *(f"/{alias}/x/y" for alias in BELOW)]
READS += ["/notices", "/notices/stream", "/overview?order=o-1"]


@pytest.mark.parametrize(("method", "target"), [*(("GET", target) for target in READS), *EFFECTS])
def test_data_routes_are_closed_without_a_good_token(
    port: int, upstream: EchoUpstream, method: str, target: str
) -> None:
    """No token, and a token for another audience, are refused before any service is called."""
    upstream.take()
    assert call(port, method, target).status == 401
    assert call(port, method, target, token(audience="another")).status == 401
    assert upstream.take() == []


def test_other_methods_and_paths_do_not_exist(port: int) -> None:
    """The gateway serves what the file lists and nothing else, and says which methods it lists."""
    refused = call(port, "POST", "/flights", token(), b"{}")
    assert (refused.status, dict(refused.headers)["allow"]) == (405, "GET")
    assert call(port, "GET", "/flights/1", token()).status == 404
