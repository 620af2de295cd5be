"""Strict mode's look at `identity`: that only the gateway can speak for a client, and only for one it has checked."""

from collections.abc import Iterator, Mapping

from airgate.policy.callback import secrets_of
from airgate.policy.ingress_run import RESERVED_ISSUERS
from airgate.spec.extension import KEY, RouteIdentity
from airgate.spec.problem import Path, Problem, at

_SECRET_KEYS = ("secret", "jwt_secret", "client_secret")
_NEVER_KEPT = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_CURE = "Use a random secret of its own, for instance from: openssl rand -hex 32"


def secret_problems(here: Path, secret: str, authorizer: object) -> Iterator[Problem]:
    """What is wrong with the secrets that sign; `authorizer` is the file's."""
    try:
        known = secrets_of(secret)
    except ValueError as error:
        yield at(here, str(error), _CURE)
        return
    if not known:
        yield at(here, "there is no secret", _CURE)
    settings = authorizer if isinstance(authorizer, dict) else {}
    if any(settings.get(name) in known for name in _SECRET_KEYS):
        what = "it is the authorizer's secret as well: whoever signs tokens for clients could speak for the gateway"
        yield at(here, what, _CURE)


def identity_problems(
    here: Path, identity: RouteIdentity, route: Mapping[str, object], file: Mapping[str, object]
) -> Iterator[Problem]:
    """What is wrong with `identity` of one route, which calls a server."""
    if not identity.dags:
        yield at((*here, "dags"), "without a DAG a client may start nothing", "Name the DAGs that the route leads to")
    extension = file.get(KEY, {})
    if isinstance(extension, dict) and "identity" not in extension:
        yield at(here, "there is no secret to sign it with", f"Add identity with a secret to {KEY} of the file")
    if route.get("auth") is not True:
        yield at(here, "the route has no auth, so nobody is known to speak for", "Set auth to true")
    authorizer = file.get("authorizer")
    settings = authorizer if isinstance(authorizer, dict) else {}
    if settings.get("type") in ("jwt", "supabase"):
        issuer = settings.get("issuer")
        if not isinstance(issuer, str) or not issuer:
            what = "the authorizer takes tokens of any issuer, so a client could name itself what it likes"
            yield at(here, what, "Set issuer in the authorizer")
        elif issuer in RESERVED_ISSUERS:
            what = f"under the issuer {issuer!r} {RESERVED_ISSUERS[issuer]} are kept"
            yield at(here, what, "Name the issuer otherwise")
    own = route.get(KEY)
    cached = isinstance(own, dict) and own.get("cache", False) is not False
    if cached and route.get("method") not in _NEVER_KEPT:  # of the others it is said elsewhere
        yield at(here, "an answer for one client could be kept for others", "Remove cache")
