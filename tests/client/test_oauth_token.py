"""A token by client credentials: fetched once, kept, renewed in time, never shown."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import pytest
from scripted_server import Answer, ScriptedServer

from airgate.client import clock
from airgate.client.auth import Auth, MintingAuth, NotSigned, OAuth2Auth, RenewableAuth, TokenEndpoint
from airgate.client.auth.oauth import token_endpoint_url
from airgate.client.configure import gateway_from_fields
from airgate.client.effects import Wait
from airgate.client.message import Request, Response, headers_of
from airgate.client.session import GatewaySession
from airgate.policy.errors import GatewayError, InvalidResponse, Unauthorized, Unavailable
from airgate.policy.outcome import NotSent, Unanswered

SECRET = "s3cret/with:odd+signs"
REQUEST = Request("POST", "https://gw.test/orders", {"X-Tenant": "north"}, b"{}")
NOW = 1_000_000.0
_count = itertools.count()


def auth_of(**endpoint: str) -> OAuth2Auth:
    """A fresh set of credentials: tokens are shared by all auths of a process that have the same."""
    url = endpoint.pop("url", f"https://id.test/{next(_count)}/token")
    return OAuth2Auth("client one", SECRET, TokenEndpoint(url, **endpoint))


def answered(status: int = 200, headers: dict[str, str] | None = None, **members: object) -> Response:
    return Response(
        status, headers_of((headers or {}).items()), json.dumps(members).encode(), "POST", "https://id.test"
    )


def granted(token: str = "token-1", lifetime: object = 3600) -> Response:
    return answered(access_token=token, token_type="Bearer", expires_in=lifetime)


def signed(auth: Auth, now: float = NOW, reply: object = None) -> Request:
    """Sign; the token request is answered by the reply, without one none must be made."""
    signing = auth.sign(REQUEST, now)
    try:
        wanted = next(signing)
        assert reply is not None, f"asked for {wanted}"
        assert isinstance(wanted, Request)
        signing.throw(reply) if isinstance(reply, Exception) else signing.send(reply)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("one token request is enough")


def token_of(request: Request) -> str:
    return request.headers["Authorization"].removeprefix("Bearer ")


def test_client_and_secret_go_into_the_header_by_default() -> None:
    """RFC 6749, 2.3.1: both are form-encoded before they are joined."""
    wanted = next(auth_of(scopes="read write", audience="api").sign(REQUEST, NOW))
    assert isinstance(wanted, Request)
    pair = base64.b64decode(wanted.headers["Authorization"].removeprefix("Basic ")).decode()
    assert pair == "client+one:s3cret%2Fwith%3Aodd%2Bsigns"
    assert wanted.body
    assert parse_qs(wanted.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["read write"],
        "audience": ["api"],
    }
    assert wanted.method == "POST"


def test_client_and_secret_go_into_the_form_where_asked() -> None:
    """For servers that know only that way."""
    wanted = next(auth_of(client_auth="post").sign(REQUEST, NOW))
    assert isinstance(wanted, Request)
    assert "Authorization" not in wanted.headers
    assert wanted.body
    form = parse_qs(wanted.body.decode())
    assert (form["client_id"], form["client_secret"]) == (["client one"], [SECRET])


def test_the_token_request_carries_nothing_of_the_gateway() -> None:
    """Neither the call's headers nor its body go to the token endpoint."""
    wanted = next(auth_of().sign(REQUEST, NOW))
    assert isinstance(wanted, Request)
    assert set(wanted.headers) == {"Content-Type", "Accept", "Authorization"}


def test_a_token_is_kept_until_a_minute_before_it_expires() -> None:
    """Fetched once, used for each call, fetched again in time."""
    auth = auth_of()
    assert token_of(signed(auth, NOW, granted())) == "token-1"
    assert token_of(signed(auth, NOW + 3539)) == "token-1"
    assert token_of(signed(auth, NOW + 3540, granted("token-2"))) == "token-2"


def test_a_short_token_is_renewed_at_nine_tenths_of_its_life() -> None:
    """A minute before the end would be never, or before the beginning."""
    auth = auth_of()
    signed(auth, NOW, granted(lifetime=100))
    assert token_of(signed(auth, NOW + 89)) == "token-1"
    assert token_of(signed(auth, NOW + 90, granted("token-2"))) == "token-2"


@pytest.mark.parametrize(
    ("lifetime", "kept"), [(None, 270), ("1000", 940), ("soon", 270), (True, 270), (-5, None), (0, None)]
)
def test_an_odd_lifetime_is_understood_or_replaced(lifetime: object, kept: float | None) -> None:
    """Missing or unreadable means five minutes; an ended one is good for the call that fetched it."""
    auth = auth_of()
    signed(auth, NOW, granted(lifetime=lifetime))
    if kept is not None:
        assert token_of(signed(auth, NOW + kept - 1)) == "token-1"
    assert token_of(signed(auth, NOW + (kept or 0), granted("token-2"))) == "token-2"


