"""Who may start, see and cancel runs: Airflow's principals by its own rules, and bearers of an issuer's token."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.ingress.conftest import Ingress, serving

pytestmark = pytest.mark.integration
ISSUER, AUDIENCE = "https://issuer.example/", "airgate"
KEY, STRANGE = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
BOOK = {"item": "book"}


def public(key: Any, kid: str = "k1") -> dict[str, Any]:
    """The public half as a JWK."""
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


def token(sub: str | None = "shop", dags: Any = ("orders",), key: Any = KEY, kid: str = "k1", **claims: Any) -> str:
    """A token of the issuer."""
    content = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "exp": time.time() + 60, "airgate_dags": dags, **claims}
    content = {name: value for name, value in content.items() if value is not None}
    algorithm = claims.pop("_alg", "RS256")
    content.pop("_alg", None)
    return jwt.encode(content, key, algorithm, headers={"kid": kid})


class Keys:
    """A server of key sets."""

    def __init__(self) -> None:
        self.shown = [public(KEY)]
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = json.dumps({"keys": outer.shown}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where they are."""
        return f"http://127.0.0.1:{self.server.server_port}/keys"


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    """The issuer's."""
    served = Keys()
    yield served
    served.server.shutdown()


@pytest.fixture(scope="module")
def open_ingress(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Ingress]:
    """One that believes the issuer."""
    settings = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "JWKS": keys.url, "URLS": '{"anything": "/things"}'}
    environment = {f"AIRFLOW__AIRGATE__INGRESS_{name}": value for name, value in settings.items()}
    with serving(tmp_path_factory.mktemp("open"), **environment) as running:
        yield running


def test_nobody_is_told_nothing(open_ingress: Ingress) -> None:
    for method, path in (("POST", "/dags/orders/runs"), ("GET", "/dags/nowhere/runs"), ("GET", "/openapi.json")):
        answer = open_ingress.ask(method, path, who=None, headers={"X-Gateway-Subject": "shop", "X-User": "ada"})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_airflow_decides_what_its_principals_may(open_ingress: Ingress) -> None:
    run_id = open_ingress.start("orders", BOOK).json()["id"]
    path = f"/dags/orders/runs/{run_id}"
    assert open_ingress.start("orders", BOOK, who="vic:viewer").status_code == 403
    assert open_ingress.ask("DELETE", path, who="vic:viewer").status_code == 403
    assert open_ingress.ask("GET", path, who="vic:viewer").json()["id"] == run_id
    assert open_ingress.start("orders", BOOK, who="uma:user").status_code == 202
    assert open_ingress.start("closed", {}, who="ada:admin").status_code == 404
    assert open_ingress.ask("GET", "/dags/orders/runs", who="vic:viewer").json() == {"runs": [], "next": None}


def test_a_token_opens_the_dags_of_its_claim_and_no_others(open_ingress: Ingress) -> None:
    assert open_ingress.start("orders", BOOK, who=token()).status_code == 202
    assert open_ingress.start("orders", BOOK, who=token(dags="openid orders")).status_code == 202
    for dags in (["anything"], [], None, "orders2", {"orders": 1}, ["closed"]):
        assert open_ingress.start("orders", BOOK, who=token(dags=dags)).status_code == 404
    assert open_ingress.start("closed", {}, who=token(dags=["closed"])).status_code == 404


def test_a_token_is_kept_as_issuer_and_subject(open_ingress: Ingress) -> None:
    headers = {"X-Gateway-Subject": "root", "X-Forwarded-User": "root"}
    run_id = open_ingress.start("orders", BOOK, who=token(), headers=headers).json()["id"]
    kept = open_ingress.do("run", "orders", run_id)
    assert kept["triggering_user_name"] == f"shop ({ISSUER})"
    assert (kept["conf"]["airgate"]["issuer"], kept["conf"]["airgate"]["subject"]) == (ISSUER, "shop")


