"""Who may call a guarded route: the token in the `Authorization` header, judged by the configured authorizer."""

from dataclasses import dataclass, replace

from airgate.spec.answer import Answer, json_answer
from airgate.spec.jwt import Refused, Verifier, verifier

KNOWN_TYPES = ("jwt", "auth0", "supabase")
_NO_TOKEN = json_answer(401, {"error": "No token provided or token format is invalid.", "code": "AUTH_ERROR"})


@dataclass(frozen=True, slots=True)
class Authorizer:
    """The judge of all guarded routes.

    `verifier` is None for the types that are not supported yet: such an authorizer lets nobody in.
    With `challenge`, a 401 carries `WWW-Authenticate` (RFC 6750), which the gateway itself does not send.
    """

    type: str
    verifier: Verifier | None
    challenge: bool

    def judge(self, authorization: str | None, now: float) -> dict[str, object] | Answer:
        """The claims of the caller, or the answer that refuses the call. `now` is in seconds since 1970."""
        token = _bearer_token(authorization)
        if token is None:
            return self._challenged(_NO_TOKEN, b"Bearer")
        if self.verifier is None:
            text = f"The authorizer type {self.type} is not supported yet."
            return json_answer(500, {"error": text, "code": "AUTH_CONFIG_ERROR"})
        try:
            return self.verifier.claims(token, now)
        except Refused as refused:
            refusal = json_answer(401, {"error": refused.text, "code": refused.code})
            return self._challenged(refusal, b'Bearer error="invalid_token"')

    def _challenged(self, answer: Answer, challenge: bytes) -> Answer:
        if not self.challenge:
            return answer
        return replace(answer, headers=(*answer.headers, (b"www-authenticate", challenge)))


def build(settings: object, *, strict: bool) -> Authorizer | None:
    """The authorizer of a file, or None when there is none of a known type (guarded routes are then open)."""
    if not isinstance(settings, dict) or settings.get("type") not in KNOWN_TYPES:
        return None
    kind = settings["type"]
    return Authorizer(kind, verifier(settings, strict=strict) if kind == "jwt" else None, challenge=strict)


def _bearer_token(authorization: str | None) -> str | None:
    """The second of the space-separated pieces, when the first is `Bearer`; empty after two spaces."""
    if authorization is None or not authorization.startswith("Bearer "):
        return None
    return authorization.split(" ")[1]