def test_auths_with_the_same_credentials_share_a_token() -> None:
    """A triggerer makes a hook for each trigger: they do not fetch a token each; another scope is another token."""
    first = auth_of()
    url = next(first.sign(REQUEST, NOW)).url  # type: ignore[union-attr]
    signed(first, NOW, granted())
    assert token_of(signed(auth_of(url=url))) == "token-1"
    assert token_of(signed(auth_of(url=url, scopes="write"), NOW, granted("token-w"))) == "token-w"


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (
            answered(401, error="invalid_client", error_description="who?"),
            Unauthorized,
            r"answered 401, invalid_client \(who\?\)",
        ),
        (answered(400, error="invalid_scope"), Unauthorized, "answered 400, invalid_scope"),
        (answered(400, error="x" * 9999), Unauthorized, "answered 400, x{200}(?!x)"),
        (answered(403), Unauthorized, "answered 403"),
        (answered(503, {"retry-after": "7"}), NotSigned, "answered 503.*retry after 7 s"),
        (answered(429, {"retry-after": "9"}), NotSigned, "answered 429.*retry after 9 s"),
        (answered(400, error="temporarily_unavailable"), NotSigned, "temporarily_unavailable"),
        (answered(302, {"location": "https://elsewhere.test"}), InvalidResponse, "redirect, which is not followed"),
        (answered(200), InvalidResponse, "has no access_token"),
        (answered(200, access_token=5), InvalidResponse, "has no access_token"),
        (answered(200, access_token="a\r\nX-Evil: 1"), InvalidResponse, "cannot stand in a header"),
        (answered(200, access_token="a", token_type="DPoP"), InvalidResponse, "token_type 'DPoP'"),
        (Response(200, headers_of(), b"<html>", "POST", ""), InvalidResponse, "has no access_token"),
        (Response(200, headers_of(), b"[1]", "POST", ""), InvalidResponse, "has no access_token"),
        (NotSigned("it is down", status=503, retry_after=7.0), NotSigned, "it is down.*retry after 7 s"),
        (NotSent("connection refused or host not found"), NotSigned, "gave no token: connection refused"),
        (Unanswered("no answer within 60 s"), NotSigned, "gave no token: no answer"),
    ],
)
def test_no_token_is_a_typed_error(reply: object, kind: type[GatewayError], said: str) -> None:
    """It names the endpoint and its error code (RFC 6749, 5.2), and says whether another try may help."""
    with pytest.raises(kind, match=said) as caught:
        signed(auth_of(), NOW, reply)
    assert "https://id.test/" in str(caught.value)
    assert caught.value.retryable is (kind is NotSigned)


def test_an_error_does_not_repeat_the_secret() -> None:
    """Also where the server does."""
    for echo in (SECRET, base64.b64encode(b"client+one:s3cret%2Fwith%3Aodd%2Bsigns").decode()):
        with pytest.raises(Unauthorized) as caught:
            signed(auth_of(), NOW, answered(400, error="invalid_client", error_description=f"bad {echo}"))
        assert echo not in str(caught.value)


def test_the_old_token_serves_while_the_endpoint_is_down() -> None:
    """A refresh that fails is no failure of the call as long as the old token holds, and rests for a while."""
    auth = auth_of()
    signed(auth, NOW, granted())
    assert token_of(signed(auth, NOW + 3545, answered(503))) == "token-1"
    assert token_of(signed(auth, NOW + 3546)) == "token-1"
    assert token_of(signed(auth, NOW + 3556, NotSigned("no connection"))) == "token-1"
    assert token_of(signed(auth, NOW + 3570, granted("token-2"))) == "token-2"
    with pytest.raises(NotSigned):
        signed(auth, NOW + 9999, answered(503))


def test_while_one_fetches_others_use_the_old_token() -> None:
    """Nobody waits for a token that they do not need."""
    auth = auth_of()
    signed(auth, NOW, granted())
    fetching = auth.sign(REQUEST, NOW + 3550)
    assert isinstance(next(fetching), Request)
    assert token_of(signed(auth, NOW + 3550)) == "token-1"


def test_while_one_fetches_others_wait_for_the_new_token() -> None:
    """They yield short waits, and ask for nothing themselves."""
    auth = auth_of()
    fetching, waiting = auth.sign(REQUEST, NOW), auth.sign(REQUEST, NOW)
    next(fetching)
    assert isinstance(next(waiting), Wait)
    assert isinstance(waiting.send(None), Wait)
    with pytest.raises(StopIteration):
        fetching.send(granted())
    with pytest.raises(StopIteration) as stop:
        waiting.send(None)
    assert token_of(stop.value.value) == "token-1"


