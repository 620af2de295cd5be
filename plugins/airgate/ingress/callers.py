"""Who calls, and what that caller may do.

A caller is one of Airflow's own principals, the bearer of an issuer's token, or the client for whom a gateway in front
speaks by its signature. What else a header says of the caller is not believed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import bearer_scheme, get_user, requires_access_dag
from airflow.models.dag import DagModel
from fastapi import HTTPException
from fastapi.security import HTTPAuthorizationCredentials
from starlette.requests import Request

from airgate.client import clock
from airgate.ingress.problem import problem
from airgate.ingress.reading import INVALID, Refusal, not_spoken_for
from airgate.ingress.settings import GatewaySettings
from airgate.ingress.tokens import Tokens
from airgate.policy.callback import NotSigned
from airgate.policy.ingress_claims import NoCaller, dags_of, identity_of
from airgate.policy.ingress_run import Identity
from airgate.policy.signed_identity import HEADER, SignedIdentity
from airgate.spec.message import header_text
from airgate.spec.refused import KeysUnavailable, Refused

AIRFLOW = "airflow"
"""Who vouches for Airflow's own principals."""
Method = Literal["GET", "POST", "PUT"]
"""What Airflow's authorization calls reading, starting and changing a run."""
NOTHING_HERE = "There is nothing at this address."


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who has proved who it is."""

    identity: Identity
    dags: frozenset[str]
    """The DAGs that its token opens; of no meaning for Airflow's own principals."""
    user: Any = None
    """Airflow's principal, None for everybody else."""
    body: str | None = None
    """Digest of the body that the gateway has signed, None where none is signed; checked where the body is read."""

    @property
    def owner(self) -> Identity | None:
        """Whose runs it may see one by one; None for those of everybody, where Airflow's authorization decides."""
        return self.identity if self.user is None else None


class Callers:
    """Finds out who calls.

    Args:
        tokens: Checks the issuer's tokens; None where none are believed.
        gateways: Who may speak for a client; None for nobody, and their word is not looked at.
    """

    def __init__(self, tokens: Tokens | None, gateways: GatewaySettings | None) -> None:
        self._tokens = tokens
        self._gateways = gateways

    async def of(self, request: Request) -> Caller:
        """Who sent a request.

        Raises:
            Refusal: Nobody who is known.
        """
        if self._gateways is not None and (words := request.headers.getlist(HEADER)):
            return _spoken_for(request, words, self._gateways)
        credentials = await bearer_scheme(request)
        token = None if credentials is None else credentials.credentials
        if self._tokens is not None and token is not None and self._tokens.names_issuer(token):
            return await self._bearer(token, self._tokens)
        return await _principal(request, credentials)

    async def _bearer(self, token: str, tokens: Tokens) -> Caller:
        try:
            claims = await tokens.claims(token)
            return Caller(identity_of(claims), dags_of(claims, tokens.settings.claim))
        except KeysUnavailable as unavailable:
            later = {"Retry-After": str(int(unavailable.retry_after) + 1)}
            raise Refusal(problem(503, "The token cannot be checked now.", later)) from None
        except (Refused, NoCaller):
            raise _unauthorized("The token is not valid here.", invalid=True) from None


async def check(caller: Caller, request: Request, dag_id: str, method: Method) -> None:
    """Check that a caller may do something with the runs of a DAG.

    Raises:
        Refusal: It may not; whoever bears a token is not told what else there is.
    """
    if caller.user is None:
        if dag_id not in caller.dags:
            raise Refusal(problem(404, NOTHING_HERE))
        return
    try:
        await asyncio.to_thread(requires_access_dag(method, DagAccessEntity.RUN, dag_id), request, caller.user)
    except HTTPException:
        raise Refusal(problem(403, "Airflow does not allow you this.")) from None


def may_read_results(caller: Caller, dag_id: str) -> bool:
    """Whether a caller may see what tasks gave; asks Airflow's database, so it blocks."""
    if caller.user is None:
        return True
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return get_auth_manager().is_authorized_dag(
        method="GET", access_entity=DagAccessEntity.XCOM, details=details, user=caller.user
    )


def may_start(caller: Caller, dag_id: str) -> bool:
    """Whether a caller may start runs of a DAG; asks Airflow's database, so it blocks."""
    if caller.user is None:
        return dag_id in caller.dags
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return get_auth_manager().is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=details, user=caller.user
    )


def _spoken_for(request: Request, words: list[str], gateways: GatewaySettings) -> Caller:
    """The client for whom a gateway speaks; whatever token comes with it does not count."""
    keys = [header_text(value) for name, value in request.headers.raw if name == b"idempotency-key"]
    path = request.scope["raw_path"].decode("latin-1")
    try:
        # Several are none: joined, they cannot be read.
        word = SignedIdentity.read(", ".join(words), gateways.secrets, clock.now(), gateways.leeway)
        word.check(request.method, path, ", ".join(keys) if keys else None)
    except NotSigned as refused:
        raise not_spoken_for(str(refused)) from None
    return Caller(word.identity, word.dags, body=word.request.body)


async def _principal(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Caller:
    try:
        user = await get_user(request, None, credentials)
    except HTTPException:
        said = "Say who you are." if credentials is None else "The token is not valid here."
        raise _unauthorized(said, invalid=credentials is not None) from None
    identity = Identity(AIRFLOW, str(user.get_id()))
    if problem_ := identity.problem():
        raise Refusal(problem(403, f"Airflow's name for you cannot be kept: {problem_}."))
    return Caller(identity, frozenset(), user)


def _unauthorized(detail: str, *, invalid: bool) -> Refusal:
    return Refusal(problem(401, detail, {"WWW-Authenticate": INVALID if invalid else "Bearer"}))
