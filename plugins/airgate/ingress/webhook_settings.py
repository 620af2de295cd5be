"""The webhooks that are taken in, as ``[airgate] ingress_webhooks`` and ``ingress_webhook_secrets`` have them."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from airflow.configuration import conf

from airgate.ingress.reading import LARGEST_BODY
from airgate.policy.limits import Limit, parse_limits
from airgate.policy.webhook_event import BODY, Place, Reading
from airgate.policy.webhook_signature import GITHUB, STANDARD, Encoding, Scheme, secret_of

ISSUER: Final = "webhook"
"""Who vouches for the runs that webhooks start: an ``Identity`` is this and the webhook's name."""
MOST_LARGEST: Final = 1024 * 1024
"""Bytes of a delivery; what one event may have."""
OPTIONS: Final = frozenset({"scheme", "dag", "asset", "params", "tolerance", "largest", "rate", "id", "type", "source"})
"""Of every webhook."""
PLAIN_OPTIONS: Final = frozenset({"signature_header", "timestamp_header", "prefix", "encoding"})
"""Of those by the scheme ``plain`` as well."""

_SETTING, _SECRETS = "[airgate] ingress_webhooks", "[airgate] ingress_webhook_secrets"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_USUAL_TYPE = "webhook"
_MOST_TOLERANCE = 3600
_EXAMPLE = '{"shop": {"scheme": "standard", "asset": "orders"}}'


@dataclass(frozen=True, slots=True)
class Webhook:
    """One sender, and what its deliveries do."""

    name: str
    scheme: Scheme
    secrets: tuple[bytes, ...] = field(repr=False)
    """Any of them may have signed."""
    reading: Reading
    largest: int
    """Bytes of a delivery."""
    rate: Limit
    dag: str | None = None
    """The DAG of which each delivery makes a run; None where there is an asset."""
    asset: str | None = None
    """The name of the asset that each delivery is an event of; None where there is a DAG."""
    as_event: bool = False
    """Whether the run is given the event as its param ``event``, rather than the body as its params."""


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """All of them."""

    webhooks: Mapping[str, Webhook]

    @property
    def largest(self) -> int:
        """Bytes that are read of any delivery, so that a size does not tell which names there are."""
        return max((webhook.largest for webhook in self.webhooks.values()), default=LARGEST_BODY)

    @classmethod
    def read(cls) -> WebhookSettings:
        """Read them; a secrets backend may be asked, so it blocks.

        Raises:
            ValueError: Names the setting that makes no sense, the webhook, and what it should be; never a secret.
        """
        told = _object("ingress_webhooks", _SETTING, f"of names and webhooks, such as {_EXAMPLE}")
        if not told:
            return cls({})
        kept = _object("ingress_webhook_secrets", _SECRETS, 'of names and lists of secrets: {"shop": ["whsec_…"]}')
        return cls({name: _webhook(name, options, kept) for name, options in told.items()})


def stranger() -> Webhook:
    """What stands for a name that is none: nobody knows its secret, so whatever comes for it is not signed."""
    return Webhook("", STANDARD, (secrets.token_bytes(32),), Reading(None, _USUAL_TYPE), LARGEST_BODY, Limit())


def _object(option: str, setting: str, form: str) -> dict[str, Any]:
    text = str(conf.get("airgate", option, fallback="")).strip() or "{}"
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{setting} must be a JSON object {form}")  # noqa: TRY004 - a setting is a value
    return value


def _webhook(name: str, options: Any, kept: Mapping[str, Any]) -> Webhook:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{_SETTING}: {name!r:.120} cannot be the name of a webhook: letters, digits, '.', '_' and '-', at most 100"
        )
    told = _Options(name, options)
    scheme = _scheme(told)
    told.only(OPTIONS if told.text("scheme") != "plain" else OPTIONS | PLAIN_OPTIONS)
    dag, asset = told.text("dag"), told.text("asset")
    if (dag is None) == (asset is None):
        raise told.wrong("dag and asset", "exactly one of them must be set: what a delivery makes a run or an event of")
    params = told.choice("params", ("body", "event"), "body")
    if asset is not None and "params" in told.given:
        raise told.wrong("params", "is for webhooks with a dag; an asset always gets events")
    return Webhook(
        name,
        scheme,
        _secrets(name, scheme, kept),
        _reading(told),
        told.number("largest", LARGEST_BODY, least=1, most=MOST_LARGEST),
        _rate(told),
        dag,
        asset,
        params == "event",
    )


