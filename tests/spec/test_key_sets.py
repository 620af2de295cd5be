"""Tokens with a public key: which key of a set is chosen, what it verifies, and the refusals (SPEC.md, section 7.2)."""

import json
from typing import Any

import pytest

from airgate.spec.auth0_tokens import key_set_verifier
from airgate.spec.keyset import KeySet
from airgate.spec.need import NeedKeys
from airgate.spec.refused import KeysUnavailable, Refused
from tests.spec.signing import encoded, jwk, private_key, shared, signed

NOW = 1000.5
CLAIMS = {"iss": "https://t.test/", "exp": 2000}
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
NO_MATCH, MULTIPLE = "ERR_JWKS_NO_MATCHING_KEY", "ERR_JWKS_MULTIPLE_MATCHING_KEYS"
UNVERIFIED, SIGNATURE = "AUTH_ERROR", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"


def verdict(token: str, keys: Any, *, strict: bool = False, **settings: Any) -> str:
    """The error code of a token, or `passes`."""
    jwks = keys if isinstance(keys, str) else json.dumps({"keys": keys})
    try:
        key_set_verifier({"domain": "t.test", "jwks": jwks, **settings}, strict=strict).claims(token, NOW)
    except Refused as refused:
        return refused.code
    return "passes"


def kind_for(algorithm: str) -> str:
    return "RS256" if algorithm[0] in "RP" else algorithm


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_verifies_its_own_signatures_only(algorithm: str) -> None:
    """A good signature passes; one over other bytes, a cut one, an empty one and one of another key do not."""
    kind = kind_for(algorithm)
    good = signed(CLAIMS, kind, algorithm)
    header, _, signature = good.split(".")
    assert verdict(good, [jwk(kind)]) == "passes"
    forged = [f"{header}.{encoded({**CLAIMS, 'sub': 'x'})}.{signature}", good[:-8], good.rpartition(".")[0] + "."]
    assert [verdict(each, [jwk(kind)]) for each in forged] == [SIGNATURE] * 3
    assert verdict(signed(CLAIMS, f"{kind}:other", algorithm), [jwk(kind)]) == SIGNATURE


