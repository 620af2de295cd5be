"""The hook at the end of a sign-in at Auth0: `post_process` of `auth0_callback`, on a real edge and a TLS tenant."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.edge.edge_process import Response, call, edge
from tests.edge.stand_in_folder import VARIABLES, stand_ins
from tests.edge.tls_tenant import loopback_certificate
from tests.scripted_server import Answer, ScriptedServer
from tests.spec.signing import jwk, signed


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    opened = ScriptedServer()
    opened.speak_tls(loopback_certificate(tmp_path_factory.mktemp("hook-tenant") / "tenant.pem"))
    yield opened
    opened.stop()


def gateway_file(tenant: ScriptedServer) -> dict[str, Any]:
    def route(path: str, function: str, alias: str = "svc") -> dict[str, Any]:
        hook = {"type": "service_binding", "binding": alias, "function": function}
        return {"method": "GET", "path": path, "integration": {"type": "auth0_callback", "post_process": hook}}

    return {
        "authorizer": {
            "type": "auth0",
            "domain": f"127.0.0.1:{tenant.port}",
            "client_id": "app",
            "client_secret": "hush",
            "redirect_uri": "https://app.test/back",
            "scope": "openid email",
            "jwks": json.dumps({"keys": [jwk("RS256", kid="a")]}),
            "x-airgate": {"audience": "api"},
        },
        "serviceBindings": [{"alias": "svc", "binding": "SVC"}],
        "x-airgate": {"services": {"env": ["MARK"]}},
        "paths": [
            {"method": "GET", "path": "/redirect", "integration": {"type": "auth0_callback_redirect"}},
            route("/after", "after"),
            route("/boom", "boom"),
            route("/deny", "deny"),
        ],
    }


@pytest.fixture(scope="module", params=["strict", "compatible"])
def served(
    request: pytest.FixtureRequest, tenant: ScriptedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int, Path]]:
    """Mode, port, and the file that the hook writes."""
    folder = tmp_path_factory.mktemp("after")
    certificate = next(tmp_path_factory.getbasetemp().glob("hook-tenant*/tenant.pem"))
    config = folder / "config.json"
    config.write_text(json.dumps(gateway_file(tenant)))
    variables = {**VARIABLES, "SSL_CERT_FILE": str(certificate), "MARK": str(folder / "mark")}
    options = ("--mode", request.param, "--stand-ins", str(stand_ins(folder / "stand-ins")))
    with edge(config, *options, variables=variables) as port:
        yield request.param, port, folder / "mark"


def signed_in(port: int, tenant: ScriptedServer, path: str, **claims: Any) -> Response:
    """The answer to a browser that comes back from Auth0."""
    begun = call(port, "GET", "/redirect?state=s")
    state = parse_qs(urlsplit(begun.header("location") or "").query)["state"][0]
    cookie = (begun.header("set-cookie") or "").partition(";")[0]
    full = {"iss": f"https://127.0.0.1:{tenant.port}/", "exp": time.time() + 600, "aud": "app", **claims}
    tenant.answers = [Answer(200, json.dumps({"id_token": signed(full, kid="a"), "access_token": "t"}).encode())]
    return call(port, "GET", f"{path}?code=c&state={state}", [("Cookie", cookie)])


def test_the_hook_is_told_who_signed_in(served: tuple[str, int, Path], tenant: ScriptedServer) -> None:
    """It gets the claims of the ID token, and then the tokens are given out, whatever it returns."""
    _, port, mark = served
    response = signed_in(port, tenant, "/after", sub="alice")
    assert (response.status, json.loads(response.body)["access_token"]) == (200, "t")
    assert json.loads(mark.read_text())["claims"]["sub"] == "alice"
    assert signed_in(port, tenant, "/deny").status == 200


def test_no_tokens_are_given_out_when_the_hook_fails(served: tuple[str, int, Path], tenant: ScriptedServer) -> None:
    """The answer is a 500 without text of it, and in strict mode the sign-in is over."""
    mode, port, _ = served
    response = signed_in(port, tenant, "/boom")
    assert response.status == 500
    assert b"luck" not in response.body
    assert b"access_token" not in response.body
    if mode == "strict":
        assert "Max-Age=0" in (response.header("set-cookie") or "")


def test_the_hook_is_not_called_for_a_token_that_does_not_pass(
    served: tuple[str, int, Path], tenant: ScriptedServer
) -> None:
    """An expired ID token is 401 before the hook hears of it."""
    _, port, mark = served
    mark.unlink(missing_ok=True)
    assert signed_in(port, tenant, "/after", exp=1).status == 401
    assert not mark.exists()