def test_those_who_waited_share_the_failure() -> None:
    """A hundred waiting calls do not ask a broken endpoint one after the other."""
    auth = auth_of()
    fetching, waiting = auth.sign(REQUEST, NOW), auth.sign(REQUEST, NOW)
    next(fetching)
    next(waiting)
    with pytest.raises(Unauthorized) as first:
        fetching.send(answered(401, error="invalid_client"))
    with pytest.raises(Unauthorized) as second:
        waiting.send(None)
    assert str(first.value) == str(second.value)
    assert first.value is not second.value


def test_a_holder_that_dies_gives_the_turn_back() -> None:
    """A call that is given up while its token is on the way does not block the others."""
    auth = auth_of()
    fetching, waiting = auth.sign(REQUEST, NOW), auth.sign(REQUEST, NOW)
    next(fetching)
    assert isinstance(next(waiting), Wait)
    fetching.close()
    assert isinstance(waiting.send(None), Request)


def test_a_holder_that_vanishes_loses_the_turn() -> None:
    """Even one that is never closed, after two minutes; its late answer does not replace a newer token."""
    auth = auth_of()
    vanished = auth.sign(REQUEST, NOW)
    next(vanished)
    assert token_of(signed(auth, NOW + 121, granted("token-2"))) == "token-2"
    with pytest.raises(StopIteration):
        vanished.send(granted("token-late"))
    assert token_of(signed(auth, NOW + 122)) == "token-2"


def test_a_refused_token_is_fetched_anew_once() -> None:
    """After a 401 the token is forgotten; if the fresh one is refused as well, a third would not help."""
    auth = auth_of()
    first = signed(auth, NOW, granted())
    assert isinstance(auth, RenewableAuth)
    assert auth.renew(first)
    second = signed(auth, NOW + 1, granted("token-2"))
    assert token_of(second) == "token-2"
    assert auth.renew(first), "another caller's old token says nothing of the new one"
    assert token_of(signed(auth, NOW + 2)) == "token-2"
    assert not auth.renew(second)
    assert token_of(signed(auth, NOW + 3)) == "token-2"


def test_each_new_token_is_told_before_its_first_use() -> None:
    """So that logs mask it; known as secret as well, and nowhere in a repr."""
    told: list[str] = []
    auth = auth_of()
    assert isinstance(auth, MintingAuth)
    auth.on_secret = told.append
    signed(auth, NOW, granted("token-one"))
    signed(auth, NOW + 1)
    assert told == ["token-one"]
    signed(auth, NOW + 4000, granted("token-two"))
    assert told == ["token-one", "token-two"]
    assert {SECRET, "token-one", "token-two"} <= set(auth.secrets)
    assert not any(secret in repr(vars(auth)["_store"]) + repr(auth) for secret in auth.secrets)


def test_a_shared_token_is_told_to_each_who_uses_it() -> None:
    """The one that did not fetch it masks it too."""
    first = auth_of()
    url = next(first.sign(REQUEST, NOW)).url  # type: ignore[union-attr]
    signed(first, NOW, granted())
    second, told = auth_of(url=url), list[str]()
    second.on_secret = told.append
    signed(second)
    assert told == ["token-1"]


@pytest.mark.parametrize(
    ("token_url", "expected"),
    [
        ("/oauth/token", "https://gw.test/v1/oauth/token"),
        ("oauth/token?tenant=a", "https://gw.test/v1/oauth/token?tenant=a"),
        ("https://id.test/token", "https://id.test/token"),
        ("http://localhost:9/token", "http://localhost:9/token"),
    ],
)
def test_the_endpoint_is_an_address_or_a_path(token_url: str, expected: str) -> None:
    """A path stands below the gateway's prefix."""
    assert token_endpoint_url(token_url, "https://gw.test/v1") == expected


@pytest.mark.parametrize(
    ("token_url", "said"),
    [
        ("ftp://id.test", "http"),
        ("https://", "address"),
        ("//id.test/token", "address"),
        ("https://user:hidden@id.test/", "credentials"),
        ("http://id.test/token", "in clear"),
        ("https://id.test/token#x", "address"),
        ("../token", r"\.\."),
    ],
)
def test_a_wrong_endpoint_is_refused(token_url: str, said: str) -> None:
    """Early, by name, and without what may be secret in it."""
    with pytest.raises(ValueError, match=said) as caught:
        token_endpoint_url(token_url, "https://gw.test/v1")
    assert "hidden" not in str(caught.value)


