"""Which DAGs the claims of a token open."""

from __future__ import annotations

from collections.abc import Mapping

from airgate.policy.ingress_run import Identity


class NoCaller(ValueError):
    """The claims of a valid token name nobody who could start a run; the message says why."""


def dags_of(claims: Mapping[str, object], name: str) -> frozenset[str]:
    """The ids of the DAGs that a claim lists: a list of texts, or one text with blanks between, as ``scope`` has it."""
    listed = claims.get(name)
    if isinstance(listed, str):
        return frozenset(listed.split())
    if isinstance(listed, list):
        return frozenset(each for each in listed if isinstance(each, str))
    return frozenset()


def identity_of(claims: Mapping[str, object]) -> Identity:
    """Who a token speaks for.

    Raises:
        NoCaller: It does not say so, or not in a form that can be kept.
    """
    issuer, subject = claims.get("iss"), claims.get("sub")
    if not isinstance(issuer, str) or not isinstance(subject, str):
        raise NoCaller("the token has no sub")
    identity = Identity(issuer, subject)
    if problem := identity.problem():
        raise NoCaller(problem)
    return identity