@pytest.mark.parametrize("other", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
def test_a_key_of_another_kind_is_no_match(algorithm: str, other: str) -> None:
    """A set without a key of the algorithm's type and curve has no matching key."""
    if kind_for(algorithm) != kind_for(other):
        assert verdict(signed(CLAIMS, kind_for(algorithm), algorithm), [jwk(kind_for(other))]) == NO_MATCH


A, B = {"kid": "a"}, {"kid": "b"}


@pytest.mark.parametrize(
    ("header", "keys", "code"),
    [
        ({"kid": "a"}, [A], "passes"),
        ({"kid": "b"}, [A], NO_MATCH),
        ({"kid": "a"}, [{}], NO_MATCH),
        ({}, [A], "passes"),
        ({}, [A, B], MULTIPLE),
        ({"kid": "a"}, [A, B], "passes"),
        ({"kid": "a"}, [A, A], MULTIPLE),
        ({"kid": ""}, [A], NO_MATCH),
        ({}, [{"alg": "RS256"}], "passes"),
        ({}, [{"alg": "RS384"}], NO_MATCH),
        ({}, [{"alg": "PS256"}, {"alg": "RS256"}], "passes"),
        ({}, [{"alg": None}], "passes"),
        ({}, [{"use": "sig"}], "passes"),
        ({}, [{"use": "enc"}], NO_MATCH),
        ({}, [{"use": "enc"}, {}], "passes"),
        ({}, [{"use": 5}], "passes"),
        ({}, [{"key_ops": ["verify"]}], "passes"),
        ({}, [{"key_ops": ["encrypt"]}], NO_MATCH),
        ({}, [{"key_ops": []}], NO_MATCH),
        ({}, [{"kty": "rsa"}], NO_MATCH),
        ({}, [{"kty": "oct"}], NO_MATCH),
        ({}, [], NO_MATCH),
        ({}, [{"n": "!"}], UNVERIFIED),
        ({}, [{"n": None}], UNVERIFIED),
        ({}, [{"e": ""}], UNVERIFIED),
        ({}, [{"d": "AQAB"}], "ERR_JWKS_INVALID"),
        ({"crit": ["q"], "q": 1}, [A], UNVERIFIED),
    ],
)
def test_one_key_must_fit_the_header(header: dict[str, Any], keys: list[dict[str, Any]], code: str) -> None:
    """The type, `kid`, `alg`, `use` and `key_ops` choose the key; none or several is a refusal of its own."""
    assert verdict(signed(CLAIMS, **header), [jwk("RS256", **members) for members in keys]) == code


def test_a_kid_that_is_no_text_does_not_choose() -> None:
    """The gateway's library looks at a `kid` only when it is a text."""
    header, payload, signature = signed(CLAIMS).split(".")
    numbered = f"{encoded({'alg': 'RS256', 'kid': 5})}.{payload}.{signature}"
    assert verdict(numbered, [jwk("RS256", kid="a")]) == SIGNATURE
    assert header


def test_a_weak_key_verifies_nothing() -> None:
    """An RSA key under 2048 bits is refused although its signature is right (RFC 7518, 3.3)."""
    assert verdict(signed(CLAIMS, "RSA-1024", "RS256"), [jwk("RSA-1024")]) == UNVERIFIED


def test_the_two_numbers_of_an_elliptic_signature_have_a_fixed_length() -> None:
    """The form that certificates use, DER, is no signature of a token (RFC 7518, 3.4)."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    bare = signed(CLAIMS, "ES256").rpartition(".")[0]
    der = private_key("ES256").sign(bare.encode(), ECDSA(SHA256()))
    assert verdict(f"{bare}.{encoded(der)}", [jwk("ES256")]) == SIGNATURE


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "HS256", "HS512", "rs256", "XX99", "RS1", "RSA-OAEP", "ES256K", "Ed448", "EdX"]
)
def test_no_public_key_verifies_other_algorithms(algorithm: str) -> None:
    """Neither `none` nor a shared secret nor a made-up name passes, even where the type of a key would fit."""
    public = [jwk("RS256"), jwk("ES256"), jwk("EdDSA")]
    assert verdict(shared(CLAIMS, b"s" * 32, alg=algorithm), public) in (UNVERIFIED, NO_MATCH)


@pytest.mark.parametrize(
    ("jwks", "status", "code"),
    [
        ("{not json", 500, "AUTH_CONFIG_ERROR"),
        ({"keys": []}, 500, "AUTH_CONFIG_ERROR"),
        ("", 500, "AUTH_CONFIG_ERROR"),
        (None, 500, "AUTH_CONFIG_ERROR"),
        ('{"k": 1}', 401, "ERR_JWKS_INVALID"),
        ("null", 401, "ERR_JWKS_INVALID"),
        ('{"keys": {}}', 401, "ERR_JWKS_INVALID"),
        ('{"keys": [1]}', 401, "ERR_JWKS_INVALID"),
        (5, 401, "ERR_JWKS_INVALID"),
        ('{"keys": []}', 401, NO_MATCH),
    ],
)
def test_a_set_that_is_none_is_told_from_one_without_the_key(jwks: object, status: int, code: str) -> None:
    """A setting that is no JSON is a fault of the configuration, JSON without keys one of the set."""
    with pytest.raises(Refused) as refused:
        key_set_verifier({"domain": "t.test", "jwks": jwks}, strict=False).claims(signed(CLAIMS), NOW)
    assert (refused.value.status, refused.value.code) == (status, code)


def test_an_address_is_asked_only_for_a_token_in_its_form() -> None:
    """A malformed token is refused before keys are asked for; a good one says which key it needs, and goes on."""
    verifier = key_set_verifier({"domain": "t.test", "jwks_uri": "http://x/k", "jwks": ""}, strict=False)
    with pytest.raises(Refused, match="Invalid JWS"):
        verifier.claims("a.b.c", NOW)
    need = verifier.claims(signed(CLAIMS, kid="a"), NOW)
    assert isinstance(need, NeedKeys)
    assert (need.uri, need.algorithm, need.key_id) == ("http://x/k", "RS256", "a")
    assert need.resume(KeySet((jwk("RS256", kid="a"),))) == CLAIMS
    with pytest.raises(KeysUnavailable):
        need.resume(KeysUnavailable())


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({**CLAIMS, "aud": "anything"}, "passes"),
        ({"iss": "https://t.test/"}, "passes"),
        ({**CLAIMS, "iss": "https://t.test"}, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        ({"exp": 2000}, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        ({**CLAIMS, "exp": 1000}, "ERR_JWT_EXPIRED"),
        ({**CLAIMS, "nbf": 1002}, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        ({"iss": "x", "exp": 1}, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
    ],
)
def test_the_issuer_is_the_domain_and_the_audience_is_not_looked_at(claims: dict[str, Any], code: str) -> None:
    """Compatible mode accepts every audience; the slash at the end of the issuer counts."""
    assert verdict(signed(claims), [jwk("RS256")]) == code


@pytest.mark.parametrize(
    ("claims", "algorithm", "rules", "code"),
    [
        ({**CLAIMS, "aud": "api"}, "RS256", {"audience": "api"}, "passes"),
        ({**CLAIMS, "aud": ["x", "api"]}, "RS256", {"audience": ["other", "api"]}, "passes"),
        ({**CLAIMS, "aud": "x"}, "RS256", {"audience": "api"}, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        (CLAIMS, "RS256", {"audience": "api"}, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        (CLAIMS, "RS256", {"audience": None}, "passes"),
        (CLAIMS, "RS256", {}, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
        (CLAIMS, "RS512", {"audience": None}, UNVERIFIED),
        (CLAIMS, "RS512", {"audience": None, "algorithms": ["RS512"]}, "passes"),
        ({"iss": "https://t.test/"}, "RS256", {"audience": None}, "ERR_JWT_CLAIM_VALIDATION_FAILED"),
    ],
)
def test_strict_mode_wants_the_audience_the_expiry_and_rs256(
    claims: dict[str, Any], algorithm: str, rules: dict[str, Any], code: str
) -> None:
    """The audience is required unless it is switched off in writing, and only named algorithms pass."""
    found = verdict(signed(claims, "RS256", algorithm), [jwk("RS256")], strict=True, **{"x-airgate": rules})
    assert found == code