class _Options:
    """The options of one webhook, each read with an error that says where it stands."""

    def __init__(self, name: str, given: Any) -> None:
        if not isinstance(given, dict):
            raise ValueError(f"{_SETTING}: {name} must be an object, such as {_EXAMPLE}")  # noqa: TRY004
        self._name = name
        self.given: dict[str, Any] = given

    def wrong(self, option: str, why: str) -> ValueError:
        return ValueError(f"{_SETTING}: {self._name}: {option} {why}")

    def only(self, known: frozenset[str]) -> None:
        if strange := sorted(set(self.given) - known):
            raise self.wrong(strange[0], f"is no option; there are {', '.join(sorted(known))}")

    def text(self, option: str) -> str | None:
        value = self.given.get(option)
        if value is not None and (not isinstance(value, str) or not value.isprintable()):
            raise self.wrong(option, "must be a text that can be printed")
        return value or None

    def choice(self, option: str, choices: tuple[str, ...], fallback: str | None) -> str:
        value = self.given.get(option, fallback)
        if value not in choices:
            raise self.wrong(option, f"must be one of {', '.join(choices)}, not {value!r:.40}")
        return str(value)

    def number(self, option: str, fallback: int, *, least: int, most: int) -> int:
        value = self.given.get(option, fallback)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(option, f"must be a whole number from {least} to {most}, not {value!r:.40}")
        return value

    def header(self, option: str) -> str | None:
        value = self.text(option)
        if value is not None and not _HEADER.fullmatch(value):
            raise self.wrong(option, "must be the name of a header")
        return None if value is None else value.lower()

    def place(self, option: str, text: str) -> Place:
        try:
            return Place(text)
        except ValueError as error:
            raise self.wrong(option, str(error)) from None


def _scheme(told: _Options) -> Scheme:
    named = told.choice("scheme", ("standard", "github", "plain"), None)
    if named == "plain":
        signature = told.header("signature_header")
        if signature is None:
            raise told.wrong("signature_header", "must name the header with the signature")
        encoding: Any = told.choice("encoding", get_args(Encoding), "hex")
        timestamp = told.header("timestamp_header")
        scheme = Scheme(signature, told.text("prefix") or "", encoding, timestamp=timestamp)
    else:
        scheme = STANDARD if named == "standard" else GITHUB
    if scheme.timestamp is None and "tolerance" in told.given:
        raise told.wrong("tolerance", "means nothing here: this sender signs no time")
    tolerance = told.number("tolerance", scheme.tolerance, least=1, most=_MOST_TOLERANCE)
    return dataclasses.replace(scheme, tolerance=tolerance)


def _reading(told: _Options) -> Reading:
    named = told.text("scheme")
    usual_id = {"standard": f"header:{STANDARD.id}", "github": "header:X-GitHub-Delivery"}.get(str(named), BODY)
    usual_type = {"standard": "#/type", "github": "header:X-GitHub-Event"}.get(str(named), _USUAL_TYPE)
    named_id, named_type = told.text("id") or usual_id, told.text("type") or usual_type
    return Reading(
        None if named_id == BODY else told.place("id", named_id),
        told.place("type", named_type) if Place.is_meant(named_type) else named_type,
        None if "type" in told.given else _USUAL_TYPE,
        told.text("source"),
    )


def _rate(told: _Options) -> Limit:
    usual = conf.get("airgate", "ingress_rate", fallback="20/s")
    try:
        return parse_limits({"rate": str(told.given.get("rate", usual)).strip()}).connection
    except ValueError as error:
        raise told.wrong("rate", f"(or [airgate] ingress_rate): {error}") from None


def _secrets(name: str, scheme: Scheme, kept: Mapping[str, Any]) -> tuple[bytes, ...]:
    listed = kept.get(name)
    if not isinstance(listed, list) or not listed or not all(isinstance(each, str) for each in listed):
        raise ValueError(
            f"{_SECRETS}: {name} needs a list of secrets, the sender's own or two while it is replaced, such as "
            "`openssl rand -base64 32` prints (environment: AIRFLOW__AIRGATE__INGRESS_WEBHOOK_SECRETS)"
        )
    keys = []
    for number, each in enumerate(listed, 1):
        try:
            keys.append(secret_of(scheme, each))
        except ValueError as error:
            raise ValueError(f"{_SECRETS}: secret {number} of {name} {error}") from None
    return tuple(keys)
