"""The call to an upstream with the gateway's signed word for who the client is. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from airgate.edge.refusal import refusal
from airgate.policy.ingress_run import Identity
from airgate.policy.signed_identity import HEADER, BoundRequest, SignedIdentity, digest_of
from airgate.spec.answer import Answer
from airgate.spec.gateway import Forward

_KEY = "idempotency-key"
_OWN = frozenset({"authorization", HEADER})
"""Headers that the word takes the place of: a server that is told who the client is has no use for its token."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Speaks for the clients of a route whose token was checked."""

    secret: str = field(repr=False)
    dags: frozenset[str]

    def caller(self, claims: Mapping[str, object] | None) -> Identity | Answer:
        """Whose token it is; 403 where it names nobody."""
        issuer, subject = (claims or {}).get("iss"), (claims or {}).get("sub")
        if not isinstance(issuer, str) or not isinstance(subject, str):
            return refusal(403, "The token names nobody: it needs the claim sub, and iss.")
        identity = Identity(issuer, subject)
        problem = identity.problem()
        return identity if problem is None else refusal(403, f"The token names nobody: {problem}.")

    def told(
        self, call: Forward, method: str, body: bytes, caller: Identity, now: float, kept: frozenset[str]
    ) -> Forward:
        """The call with the word.

        Args:
            call: As it would go out without it.
            method: Its method.
            body: What will be sent.
            caller: Who the client is.
            now: Unix time.
            kept: Headers, in small letters, that the file sets on purpose.
        """
        keys = [value for name, value in call.headers if name == _KEY]
        request = BoundRequest(method, call.path, ", ".join(keys) if keys else None, digest_of(body))
        return _with(call, SignedIdentity(caller, self.dags, request).signed(self.secret, now), kept)

    def shown(self, call: Forward, kept: frozenset[str]) -> Forward:
        """The call with what the word says in its place, for people."""
        return _with(call, f"(signed for this request; the client may start {', '.join(sorted(self.dags))})", kept)


def _with(call: Forward, word: str, kept: frozenset[str]) -> Forward:
    headers = [header for header in call.headers if header[0] not in _OWN or header[0] in kept]
    return replace(call, headers=[*headers, (HEADER, word)])
