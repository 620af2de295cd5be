"""Tokens signed with one of the issuer's published keys: the authorizer type `auth0`."""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import UnsetType

from airgate.spec.claims import Expected
from airgate.spec.javascript import MISSING, parse, to_text, truthy
from airgate.spec.jws import Jws, take_apart
from airgate.spec.keyset import KeySet
from airgate.spec.need import NeedKeys
from airgate.spec.refused import Refused, unverifiable, wrong_signature
from airgate.spec.token_rules import TokenRules

Claims = dict[str, object]


@dataclass(frozen=True, slots=True)
class KeySetVerifier:
    """What a token must satisfy.

    `source` is the set itself, the address to ask for it, or why the configuration has neither. `algorithms` is None
    where the matching key alone decides.
    """

    source: KeySet | str | Refused
    algorithms: frozenset[str] | None
    expected: Expected

    def claims(self, token: str, now: float) -> Claims | NeedKeys[Claims]:
        """The claims of a valid token. `now` is in seconds since 1970.

        Raises:
            Refused: the token is malformed, not signed with a key of the set, not meant for us, too early or too late;
                or the configuration is wrong. What is returned raises it, too, once it has the keys.
        """
        source = self.source
        if isinstance(source, Refused):
            raise Refused(source.text, source.code, source.status)  # a new one: raising leaves its traces on it
        jws = take_apart(token)
        if self.algorithms is not None and jws.algorithm not in self.algorithms:
            raise unverifiable()
        if isinstance(source, KeySet):
            return self._claims(jws, source, now)
        return NeedKeys(source, jws.algorithm, jws.key_id, lambda keys: self._claims(jws, keys, now))

    def _claims(self, jws: Jws, keys: KeySet | Refused, now: float) -> Claims:
        if isinstance(keys, Refused):
            raise keys
        key = keys.key(jws.algorithm, jws.key_id)
        if not key.verifies(jws.algorithm, jws.signed, jws.signature_bytes()):
            raise wrong_signature()
        claims = jws.claims()
        self.expected.check(claims, now)
        return claims


def key_set_verifier(settings: Mapping[str, object], *, strict: bool) -> KeySetVerifier:
    """The verifier for an `authorizer` of type `auth0`. The gateway never looks at the audience; strict mode does."""
    issuer = (f"https://{to_text(settings.get('domain', MISSING))}/",)
    if not strict:
        return KeySetVerifier(_source(settings), None, Expected(issuer=issuer))
    rules = TokenRules.of(settings)
    return KeySetVerifier(
        _source(settings),
        frozenset(rules.names(default=("RS256",))),
        Expected(
            issuer=issuer,
            audience=_audience(rules),
            expiry_required=True,
            leeway=rules.leeway,
            max_age=rules.max_age,
        ),
    )


def _audience(rules: TokenRules) -> tuple[object, ...] | None:
    """The accepted audiences; None accepts all, and is meant only when it is written down."""
    match rules.audience:
        case UnsetType():
            return (MISSING,)
        case None:
            return None
        case str(audience):
            return (audience,)
    return tuple(rules.audience) or (MISSING,)


def _source(settings: Mapping[str, object]) -> KeySet | str | Refused:
    """Where the keys are: in the file, which comes first, or at an address."""
    written = settings.get("jwks")
    if truthy(written):
        try:
            document = parse(to_text(written))
        except ValueError:
            return Refused("JWKS configuration is not valid JSON.", "AUTH_CONFIG_ERROR", 500)
        try:
            return KeySet.of(document)
        except Refused as refused:
            return refused
    address = settings.get("jwks_uri")
    if truthy(address):
        return to_text(address)
    return Refused("No JWKS source configured.", "AUTH_CONFIG_ERROR", 500)
