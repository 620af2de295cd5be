"""Attacks with tokens on a real edge in strict mode: all get the same 401, and the upstream hears of none."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.edge.echo_upstream import Document, EchoUpstream
from tests.edge.edge_process import SECRET, Response, call, edge
from tests.edge.security.token_shapes import (
    BAD_CLAIMS,
    CLAIMS,
    ISSUER,
    KEYS,
    Headers,
    bearer,
    bent,
    forged,
    hs,
    misplaced,
    rs,
    with_claim,
    with_exp,
)
from tests.spec.signing import encoded, raw_shared

EXTENSION = {"audience": "api", "algorithms": ["RS256", "ES256"]}


@dataclass(frozen=True)
class Guarded:
    """An edge with one guarded route, its upstream, and a server of the attacker's."""

    port: int
    upstream: EchoUpstream
    evil: str

    def ask(self, headers: Sequence[tuple[str, str]], target: str = "/x") -> Response:
        return call(self.port, "GET", target, headers)


@contextmanager
def guarded(authorizer: dict[str, Any], upstream: EchoUpstream, folder: Any) -> Iterator[int]:
    server = {"alias": "up", "url": f"http://127.0.0.1:{upstream.ports['up']}"}
    route = {"method": "ANY", "path": "/{.+}", "auth": True, "integration": {"type": "http_proxy", "server": "up"}}
    config = folder / "config.json"
    config.write_text(json.dumps({"servers": [server], "authorizer": authorizer, "paths": [route]}))
    with edge(config, variables={"EDGE_TEST_SECRET": SECRET}) as port:
        yield port


