"""What strict mode refuses of authorizers and sign-in routes: one fault in a good file is one problem at its place."""

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airgate.spec.check import problems
from airgate.spec.extension_schema import file_schema
from tests.spec.signing import jwk, pem

REMOVE = object()
SUPABASE = {"SUPABASE_URL": "https://p.supabase.test", "SUPABASE_SERVICE_ROLE_KEY": "k"}
KEYS = json.dumps({"keys": [jwk("RS256")]})


def route(path: str, **members: Any) -> dict[str, Any]:
    return {"method": "ANY", "path": path, **members}


def file(authorizer: dict[str, Any], *routes: dict[str, Any]) -> dict[str, Any]:
    return {"authorizer": authorizer, "paths": [route("/private", auth=True, response=1), *routes]}


GOOD = {
    "jwt": file(
        {"type": "jwt", "secret": "s" * 64, "x-airgate": {"leeway": 0, "max_age": 60, "algorithms": ["HS512"]}}
    ),
    "supabase": file(
        {"type": "supabase", "jwt_secret": "s" * 32, "issuer": "i", "audience": "a"},
        *(
            route(f"/{kind}", integration={"type": f"supabase_passwordless_{kind}"})
            for kind in ("auth", "verify", "auth_alt")
        ),
    ),
    "auth0": file(
        {
            "type": "auth0",
            "domain": "tenant.eu.auth0.test",
            "client_id": "c",
            "client_secret": "s",
            "redirect_uri": "https://app.test/back",
            "callback_uri": "https://app.test/back",
            "scope": "openid email",
            "jwks_uri": "https://tenant.eu.auth0.test/.well-known/jwks.json",
            "x-airgate": {"audience": "https://api.test", "algorithms": ["RS256", "ES256"], "leeway": 5},
        },
        *(
            route(f"/{kind}", integration={"type": f"auth0_{kind}"})
            for kind in ("callback", "callback_redirect", "userinfo", "refresh")
        ),
    ),
    "auth0 with keys": file(
        {"type": "auth0", "domain": "localhost:8443", "jwks": KEYS, "x-airgate": {"audience": None}},
    ),
}
A, RULES = "authorizer", ("authorizer", "x-airgate")


