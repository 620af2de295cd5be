"""Hostile tokens against every authorizer in both modes: none passes, and none breaks the check (RFC 8725)."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airgate.spec.answer import Answer
from airgate.spec.authorizer import Authorizer, build
from airgate.spec.keyset import KeySet
from airgate.spec.need import NeedKeys
from tests.spec.signing import encoded, jwk, pem, private_key, raw_shared, shared, signed

SECRET = "a-secret-that-is-long-enough-for-hs256"
NOW = 1000.0
CLAIMS = {"iss": "https://t.test/", "aud": "api", "sub": "alice", "exp": 2000, "iat": 900}
PUBLIC = jwk("RS256", kid="a")
SETTINGS: dict[str, dict[str, Any]] = {
    "jwt": {"secret": SECRET, "issuer": "https://t.test/", "audience": "api"},
    "supabase": {"jwt_secret": SECRET, "issuer": "https://t.test/", "audience": "api"},
    "auth0": {"domain": "t.test", "jwks": json.dumps({"keys": [PUBLIC]}), "x-airgate": {"audience": "api"}},
    "auth0 by address": {"domain": "t.test", "jwks_uri": "https://t.test/keys", "x-airgate": {"audience": "api"}},
}
EVERY = [(kind, strict) for kind in SETTINGS for strict in (False, True)]


def authorizer(kind: str, *, strict: bool) -> Authorizer:
    built = build({"type": kind.split(" ")[0], **SETTINGS[kind]}, strict=strict)
    assert built is not None
    return built


AUTHORIZERS = {each: authorizer(each[0], strict=each[1]) for each in EVERY}


def judged(which: tuple[str, bool], token: str) -> dict[str, object] | Answer:
    found = AUTHORIZERS[which].judge(f"Bearer {token}", NOW)
    return found.resume(KeySet((PUBLIC,))) if isinstance(found, NeedKeys) else found


def good(kind: str, claims: Any = CLAIMS) -> str:
    return signed(claims, kid="a") if kind.startswith("auth0") else shared(claims, SECRET.encode(), typ="JWT")


def public_bytes() -> list[bytes]:
    """All that an attacker may take for the secret: each form of the public key."""
    key = private_key("RS256").public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    texts = [json.dumps(PUBLIC), json.dumps({"keys": [PUBLIC]}), PUBLIC["n"], ""]
    return [pem("RS256"), pem("RS256").strip(), der, *(text.encode() for text in texts)]


def hostile(kind: str) -> dict[str, str]:
    """Tokens that must not pass, by what they try."""
    header, payload, signature = good(kind).split(".")
    stranger = jwk("RS256:stranger", kid="a")
    made = {
        **{f"{name}, unsigned": f"{encoded({'alg': name})}.{payload}." for name in ("none", "None", "NONE", "nOnE")},
        **{
            f"{name}, signature kept": f"{encoded({'alg': name})}.{payload}.{signature}"
            for name in ("none", "", "HS256")
        },
        "no alg": f"{encoded({'typ': 'JWT'})}.{payload}.{signature}",
        "own key in the header": signed(CLAIMS, "RS256:stranger", jwk=stranger, kid="a"),
        "own key set in the header": signed(CLAIMS, "RS256:stranger", jku="https://evil.test/keys", kid="a"),
        "own certificate in the header": signed(
            CLAIMS, "RS256:stranger", x5c=["MIIB"], x5u="https://evil.test", kid="a"
        ),
        **{
            f"kid {key_id!r}": shared(CLAIMS, key, kid=key_id)
            for key_id, key in {
                "../../../dev/null": b"",
                "a' UNION SELECT 'k' --": b"k",
                "/proc/self/environ": b"x",
                "http://evil.test/key": b"k",
            }.items()
        },
        **{f"public key {n} as secret": shared(CLAIMS, key, kid="a") for n, key in enumerate(public_bytes())},
        **{f"public key {n}, HS512": shared(CLAIMS, key, alg="HS512") for n, key in enumerate(public_bytes())},
        "two algs, none last": raw_shared(encoded(b'{"alg":"HS256","alg":"none"}'), payload, SECRET.encode()),
        "critical extension, unsigned": f"{encoded({'alg': 'none', 'crit': ['b64'], 'b64': False})}.{payload}.",
        "payload changed": f"{header}.{encoded({**CLAIMS, 'sub': 'root'})}.{signature}",
        "signature of nothing": f"{header}.{payload}.{'A' * len(signature)}",
        "two tokens": f"{good(kind)}.{signature}",
        "encrypted token": f"{encoded({'alg': 'dir', 'enc': 'A256GCM'})}..a.b.c",
        "header nested deeply": f"{encoded(b'[' * 5000)}.{payload}.{signature}",
        "payload nested deeply": raw_shared(encoded({"alg": "HS256"}), encoded(b'{"a":' * 5000), SECRET.encode()),
    }
    if kind.startswith("auth0"):
        made["signed by a stranger"] = signed(CLAIMS, "RS256:stranger", kid="a")
        made["another kind of key"] = signed(CLAIMS, "ES256", kid="a")
    return made


@pytest.mark.parametrize("which", EVERY, ids=str)
def test_the_good_token_passes(which: tuple[str, bool]) -> None:
    """What the hostile ones are made from is let in, so that their refusal means something."""
    assert judged(which, good(which[0])) == CLAIMS


@pytest.mark.parametrize("which", EVERY, ids=str)
def test_no_hostile_token_passes(which: tuple[str, bool]) -> None:
    """Each is answered with 401, whatever the authorizer and the mode."""
    answers = {name: judged(which, token) for name, token in hostile(which[0]).items()}
    let_in = {name for name, found in answers.items() if not isinstance(found, Answer) or found.status != 401}
    assert let_in == set()


@pytest.mark.parametrize("kind", SETTINGS)
def test_strict_mode_tells_no_reason(kind: str) -> None:
    """All refused tokens get one and the same answer, so that nobody learns from the reason (RFC 8725, 3.1)."""
    refused = [
        *hostile(kind).values(),
        good(kind, {**CLAIMS, "exp": 1}),
        good(kind, {**CLAIMS, "aud": "x"}),
        "",
        "a.b.c",
    ]
    (answer,) = {judged((kind, True), token) for token in refused}
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["status"] == 401
    assert dict(answer.headers)[b"www-authenticate"] == b'Bearer realm="gateway", error="invalid_token"'


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(
    "claims",
    [
        b'{"exp":1e999}',
        b'{"exp":2000,"exp":1}',
        b'{"exp":"2000"}',
        b'{"exp":[2000]}',
        b'{"exp":null}',
        b'{"exp":-1e999}',
    ],
)
def test_no_odd_expiry_lasts_in_strict_mode(kind: str, claims: bytes) -> None:
    """Infinite, repeated and mistyped times are refused: of a repeated name the last one counts (RFC 7519, 4)."""
    full = json.dumps({key: value for key, value in CLAIMS.items() if key != "exp"})[:-1].encode() + b"," + claims[1:]
    if kind.startswith("auth0"):
        import jwt

        token = jwt.api_jws.encode(full, private_key("RS256"), "RS256", headers={"kid": "a"})
    else:
        token = shared(full, SECRET.encode())
    assert isinstance(judged((kind, True), token), Answer)


pieces = st.sampled_from(
    ["", ".", "..", "a", "=", "é", "\x00", encoded({"alg": "HS256"}), encoded({"alg": "RS256"}), encoded(5)]
)
texts = st.one_of(st.text(max_size=20), st.lists(pieces, max_size=6).map("".join))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(EVERY), texts)
@example(("supabase", False), f"{encoded(b'1')}.{encoded(b'1')}.a")
def test_any_text_is_judged_without_breaking(which: tuple[str, bool], token: str) -> None:
    """Whatever stands in the header, the outcome is an answer."""
    answer = judged(which, token)
    assert isinstance(answer, Answer)
    assert answer.status == 401


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EVERY), st.integers(0, 10_000), st.sampled_from("AZaz09-_.=+/"))
def test_a_token_with_another_character_says_nothing_else(which: tuple[str, bool], place: int, character: str) -> None:
    """One changed character is refused, or changes nothing of what was signed."""
    token = good(which[0])
    place %= len(token)
    found = judged(which, token[:place] + character + token[place + 1 :])
    assert isinstance(found, Answer) or found == CLAIMS


headers = st.dictionaries(
    st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "jku", "zip"]),
    st.one_of(
        st.sampled_from(["HS256", "RS256", "none", "ES256", "a", "", "JWT"]),
        st.none(),
        st.booleans(),
        st.integers(),
        st.lists(st.sampled_from(["b64", "exp", "", "alg"]), max_size=2),
        st.just({"kty": "oct", "k": "AA"}),
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(EVERY), headers, st.sampled_from(public_bytes()))
def test_no_header_makes_a_public_key_a_secret(which: tuple[str, bool], header: dict[str, Any], key: bytes) -> None:
    """Signed with what everybody knows, a token is refused under any header."""
    assert isinstance(judged(which, shared(CLAIMS, key, **header)), Answer)
