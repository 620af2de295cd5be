"""The gateway's word for its client on a real edge: signed for the very request that its server gets."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from airgate.edge.command import main
from airgate.policy.callback import NotSigned
from airgate.policy.ingress_run import Identity
from airgate.policy.signed_identity import BoundRequest, SignedIdentity, digest_of
from tests.edge.echo_upstream import EchoUpstream, Seen
from tests.edge.edge_process import SECRET, Response, call, edge

NEW, OLD = "identity-secret-of-the-tests-that-is-new", "identity-secret-of-the-tests-that-is-old"
ISSUER = "https://issuer.example/"
RUNS = "/airgate/v1/dags/buy/runs"


def file(server: str) -> dict[str, Any]:
    proxied = {"auth": True, "integration": {"type": "http_proxy", "server": "airflow"}}
    word = {"identity": {"dags": ["buy", "sell"]}}
    item = {"type": "object", "required": ["item"]}
    return {
        "servers": [{"alias": "airflow", "url": f"{server}/base"}, {"alias": "other", "url": server}],
        "authorizer": {"type": "jwt", "secret": "$secret.TOKENS", "issuer": ISSUER},
        "x-airgate": {"identity": {"secret": "$secret.WORDS"}, "limits": {"body": 1000}},
        "paths": [
            {
                "method": "POST",
                "path": "/orders",
                **proxied,
                "x-airgate": {**word, "rewrite": RUNS, "validate": {"body": item}},
            },
            {"method": "ANY", "path": "/orders/{id}", **proxied, "x-airgate": {**word, "rewrite": f"{RUNS}/{{id}}"}},
            {
                "method": "POST",
                "path": "/made",
                **proxied,
                "x-airgate": {
                    **word,
                    "rewrite": RUNS,
                    "body": {"item": "$request.body.item", "by": "$request.jwt.sub"},
                },
            },
            {
                "method": "GET",
                "path": "/kept",
                **proxied,
                "mapping": {"headers": {"Authorization": "$request.header.Authorization"}},
                "x-airgate": word,
            },
            {"method": "GET", "path": "/plain", "auth": True, "integration": {"type": "http_proxy", "server": "other"}},
            {"method": "GET", "path": "/open", "integration": {"type": "http_proxy", "server": "airflow"}},
        ],
    }


@pytest.fixture(scope="module")
def upstream() -> Iterator[EchoUpstream]:
    opened = EchoUpstream()
    opened.open("airflow")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def config(upstream: EchoUpstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identity") / "config.json"
    path.write_text(json.dumps(file(f"http://127.0.0.1:{upstream.ports['airflow']}")))
    return path


@pytest.fixture(scope="module")
def port(config: Path) -> Iterator[int]:
    with edge(config, variables={"TOKENS": SECRET, "WORDS": f"{NEW}, {OLD}"}) as port:
        yield port


def bearer(**changes: Any) -> tuple[str, str]:
    claims = {"iss": ISSUER, "sub": "shop", "exp": time.time() + 60, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return "Authorization", f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"


def headers(seen: Seen) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in seen.headers:
        found.setdefault(name.lower(), []).append(value)
    return found


def word(seen: Seen) -> SignedIdentity:
    """What the server was told, which it would accept for the request that it got."""
    [text] = headers(seen)["airgate-identity"]
    read = SignedIdentity.read(text, (NEW,), time.time())
    keys = headers(seen).get("idempotency-key", [])
    read.check(seen.method, seen.target.partition("?")[0], keys[0] if keys else None)
    assert read.request.body == digest_of(seen.body or b"")
    return read


def asked(port: int, upstream: EchoUpstream, *request: Any, **more: Any) -> tuple[Response, list[Seen]]:
    upstream.take()
    return call(port, *request, **more), upstream.take()


@pytest.mark.parametrize(
    ("method", "target", "sent", "body", "bound"),
    [
        ("POST", "/orders?a=b", [("Idempotency-Key", "k-1")], b'{"item": 1}', ("POST", RUNS, "k-1")),
        ("POST", "/orders", [], b'{"item": 1}', ("POST", RUNS, None)),
        ("GET", "/orders/7", [], None, ("GET", f"{RUNS}/7", None)),
        ("DELETE", "/orders/a%20b", [("Idempotency-Key", '"q"')], None, ("DELETE", f"{RUNS}/a%20b", '"q"')),
        ("PUT", "/orders/7", [], b"\x00\xff" * 100, ("PUT", f"{RUNS}/7", None)),
        ("HEAD", "/orders/7", [], None, ("HEAD", f"{RUNS}/7", None)),
    ],
)
def test_the_server_is_told_who_asks_for_what(
    port: int,
    upstream: EchoUpstream,
    method: str,
    target: str,
    sent: list[tuple[str, str]],
    body: bytes | None,
    bound: tuple[str, str, str | None],
) -> None:
    """Issuer and subject of the token, the route's DAGs, and the request as it reaches the server."""
    content = [("Content-Type", "application/json")] if body else []
    _, [seen] = asked(port, upstream, method, target, [bearer(), *sent, *content], body)
    told = word(seen)
    assert (told.identity, told.dags) == (Identity(ISSUER, "shop"), frozenset({"buy", "sell"}))
    method, path, key = bound
    assert told.request == BoundRequest(method, f"/base{path}", key, digest_of(body or b""))


