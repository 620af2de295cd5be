"""Strict mode's look at the authorizer: that it lets in only whom it should, and can tell who that is."""

from collections.abc import Iterator, Mapping

from airgate.spec.check_extension import shape_problems
from airgate.spec.extension import KEY
from airgate.spec.javascript import parse
from airgate.spec.jwt import SHORTEST_SECRET
from airgate.spec.keyset import KeySet
from airgate.spec.problem import Path, Problem, at, not_an_object, unknown_keys
from airgate.spec.refused import Refused
from airgate.spec.token_rules import TokenRules
from airgate.spec.url import is_guarded_url, parse_origin

_HERE: Path = ("authorizer",)
_TYPES = "'jwt', 'auth0' or 'supabase'"
_SHARED = ("type", "issuer", "audience", KEY)
_AUTH0_KEYS = (
    *("type", "domain", "client_id", "client_secret", "redirect_uri", "callback_uri", "jwks", "jwks_uri", "scope"),
    KEY,
)
_UNLIKE_HOST = frozenset("/\\?#@ \t\r\n")


def authorizer_problems(authorizer: object) -> Iterator[Problem]:
    """The problems of a file's authorizer, whose variables are already put in."""
    if not isinstance(authorizer, dict):
        yield from not_an_object(_HERE, authorizer)
        return
    match authorizer.get("type"):
        case "jwt":
            yield from unknown_keys(_HERE, authorizer, (*_SHARED, "secret", "algorithm"))
            if authorizer.get("algorithm", "HS256") != "HS256":
                what, cure = "only HS256 is in the format", f"Write 'HS256'; others can be named under {KEY}"
                yield at((*_HERE, "algorithm"), what, cure)
            yield from _secret_problems(authorizer, "secret")
        case "supabase":
            yield from unknown_keys(_HERE, authorizer, (*_SHARED, "jwt_secret"))
            yield from _secret_problems(authorizer, "jwt_secret")
        case "auth0":
            yield from unknown_keys(_HERE, authorizer, _AUTH0_KEYS)
            yield from _auth0_problems(authorizer)
        case kind:
            what = "the authorizer type is missing or unknown, guarded routes would be open"
            yield at((*_HERE, "type"), what, f"Write {_TYPES}" if kind is None else f"Use {_TYPES}")


def _secret_problems(authorizer: Mapping[str, object], key: str) -> Iterator[Problem]:
    """The problems of an authorizer whose tokens are signed with a shared secret."""
    yield from _rule_problems(authorizer, ("HS",))
    rules = TokenRules.of(authorizer)
    shortest = max((SHORTEST_SECRET.get(name, 0) for name in rules.names(default=("HS256",))), default=0)
    secret = authorizer.get(key)
    if not isinstance(secret, str) or len(secret.encode("utf-8", "replace")) < shortest:
        what = f"the secret is missing or shorter than {shortest} bytes"
        yield at((*_HERE, key), what, f"Use a random secret, for instance from: openssl rand -hex {shortest}")
    elif "-----BEGIN " in secret:
        what = "the secret is a key in PEM: whoever has the public key could sign tokens"
        yield at((*_HERE, key), what, "Use a random secret, or the type 'auth0' for tokens with a public key")
    for name in ("issuer", "audience"):
        if name in authorizer and not (isinstance(authorizer[name], str) and authorizer[name]):
            what = f"the {name} is not a text or is empty, so that any value would pass"
            yield at((*_HERE, name), what, "Name the accepted value, or leave the key out to skip the check")
    if "audience" in _object(authorizer.get(KEY)):
        what = "the format has a place of its own for it"
        yield at((*_HERE, KEY, "audience"), what, "Write it as audience of the authorizer")


def _auth0_problems(authorizer: Mapping[str, object]) -> Iterator[Problem]:
    yield from _rule_problems(authorizer, ("RS", "PS", "ES", "Ed"))
    domain = authorizer.get("domain")
    if not isinstance(domain, str) or not _is_host(domain):
        what = "the domain is missing or no host name; the issuer of every token is derived from it"
        yield at((*_HERE, "domain"), what, "Write it without https:// and slash, such as tenant.eu.auth0.com")
    if authorizer.get("jwks"):
        yield from _key_set_problems(authorizer)
    elif "jwks_uri" not in authorizer:
        what = "there are no keys to check tokens with"
        yield at((*_HERE, "jwks_uri"), what, "Write https://<domain>/.well-known/jwks.json, or the keys as jwks")
    if "jwks_uri" in authorizer and not is_guarded_url(authorizer["jwks_uri"]):
        what = "it is no https URL, so that anybody on the way could put in keys"
        yield at((*_HERE, "jwks_uri"), what, "Use https; http is for this machine only")
    if "audience" not in _object(authorizer.get(KEY)):
        what = "no audience is named, so that tokens for any other API of the tenant would pass"
        yield at((*_HERE, KEY, "audience"), what, "Name the identifier of your API, or write null to accept them all")


def _key_set_problems(authorizer: Mapping[str, object]) -> Iterator[Problem]:
    here = (*_HERE, "jwks")
    written = authorizer["jwks"]
    cure = 'Write the document of the issuer as a text: "{\\"keys\\": [...]}"'
    try:
        keys = KeySet.of(parse(written if isinstance(written, str) else ""))
    except ValueError:
        yield at(here, "it is not a text with JSON in it", cure)
    except Refused:
        yield at(here, "it is JSON, but no key set", cure)
    else:
        if any("d" in key for key in keys.keys):
            yield at(here, "it holds a private key, with which anybody who reads the file signs tokens", "Remove it")
        elif not any(_usable(keys, name) for name in TokenRules.of(authorizer).names(default=("RS256",))):
            what = "no key in it verifies an accepted algorithm; RSA keys need 2048 bits"
            yield at(here, what, f"Add one, or name its algorithm as algorithms under {KEY}")


def _usable(keys: KeySet, algorithm: str) -> bool:
    if algorithm.startswith("HS"):  # a problem of its own
        return False
    for key in keys.fitting(algorithm, None):
        try:
            KeySet((key,)).key(algorithm, None).verifies(algorithm, b"", b"")
        except Refused:
            continue
        return True
    return False


def _rule_problems(authorizer: Mapping[str, object], families: tuple[str, ...]) -> Iterator[Problem]:
    """The problems of `x-airgate`, and of algorithms that the type has no keys for."""
    if KEY not in authorizer:
        return
    found = list(shape_problems((*_HERE, KEY), authorizer[KEY], TokenRules))
    yield from found
    rules = TokenRules.of(authorizer)
    if not found and not rules.names(default=("any",)):
        yield at((*_HERE, KEY, "algorithms"), "no algorithm is accepted, so no token is", "Name one")
    for position, name in enumerate(rules.names(default=())):
        if not name.startswith(families):
            what = f"tokens of the type {authorizer.get('type')!r} are never signed with {name}"
            named = "HS256, HS384 or HS512" if "HS" in families else "RS256, PS256, ES256, EdDSA or a longer one"
            yield at((*_HERE, KEY, "algorithms", position), what, f"Use {named}")


def _is_host(domain: str) -> bool:
    try:
        origin = parse_origin(f"https://{domain}")
    except ValueError:
        return False
    return bool(origin.host) and not _UNLIKE_HOST.intersection(domain)


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
