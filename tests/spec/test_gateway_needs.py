"""Decisions that wait: what they need, and that they go on as if it had been there (SPEC.md, sections 4 and 7.2)."""

import json
from typing import Any

import pytest

from airgate.spec.answer import Answer
from airgate.spec.config import Mode, load
from airgate.spec.gateway import Forward, decide
from airgate.spec.keyset import KeySet
from airgate.spec.message import Request
from airgate.spec.need import NeedKeys
from airgate.spec.refused import KeysUnavailable
from airgate.spec.url import absolute_url
from tests.spec.signing import jwk, signed

KEYS = KeySet((jwk("RS256", kid="a"),))
CLAIMS = {"iss": "https://t.test/", "aud": "api", "exp": 2000, "sub": "alice"}
FILE = {
    "servers": [{"alias": "up", "url": "http://up.test"}],
    "authorizer": {
        "type": "auth0",
        "domain": "t.test",
        "jwks_uri": "https://t.test/keys",
        "x-airgate": {"audience": "api"},
    },
    "paths": [
        {
            "method": "GET",
            "path": "/private/{id}",
            "auth": True,
            "integration": {"type": "http_proxy", "server": "up"},
            "mapping": {"headers": {"x-user": "$request.jwt.sub"}},
        },
        {"method": "GET", "path": "/unknown", "auth": True, "integration": {"type": "http_proxy", "server": "no"}},
        {"method": "GET", "path": "/public", "response": 1},
    ],
}


def decided(path: str, mode: Mode, **claims: Any) -> Any:
    token = signed({**CLAIMS, **claims}, kid="a")
    request = Request("GET", path.encode(), b"", [(b"authorization", f"Bearer {token}".encode())])
    return decide(load(json.dumps(FILE), {}, mode), request, 1000.0)


@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_a_guarded_call_waits_for_keys_and_goes_on(mode: Mode) -> None:
    """With the keys the call is made with the claims mapped; with none, or with a bad token, it is refused."""
    need = decided("/private/7", mode)
    assert isinstance(need, NeedKeys)
    call = need.resume(KEYS)
    assert isinstance(call, Forward)
    assert ("x-user", "alice") in call.headers
    refused = need.resume(KeysUnavailable(3))
    assert isinstance(refused, Answer)
    assert refused.status == (503 if mode == "strict" else 401)
    assert decided("/private/7", mode, exp=1).resume(KEYS).status == 401


@pytest.mark.parametrize("mode", ["strict", "compatible"])
def test_only_a_guarded_route_waits(mode: Mode) -> None:
    """A public route and an unknown path are answered at once; an unknown server is told after the token is judged."""
    assert decided("/public", mode).status == 200
    assert decided("/nothing", mode).status == 404
    assert decided("/unknown", mode).resume(KEYS).status == 404
    assert decided("/unknown", mode, iss="x").resume(KEYS).status == 401


def test_a_claim_that_hides_the_others_hides_them_after_a_wait_too() -> None:
    """The recorded oddity of `hasOwnProperty` does not depend on where the keys come from."""
    call = decided("/private/7", "compatible", hasOwnProperty=1).resume(KEYS)
    assert "x-user" not in dict(call.headers)
    assert ("x-user", "alice") in decided("/private/7", "strict", hasOwnProperty=1).resume(KEYS).headers


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://H.test", "https://h.test/"),
        ("https://h:443/a b?c d'#e f`", "https://h/a%20b?c%20d%27#e%20f%60"),
        ("  https://h/a\n/../b?\t ", "https://h/b?"),
        ("https://h:8443/é?é#é", "https://h:8443/%C3%A9?%C3%A9#%C3%A9"),
        ("https://[::1]:1/?a#", "https://[::1]:1/?a#"),
        ("https:///authorize?x", "https://authorize/?x"),
    ],
)
def test_a_url_is_written_as_the_url_standard_does(text: str, url: str) -> None:
    """Case, default port, dot segments and what cannot stand in a URL are put right, the rest stays."""
    assert absolute_url(text) == url