def test_a_body_that_comes_in_chunks_is_signed_as_a_whole(port: int, upstream: EchoUpstream) -> None:
    content = ("Content-Type", "application/json")
    _, [seen] = asked(port, upstream, "POST", "/orders", [bearer(), content], b'{"item": "book"}', chunked=True)
    assert word(seen).request.body == digest_of(b'{"item": "book"}')


def test_what_is_signed_is_the_body_that_is_sent(port: int, upstream: EchoUpstream) -> None:
    """Not the client's, where the file makes another one of it."""
    content = ("Content-Type", "application/json")
    _, [seen] = asked(port, upstream, "POST", "/made", [bearer(), content], b'{"item": "book", "by": "root"}')
    assert json.loads(seen.body or b"") == {"item": "book", "by": "shop"}
    assert word(seen).request.body == digest_of(seen.body or b"")


@pytest.mark.parametrize("path", ["/orders/7", "/plain", "/open", "/kept"])
@pytest.mark.parametrize(
    "forged",
    [
        [("Airgate-Identity", "forged")],
        [("AIRGATE-IDENTITY", "forged"), ("airgate-identity", "forged")],
        [("Airgate_Identity", "forged")],
        [("Airgate-Identity", "forged"), ("Connection", "close, Airgate-Identity")],
    ],
)
def test_the_clients_own_word_goes_nowhere(
    port: int, upstream: EchoUpstream, path: str, forged: list[tuple[str, str]]
) -> None:
    """On no route; and where the gateway speaks, the client cannot keep it from that."""
    _, [seen] = asked(port, upstream, "GET", path, [bearer(), *forged])
    assert "forged" not in str(seen.headers)
    assert ("airgate-identity" in headers(seen)) == (path in {"/orders/7", "/kept"})
    if "airgate-identity" in headers(seen):
        assert word(seen).identity.subject == "shop"


def test_the_clients_token_stays_with_the_gateway(port: int, upstream: EchoUpstream) -> None:
    """Where the gateway speaks for it, unless the file passes it on by name; other routes pass it on as ever."""
    for path, passed in (("/orders/7", False), ("/kept", True), ("/plain", True)):
        _, [seen] = asked(port, upstream, "GET", path, [bearer()])
        assert ("authorization" in headers(seen)) == passed, path


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"sub": None}, "needs the claim sub"), ({"sub": ""}, "the subject must"), ({"sub": "a\nb"}, "")],
)
def test_a_token_that_names_nobody_is_turned_away(
    port: int, upstream: EchoUpstream, changes: dict[str, Any], said: str
) -> None:
    """It is a good token, and there is nobody to speak for: 403, and the server hears nothing."""
    answer, seen = asked(port, upstream, "GET", "/orders/7", [bearer(**changes)])
    assert (answer.status, seen) == (403, [])
    assert said in json.loads(answer.body)["detail"]


def test_without_a_good_token_nobody_is_spoken_for(port: int, upstream: EchoUpstream) -> None:
    for sent in ([], [bearer(iss="https://other.example/")], [("Airgate-Identity", "x")]):
        answer, seen = asked(port, upstream, "GET", "/orders/7", sent)
        assert (answer.status, seen) == (401, [])


def test_a_body_is_checked_before_anything_is_signed(port: int, upstream: EchoUpstream) -> None:
    """One that is no order, and one that is too large."""
    content = ("Content-Type", "application/json")
    assert asked(port, upstream, "POST", "/orders", [bearer(), content], b"{}")[0].status == 422
    assert asked(port, upstream, "PUT", "/orders/7", [bearer()], b"x" * 1001)[0].status == 413
    assert asked(port, upstream, "PUT", "/orders/7", [bearer()], b"x" * 1001, chunked=True)[0].status == 413
    assert upstream.take() == []


def test_the_first_secret_signs(port: int, upstream: EchoUpstream) -> None:
    """The others are for whoever checks: they may go once no gateway signs with them any more."""
    _, [seen] = asked(port, upstream, "GET", "/orders/7", [bearer()])
    with pytest.raises(NotSigned):
        SignedIdentity.read(headers(seen)["airgate-identity"][0], (OLD,), time.time())


def test_it_is_explained(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What would be told to the server, without a token that could be used, and without the secret."""
    monkeypatch.setenv("TOKENS", SECRET)
    monkeypatch.setenv("WORDS", NEW)
    claims = json.dumps({"iss": ISSUER, "sub": "shop"})
    assert main(["explain", str(config), "GET", "/orders/7", "--header", "Authorization: x", "--claims", claims]) == 0
    said = capsys.readouterr().out
    assert "  sets     airgate-identity: (signed for this request; the client may start buy, sell)" in said
    assert "  drops    authorization" in said
    assert NEW not in said
    assert main(["explain", str(config), "GET", "/orders/7"]) == 0
    assert "answer     403" in capsys.readouterr().out
    assert main(["explain", str(config), "GET", "/plain"]) == 0
    assert "airgate-identity" not in capsys.readouterr().out