def test_a_token_sees_its_own_runs_only(open_ingress: Ingress) -> None:
    own = open_ingress.start("orders", BOOK, "k", who=token()).json()["id"]
    others = [open_ingress.start("orders", BOOK, "k", who=who).json()["id"] for who in (token("pub"), "ada:admin")]
    assert len({own, *others}) == 3
    for run_id in others:
        for method in ("GET", "DELETE"):
            answer = open_ingress.ask(method, f"/dags/orders/runs/{run_id}", who=token())
            assert answer.status_code == 404
            assert run_id not in answer.text
    listed = open_ingress.ask("GET", "/dags/orders/runs", who=token()).json()["runs"]
    assert own in {run["id"] for run in listed}
    assert not {run["id"] for run in listed} & set(others)
    assert open_ingress.ask("DELETE", f"/dags/orders/runs/{own}", who=token()).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": 4_102_444_800},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "x" * 251},
        {"key": STRANGE},
        {"key": "a-shared-secret-0123456789-abcdefghij", "_alg": "HS256"},
        {"key": KEY, "_alg": "RS512"},
        {"key": None, "_alg": "none"},
        {"iss": "https://other.example/"},
    ],
)
def test_a_token_that_is_not_good_starts_nothing(open_ingress: Ingress, changes: dict[str, Any]) -> None:
    before = open_ingress.do("count", "orders")
    answer = open_ingress.start("orders", BOOK, who=token(**changes))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert answer.json()["detail"] == "The token is not valid here."
    assert open_ingress.do("count", "orders") == before


def test_keys_are_kept_and_a_new_one_is_fetched(open_ingress: Ingress, keys: Keys) -> None:
    assert open_ingress.start("orders", BOOK, who=token()).status_code == 202
    asked = keys.asked
    assert open_ingress.start("orders", BOOK, who=token()).status_code == 202
    assert keys.asked == asked
    fresh = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    keys.shown = [public(KEY), public(fresh, "k2")]
    ends = time.monotonic() + 30
    while open_ingress.start("orders", BOOK, who=token(key=fresh, kid="k2")).status_code != 202:
        assert time.monotonic() < ends  # a set is not asked for more than once in five seconds
        time.sleep(0.5)


def test_the_document_lists_what_the_caller_may_start(open_ingress: Ingress) -> None:
    for who, dags in (
        ("ada:admin", {"orders", "anything", "shipping"}),
        ("vic:viewer", set()),
        (token(), {"orders"}),
        (token(dags=["closed", "anything"]), {"anything"}),
    ):
        document = open_ingress.ask("GET", "/openapi.json", who=who).json()
        assert {path.split("/")[2] for path in document["paths"]} == dags
    body = open_ingress.ask("GET", "/openapi.json", who=token()).json()["paths"]["/dags/orders/runs"]["post"]
    schema = body["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["item"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["count"] == {"type": "integer", "minimum": 1, "maximum": 10, "default": 1}
    assert schema["properties"]["item"]["description"] == "What is bought."


def test_the_document_is_one_of_openapi(open_ingress: Ingress) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    OpenAPIV31SpecValidator(open_ingress.ask("GET", "/openapi.json").json()).validate()


def test_a_dag_may_be_reached_at_an_address_of_its_own(open_ingress: Ingress) -> None:
    answer = open_ingress.start("anything", {}, who=token(dags=["anything"]))
    assert answer.headers["location"] == f"/things/{answer.json()['id']}"


def test_without_an_issuer_no_token_but_airflows_is_believed(ingress: Ingress) -> None:
    assert ingress.start("orders", BOOK, who=token()).status_code == 401


def test_keys_of_a_file_are_believed_and_half_of_the_settings_are_not(tmp_path: Any) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [public(KEY)]}))
    settings = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "JWKS": str(file), "CLAIM": "scope"}
    environment = {f"AIRFLOW__AIRGATE__INGRESS_{name}": value for name, value in settings.items()}
    with serving(tmp_path, **environment) as running:
        assert running.start("orders", BOOK, who=token(scope="orders openid")).status_code == 202
        assert running.start("orders", BOOK, who=token()).status_code == 404
