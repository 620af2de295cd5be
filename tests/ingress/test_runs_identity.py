"""Clients for whom a gateway speaks by its signature: they may what the gateway says, and nobody else can say it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests

from airgate.policy.ingress_run import Identity
from airgate.policy.signed_identity import BoundRequest, SignedIdentity, digest_of
from tests.ingress.conftest import Ingress, serving

pytestmark = pytest.mark.integration
ISSUER = "https://issuer.example/"
NEW, OLD, FOREIGN = (f"a-secret-of-gateways-0123456789-{name}" for name in ("new", "old", "foreign"))
BOOK = {"item": "book"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    """One that believes gateways."""
    setting = {"AIRFLOW__AIRGATE__INGRESS_IDENTITY_SECRETS": f"{NEW}, {OLD}"}
    with serving(tmp_path_factory.mktemp("guarded"), **setting) as running:
        yield running


def word(method: str, path: str, body: bytes = b"", key: str | None = None, **changes: Any) -> str:
    """What a gateway says of its client."""
    request = BoundRequest(method, f"/airgate/v1{path}", key, digest_of(body))
    identity = Identity(changes.get("issuer", ISSUER), changes.get("subject", "shop"))
    spoken = SignedIdentity(identity, frozenset(changes.get("dags", ("orders",))), request)
    return spoken.signed(changes.get("secret", NEW), changes.get("now", time.time()))


def send(
    ingress: Ingress, method: str, path: str, said: str | None, body: bytes = b"", key: str | None = None, **more: Any
) -> requests.Response:
    """A request as a gateway passes it on."""
    headers = {} if said is None else {"Airgate-Identity": said}
    if key is not None:
        headers["Idempotency-Key"] = key
    if body:
        headers["Content-Type"] = "application/json"
    who = more.pop("who", None)
    return ingress.ask(method, path, who=who, headers={**headers, **more.pop("headers", {})}, data=body, **more)


def start(ingress: Ingress, **changes: Any) -> requests.Response:
    """Start a run as a client of the gateway."""
    body, key, path = json.dumps(BOOK).encode(), uuid4().hex, "/dags/orders/runs"
    return send(ingress, "POST", path, word("POST", path, body, key, **changes), body, key)


def look(ingress: Ingress, run_id: str, method: str = "GET", **changes: Any) -> requests.Response:
    """Look at a run, or cancel it."""
    path = f"/dags/orders/runs/{run_id}"
    return send(ingress, method, path, word(method, path, **changes))


def test_a_run_belongs_to_whom_the_gateway_names(guarded: Ingress) -> None:
    """By issuer and subject, as if the client had come with its token itself."""
    answer = start(guarded)
    assert answer.status_code == 202, answer.text
    kept = guarded.do("run", "orders", answer.json()["id"])
    assert kept["triggering_user_name"] == f"shop ({ISSUER})"
    assert kept["conf"]["airgate"]["issuer"] == ISSUER
    assert kept["conf"]["item"] == "book"


def test_a_client_sees_and_cancels_its_own_runs_only(guarded: Ingress) -> None:
    """Another subject, or another issuer with the same subject, finds nothing."""
    run_id = start(guarded).json()["id"]
    others: list[dict[str, Any]] = [{"subject": "pub"}, {"issuer": "https://other.example/"}, {"dags": ("anything",)}]
    for other in others:
        for method in ("GET", "DELETE"):
            assert look(guarded, run_id, method, **other).status_code == 404
    assert look(guarded, run_id).json()["id"] == run_id
    path = "/dags/orders/runs"
    listed = send(guarded, "GET", f"{path}?limit=200", word("GET", path)).json()["runs"]
    assert run_id in {run["id"] for run in listed}
    assert send(guarded, "GET", path, word("GET", path, subject="nobody")).json()["runs"] == []
    assert look(guarded, run_id, "DELETE").status_code == 200


def test_the_gateway_says_which_dags_a_client_may_start(guarded: Ingress) -> None:
    """Of those that can be reached at all; the rest is 404."""
    assert start(guarded, dags=("orders", "anything")).status_code == 202
    assert start(guarded, dags=("anything",)).status_code == 404
    assert start(guarded, dags=()).status_code == 404
    path = "/dags/closed/runs"
    assert send(guarded, "POST", path, word("POST", path, b"{}", "k", dags=("closed",)), b"{}", "k").status_code == 404
    document = send(guarded, "GET", "/openapi.json", word("GET", "/openapi.json")).json()
    assert {each.split("/")[2] for each in document["paths"]} == {"orders"}


def test_the_same_request_twice_is_one_run(guarded: Ingress) -> None:
    """That is all that whoever gets hold of a word can do with it."""
    body, key, path = json.dumps(BOOK).encode(), uuid4().hex, "/dags/orders/runs"
    said = word("POST", path, body, key)
    first, second = (send(guarded, "POST", path, said, body, key) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_two_secrets_are_known_while_one_is_replaced(guarded: Ingress, secret: str) -> None:
    assert start(guarded, secret=secret).status_code == 202


PATH, KEY, BODY = "/dags/orders/runs", "k-of-the-word", json.dumps(BOOK).encode()
FORGED: dict[str, Any] = {
    "no token": "shop",
    "empty": "",
    "a foreign secret": {"secret": FOREIGN},
    "expired": {"now": time.time() - 3600},
    "of the future": {"now": time.time() + 3600},
    "another method": {"method": "GET"},
    "another path": {"path": "/dags/anything/runs"},
    "another key": {"key": "k-2"},
    "no key": {"key": None},
    "another body": {"body": b'{"item": "pen"}'},
    "no body": {"body": b""},
    "one of Airflow's own principals": {"issuer": "airflow", "subject": "ada"},
}


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("who", [None, "ada:admin"])
def test_a_word_that_does_not_count_is_never_overlooked(guarded: Ingress, name: str, who: str | None) -> None:
    """Nothing is started, also for somebody with a good token of its own beside it; the log tells why."""
    before = guarded.do("count", "orders")
    changes = FORGED[name]
    if isinstance(changes, dict):
        changes = word(**{"method": "POST", "path": PATH, "body": BODY, "key": KEY, **changes})
    answer = send(guarded, "POST", PATH, changes, BODY, KEY, who=who)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert answer.json()["detail"] == "The gateway's word for who you are does not count here."
    assert guarded.do("count", "orders") == before


def test_two_words_are_none(guarded: Ingress) -> None:
    """A client that adds its own to that of the gateway, or a gateway that does not drop the client's."""
    said = word("GET", PATH)
    with requests.Session() as session:
        session.trust_env = False
        request = requests.Request("GET", f"{guarded.address}/airgate/v1{PATH}").prepare()
        request.headers["Airgate-Identity"] = f"{said}, {said}"
        assert session.send(request, timeout=60).status_code == 401


