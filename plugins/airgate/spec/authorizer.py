"""Who may call a guarded route: the token in the `Authorization` header, judged by the configured authorizer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from airgate.spec.answer import Answer, json_answer, problem
from airgate.spec.auth0_tokens import key_set_verifier
from airgate.spec.jws import is_canonical
from airgate.spec.jwt import verifier
from airgate.spec.keyset import KeySet
from airgate.spec.need import NeedKeys
from airgate.spec.refused import KeysUnavailable, NoToken, Refused, malformed
from airgate.spec.supabase_tokens import supabase_verifier

Claims = dict[str, object]
Judged = Claims | Answer

KNOWN_TYPES = ("jwt", "auth0", "supabase")
_REALM = b'Bearer realm="gateway"'
_CHALLENGE = (b"www-authenticate", _REALM)
_INVALID = (b"www-authenticate", _REALM + b', error="invalid_token"')
# One text for all reasons: whoever guesses at tokens learns nothing from it.
_STRICT_TEXT = "The request needs a valid bearer token."


class TokenVerifier(Protocol):
    """Judges a token by its own rules."""

    def claims(self, token: str, now: float) -> Claims | NeedKeys[Claims]:
        """The claims of a valid token, or what is needed to tell. `now` is in seconds since 1970.

        Raises:
            Refused: the token does not pass. What is returned raises it, too.
        """


@dataclass(frozen=True, slots=True)
class Authorizer:
    """The judge of all guarded routes.

    In strict mode a refusal is the same for every reason, in problem details (RFC 9457), with `WWW-Authenticate`
    (RFC 6750, 3), which the gateway itself does not send.
    """

    type: str
    verifier: TokenVerifier
    strict: bool

    def judge(self, authorization: str | None, now: float) -> Judged | NeedKeys[Judged]:
        """The claims of the caller, the answer that refuses the call, or what is needed to tell.

        `now` is in seconds since 1970.
        """
        token = bearer_token(authorization)
        if token is None:
            return refusal(NoToken(), strict=self.strict)
        if self.strict and not _is_exact(authorization, token):
            return refusal(malformed(), strict=True)
        try:
            found = self.verifier.claims(token, now)
        except Refused as refused:
            return refusal(refused, strict=self.strict)
        return self._resumable(found) if isinstance(found, NeedKeys) else found

    def _resumable(self, need: NeedKeys[Claims]) -> NeedKeys[Judged]:
        def resume(keys: KeySet | Refused) -> Judged:
            try:
                return need.resume(keys)
            except Refused as refused:
                return refusal(refused, strict=self.strict)

        return NeedKeys(need.uri, need.algorithm, need.key_id, resume)


def refusal(refused: Refused, *, strict: bool) -> Answer:
    """The answer to a caller whose token is missing, does not pass, or cannot be judged."""
    if not strict:
        return json_answer(refused.status, {"error": refused.text, "code": refused.code})
    if isinstance(refused, KeysUnavailable):
        answer = problem(503, "The keys that tokens are checked with cannot be had just now.", with_cors=True)
        seconds = str(max(1, math.ceil(refused.retry_after))).encode()
        return replace(answer, headers=(*answer.headers, (b"retry-after", seconds)))
    if refused.status != 401:
        return problem(refused.status, "The authorizer of this gateway cannot judge tokens.", with_cors=True)
    answer = problem(401, _STRICT_TEXT, with_cors=True)
    return replace(answer, headers=(*answer.headers, _CHALLENGE if isinstance(refused, NoToken) else _INVALID))


def build(settings: object, *, strict: bool) -> Authorizer | None:
    """The authorizer of a file, or None when there is none of a known type (guarded routes are then open)."""
    if not isinstance(settings, dict) or settings.get("type") not in KNOWN_TYPES:
        return None
    return Authorizer(settings["type"], _verifier(settings["type"], settings, strict=strict), strict)


def _verifier(kind: str, settings: Mapping[str, object], *, strict: bool) -> TokenVerifier:
    match kind:
        case "auth0":
            return key_set_verifier(settings, strict=strict)
        case "supabase" if strict:
            return verifier(settings, strict=True, secret="jwt_secret")  # noqa: S106 the name of a key
        case "supabase":
            return supabase_verifier(settings)
    return verifier(settings, strict=strict)


def bearer_token(authorization: str | None) -> str | None:
    """The second of the space-separated pieces, when the first is `Bearer`; empty after two spaces."""
    if authorization is None or not authorization.startswith("Bearer "):
        return None
    return authorization.split(" ")[1]


def _is_exact(authorization: str | None, token: str) -> bool:
    """Whether a header is the token and nothing more, in its one spelling.

    The upstream could read the rest, and whoever lists tokens take a second spelling for another one.
    """
    return authorization is not None and len(authorization) == len("Bearer ") + len(token) and is_canonical(token)
