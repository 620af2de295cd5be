"""Sign-in at Auth0 through a real edge, with a tenant that speaks TLS on loopback (SPEC.md, section 10.4)."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.edge.edge_process import Response, call, edge
from tests.edge.tls_tenant import loopback_certificate
from tests.scripted_server import Answer, ScriptedServer
from tests.spec.signing import jwk, signed

LATER = time.time() + 3600
KINDS = ("callback", "callback_redirect", "userinfo", "refresh")
COOKIE = "__Host-airgate-sign-in"


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    opened = ScriptedServer()
    opened.speak_tls(loopback_certificate(tmp_path_factory.mktemp("tenant") / "tenant.pem"))
    yield opened
    opened.stop()


@pytest.fixture(scope="module")
def certificate(tenant: ScriptedServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the tenant's certificate."""
    return next(tmp_path_factory.getbasetemp().glob("tenant*/tenant.pem"))


def served(tenant: ScriptedServer, certificate: Path, folder: Path, mode: str) -> Iterator[int]:
    config = folder / "config.json"
    authorizer = {
        "type": "auth0",
        "domain": f"127.0.0.1:{tenant.port}",
        "client_id": "app",
        "client_secret": "hush",
        "redirect_uri": "https://app.test/back",
        "scope": "openid email",
        "jwks": json.dumps({"keys": [jwk("RS256", kid="a")]}),
        "x-airgate": {"audience": "api"},
    }
    routes = [{"method": "ANY", "path": f"/{kind}", "integration": {"type": f"auth0_{kind}"}} for kind in KINDS]
    config.write_text(
        json.dumps({"authorizer": authorizer, "cors": {"allow_origins": ["https://a.test"]}, "paths": routes})
    )
    with edge(config, "--mode", mode, variables={"SSL_CERT_FILE": str(certificate)}) as port:
        yield port


