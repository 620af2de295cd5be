"""Tokens that a well-behaved library would not make, and the refusals they get (SPEC.md, section 7.1)."""

import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from airgate.spec.jwt import Refused, verifier

SECRET = "s" * 32
NOW = 1000.5


def encoded(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(claims: Any, **header: Any) -> str:
    body = f"{encoded({'alg': 'HS256', **header})}.{encoded(claims)}"
    return f"{body}.{encoded(hmac.digest(SECRET.encode(), body.encode(), 'sha256'))}"


def verdict(token: str, *, strict: bool = False, **authorizer: Any) -> str:
    """The error code of a token, or `passes`."""
    try:
        verifier({"secret": SECRET, **authorizer}, strict=strict).claims(token, NOW)
    except Refused as refused:
        return refused.code
    return "passes"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (signed({"exp": 1001}), "passes"),
        (signed({"exp": 1000}), "ERR_JWT_EXPIRED"),
        (signed({"nbf": 1000}), "passes"),
        (signed({"nbf": 1000.1}), "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        (signed({"iat": 9e9}), "passes"),
        (signed({"iat": None}), "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        (signed({}) + "=", "passes"),
        (signed({}) + "==", "ERR_JWS_INVALID"),
        (signed({}, crit=["exp"]), "AUTH_ERROR"),
        (signed({}, crit="exp"), "ERR_JWS_INVALID"),
        (signed({}, crit=["b64"], b64=True), "passes"),
        (signed({}, crit=["b64"], b64=False), "ERR_JWT_INVALID"),
        (signed({}, crit=["b64"]), "ERR_JWS_INVALID"),
        (signed({}, alg="none"), "AUTH_ERROR"),
        (signed(b"no json"), "ERR_JWT_INVALID"),
        (signed({}).rpartition(".")[0] + ".", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
        ("", "ERR_JWS_INVALID"),
        ("a.b.c.d", "ERR_JWS_INVALID"),
    ],
)
def test_a_token_is_judged_in_the_recorded_order(token: str, code: str) -> None:
    """Form, algorithm, signature, payload and claims are checked in this order, each with its own code."""
    assert verdict(token) == code


@pytest.mark.parametrize(
    ("issuer", "claims", "passes"),
    [
        ("a", {"iss": "a"}, True),
        ("a", {"iss": "b"}, False),
        ("a", {"iss": ["a"]}, False),
        ("a", {}, False),
        ("", {"iss": "anything"}, True),
        ("", {}, False),
        (["a", "b"], {"iss": "b"}, True),
        ([], {"iss": "b"}, False),
        (5, {"iss": "b"}, False),
    ],
)
def test_a_configured_issuer_must_be_there(issuer: object, claims: dict[str, Any], passes: bool) -> None:
    """One of the accepted values, or with empty text any value; a setting of another type lets nobody in."""
    assert (verdict(signed(claims), issuer=issuer) == "passes") is passes


@pytest.mark.parametrize(
    ("audience", "passes"),
    [("a", True), (["x", "a"], True), (["x"], False), ([], False), (None, False), ([["a"]], False)],
)
def test_an_audience_may_be_one_of_several(audience: object, passes: bool) -> None:
    """The token's audience is a text or a list that holds the configured one."""
    assert (verdict(signed({"aud": audience}), audience="a") == "passes") is passes


@pytest.mark.parametrize("secret", ["", None])
def test_an_empty_secret_lets_nobody_in(secret: str | None) -> None:
    """A token signed with the empty key does not pass when the secret is missing."""
    body = f"{encoded({'alg': 'HS256'})}.{encoded({})}"
    forged = f"{body}.{encoded(hmac.digest(b'', body.encode(), 'sha256'))}"
    assert verdict(forged, secret=secret) == "AUTH_ERROR"


def test_strict_mode_wants_hs256_and_an_expiry() -> None:
    """What compatible mode lets through without an expiry, strict mode refuses."""
    assert verdict(signed({"exp": 2000}), strict=True) == "passes"
    assert verdict(signed({}), strict=True) == "ERR_JWT_CLAIM_VALIDATION_FAILED"
    assert verdict(signed({"exp": 2000}, alg="HS512"), strict=True) == "AUTH_ERROR"