def test_a_word_counts_for_more_than_a_token_beside_it(guarded: Ingress) -> None:
    """The client's own token, which a gateway may pass on, gives it nothing more."""
    run_id = start(guarded).json()["id"]
    path = f"/dags/orders/runs/{run_id}"
    answer = send(guarded, "GET", path, word("GET", path, subject="pub"), who="ada:admin")
    assert answer.status_code == 404


def test_airflows_own_principals_come_without_a_word(guarded: Ingress) -> None:
    """Where gateways are believed, too."""
    assert guarded.start("orders", BOOK).status_code == 202
    assert guarded.ask("GET", PATH, who=None).status_code == 401


def test_a_path_is_compared_as_it_was_sent(guarded: Ingress) -> None:
    """Escapes included, so that no server between can make another one of it."""
    target = f"{PATH}/in__%7C"
    assert send(guarded, "GET", target, word("GET", target)).status_code == 404
    for other in (f"{PATH}/in__|", f"{PATH}/in__%7c"):
        assert send(guarded, "GET", target, word("GET", other)).status_code == 401


def test_without_secrets_a_word_is_not_looked_at(ingress: Ingress) -> None:
    """It neither lets anybody in nor keeps anybody out."""
    assert start(ingress).status_code == 401
    body, key = json.dumps(BOOK).encode(), uuid4().hex
    assert send(ingress, "POST", PATH, "anything", body, key, who="ada:admin").status_code == 202


def test_rates_are_those_of_the_client(tmp_path: Any) -> None:
    """Not of the gateway, through which all of them come."""
    settings = {"IDENTITY_SECRETS": NEW, "RATE": "3/min"}
    environment = {f"AIRFLOW__AIRGATE__INGRESS_{name}": value for name, value in settings.items()}
    with serving(tmp_path, **environment) as running:
        path = "/dags/orders/runs"
        for subject in ("shop", "pub"):
            came = [send(running, "GET", path, word("GET", path, subject=subject)).status_code for _ in range(4)]
            assert came == [200, 200, 200, 429]
