"""The settings of webhooks: what makes no sense is named, and no secret is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airgate.ingress.webhook_settings import WebhookSettings
from airgate.policy.webhook_event import Place
from airgate.policy.webhook_signature import GITHUB, STANDARD

SECRET, OTHER = "a-secret-of-the-tests-0123456789", "another-secret-of-the-tests-01234"
ASSET = {"scheme": "standard", "asset": "orders"}
PLAIN = {"scheme": "plain", "asset": "orders", "signature_header": "X-Signature"}


def read(monkeypatch: pytest.MonkeyPatch, webhooks: Any, secrets: Any = None) -> WebhookSettings:
    """The settings of an environment; each webhook has a secret unless told otherwise."""
    if secrets is None:
        secrets = {name: [SECRET] for name in webhooks}
    for name, value in (("WEBHOOKS", webhooks), ("WEBHOOK_SECRETS", secrets)):
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"AIRFLOW__AIRGATE__INGRESS_{name}", text)
    return WebhookSettings.read()


@pytest.mark.parametrize("setting", ["", "{}"])
def test_there_are_no_webhooks_unless_they_are_set(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    settings = read(monkeypatch, setting, "")
    assert settings.webhooks == {}
    assert settings.largest == 64 * 1024


def test_a_webhook_has_what_is_usual_for_its_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, {"shop": ASSET, "code": {"scheme": "github", "dag": "release"}, "bank": PLAIN})
    shop, code, bank = (settings.webhooks[name] for name in ("shop", "code", "bank"))
    assert (shop.scheme, shop.asset, shop.dag, shop.secrets) == (STANDARD, "orders", None, (SECRET.encode(),))
    assert (shop.reading.id, shop.reading.type) == (Place("header:webhook-id"), Place("#/type"))
    assert (shop.largest, shop.rate.windows[0].requests) == (64 * 1024, 20)
    assert (code.scheme, code.dag, code.as_event) == (GITHUB, "release", False)
    assert (code.reading.id, code.reading.type) == (Place("header:X-GitHub-Delivery"), Place("header:X-GitHub-Event"))
    assert (bank.scheme.signature, bank.scheme.timestamp, bank.reading.id) == ("x-signature", None, None)


def test_everything_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {
        **PLAIN,
        "timestamp_header": "X-Time",
        "prefix": "v0=",
        "encoding": "base64",
        "tolerance": 60,
        "largest": 1048576,
        "rate": "5/min",
        "id": "#/id",
        "type": "order",
        "source": "/orders",
    }
    settings = read(monkeypatch, {"bank": options}, {"bank": [SECRET, OTHER]})
    bank = settings.webhooks["bank"]
    assert (bank.scheme.timestamp, bank.scheme.prefix, bank.scheme.encoding) == ("x-time", "v0=", "base64")
    assert (bank.scheme.tolerance, bank.largest, settings.largest) == (60, 1048576, 1048576)
    assert (bank.rate.windows[0].requests, bank.rate.windows[0].seconds) == (5, 60)
    assert (bank.reading.id, bank.reading.type, bank.reading.source) == (Place("#/id"), "order", "/orders")
    assert bank.secrets == (SECRET.encode(), OTHER.encode())


@pytest.mark.parametrize(
    ("webhooks", "named"),
    [
        ("[]", "ingress_webhooks must be a JSON object of names and webhooks, such as"),
        ("{", "ingress_webhooks must be a JSON object"),
        ({"a/b": ASSET}, "'a/b' cannot be the name of a webhook"),
        ({"shop": "standard"}, "shop must be an object, such as"),
        ({"shop": {"asset": "orders"}}, "shop: scheme must be one of standard, github, plain, not None"),
        ({"shop": {**ASSET, "scheme": "svix"}}, "shop: scheme must be one of standard, github, plain, not 'svix'"),
        ({"shop": {"scheme": "standard"}}, "shop: dag and asset exactly one of them must be set"),
        ({"shop": {**ASSET, "dag": "d"}}, "shop: dag and asset exactly one"),
        ({"shop": {**ASSET, "asset": 1}}, "shop: asset must be a text"),
        ({"shop": {**ASSET, "params": "event"}}, "shop: params is for webhooks with a dag"),
        ({"shop": {"scheme": "github", "dag": "d", "params": "all"}}, "shop: params must be one of body, event"),
        ({"shop": {**ASSET, "tolerence": 1}}, "shop: tolerence is no option; there are asset, dag, id,"),
        ({"shop": {**ASSET, "prefix": "x"}}, "shop: prefix is no option"),
        ({"shop": {**ASSET, "tolerance": 0}}, "shop: tolerance must be a whole number from 1 to 3600, not 0"),
        ({"shop": {**ASSET, "tolerance": True}}, "shop: tolerance must be a whole number"),
        ({"shop": {**PLAIN, "tolerance": 9}}, "shop: tolerance means nothing here: this sender signs no time"),
        ({"shop": {**ASSET, "largest": 2**20 + 1}}, "shop: largest must be a whole number from 1 to 1048576"),
        ({"shop": {**ASSET, "rate": "often"}}, "shop: rate (or [airgate] ingress_rate)"),
        ({"shop": {**ASSET, "id": "/id"}}, "shop: id '/id' must be a JSON pointer such as #/order/id, or header:NAME"),
        ({"shop": {**ASSET, "type": "header:a b"}}, "shop: type 'header:a b' names no header"),
        ({"shop": {"scheme": "plain", "asset": "a"}}, "shop: signature_header must name the header"),
        ({"shop": {**PLAIN, "signature_header": "a b"}}, "shop: signature_header must be the name of a header"),
        ({"shop": {**PLAIN, "encoding": "hex "}}, "shop: encoding must be one of base64, hex, not 'hex '"),
    ],
)
def test_what_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch, webhooks: Any, named: str) -> None:
    with pytest.raises(ValueError, match=r"\[airgate\] ingress_webhooks") as refused:
        read(monkeypatch, webhooks, {"shop": [SECRET]})
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("secrets", "named"),
    [
        ("{", "must be a JSON object of names and lists of secrets"),
        ({}, "shop needs a list of secrets"),
        ({"shop": SECRET}, "shop needs a list of secrets"),
        ({"shop": []}, "shop needs a list of secrets"),
        ({"shop": [1]}, "shop needs a list of secrets"),
        ({"shop": [OTHER, SECRET[:10]]}, "secret 2 of shop has 10 bytes, at least 24 are needed"),
        ({"shop": ["whsec_" + SECRET]}, "secret 1 of shop begins with whsec_ but is no base64"),
    ],
)
def test_secrets_that_will_not_do_are_named_but_not_shown(
    monkeypatch: pytest.MonkeyPatch, secrets: Any, named: str
) -> None:
    with pytest.raises(ValueError, match=r"\[airgate\] ingress_webhook_secrets") as refused:
        read(monkeypatch, {"shop": ASSET}, secrets)
    assert named in str(refused.value)
    assert SECRET[:10] not in str(refused.value)
    assert OTHER not in str(refused.value)


def test_a_webhook_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SECRET not in repr(read(monkeypatch, {"shop": ASSET}))
