"""The settings of the way in, as ``[airgate] ingress_*`` has them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from airflow.configuration import conf

from airgate.policy.callback import secrets_of
from airgate.policy.ingress_run import RESERVED_ISSUERS
from airgate.policy.limits import Limit, parse_limits
from airgate.spec.token_rules import Algorithm

ALGORITHMS = tuple(name for name in get_args(Algorithm) if not name.startswith("HS"))
"""Signatures that a published key verifies."""
_PLACE = re.compile(r"(https?://[!-~]+|/[!-~]*)")


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Whose tokens are believed."""

    issuer: str
    audiences: tuple[str, ...]
    jwks: str
    """Address or path of the issuer's keys."""
    claim: str
    """The claim that lists the DAGs."""
    algorithms: frozenset[str]
    leeway: int
    """Seconds by which the clocks may differ."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Which gateways are believed when they say who their client is."""

    secrets: tuple[str, ...] = field(repr=False)
    """Any of them may have signed it."""
    leeway: int
    """Seconds by which the clocks may differ."""


@dataclass(frozen=True, slots=True)
class IngressSettings:
    """All of them."""

    tokens: TokenSettings | None
    """None where the tokens of no issuer are believed."""
    gateways: GatewaySettings | None
    """None where no gateway is believed."""
    key_required: bool
    rate: Limit
    """Of each caller."""
    longest_wait: int
    """Seconds."""
    most_waiting: int
    """Clients whose requests are held at the same time, in each process of the api-server."""
    urls: Mapping[str, str]
    """Where clients reach the runs of a DAG, by its id, where that is another place than below this one."""

    @classmethod
    def read(cls) -> IngressSettings:
        """Read them.

        Raises:
            ValueError: Names the setting that makes no sense, and what it should be.
        """
        return cls(
            _tokens(),
            _gateways(),
            conf.getboolean("airgate", "ingress_key_required", fallback=True),
            _rate(),
            _number("ingress_longest_wait", 25, most=600),
            _number("ingress_most_waiting", 100, most=10_000),
            _urls(),
        )


def _text(name: str, fallback: str = "") -> str:
    return str(conf.get("airgate", name, fallback=fallback)).strip()


def _tokens() -> TokenSettings | None:
    given = {name: _text(f"ingress_{name}") for name in ("issuer", "audience", "jwks")}
    if not any(given.values()):
        return None
    if missing := [f"ingress_{name}" for name, value in given.items() if not value]:
        raise ValueError(f"[airgate] {' and '.join(missing)} must be set as well: tokens are checked by all three")
    if others := RESERVED_ISSUERS.get(given["issuer"]):
        raise ValueError(f"[airgate] ingress_issuer must not be {given['issuer']}: {others} are kept under it")
    algorithms = tuple(_text("ingress_algorithms", "RS256").replace(",", " ").split())
    if not algorithms or not set(algorithms) <= set(ALGORITHMS):
        given_ones = " ".join(algorithms) or "none"
        raise ValueError(f"[airgate] ingress_algorithms must be some of {', '.join(ALGORITHMS)}, not {given_ones}")
    return TokenSettings(
        given["issuer"],
        tuple(given["audience"].replace(",", " ").split()),
        given["jwks"],
        _text("ingress_claim", "airgate_dags"),
        frozenset(algorithms),
        _leeway(),
    )


def _gateways() -> GatewaySettings | None:
    try:
        known = secrets_of(_text("ingress_identity_secrets"))
    except ValueError as error:
        raise ValueError(f"[airgate] ingress_identity_secrets: {error}") from None
    return GatewaySettings(known, _leeway()) if known else None


def _leeway() -> int:
    return _number("ingress_leeway", 10, most=300)


def _urls() -> Mapping[str, str]:
    text = _text("ingress_urls") or "{}"
    try:
        urls = json.loads(text)
    except ValueError:
        urls = None
    if not isinstance(urls, dict) or not all(isinstance(url, str) and _PLACE.fullmatch(url) for url in urls.values()):
        raise ValueError(
            "[airgate] ingress_urls must be a JSON object of DAG ids and addresses or paths, such as "
            '{"order_fulfillment": "/orders"}'
        )
    return {dag_id: url.rstrip("/") for dag_id, url in urls.items()}


def _rate() -> Limit:
    try:
        return parse_limits({"rate": _text("ingress_rate", "20/s")}).connection
    except ValueError as error:
        raise ValueError(f"[airgate] ingress_rate: {error}") from None


def _number(name: str, fallback: int, *, most: int) -> int:
    value = _text(name, str(fallback))
    if not value.isascii() or not value.isdigit() or int(value[:9]) > most:
        raise ValueError(f"[airgate] {name} must be a whole number from 0 to {most}, not {value!r}")
    return int(value)