@pytest.fixture(scope="module")
def compatible(tenant: ScriptedServer, certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    yield from served(tenant, certificate, tmp_path_factory.mktemp("edge"), "compatible")


@pytest.fixture(scope="module")
def strict(tenant: ScriptedServer, certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    yield from served(tenant, certificate, tmp_path_factory.mktemp("edge"), "strict")


@pytest.fixture(autouse=True)
def fresh(tenant: ScriptedServer) -> None:
    """Each test scripts the tenant anew."""
    tenant.answers = [Answer(500)]
    tenant.seen.clear()


def token(tenant: ScriptedServer, **claims: Any) -> str:
    full = {"iss": f"https://127.0.0.1:{tenant.port}/", "exp": LATER, **claims}
    return signed({key: value for key, value in full.items() if value is not None}, kid="a")


def given(**tokens: Any) -> Answer:
    return Answer(200, json.dumps(tokens).encode())


def problem(response: Response) -> dict[str, Any]:
    assert response.header("content-type") == "application/problem+json"
    found: dict[str, Any] = json.loads(response.body)
    assert found["status"] == response.status
    return found


def begun(port: int, query: str = "") -> tuple[dict[str, list[str]], str]:
    """The query of the sign-in page, and the cookie that a browser would send back."""
    response = call(port, "GET", f"/callback_redirect{query}")
    assert response.status == 302
    cookie = response.header("set-cookie") or ""
    assert cookie.startswith(f"{COOKIE}=")
    assert cookie.endswith("; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax")
    return parse_qs(urlsplit(response.header("location") or "").query), cookie.partition(";")[0]


# Compatible mode


@pytest.mark.parametrize(
    ("query", "state"),
    [
        ("?state=abc", "abc"),
        ("", "null"),
        ("?state=", ""),
        ("?state=a%26admin%3D1&state=b", "a&admin=1"),
        ("?state=a+b%20c%22%3C%3E%27", "a%20b%20c%22%3C%3E%27"),
        ("?state=%C3%A9%2520%7C", "%C3%A9%20|"),
        ("?state=a%23b%20c", "a#b%20c"),
        ("?state=a%0D%0AX:1%20", "aX:1"),
    ],
)
def test_the_redirect_is_put_together_as_recorded(
    compatible: int, tenant: ScriptedServer, query: str, state: str
) -> None:
    """The state is decoded and put in raw; only what cannot stand in a URL is escaped or dropped. No CORS headers."""
    response = call(compatible, "GET", f"/callback_redirect{query}", [("Origin", "https://a.test")])
    asked = "response_type=code&client_id=app&redirect_uri=https://app.test/back&scope=openid%20email"
    assert response.header("location") == f"https://127.0.0.1:{tenant.port}/authorize?{asked}&state={state}"
    assert (response.status, response.body) == (302, b"")
    assert not [name for name, _ in response.headers if name.startswith("access-control-")]


def test_the_user_is_described_by_auth0(compatible: int, tenant: ScriptedServer) -> None:
    """The access token of `X-Access-Token`, else the bearer token, goes to Auth0, and its JSON comes back."""
    tenant.answers = [given(sub="alice")]
    for headers in ([("X-Access-Token", "one"), ("Authorization", "Bearer two")], [("Authorization", "Bearer one")]):
        response = call(compatible, "GET", "/userinfo", headers)
        assert (response.status, json.loads(response.body)) == (200, {"sub": "alice"})
        assert (tenant.seen[-1].path, tenant.seen[-1].headers["authorization"]) == ("/userinfo", "Bearer one")


@pytest.mark.parametrize(
    ("path", "what"), [("/userinfo", "userinfo"), ("/callback?code=c", "token exchange"), ("/refresh", "refresh token")]
)
def test_what_auth0_refuses_keeps_its_status(compatible: int, tenant: ScriptedServer, path: str, what: str) -> None:
    """A failure at Auth0 is told with its status and a text of the gateway; one of the network is a 500."""
    headers = [("Authorization", f"Bearer {token(tenant, exp=1)}"), ("X-Refresh-Token", "r")]
    tenant.answers = [Answer(403, b'{"error":"x"}')]
    response = call(compatible, "GET", path, headers)
    expected = {"error": f"Auth0 {what} failed", "code": "AUTH0_UPSTREAM_ERROR"}
    assert (response.status, json.loads(response.body)) == (403, expected)
    tenant.answers = [Answer(hang_up=True)]
    response = call(compatible, "GET", path, headers)
    assert (response.status, response.body) == (500, b'{"error":"Internal Server Error","code":"AUTH0_ERROR"}')


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({}, 200, "token_still_valid"),
        ({"iss": "x"}, 401, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        ({"exp": 1}, 200, None),
        (None, 401, "AUTH_ERROR"),
    ],
)
def test_only_an_expired_token_is_refreshed(
    compatible: int, tenant: ScriptedServer, claims: dict[str, Any] | None, status: int, code: str | None
) -> None:
    """A valid one is left alone, any other fault is told; the refresh token comes in a header or a posted object."""
    tenant.answers = [given(access_token="new")]
    headers = [] if claims is None else [("Authorization", f"Bearer {token(tenant, **claims)}")]
    for method, more, body in (("GET", [("X-Refresh-Token", "r")], None), ("POST", [], b'{"refresh_token":"r"}')):
        response = call(compatible, method, "/refresh", [*headers, *more], body)
        assert (response.status, json.loads(response.body).get("code")) == (status, code)
    sent = {"grant_type": "refresh_token", "client_id": "app", "client_secret": "hush", "refresh_token": "r"}
    assert [json.loads(seen.body) for seen in tenant.seen] == ([sent, sent] if code is None else [])


def test_a_code_is_exchanged_and_the_id_token_checked(compatible: int, tenant: ScriptedServer) -> None:
    """The tokens are passed on when the ID token is of the tenant, else its fault is told."""
    tenant.answers = [given(id_token=token(tenant, aud="any")), given(id_token=token(tenant, exp=1)), given(a=1)]
    assert set(json.loads(call(compatible, "GET", "/callback?code=c%201").body)) == {"id_token"}
    assert json.loads(tenant.seen[0].body) == {
        "grant_type": "authorization_code",
        "client_id": "app",
        "client_secret": "hush",
        "code": "c 1",
        "redirect_uri": "https://app.test/back",
    }
    assert b"ERR_JWT_EXPIRED" in call(compatible, "GET", "/callback?code=c").body
    assert b"ERR_JWS_INVALID" in call(compatible, "GET", "/callback?code=c").body


# Strict mode


def test_a_sign_in_ends_where_it_began(strict: int, tenant: ScriptedServer) -> None:
    """The verifier in the cookie belongs to the challenge that Auth0 got, the ID token is for the application."""
    asked, cookie = begun(strict, "?state=a%26b%3D1")
    assert asked["state"] == ["a&b=1"]
    assert asked["redirect_uri"] == ["https://app.test/back"]
    tenant.answers = [given(id_token=token(tenant, aud="app"), access_token="t")]
    response = call(strict, "GET", "/callback?code=c&state=a%26b%3D1", [("Cookie", f"x=1; {cookie}; y=2")])
    assert (response.status, response.header("cache-control")) == (200, "no-store")
    assert json.loads(response.body)["access_token"] == "t"
    assert (response.header("set-cookie") or "").startswith(f"{COOKIE}=; Max-Age=0; ")
    verifier = json.loads(tenant.seen[0].body)["code_verifier"]
    hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert (asked["code_challenge"], asked["code_challenge_method"]) == ([hashed], ["S256"])


def test_a_sign_in_without_a_state_gets_one_that_cannot_be_guessed(strict: int) -> None:
    """Two sign-ins have different states, verifiers and challenges."""
    (first, one), (second, other) = begun(strict), begun(strict)
    assert len(first["state"][0]) >= 43
    assert first["state"] != second["state"]
    assert first["code_challenge"] != second["code_challenge"]
    assert one != other


@pytest.mark.parametrize("state", ["a%0Ab", "%C3%A9", "a%20b", "x" * 513])
def test_a_state_that_could_do_harm_is_refused(strict: int, state: str) -> None:
    """Only visible ASCII characters, not too many, go into the address."""
    assert problem(call(strict, "GET", f"/callback_redirect?state={state}"))["status"] == 400


def test_a_forged_sign_in_is_refused_before_auth0_is_asked(strict: int, tenant: ScriptedServer) -> None:
    """Without the cookie, with another state, or with a cookie that was made up, no code is exchanged."""
    _, cookie = begun(strict, "?state=mine")
    for query, headers in (
        ("code=c&state=mine", []),
        ("code=c&state=other", [("Cookie", cookie)]),
        ("code=c", [("Cookie", cookie)]),
        ("code=c&state=mine", [("Cookie", f"{COOKIE}=v.h")]),
        ("code=c&state=mine", [("Cookie", f"{COOKIE}=.")]),
        ("code=c&state=mine", [("Cookie", f"{COOKIE}=\xe9.\xe9")]),
    ):
        assert problem(call(strict, "GET", f"/callback?{query}", headers))["status"] == 403
    assert tenant.seen == []


@pytest.mark.parametrize(
    ("query", "answer", "status"),
    [
        ("code=c", Answer(403, b'{"error":"invalid_grant"}'), 403),
        ("code=c", Answer(500), 502),
        ("code=c", Answer(200, b"<html>"), 502),
        ("code=c", Answer(hang_up=True), 502),
        ("code=c", "other application", 401),
        ("code=c", "no ID token", 401),
        ("error=access_denied", Answer(200), 403),
        ("code=", Answer(200), 400),
        ("x=1", Answer(200), 400),
    ],
)
def test_a_sign_in_that_fails_says_no_more_than_needed(
    strict: int, tenant: ScriptedServer, query: str, answer: Answer | str, status: int
) -> None:
    """Each failure is problem details with the status of whose fault it is; nothing of Auth0's answer is in it."""
    tokens = {"other application": given(id_token=token(tenant, aud="other")), "no ID token": given(access_token="t")}
    tenant.answers = [tokens[answer] if isinstance(answer, str) else answer]
    _, cookie = begun(strict, "?state=s")
    response = call(strict, "GET", f"/callback?{query}&state=s", [("Cookie", cookie)])
    assert problem(response)["status"] == status
    assert b"invalid_grant" not in response.body
    assert (response.header("www-authenticate") is not None) is (status == 401)


def test_strict_mode_refreshes_only_for_callers_it_knows(strict: int, tenant: ScriptedServer) -> None:
    """The expired token must otherwise be good, for this API; what Auth0 refuses is a refused token."""
    refresh = [("X-Refresh-Token", "r")]
    good, wrong = token(tenant, aud="api", exp=1), token(tenant, aud="x", exp=1)
    assert problem(call(strict, "POST", "/refresh", refresh))["status"] == 401
    assert problem(call(strict, "POST", "/refresh", [*refresh, ("Authorization", f"Bearer {wrong}")]))["status"] == 401
    bearer = [("Authorization", f"Bearer {good}")]
    assert problem(call(strict, "POST", "/refresh", bearer, b'{"refresh_token":5}'))["status"] == 400
    assert tenant.seen == []
    tenant.answers = [given(access_token="new"), Answer(403)]
    response = call(strict, "POST", "/refresh", [*refresh, *bearer])
    assert (response.status, response.header("cache-control")) == (200, "no-store")
    assert problem(call(strict, "POST", "/refresh", [*refresh, *bearer]))["status"] == 401


def test_a_body_that_the_edge_itself_reads_is_bounded(strict: int) -> None:
    """More than 64 KB of JSON with a refresh token are not taken."""
    response = call(strict, "POST", "/refresh", body=b'{"refresh_token":"' + b"r" * 70_000 + b'"}')
    assert problem(response)["status"] == 413
