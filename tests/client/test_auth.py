"""Signatures."""

from __future__ import annotations

import base64
import threading

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from airgate.client.auth import (
    ApiKeyAuth,
    Auth,
    BasicAuth,
    BearerAuth,
    JwtAuth,
    JwtClaims,
    NoAuth,
    OAuth2Auth,
    TokenEndpoint,
)
from airgate.client.auth.aws import AwsAuth
from airgate.client.message import Request

KEY = "0123456789abcdef0123456789abcdef"
REQUEST = Request("GET", "http://gw.test/x?a=1", {"authorization": "stale"})


def signed(auth: Auth, now: float = 1000.0) -> Request:
    with pytest.raises(StopIteration) as stop:
        next(auth.sign(REQUEST, now))
    return stop.value.value


def test_none_leaves_the_request_alone() -> None:
    """No auth, no change."""
    assert signed(NoAuth()) == REQUEST


def test_basic_is_user_and_password_in_utf8() -> None:
    """RFC 7617 with UTF-8; an earlier header of that name, in any case, is replaced."""
    header = {"Authorization": "Basic " + base64.b64encode("jürgen:pä".encode()).decode()}
    assert signed(BasicAuth("jürgen", "pä")).headers == header


def test_basic_refuses_a_colon_in_the_user() -> None:
    """The server could not tell user and password apart."""
    with pytest.raises(ValueError, match="':'"):
        BasicAuth("a:b", "c")


def test_bearer_sends_the_token() -> None:
    """RFC 6750."""
    assert signed(BearerAuth("t")).headers == {"Authorization": "Bearer t"}


def test_an_api_key_goes_into_a_header_or_the_query() -> None:
    """Name and place are settings; a key in the query is escaped."""
    assert signed(ApiKeyAuth("k", name="X-Key")).headers["X-Key"] == "k"
    assert signed(ApiKeyAuth("k&=", name="key", place="query")).url == "http://gw.test/x?a=1&key=k%26%3D"


@pytest.mark.parametrize("secret", ["abc\n", " abc", "a\x00b"])
def test_a_secret_that_cannot_stand_in_a_header_is_refused(secret: str) -> None:
    """Without repeating it."""
    for kind in (BearerAuth, ApiKeyAuth):
        with pytest.raises(ValueError, match="one line") as caught:
            kind(secret)
        assert "abc" not in str(caught.value)


def test_an_escaped_key_is_known_as_secret() -> None:
    """Where a URL shows it, it is escaped."""
    auth = ApiKeyAuth("a/b+c", name="k", place="query")
    assert signed(auth).url.rpartition("=")[2] in auth.secrets


def claims_of(request: Request, key: str = KEY, algorithm: str = "HS256") -> dict:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    return jwt.decode(token, key, algorithms=[algorithm], options={"verify_exp": False, "verify_aud": False})


def test_a_jwt_says_who_for_whom_and_for_how_long() -> None:
    """Registered claims come from the settings and cannot be replaced by extra ones."""
    claims = JwtClaims("me", "https://issuer.test/", "api", lifetime=60, extra={"team": "data", "sub": "other"})
    said = claims_of(signed(JwtAuth(KEY, claims)))
    assert len(said.pop("jti")) == 16
    assert said == {
        "sub": "me",
        "iss": "https://issuer.test/",
        "aud": "api",
        "team": "data",
        "iat": 1000,
        "exp": 1060,
    }


def test_a_jwt_is_used_until_shortly_before_it_expires() -> None:
    """The token is cached, and renewed a tenth of its life, 30 s at the most, before its end."""
    auth = JwtAuth(KEY, JwtClaims(lifetime=100))
    first = signed(auth, 1000).headers
    assert signed(auth, 1089).headers == first
    assert signed(auth, 1090).headers != first


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", rsa.generate_private_key(65537, 2048)),
        ("PS512", rsa.generate_private_key(65537, 2048)),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("ES384", ec.generate_private_key(ec.SECP384R1())),
        ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_a_private_key_signs(algorithm: str, key) -> None:
    """PEM keys of the asymmetric algorithms give tokens that the public key verifies."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    auth = JwtAuth(pem, JwtClaims(subject="me"), algorithm=algorithm)
    assert claims_of(signed(auth), key.public_key(), algorithm)["sub"] == "me"


@pytest.mark.parametrize("algorithm", ["RS256", "HS257", "none"])
def test_a_key_that_does_not_fit_fails_early(algorithm: str) -> None:
    """A wrong key or algorithm is refused before any request, naming the field and not the key."""
    with pytest.raises(ValueError, match="jwt_algorithm") as caught:
        JwtAuth("not a pem", JwtClaims(), algorithm=algorithm)
    assert "not a pem" not in str(caught.value)


def test_a_key_id_stands_in_the_header() -> None:
    """For verifiers that have several keys."""
    token = signed(JwtAuth(KEY, JwtClaims(), key_id="2026-a")).headers["Authorization"].removeprefix("Bearer ")
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": "2026-a"}


def test_a_signed_token_is_known_as_secret_before_it_is_used() -> None:
    """It opens the gateway until it expires: logs that hide the key must hide it too."""
    told: list[str] = []
    auth = JwtAuth(KEY, JwtClaims())
    auth.on_secret = told.append
    token = signed(auth).headers["Authorization"].removeprefix("Bearer ")
    assert told == [token]
    assert token in auth.secrets


def test_others_may_sign_while_a_token_is_made_known() -> None:
    """In a triggerer, masking a secret lets other tasks of the same thread run: they must not wait for a lock."""
    auth = JwtAuth(KEY, JwtClaims())
    others: list[str] = []

    def known(token: str) -> None:
        other = threading.Thread(target=lambda: others.append(signed(auth).headers["Authorization"]), daemon=True)
        if threading.current_thread() is threading.main_thread():
            other.start()
            other.join(10)

    auth.on_secret = known
    mine = signed(auth).headers["Authorization"]
    assert others == [mine], "all use the one token that redaction knows"


def test_no_auth_shows_its_secret() -> None:
    """Neither by repr nor by str."""
    secret = "0123456789abcdef0123456789abcdef"
    for auth in (
        BasicAuth("me", secret),
        BearerAuth(secret),
        ApiKeyAuth(secret),
        JwtAuth(secret, JwtClaims()),
        OAuth2Auth("me", secret, TokenEndpoint("https://id.test/")),
        AwsAuth("AKIDEXAMPLE", secret, region="eu-central-1"),
    ):
        signing = auth.sign(REQUEST, 1000.0)
        for shown in (repr(auth), str(auth), repr(signing)):
            assert not any(value in shown for value in auth.secrets)
        assert secret in auth.secrets
