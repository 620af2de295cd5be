"""Tokens of Supabase in compatible mode, by the texts of their refusals (SPEC.md, section 7.3)."""

from typing import Any

import pytest

from airgate.spec.refused import Refused
from airgate.spec.supabase_tokens import supabase_verifier
from tests.spec.signing import encoded, pem, raw_shared, shared

SECRET = "s" * 32
NOW = 1000.5
KEY = SECRET.encode()
GOOD = {"iss": "i", "aud": "a"}
PREFIX = "JWT verification failed: "
NO_AUDIENCE, NO_ISSUER = f"{PREFIX}jwt audience invalid. expected: a", f"{PREFIX}jwt issuer invalid. expected: i"


def verdict(token: str, **settings: Any) -> str:
    """The text of a refusal, or `passes`."""
    full = {"jwt_secret": SECRET, "issuer": "i", "audience": "a", **settings}
    try:
        supabase_verifier(full).claims(token, NOW)
    except Refused as refused:
        return refused.text
    return "passes"


def token(claims: Any, **header: Any) -> str:
    return shared(claims, KEY, **header)


def last_character_changed(token: str) -> str:
    """Another spelling of the same signature: its last character has two bits that mean nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (token(GOOD), "passes"),
        (token(GOOD, typ="JWT", crit=["x"], b64=False), "passes"),
        ("", f"{PREFIX}jwt must be provided"),
        ("a", f"{PREFIX}jwt malformed"),
        ("a.b", f"{PREFIX}jwt malformed"),
        ("a.b.c.d", f"{PREFIX}jwt malformed"),
        ("..", f"{PREFIX}invalid token"),
        ("a.b.c", f"{PREFIX}invalid token"),
        (token(GOOD) + "=", f"{PREFIX}invalid token"),
        (token(GOOD) + "!", f"{PREFIX}invalid token"),
        (raw_shared(encoded(b"null"), encoded(GOOD), KEY), f"{PREFIX}invalid token"),
        (raw_shared(encoded(b"[1]"), encoded(GOOD), KEY), f"{PREFIX}invalid algorithm"),
        (token(GOOD).rpartition(".")[0] + ".", f"{PREFIX}jwt signature is required"),
        (token(GOOD, alg="none").rpartition(".")[0] + ".", f"{PREFIX}jwt signature is required"),
        (token(GOOD, alg="none"), f"{PREFIX}invalid algorithm"),
        (token(GOOD, alg="HS512"), f"{PREFIX}invalid algorithm"),
        (token(GOOD, alg="RS256"), f"{PREFIX}invalid algorithm"),
        (token(GOOD, alg=None), f"{PREFIX}invalid algorithm"),
        (shared(GOOD, b"x" * 32), f"{PREFIX}invalid signature"),
        (last_character_changed(token(GOOD)), f"{PREFIX}invalid signature"),
        (token({**GOOD, "nbf": "x"}), f"{PREFIX}invalid nbf value"),
        (token({**GOOD, "nbf": 1001}), "Token not active yet (nbf)"),
        (token({**GOOD, "nbf": 1000}), "passes"),
        (token({**GOOD, "exp": None}), f"{PREFIX}invalid exp value"),
        (token({**GOOD, "exp": True}), f"{PREFIX}invalid exp value"),
        (token({**GOOD, "exp": 1000}), "Token has expired."),
        (token({**GOOD, "exp": 1000.5}), "passes"),
        (token({"exp": 1000}), "Token has expired."),
        (token({"exp": 1000, "nbf": 1001}), "Token not active yet (nbf)"),
        (token({"iss": "i"}), NO_AUDIENCE),
        (token({"iss": "x", "aud": "x"}), NO_AUDIENCE),
        (token({"iss": "i", "aud": ["x", "a"]}), "passes"),
        (token({"iss": "i", "aud": []}), NO_AUDIENCE),
        (token({"aud": "a"}), NO_ISSUER),
        (token({"aud": "a", "iss": ["i"]}), NO_ISSUER),
        (token(b"not json"), NO_AUDIENCE),
        (token(b"not json", typ="JWT"), f"{PREFIX}invalid token"),
        (token(b"null"), NO_AUDIENCE),
        (token(b"null", typ="JWT"), f"{PREFIX}invalid token"),
        (token([1]), NO_AUDIENCE),
        (token({**GOOD, "iat": "x"}), "passes"),
    ],
)
def test_a_token_is_judged_in_the_recorded_order(token: str, text: str) -> None:
    """Form, signature, algorithm, not-before, expiry, audience and issuer are checked in this order."""
    assert verdict(token) == text


@pytest.mark.parametrize(
    ("settings", "claims", "text"),
    [
        ({"issuer": "", "audience": ""}, {}, "passes"),
        ({"issuer": None, "audience": None}, {}, "passes"),
        ({"audience": ["x", "a"]}, GOOD, "passes"),
        ({"audience": ["x", "y"]}, GOOD, f"{PREFIX}jwt audience invalid. expected: x or y"),
        ({"issuer": ["x", "i"]}, GOOD, "passes"),
        ({"issuer": ["x", "y"]}, GOOD, f"{PREFIX}jwt issuer invalid. expected: x,y"),
        ({"issuer": 5}, {"aud": "a"}, "passes"),
        ({"audience": 5}, {**GOOD, "aud": 5}, "passes"),
    ],
)
def test_settings_count_as_their_javascript_types_do(settings: dict[str, Any], claims: Any, text: str) -> None:
    """Empty settings ask for nothing, lists for one of several; other types are taken as they come."""
    assert verdict(token(claims), **settings) == text


def test_a_payload_that_is_no_object_has_no_claims() -> None:
    """Where no claim is asked for, such a token passes, and nothing can be mapped from it."""
    assert supabase_verifier({"jwt_secret": SECRET}).claims(token(b'"text"'), NOW) == {}


def test_a_missing_secret_is_a_fault_of_the_configuration() -> None:
    """It is told before anything of the token is looked at."""
    with pytest.raises(Refused) as refused:
        supabase_verifier({"jwt_secret": ""}).claims("", NOW)
    assert (refused.value.status, refused.value.code) == (500, "MISSING_JWT_SECRET")


def test_a_public_key_as_secret_signs_nothing() -> None:
    """A token signed with the text of a public key does not pass, although that text is the secret."""
    text = verdict(shared(GOOD, pem("RS256")), jwt_secret=pem("RS256").decode())
    assert text == f"{PREFIX}secretOrPublicKey must be a symmetric key when using HS256"
