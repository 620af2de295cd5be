"""Tokens that must not pass, by what they try; made from good ones, which do."""

import json
import zlib
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.edge.edge_process import SECRET
from tests.spec.signing import encoded, jwk, pem, private_key, shared, signed

Headers = list[tuple[str, str]]

ISSUER = "https://t.test/"
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": "api", "sub": "alice", "exp": 4102444800}
KEYS = {"keys": [jwk("RS256", kid="a"), jwk("ES256", kid="e"), jwk("RS256:twin", kid="t"), jwk("RS256:two", kid="t")]}

NONE_LAST = encoded(b'{"alg":"RS256","kid":"a","alg":"none"}')
NONE_FIRST = encoded(b'{"alg":"none","kid":"a","alg":"RS256"}')
ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def bearer(token: str) -> Headers:
    return [("Authorization", f"Bearer {token}")]


def rs(claims: Any = CLAIMS, kind: str = "RS256", **header: Any) -> str:
    """A token signed with a private key, with any payload and any header."""
    full = {"alg": kind.partition(":")[0], "typ": "JWT", "kid": "a", **header}
    first = encoded(full)
    second = encoded(claims)
    signer = jwt.get_algorithm_by_name(kind.partition(":")[0])
    return f"{first}.{second}.{encoded(signer.sign(f'{first}.{second}'.encode(), private_key(kind)))}"


def hs(claims: Any = CLAIMS, secret: bytes = SECRET.encode(), **header: Any) -> str:
    return shared(claims, secret, **{"typ": "JWT", **header})


def with_exp(value: str) -> bytes:
    """The claims with an expiry that is given as JSON text."""
    kept = json.dumps({name: claim for name, claim in CLAIMS.items() if name != "exp"})
    return f'{kept[:-1]},"exp":{value}}}'.encode()


def with_claim(name: str, value: Any) -> dict[str, Any]:
    return {**CLAIMS, name: value}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


ODD_ISSUERS: tuple[Any, ...] = ("https://T.test/", f"{ISSUER} ", f"{ISSUER}\x00", [ISSUER], {"a": ISSUER}, None)
BAD_CLAIMS: dict[str, Any] = {
    **{
        f"exp {text}": with_exp(text)
        for text in ("0", "-1", "1", "1e400", "-1e400", '"4102444800"', "null", "true", "[4102444800]", '{"$gt":0}')
    },
    "exp missing": without("exp"),
    "exp twice, the past last": with_exp('4102444800,"exp":1'),
    **{f"nbf {value!r}": with_claim("nbf", value) for value in (4102444800, "0", None, True, [0])},
    **{f"iat {value!r}": with_claim("iat", value) for value in ("0", None, [], {})},
    **{
        f"aud {value!r}": with_claim("aud", value)
        for value in ("", "API", "ap", "apis", "api ", "api,b", [], ["b"], [["api"]], {"api": 1}, None, 0, True, "*")
    },
    "aud missing": without("aud"),
    **{
        f"iss {value!r}": with_claim("iss", value)
        for value in ("", "https://t.test", "http://t.test/", "https://t.test/x", "https://t.test.evil/", *ODD_ISSUERS)
    },
    "iss missing": without("iss"),
    "payload null": b"null",
    "payload a list": b'[{"sub":"alice"}]',
    "payload no JSON": b"alice",
    "payload empty": b"",
    "payload compressed": zlib.compress(json.dumps(CLAIMS).encode()),
    "payload in UTF-16": json.dumps(CLAIMS).encode("utf-16"),
    "payload nested deeply": b'{"a":' * 3000,
}


def public_texts() -> dict[str, bytes]:
    """What everybody knows of the issuer's key, as a secret for HS256."""
    key = private_key("RS256").public_key()
    return {
        "PEM": pem("RS256"),
        "PEM without the last line end": pem("RS256").strip(),
        "PEM of PKCS 1": key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "DER": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(KEYS["keys"][0]).encode(),
        "set": json.dumps(KEYS).encode(),
        "n": KEYS["keys"][0]["n"].encode(),
        "modulus": key.public_numbers().n.to_bytes(256),
        "nothing": b"",
        "kid": b"a",
    }


def _es(r: int, s: int) -> str:
    first, second = encoded({"alg": "ES256", "kid": "e"}), encoded(CLAIMS)
    return f"{first}.{second}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"


def _es_in_der() -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    first, second = encoded({"alg": "ES256", "kid": "e"}), encoded(CLAIMS)
    return f"{first}.{second}.{encoded(private_key('ES256').sign(f'{first}.{second}'.encode(), ECDSA(SHA256())))}"


KEY_IDS: tuple[Any, ...] = (
    "../../../dev/null",
    "/dev/null",
    "a' OR '1'='1",
    "a; curl evil",
    "",
    " a",
    "A",
    "a\x00",
    "é",
)
KEY_IDS += ("http://127.0.0.1/keys", None, 0, True, ["a"], {"kid": "a"}, "e", "t", "x" * 8000)


