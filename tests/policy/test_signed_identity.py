"""The word of a gateway for its client: signed by one of several secrets, for one request, for less than a minute."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.callback import NotSigned
from airgate.policy.ingress_run import Identity
from airgate.policy.signed_identity import (
    AUDIENCE,
    LIFETIME,
    LONGEST_LIFETIME,
    LONGEST_TOKEN,
    TYPE,
    BoundRequest,
    SignedIdentity,
    digest_of,
)

NEW, OLD, FOREIGN = (f"{name}-{'0123456789abcdef' * 2}" for name in ("new", "old", "foreign"))
NOW = 1_800_000_000.0
REQUEST = BoundRequest("POST", "/airgate/v1/dags/buy/runs", "k-1", digest_of(b'{"a": 1}'))
WORD = SignedIdentity(Identity("https://issuer.example/", "shop"), frozenset({"buy", "sell"}), REQUEST)
TEXTS = st.text(max_size=40)
NAMES = st.text("abcXYZ-|@:. é漢", min_size=1, max_size=40)


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says, changed; None takes a claim away."""
    good = jwt.decode(WORD.signed(NEW, NOW), options={"verify_signature": False})
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(header: dict[str, Any] | None = None, secret: str = NEW, algorithm: str = "HS256", **changes: Any) -> str:
    """A token of those claims."""
    return jwt.encode(claims(**changes), secret, algorithm, headers={"typ": TYPE} if header is None else header)


@given(NAMES, NAMES, st.frozensets(TEXTS), TEXTS, TEXTS, st.none() | TEXTS, st.binary())
def test_a_word_is_read_as_it_was_signed(
    issuer: str, subject: str, dags: frozenset[str], method: str, path: str, key: str | None, body: bytes
) -> None:
    """Whatever the names, as long as a run can be kept under them."""
    word = SignedIdentity(Identity(issuer, subject), dags, BoundRequest(method, path, key, digest_of(body)))
    assert SignedIdentity.read(word.signed(NEW, NOW), (NEW,), NOW) == word


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_every_known_secret_may_have_signed(secret: str) -> None:
    """While a secret is replaced, gateways with the old one still speak."""
    assert SignedIdentity.read(WORD.signed(secret, NOW), (NEW, OLD), NOW) == WORD


@pytest.mark.parametrize("known", [(), (FOREIGN,), (NEW.upper(),), (OLD, FOREIGN)])
def test_no_other_secret_will_do(known: tuple[str, ...]) -> None:
    with pytest.raises(NotSigned):
        SignedIdentity.read(WORD.signed(NEW, NOW), known, NOW)


@pytest.mark.parametrize(
    ("age", "leeway", "why"),
    [
        (0, 0, None),
        (LIFETIME - 1, 0, None),
        (LIFETIME, 0, "it has expired"),
        (LIFETIME + 9, 10, None),
        (LIFETIME + 10, 10, "it has expired"),
        (-1, 0, "from the future"),
        (-10, 10, None),
        (-11, 10, "from the future"),
    ],
)
def test_it_lives_for_half_a_minute(age: int, leeway: int, why: str | None) -> None:
    """By the clock of whoever reads it, give or take the leeway."""
    text = WORD.signed(NEW, NOW)
    if why is None:
        assert SignedIdentity.read(text, (NEW,), NOW + age, leeway) == WORD
    else:
        with pytest.raises(NotSigned, match=why):
            SignedIdentity.read(text, (NEW,), NOW + age, leeway)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": int(NOW) + LONGEST_LIFETIME + 1}, "good for more than 60 seconds"),
        ({"exp": int(NOW)}, "good for more than 60 seconds"),
        ({"exp": None}, "MissingRequiredClaimError"),
        ({"exp": "9999999999"}, "no whole number"),
        ({"exp": NOW + 0.5}, "no whole number"),
        ({"iat": None}, "MissingRequiredClaimError"),
        ({"iat": True}, "no whole number"),
        ({"aud": None}, "MissingRequiredClaimError"),
        ({"aud": "airgate"}, "InvalidAudienceError"),
        ({"iss": None}, "MissingRequiredClaimError"),
        ({"iss": ""}, "the issuer must have"),
        ({"iss": "airflow"}, "its issuer is airflow"),
        ({"iss": "webhook"}, "its issuer is webhook"),
        ({"sub": None}, "MissingRequiredClaimError"),
        ({"sub": "a\nb"}, "the subject must have"),
        ({"sub": "x" * 251}, "the subject must have"),
        ({"sub": 7}, "InvalidSubjectError"),
        ({"dags": None}, "dags is no list"),
        ({"dags": "buy"}, "dags is no list"),
        ({"dags": ["buy", 1]}, "dags is no list"),
        ({"method": None}, "a claim is missing"),
        ({"path": None}, "a claim is missing"),
        ({"path": ["/a"]}, "a claim is missing"),
        ({"body": None}, "a claim is missing"),
        ({"key": 1}, "key is no text"),
    ],
)
def test_what_a_word_must_say(changes: dict[str, Any], why: str) -> None:
    """Signed by the right secret, and yet refused; the message tells why."""
    with pytest.raises(NotSigned, match=why):
        SignedIdentity.read(token(**changes), (NEW,), NOW)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"typ": "JWT"},
        {"typ": "airgate-identity"},
        {"typ": TYPE, "crit": ["b64"], "b64": True},
        {"typ": TYPE, "jku": "x"},
    ],
)
def test_another_kind_of_token_is_none(header: dict[str, Any]) -> None:
    """Although it is signed by the same secret and says the same."""
    with pytest.raises(NotSigned):
        SignedIdentity.read(token(header), (NEW,), NOW)


