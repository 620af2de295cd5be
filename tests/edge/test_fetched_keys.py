"""Key sets in compatible mode: fetched for each token, and what is told when that fails (SPEC.md, section 7.2)."""

import json
from collections.abc import AsyncIterator

import pytest

from airgate.edge.jwks import FetchedKeys, verified
from airgate.edge.whole_call import HttpCalls
from airgate.spec.auth0_tokens import key_set_verifier
from airgate.spec.refused import Refused
from tests.scripted_server import Answer, ScriptedServer
from tests.spec.signing import jwk, signed

CLAIMS = {"iss": "https://t.test/", "exp": 4102444800}
GOOD = Answer(200, json.dumps({"keys": [jwk("RS256", kid="a")]}).encode())


@pytest.fixture
async def keys() -> AsyncIterator[FetchedKeys]:
    calls = HttpCalls()
    yield FetchedKeys(calls)
    await calls.close()


async def verdict(keys: FetchedKeys, uri: str, token: str) -> str:
    """The error code of a token, or `passes`."""
    verifier = key_set_verifier({"domain": "t.test", "jwks_uri": uri}, strict=False)
    try:
        await verified(verifier, token, keys, 1000.0)
    except Refused as refused:
        return refused.code
    return "passes"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (GOOD, "passes"),
        (Answer(200, b"\xef\xbb\xbf" + GOOD.body), "passes"),
        (Answer(200, GOOD.body, {"Content-Type": "text/html"}), "passes"),
        (Answer(200, GOOD.body, chunked=True), "passes"),
        (Answer(404, GOOD.body), "AUTH_ERROR"),
        (Answer(201, GOOD.body), "AUTH_ERROR"),
        (Answer(302, GOOD.body, {"Location": "/"}), "AUTH_ERROR"),
        (Answer(200, b"<html>"), "AUTH_ERROR"),
        (Answer(200, b""), "AUTH_ERROR"),
        (Answer(200, b'{"x":1}'), "ERR_JWKS_INVALID"),
        (Answer(200, b"[]"), "ERR_JWKS_INVALID"),
        (Answer(200, b'{"keys":[]}'), "ERR_JWKS_NO_MATCHING_KEY"),
        (Answer(200, GOOD.body, cut=True), "AUTH_ERROR"),
        (Answer(hang_up=True), "AUTH_ERROR"),
    ],
)
async def test_what_comes_back_decides(keys: FetchedKeys, server: ScriptedServer, answer: Answer, code: str) -> None:
    """A set is what is 200 and JSON with a list of keys, whatever its media type; redirects are not followed."""
    server.answers = [answer]
    assert await verdict(keys, f"{server.url}/k?a=b", signed(CLAIMS, kid="a")) == code
    assert [seen.query for seen in server.seen] == [{"a": ["b"]}]


async def test_each_token_has_the_set_fetched_and_a_malformed_one_has_not(
    keys: FetchedKeys, server: ScriptedServer
) -> None:
    """Nothing is kept, an unknown key is not asked for twice, and what is no token is refused before."""
    server.answers = [GOOD]
    for token, fetches in ((signed(CLAIMS, kid="a"), 1), (signed(CLAIMS, kid="z"), 2), ("a.b.c", 2), ("", 2)):
        await verdict(keys, server.url, token)
        assert len(server.seen) == fetches


@pytest.mark.parametrize("uri", ["nonsense", "ftp://host/keys", "http://", "http://127.0.0.1:1/keys"])
async def test_an_address_that_cannot_be_asked_refuses_the_token(keys: FetchedKeys, uri: str) -> None:
    """A bad address and a closed port are told like any failure."""
    assert await verdict(keys, uri, signed(CLAIMS, kid="a")) == "AUTH_ERROR"