def forged(evil: str) -> dict[str, str]:
    """Tokens that nobody signed who may, by what they try; `evil` is an address of the attacker's."""
    payload, own = encoded(CLAIMS), jwk("RS256:stranger", kid="a")
    header, _, signature = rs().split(".")
    nones = ("none", "None", "NONE", "nOnE", " none", "none ", "none\x00", "", "null")
    return {
        **{f"alg {name!r}, unsigned": f"{encoded({'alg': name, 'kid': 'a'})}.{payload}." for name in nones},
        **{
            f"alg {name!r}, signature kept": f"{encoded({'alg': name, 'kid': 'a'})}.{payload}.{signature}"
            for name in nones
        },
        **{
            f"alg {value!r}": f"{encoded({'alg': value, 'kid': 'a'})}.{payload}.{signature}"
            for value in (
                None,
                0,
                True,
                ["RS256"],
                {"alg": "RS256"},
                "rs256",
                "RS256 ",
                "RS384",
                "PS256",
                "EdDSA",
                "HS256",
            )
        },
        "no alg": f"{encoded({'kid': 'a'})}.{payload}.{signature}",
        "alg twice, none last": f"{NONE_LAST}.{payload}.",
        "alg twice, none first": f"{NONE_FIRST}.{payload}.",
        **{
            f"{alg} with the public key as {name}": hs(secret=key, alg=alg, kid="a")
            for name, key in public_texts().items()
            for alg in ("HS256", "HS384", "HS512")
        },
        **{f"kid {key_id!r}, stranger": rs(kind="RS256:stranger", kid=key_id) for key_id in KEY_IDS},
        **{f"kid {key_id!r}, empty secret": hs(secret=b"", kid=key_id) for key_id in KEY_IDS},
        "no kid, stranger": signed(CLAIMS, "RS256:stranger"),
        "jwk": rs(kind="RS256:stranger", jwk=own),
        "jwk without kid": rs(kind="RS256:stranger", jwk=own, kid=None),
        "jku": rs(kind="RS256:stranger", jku=evil),
        "jku with the kid of nobody": rs(kind="RS256:stranger", jku=evil, kid="evil"),
        "x5u": rs(kind="RS256:stranger", x5u=evil),
        "x5c": rs(kind="RS256:stranger", x5c=["MIIB"]),
        "iss that is an address of the attacker's": rs({**CLAIMS, "iss": evil}, "RS256:stranger"),
        "psychic signature": _es(0, 0),
        "r is 0": _es(0, 1),
        "s is 0": _es(1, 0),
        "r and s are the curve's order": _es(ORDER_OF_P256, ORDER_OF_P256),
        "ECDSA signature in DER": _es_in_der(),
        "RS256 header, EC key": rs(kid="e"),
        "ES256 header, RSA key": rs(kind="ES256", kid="a"),
        "two keys of one kid": rs(kind="RS256:twin", kid="t"),
        "payload changed": f"{header}.{encoded({**CLAIMS, 'sub': 'root'})}.{signature}",
        "header changed": f"{encoded({'alg': 'RS256', 'kid': 'a', 'x': 1})}.{payload}.{signature}",
        "signature empty": f"{header}.{payload}.",
        "signature of zeros": f"{header}.{payload}.{'A' * len(signature)}",
        "huge, by a stranger": rs({**CLAIMS, "x": "y" * 15_000}, "RS256:stranger"),
        "encrypted": f"{encoded({'alg': 'dir', 'enc': 'A256GCM'})}..{'i' * 16}.{'c' * 16}.{'t' * 22}",
        "JSON": json.dumps({"payload": payload, "protected": header, "signature": signature}).replace(" ", ""),
    }


def bent(good: str) -> dict[str, str]:
    """A good token that is spelt otherwise."""
    header, payload, signature = good.split(".")
    return {
        "padding": f"{good}=",
        "double padding": f"{good}==",
        "last bits set": good[:-1] + _next_character(good[-1]),
        "standard alphabet": f"{header}.{payload}.{signature[:-3]}+/{signature[-1]}",
        "a line end": f"{header}.{payload}.{signature[:9]}%0a{signature[9:]}",
        "a tab": f"{header}.{payload}\t.{signature}",
        "a byte more": f"{good}AAAA",
        "cut": good[:-4],
        "an empty part": f"{header}.{payload}..{signature}",
        "a dot behind": f"{good}.",
        "a dot before": f".{good}",
        "two parts": f"{header}.{payload}",
        "one part": header,
        "dots": "..",
        "nothing": "",
        "other letters": f"{header}.{payload}é.{signature}",
        "quoted": f'"{good}"',
        "twice with a comma": f"{good},{good}",
    }


def _next_character(character: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(character) + 1]


def misplaced(good: str, bad: str) -> dict[str, Headers]:
    """A good token where none is looked for, or in company."""
    return {
        "nowhere": [],
        "small letters": [("Authorization", f"bearer {good}")],
        "two spaces": [("Authorization", f"Bearer  {good}")],
        "a tab": [("Authorization", f"Bearer\t{good}")],
        "without a scheme": [("Authorization", good)],
        "another scheme": [("Authorization", f"Token {good}")],
        "a colon": [("Authorization", f"Bearer: {good}")],
        "text behind": [("Authorization", f"Bearer {good} x")],
        "another token behind": [("Authorization", f"Bearer {good} {bad}")],
        "another scheme behind": [("Authorization", f"Bearer {good}, Basic eDp5")],
        "good and bad header": [*bearer(good), *bearer(bad)],
        "bad and good header": [*bearer(bad), *bearer(good)],
        "the same header twice": [*bearer(good), *bearer(good)],
        "proxy header": [("Proxy-Authorization", f"Bearer {good}")],
        "own header": [("X-Authorization", f"Bearer {good}"), ("X-Access-Token", good)],
        "cookie": [("Cookie", f"access_token={good}; Authorization=Bearer {good}")],
        "underscore": [("Authorization_", f"Bearer {good}"), ("Http_Authorization", f"Bearer {good}")],
    }