def test_a_clients_own_token_under_the_same_secret_is_none() -> None:
    """One that a gateway's authorizer would let in."""
    now = time.time()
    client = jwt.encode({"iss": "i", "sub": "root", "aud": AUDIENCE, "iat": int(now), "exp": int(now) + 30}, NEW)
    with pytest.raises(NotSigned):
        SignedIdentity.read(client, (NEW,), now)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "none"])
def test_another_algorithm_is_none(algorithm: str) -> None:
    secret = "" if algorithm == "none" else NEW * 2
    with pytest.raises(NotSigned):
        SignedIdentity.read(token(secret=secret, algorithm=algorithm), (NEW * 2, NEW), NOW)


def test_no_character_of_what_is_signed_can_be_changed() -> None:
    """Neither of the header nor of the claims."""
    text = WORD.signed(NEW, NOW)
    signed = text.rpartition(".")[0]
    for place in range(len(signed)):
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        with pytest.raises(NotSigned):
            SignedIdentity.read(changed, (NEW,), NOW)


def test_a_signature_belongs_to_its_claims() -> None:
    other = replace(WORD, identity=Identity("https://issuer.example/", "root")).signed(NEW, NOW)
    with pytest.raises(NotSigned):
        SignedIdentity.read(other.rpartition(".")[0] + "." + WORD.signed(NEW, NOW).rpartition(".")[2], (NEW,), NOW)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "é.é.é", "\ud800", "[]", "a" * (LONGEST_TOKEN + 1)])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(NotSigned):
        SignedIdentity.read(text, (NEW,), NOW)


@pytest.mark.parametrize("payload", [b"[]", b"7", b"null", b"{", b'"x"'])
def test_claims_that_are_no_object_are_refused(payload: bytes) -> None:
    """By the right secret, and of the right type."""
    text = jwt.PyJWS().encode(payload, NEW, "HS256", headers={"typ": TYPE})
    with pytest.raises(NotSigned):
        SignedIdentity.read(text, (NEW,), NOW)


@pytest.mark.parametrize(
    ("method", "path", "key", "other"),
    [
        (REQUEST.method, REQUEST.path, REQUEST.key, None),
        ("DELETE", REQUEST.path, REQUEST.key, "method"),
        ("post", REQUEST.path, REQUEST.key, "method"),
        ("POST", REQUEST.path + "/", REQUEST.key, "path"),
        ("POST", "/airgate/v1/dags/sell/runs", REQUEST.key, "path"),
        ("POST", "/airgate/v1/dags/%62uy/runs", REQUEST.key, "path"),
        ("POST", REQUEST.path, "k-2", "Idempotency-Key"),
        ("POST", REQUEST.path, None, "Idempotency-Key"),
        ("POST", REQUEST.path, "", "Idempotency-Key"),
    ],
)
def test_it_is_good_for_one_request(method: str, path: str, key: str | None, other: str | None) -> None:
    """Another one is refused by the name of what differs."""
    if other is None:
        WORD.check(method, path, key)
    else:
        with pytest.raises(NotSigned, match=f"another {other}"):
            WORD.check(method, path, key)


def test_a_request_without_a_key_is_not_one_with_an_empty_key() -> None:
    word = replace(WORD, request=replace(REQUEST, key=None))
    word = SignedIdentity.read(word.signed(NEW, NOW), (NEW,), NOW)
    word.check("POST", REQUEST.path, None)
    with pytest.raises(NotSigned, match="Idempotency-Key"):
        word.check("POST", REQUEST.path, "")


def test_no_refusal_repeats_the_token() -> None:
    """What is logged of it could be used by whoever reads the log."""
    text = token(dags="secret-dag", sub="secret-sub")
    with pytest.raises(NotSigned) as refused:
        SignedIdentity.read(text, (NEW,), NOW)
    assert "secret" not in str(refused.value)
    payload = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
    assert payload["sub"] == "secret-sub"