@pytest.fixture(scope="module")
def upstream() -> Iterator[EchoUpstream]:
    opened = EchoUpstream()
    opened.open("up")
    opened.open("evil")
    opened.open("keys", {"/keys": Document(200, json.dumps(KEYS).encode())})
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def by_key(upstream: EchoUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    authorizer = {"type": "auth0", "domain": "t.test", "jwks_uri": f"http://127.0.0.1:{upstream.ports['keys']}/keys"}
    with guarded({**authorizer, "x-airgate": EXTENSION}, upstream, tmp_path_factory.mktemp("by-key")) as port:
        yield Guarded(port, upstream, f"http://127.0.0.1:{upstream.ports['evil']}/keys")


@pytest.fixture(scope="module")
def by_secret(upstream: EchoUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    authorizer = {"type": "jwt", "secret": "$secret.EDGE_TEST_SECRET", "issuer": ISSUER, "audience": "api"}
    with guarded(authorizer, upstream, tmp_path_factory.mktemp("by-secret")) as port:
        yield Guarded(port, upstream, f"http://127.0.0.1:{upstream.ports['evil']}/keys")


@pytest.mark.parametrize("claims", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
def test_a_good_signature_does_not_help_bad_claims(by_key: Guarded, by_secret: Guarded, claims: Any) -> None:
    """Signed by the issuer itself, a token that is not for here or not for now is refused like any other."""
    _refused(by_key, bearer(rs(claims)))
    _refused(by_secret, bearer(hs(claims)))


def _refused(edge: Guarded, headers: Headers, target: str = "/x") -> None:
    """401 without a reason, and nobody else was called."""
    edge.upstream.take()
    response = edge.ask(headers, target)
    assert (response.status, response.header("content-type")) == (401, "application/problem+json")
    assert json.loads(response.body)["detail"] == "The request needs a valid bearer token."
    assert (response.header("www-authenticate") or "").startswith('Bearer realm="gateway"')
    assert edge.upstream.take() == []


def test_good_tokens_reach_the_upstream(by_key: Guarded, by_secret: Guarded) -> None:
    """What the attacks are made from is let in, so that their refusal means something."""
    soon = with_exp(f"{time.time() + 900:.3f}")
    good = {
        "with kid": rs(),
        "EC": rs(kind="ES256", kid="e"),
        "fraction": rs(soon),
        "audience list": rs(with_claim("aud", ["x", "api"])),
    }
    good["issued in the future, without max_age"] = rs(with_claim("iat", 4102444000))
    good["zip, which means nothing here"] = rs(zip="DEF")
    for name, token in good.items():
        assert by_key.ask(bearer(token)).status == 200, name
    assert by_secret.ask(bearer(hs())).status == 200
    assert [seen.alias for seen in by_key.upstream.take()] == ["up"] * (len(good) + 1)


@pytest.mark.parametrize("name", forged(""))
def test_a_forged_token_is_refused_and_no_address_in_it_is_asked(
    by_key: Guarded, by_secret: Guarded, name: str
) -> None:
    """Neither the upstream nor the server that the token points to gets a request."""
    for each in (by_key, by_secret):
        _refused(each, bearer(forged(each.evil)[name]))


@pytest.mark.parametrize(
    "guess", ["", "secret", "$secret.EDGE_TEST_SECRET", "EDGE_TEST_SECRET", SECRET[:-1], f"{SECRET}\n"]
)
def test_a_guessed_secret_is_refused(by_secret: Guarded, guess: str) -> None:
    """The reference to the secret is not the secret, and close is not equal."""
    _refused(by_secret, bearer(hs(secret=guess.encode())))


@pytest.mark.parametrize("name", bent(hs()))
def test_a_second_spelling_of_a_good_token_is_refused(by_key: Guarded, by_secret: Guarded, name: str) -> None:
    """Else a token that was taken back, or counted, under one spelling would be good under another."""
    _refused(by_key, bearer(bent(rs())[name]))
    _refused(by_secret, bearer(bent(hs())[name]))


@pytest.mark.parametrize("name", misplaced("", ""))
def test_a_token_counts_alone_and_in_one_place(by_key: Guarded, by_secret: Guarded, name: str) -> None:
    """Two tokens, or text behind one, could be read otherwise by the upstream; other places are not looked at."""
    _refused(by_key, misplaced(rs(), rs(kind="RS256:stranger"))[name])
    _refused(by_secret, misplaced(hs(), hs(secret=b"x" * 40))[name])


@pytest.mark.parametrize("parameter", ["access_token", "token", "jwt", "authorization"])
def test_a_token_in_the_query_is_not_looked_at(by_secret: Guarded, parameter: str) -> None:
    """An address stands in logs and histories."""
    _refused(by_secret, [], f"/x?{parameter}={hs()}")


CRITICAL: dict[str, dict[str, Any]] = {
    "unknown": {"crit": ["exp"], "exp": 1},
    "unknown and known": {"crit": ["b64", "x"], "b64": True},
    "empty": {"crit": []},
    "text": {"crit": "b64"},
    "null": {"crit": None},
    "number": {"crit": [1]},
    "payload that is not encoded": {"crit": ["b64"], "b64": False},
    "without what it names": {"crit": ["b64"]},
}


@pytest.mark.parametrize("header", CRITICAL.values(), ids=CRITICAL.keys())
def test_a_critical_extension_that_is_not_understood_is_refused(
    by_key: Guarded, by_secret: Guarded, header: dict[str, Any]
) -> None:
    """Though the signature is good: the issuer says that the token means something else (RFC 7515, 4.1.11)."""
    _refused(by_key, bearer(rs(**header)))
    _refused(by_secret, bearer(hs(**header)))


def test_a_nested_token_is_refused(by_key: Guarded, by_secret: Guarded) -> None:
    """A token within a token is not unpacked."""
    _refused(by_key, bearer(rs(rs().encode(), cty="JWT")))
    _refused(
        by_secret, bearer(raw_shared(encoded({"alg": "HS256", "cty": "JWT"}), encoded(hs().encode()), SECRET.encode()))
    )


def test_a_token_larger_than_all_headers_may_be_is_not_read(by_secret: Guarded) -> None:
    """431, before anything of it is decoded."""
    by_secret.upstream.take()
    assert by_secret.ask(bearer(hs({**CLAIMS, "x": "y" * 60_000}))).status == 431
    assert by_secret.upstream.take() == []
