"""Tokens with a shared secret, and the refusals they get (SPEC.md, section 7.1)."""

from typing import Any

import pytest

from airgate.spec.jwt import verifier
from airgate.spec.refused import Refused
from tests.spec.signing import encoded, raw_shared, shared

SECRET = "s" * 64
NOW = 1000.5


def token(claims: Any, **header: Any) -> str:
    return shared(claims, SECRET.encode(), **header)


def verdict(token: str, *, strict: bool = False, **authorizer: Any) -> str:
    """The error code of a token, or `passes`."""
    try:
        verifier({"secret": SECRET, **authorizer}, strict=strict).claims(token, NOW)
    except Refused as refused:
        return refused.code
    return "passes"


JWS, UNVERIFIED, SIGNATURE = "ERR_JWS_INVALID", "AUTH_ERROR", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"
PAYLOAD, CLAIM, EXPIRED = "ERR_JWT_INVALID", "ERR_JWT_CLAIM_VALIDATION_FAILED", "ERR_JWT_EXPIRED"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (token({"exp": 1001}), "passes"),
        (token({"exp": 1000}), EXPIRED),
        (token({"exp": 1000.5}), "passes"),
        (token({"nbf": 1000}), "passes"),
        (token({"nbf": 1000.1}), CLAIM),
        (token({"iat": 9e9}), "passes"),
        (token({"iat": None}), CLAIM),
        (token({"exp": True}), CLAIM),
        (token({"exp": 1, "nbf": 9e9}), CLAIM),
        (token({}, alg="HS384"), "passes"),
        (token({}, alg="HS512", typ="x", kid=5, jku="http://x", zip="DEF"), "passes"),
        (token({}) + "=", "passes"),
        (token({}) + "==", JWS),
        (token({}) + "!", JWS),
        (token({}, crit=["exp"]), UNVERIFIED),
        (token({}, crit="exp"), JWS),
        (token({}, crit=[]), JWS),
        (token({}, crit=None), JWS),
        (token({}, crit=[""]), JWS),
        (token({}, crit=["b64"], b64=True), "passes"),
        (token({}, crit=["b64"], b64=False), PAYLOAD),
        (token({}, crit=["b64"], b64="false"), JWS),
        (token({}, crit=["b64"]), JWS),
        (token({}, crit=["b64", "x"]), JWS),
        (token({}, crit=["x", "b64"]), UNVERIFIED),
        (token({}, crit=["x"], alg=""), UNVERIFIED),
        (token({}, b64=False), "passes"),
        (token({}, alg="none"), UNVERIFIED),
        (token({}, alg="none").rpartition(".")[0] + ".", UNVERIFIED),
        (token({}, alg="none").rpartition(".")[0] + ".!", UNVERIFIED),
        (token({}, alg=None), JWS),
        (token({}, alg=["HS256"]), JWS),
        (token(b"no json"), PAYLOAD),
        (token(b"null"), PAYLOAD),
        (token(b"[]"), PAYLOAD),
        (token(b"\xef\xbb\xbf{}"), "passes"),
        (token(b'{"sub":"\xff"}'), "passes"),
        (raw_shared(encoded({"alg": "HS256"}), "!", SECRET.encode()), JWS),
        (raw_shared(encoded({"alg": "HS256"}), "", SECRET.encode()), PAYLOAD),
        (raw_shared(encoded([1]), encoded({}), SECRET.encode()), JWS),
        (raw_shared(encoded(b"null"), encoded({}), SECRET.encode()), JWS),
        (token({}).rpartition(".")[0] + ".", SIGNATURE),
        (token({})[:-4], SIGNATURE),
        ("", JWS),
        ("..", JWS),
        ("a.b.c.d", JWS),
    ],
)
def test_a_token_is_judged_in_the_recorded_order(token: str, code: str) -> None:
    """Form, extensions, algorithm, signature, payload and claims are checked in this order, each with its own code."""
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
        (None, {}, False),
        (["a", "b"], {"iss": "b"}, True),
        ([], {"iss": "b"}, False),
        (5, {"iss": "b"}, False),
    ],
)
def test_a_configured_issuer_must_be_there(issuer: object, claims: dict[str, Any], passes: bool) -> None:
    """One of the accepted values, or with empty text any value; a setting of another type lets nobody in."""
    assert (verdict(token(claims), issuer=issuer) == "passes") is passes


@pytest.mark.parametrize(
    ("audience", "passes"),
    [("a", True), (["x", "a"], True), (["x"], False), ([], False), (None, False), ([["a"]], False), ({"a": 1}, False)],
)
def test_an_audience_may_be_one_of_several(audience: object, passes: bool) -> None:
    """The token's audience is a text or a list that holds the configured one."""
    assert (verdict(token({"aud": audience}), audience="a") == "passes") is passes


@pytest.mark.parametrize("secret", ["", None])
def test_an_empty_secret_lets_nobody_in(secret: str | None) -> None:
    """A token signed with the empty key does not pass when the secret is missing."""
    assert verdict(shared({}, b""), secret=secret) == "AUTH_ERROR"


def test_a_wrong_audience_wins_over_an_expired_token() -> None:
    """The time is looked at last."""
    assert verdict(token({"aud": "b", "exp": 1}), audience="a") == CLAIM


@pytest.mark.parametrize(
    ("claims", "rules", "code"),
    [
        ({"exp": 2000}, {}, "passes"),
        ({}, {}, CLAIM),
        (b'{"exp":1e999}', {}, CLAIM),
        ({"exp": 998}, {"leeway": 5}, "passes"),
        ({"exp": 995}, {"leeway": 5}, EXPIRED),
        ({"exp": 2000, "nbf": 1004}, {"leeway": 5}, "passes"),
        ({"exp": 2000, "nbf": 1006}, {"leeway": 5}, CLAIM),
        ({"exp": 2000, "iat": 950}, {"max_age": 60}, "passes"),
        ({"exp": 2000, "iat": 930}, {"max_age": 60}, EXPIRED),
        ({"exp": 2000, "iat": 937}, {"max_age": 60, "leeway": 5}, "passes"),
        ({"exp": 2000, "iat": 1001}, {"max_age": 60}, CLAIM),
        ({"exp": 2000}, {"max_age": 60}, CLAIM),
        ({"exp": 2000}, {"leeway": "5"}, UNVERIFIED),
    ],
)
def test_strict_mode_asks_more_of_the_times(claims: Any, rules: dict[str, Any], code: str) -> None:
    """An expiry is needed, clocks may differ by the leeway and no more, and a token can be too old."""
    assert verdict(token(claims), strict=True, **{"x-airgate": rules}) == code


def test_strict_mode_pins_the_algorithm() -> None:
    """Only HS256 passes, or what is named in its place; in compatible mode the rules do not count."""
    assert verdict(token({"exp": 2000}, alg="HS512"), strict=True) == UNVERIFIED
    pinned = {"x-airgate": {"algorithms": ["HS512"]}}
    assert verdict(token({"exp": 2000}, alg="HS512"), strict=True, **pinned) == "passes"
    assert verdict(token({"exp": 2000}), strict=True, **pinned) == UNVERIFIED
    assert verdict(token({"exp": 2000}), strict=False, **pinned) == "passes"