@pytest.fixture
def servers() -> Iterator[tuple[ScriptedServer, ScriptedServer]]:
    """A gateway, and a token endpoint of another origin."""
    service, identity = ScriptedServer(), ScriptedServer()
    yield service, identity
    service.stop()
    identity.stop()


def session_for(service: ScriptedServer, identity: ScriptedServer, **extra: object) -> GatewaySession:
    fields = {"auth": "oauth2", "oauth_url": f"{identity.url}/token", "headers": {"X-Tenant": "north"}, "backoff": 0.01}
    return GatewaySession(gateway_from_fields(host=service.url, login="me", password=SECRET, extra={**fields, **extra}))


def later(time_: float) -> clock.Clock:
    """A clock that stands still at a later time."""

    class Standing(clock.SystemClock):
        now = staticmethod(lambda: time_)

    return Standing()


def token_answer(token: str, **more: object) -> Answer:
    return Answer(body=json.dumps({"access_token": token, "token_type": "bearer", "expires_in": 60}).encode(), **more)


def test_a_busy_token_endpoint_is_asked_again_when_it_says(servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    """Its Retry-After ends a call as the gateway's own would, so that Airflow's next try comes at the right time."""
    service, identity = servers
    identity.answers = [Answer(429, headers={"Retry-After": "60"})]
    with session_for(service, identity) as session, pytest.raises(Unavailable) as caught:
        session.call(Request("POST", f"{service.url}/orders", body=b"{}"))
    assert caught.value.retryable
    assert 60 <= (caught.value.retry_after or 0) <= 61
    assert service.seen == []


def test_a_call_does_not_fail_while_the_old_token_holds(servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    """The token should be renewed, its endpoint is down: the call goes out with the old one, at its first attempt."""
    service, identity = servers
    identity.answers = [token_answer("old"), Answer(503)]
    begin = clock.now()
    with session_for(service, identity) as session:
        session.call(Request("GET", f"{service.url}/x"))
        with clock.running(later(begin + 57)):
            answer = session.call(Request("GET", f"{service.url}/x"))
    assert (answer.status, answer.attempts) == (200, 1)
    assert service.seen[-1].headers["authorization"] == "Bearer old"
    assert len(identity.seen) == 2


def test_a_refused_client_is_told_at_once(servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    """No retry, no call, a typed error with the code."""
    service, identity = servers
    identity.answers = [Answer(401, b'{"error": "invalid_client"}')]
    with session_for(service, identity) as session, pytest.raises(Unauthorized, match="invalid_client") as caught:
        session.call(Request("GET", f"{service.url}/orders"))
    assert (len(service.seen), len(identity.seen)) == (0, 1)
    assert SECRET not in str(caught.value)


def test_many_threads_fetch_one_token(servers: tuple[ScriptedServer, ScriptedServer]) -> None:
    """Twelve calls at once, on twelve threads and three sessions, with a slow endpoint: one token request."""
    service, identity = servers
    identity.answers = [token_answer("t", delay=0.3)]
    sessions = [session_for(service, identity) for _ in range(3)]
    barrier = threading.Barrier(12)

    def call(number: int) -> int:
        barrier.wait()
        return sessions[number % 3].call(Request("GET", f"{service.url}/x")).status

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(call, range(12))) == {200}
    for session in sessions:
        session.close()
    assert len(identity.seen) == 1
    assert len(service.seen) == 12


async def test_tasks_and_threads_share_one_turn() -> None:
    """Tasks of an event loop wait on the loop while a thread fetches; nobody deadlocks, one request is made."""
    auth, fetched = auth_of(), list[int]()

    def reply() -> Response:
        fetched.append(1)
        return granted()

    def drive(sleep: Callable[[float], None]) -> str:
        signing, event = auth.sign(REQUEST, time.time()), None
        try:
            while True:
                wanted = signing.send(event)
                event = None
                if isinstance(wanted, Wait):
                    sleep(wanted.seconds)
                else:
                    sleep(0.2)
                    event = reply()
        except StopIteration as stop:
            return token_of(stop.value)

    async def drive_on_loop() -> str:
        signing, event = auth.sign(REQUEST, time.time()), None
        try:
            while True:
                wanted = signing.send(event)
                event = None
                if isinstance(wanted, Wait):
                    await asyncio.sleep(wanted.seconds)
                else:
                    await asyncio.sleep(0.2)
                    event = reply()
        except StopIteration as stop:
            return token_of(stop.value)

    threads = [asyncio.to_thread(drive, time.sleep) for _ in range(4)]
    tokens = await asyncio.wait_for(asyncio.gather(*threads, *(drive_on_loop() for _ in range(20))), 20)
    assert set(tokens) == {"token-1"}
    assert len(fetched) == 1
