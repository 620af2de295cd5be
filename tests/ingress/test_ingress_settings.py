"""The settings of the way in: what makes no sense is named."""

from __future__ import annotations

import pytest

from airgate.ingress.settings import IngressSettings

TOKENS = {"ISSUER": "https://i.example/", "AUDIENCE": "a b", "JWKS": "/keys.json"}


def read(monkeypatch: pytest.MonkeyPatch, **settings: str) -> IngressSettings:
    """The settings of an environment."""
    for name, value in settings.items():
        monkeypatch.setenv(f"AIRFLOW__AIRGATE__INGRESS_{name}", value)
    return IngressSettings.read()


def test_without_settings_only_airflows_principals_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch)
    assert settings.tokens is None
    assert settings.gateways is None
    assert settings.key_required
    assert (settings.longest_wait, settings.most_waiting) == (25, 100)
    assert settings.rate.windows[0].requests == 20


def test_an_issuer_is_believed_by_pinned_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = read(monkeypatch, **TOKENS).tokens
    assert tokens is not None
    assert (tokens.audiences, tokens.algorithms, tokens.claim) == (("a", "b"), {"RS256"}, "airgate_dags")


def test_gateways_are_believed_by_any_of_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    gateways = read(monkeypatch, IDENTITY_SECRETS=f"{'a' * 32}, {'b' * 32}", LEEWAY="5").gateways
    assert gateways is not None
    assert (gateways.secrets, gateways.leeway) == (("a" * 32, "b" * 32), 5)
    assert "aaa" not in repr(gateways)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"ISSUER": "https://i.example/"}, "ingress_audience and ingress_jwks must be set"),
        ({**TOKENS, "ISSUER": "airflow"}, "ingress_issuer must not be airflow"),
        ({**TOKENS, "ISSUER": "webhook"}, "ingress_issuer must not be webhook: the runs of webhooks are kept under it"),
        ({**TOKENS, "ALGORITHMS": "HS256"}, "ingress_algorithms must be some of RS256"),
        ({**TOKENS, "ALGORITHMS": "none"}, "ingress_algorithms must be some of"),
        ({**TOKENS, "LEEWAY": "-1"}, "ingress_leeway must be a whole number from 0 to 300, not '-1'"),
        ({"LONGEST_WAIT": "x"}, "ingress_longest_wait must be a whole number"),
        ({"IDENTITY_SECRETS": f"{'a' * 32} short"}, "ingress_identity_secrets: secret 2 has 5 bytes"),
        ({"RATE": "often"}, "ingress_rate: "),
        ({"URLS": "[]"}, "ingress_urls must be a JSON object"),
        ({"URLS": '{"a": "javascript:x"}'}, "ingress_urls must be a JSON object"),
    ],
)
def test_what_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=r"\[airgate\] ") as refused:
        read(monkeypatch, **settings)
    assert named in str(refused.value)
