"""What may be shown."""

from __future__ import annotations

import jwt
import pytest

from airgate.policy.redaction import is_secret_name, redact_headers, redact_text, redact_url


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Authorization",
            "Cookie",
            "X-API-Key",
            "x-auth-token",
            "access_token",
            "client_secret",
            "apiKey",
            "password",
        ),
        *("X-Amz-Signature", "sig", "code", "refreshToken", "api-key"),
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    """Headers, parameters and fields of these names hold secrets in any spelling."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["accept", "limit", "cursor", "tokenizer", "encoding", "country_codes", "design"])
def test_other_names_are_shown(name: str) -> None:
    """A word that merely contains a secret's name stays readable."""
    assert not is_secret_name(name)


def test_a_url_keeps_all_but_its_secrets() -> None:
    """User information goes, secret parameters are masked, the rest stays to the letter."""
    url = "https://me:pw@api.test:8443/a%20b/?limit=5&api_key=abc&empty=&q=%7B%7D&flag#part"
    assert redact_url(url) == "https://api.test:8443/a%20b/?limit=5&api_key=***&empty=&q=%7B%7D&flag#part"


def test_headers_keep_all_but_their_secrets() -> None:
    """Secret header values are masked whatever their case."""
    assert redact_headers({"AUTHORIZATION": "Bearer x", "Accept": "*/*"}) == {"AUTHORIZATION": "***", "Accept": "*/*"}


def test_credentials_in_text_are_masked_even_when_unknown() -> None:
    """Bearer and basic credentials, JWTs and known secrets do not survive in an answer's excerpt."""
    token = jwt.encode({"sub": "me"}, "k" * 32, algorithm="HS256")
    shown = redact_text(f"token {token}, header Basic dXNlcjpwYXNzd29yZA==, secret hunter22", ["hunter22"])
    assert shown == "token ***, header Basic ***, secret ***"


def test_a_secret_within_another_leaves_no_rest() -> None:
    """Longer secrets are masked first."""
    assert redact_text("abcdefgh", ["abcd", "abcdefgh"]) == "***"