def changed(name: str, path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """A good file with one value set, or removed."""
    made = copy.deepcopy(GOOD[name])
    place: Any = made
    for key in path[:-1]:
        place = place[key]
    if value is REMOVE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


def pointers(file: object, environment: dict[str, str] = SUPABASE) -> list[str]:
    return [found.pointer for found in problems(json.dumps(file), environment)]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_has_no_problems_and_fits_the_schema(name: str) -> None:
    """Strict mode serves each type with all its settings, and an editor marks nothing in it."""
    assert pointers(GOOD[name]) == []
    Draft202012Validator(file_schema()).validate(GOOD[name])


@pytest.mark.parametrize(
    ("name", "path", "value", "pointer"),
    [
        ("jwt", (A, "secret"), "s" * 63, "/authorizer/secret"),
        ("jwt", (A, "secret"), pem("RS256").decode(), "/authorizer/secret"),
        ("jwt", (A, "algorithm"), "HS512", "/authorizer/algorithm"),
        ("jwt", (A, "jwks_uri"), "https://x", "/authorizer/jwks_uri"),
        ("jwt", RULES, [], "/authorizer/x-airgate"),
        ("jwt", (*RULES, "leway"), 5, "/authorizer/x-airgate/leway"),
        ("jwt", (*RULES, "leeway"), "5", "/authorizer/x-airgate/leeway"),
        ("jwt", (*RULES, "leeway"), 301, "/authorizer/x-airgate/leeway"),
        ("jwt", (*RULES, "leeway"), -1, "/authorizer/x-airgate/leeway"),
        ("jwt", (*RULES, "max_age"), 0, "/authorizer/x-airgate/max_age"),
        ("jwt", (*RULES, "algorithms"), [], "/authorizer/x-airgate/algorithms"),
        ("jwt", (*RULES, "algorithms"), ["HS512", "RS256"], "/authorizer/x-airgate/algorithms/1"),
        ("jwt", (*RULES, "algorithms", 0), "none", "/authorizer/x-airgate/algorithms/0"),
        ("jwt", (*RULES, "audience"), "a", "/authorizer/x-airgate/audience"),
        ("supabase", (A, "jwt_secret"), "s" * 31, "/authorizer/jwt_secret"),
        ("supabase", (A, "jwt_secret"), REMOVE, "/authorizer/jwt_secret"),
        ("supabase", (A, "secret"), "s" * 32, "/authorizer/secret"),
        ("supabase", (A, "issuer"), "", "/authorizer/issuer"),
        ("supabase", (A, "audience"), ["a"], "/authorizer/audience"),
        ("auth0", (A, "domain"), REMOVE, "/authorizer/domain"),
        ("auth0", (A, "domain"), "https://tenant.eu.auth0.test", "/authorizer/domain"),
        ("auth0", (A, "domain"), "tenant.test/", "/authorizer/domain"),
        ("auth0", (A, "domain"), "user@tenant.test", "/authorizer/domain"),
        ("auth0", (A, "jwks_uri"), REMOVE, "/authorizer/jwks_uri"),
        ("auth0", (A, "jwks_uri"), "http://tenant.test/keys", "/authorizer/jwks_uri"),
        ("auth0", (A, "jwks_uri"), "", "/authorizer/jwks_uri"),
        ("auth0", (A, "jwks_uri"), 5, "/authorizer/jwks_uri"),
        ("auth0", (A, "audience"), "a", "/authorizer/audience"),
        ("auth0", (*RULES, "audience"), REMOVE, "/authorizer/x-airgate/audience"),
        ("auth0", (*RULES, "audience"), "", "/authorizer/x-airgate/audience"),
        ("auth0", (*RULES, "algorithms"), ["HS256"], "/authorizer/x-airgate/algorithms/0"),
        ("auth0", (A, "client_id"), REMOVE, "/authorizer/client_id"),
        ("auth0", (A, "client_secret"), "", "/authorizer/client_secret"),
        ("auth0", (A, "redirect_uri"), "http://app.test/back", "/authorizer/redirect_uri"),
        ("auth0", (A, "scope"), "email", "/authorizer/scope"),
        ("auth0", (A, "scope"), REMOVE, "/authorizer/scope"),
        ("auth0", ("paths", 1, "integration", "post_process"), {}, "/paths/1/integration/post_process/type"),
        ("auth0 with keys", (A, "jwks"), "{", "/authorizer/jwks"),
        ("auth0 with keys", (A, "jwks"), {"keys": []}, "/authorizer/jwks"),
        ("auth0 with keys", (A, "jwks"), '{"k": 1}', "/authorizer/jwks"),
        ("auth0 with keys", (A, "jwks"), '{"keys": []}', "/authorizer/jwks"),
        ("auth0 with keys", (A, "jwks"), json.dumps({"keys": [jwk("ES256")]}), "/authorizer/jwks"),
        ("auth0 with keys", (A, "jwks"), json.dumps({"keys": [jwk("RSA-1024")]}), "/authorizer/jwks"),
        ("auth0 with keys", (A, "jwks"), json.dumps({"keys": [jwk("RS256", d="AQAB")]}), "/authorizer/jwks"),
    ],
)
def test_each_fault_is_found_at_its_place(name: str, path: tuple[str | int, ...], value: object, pointer: str) -> None:
    """Missing keys, addresses that others can read, weak or wrong secrets and rules without an effect are refused."""
    assert pointers(changed(name, path, value)) == [pointer]


@pytest.mark.parametrize(
    "url", ["http://localhost:1/keys", "http://127.0.0.1/keys", "http://[::1]/keys", "https://x/k"]
)
def test_http_is_good_enough_on_this_machine(url: str) -> None:
    """A key set on loopback needs no TLS."""
    assert pointers(changed("auth0", (A, "jwks_uri"), url)) == []


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {**SUPABASE, "SUPABASE_URL": ""},
        {**SUPABASE, "SUPABASE_URL": "http://p.test"},
        {"SUPABASE_URL": "https://p"},
    ],
)
def test_a_supabase_route_needs_a_project(environment: dict[str, str]) -> None:
    """Without its URL and key, or where the key would travel in clear text, each such route is named."""
    wanted = [f"/paths/{position}/integration/type" for position in (1, 2, 3)]
    assert pointers(GOOD["supabase"], environment) == wanted


def test_an_auth0_route_needs_an_auth0_authorizer() -> None:
    """An application at Auth0 cannot be described by another type."""
    made = changed("auth0", (A,), GOOD["jwt"][A])
    assert pointers(made) == [f"/paths/{position}/integration/type" for position in (1, 2, 3, 4)]


def test_no_problem_tells_a_secret() -> None:
    """A key in the wrong place is not repeated in the message about it."""
    found = problems(json.dumps(changed("jwt", (A, "secret"), pem("RS256").decode())), {})
    assert pem("RS256").decode()[30:60] not in " ".join(map(str, found))
