"""What may be shown."""

from __future__ import annotations

import jwt
import pytest

from airgate.policy.redaction import (
    is_secret_header,
    is_secret_name,
    one_line,
    printable,
    redact_headers,
    redact_sent_headers,
    redact_text,
    redact_url,
)


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
        *("X-Amz-Signature", "sig", "code", "refreshToken", "api-key", "Ocp-Apim-Subscription-Key", "x-functions-key"),
        *("key", "X-Auth-Key", "access_key", "accessKeyId", "private_key", "session", "session_id", "PHPSESSID", "sas"),
        *("passphrase", "jwt", "otp", "user[password]", "xAPIKey", "token2", "X-Vault-Token", "Set-Cookie"),
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    """Headers, parameters and fields of these names hold secrets in any spelling."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("accept", "limit", "cursor", "tokenizer", "encoding", "country_codes", "design", "Idempotency-Key", "monkey"),
        *("primary_key", "sort-key", "publicKey", "keyboard", "total_tokens", "session_count", "signal", "compass"),
    ],
)
def test_other_names_are_shown(name: str) -> None:
    """A word that merely contains a secret's name stays readable."""
    assert not is_secret_name(name)


def test_a_url_keeps_all_but_its_secrets() -> None:
    """User information goes, secret parameters are masked, the rest stays to the letter."""
    url = "https://me:pw@api.test:8443/a%20b/?limit=5&api_key=abc&empty=&q=%7B%7D&flag#part"
    assert redact_url(url) == "https://api.test:8443/a%20b/?limit=5&api_key=***&empty=&q=%7B%7D&flag#part"


def test_an_escaped_name_is_read_as_what_it_stands_for() -> None:
    """A server does the same."""
    assert redact_url("/x?api%5Fkey=abc&a=1") == "/x?api%5Fkey=***&a=1"


def test_of_sent_headers_only_harmless_ones_are_shown() -> None:
    """A service may call its credentials anything; what a header of HTTP's own holds is known."""
    sent = {"Content-Type": "text/csv", "X-Tenant": "north", "X-API-Version": "2", "X-Door": "abc", "X-Tenant-Key": "k"}
    masked = {**sent, "X-Door": "***", "X-Tenant-Key": "***"}
    assert redact_sent_headers(sent) == masked


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("X-Door", "sesame-open", True),
        ("X-Door", "north", False),
        ("X-Key", "north", True),
        ("Accept", "a/b;c=d", False),
    ],
)
def test_a_short_word_is_masked_only_where_its_name_says_so(name: str, value: str, secret: bool) -> None:
    """Masked wherever it stands, a common word would make logs unreadable."""
    assert is_secret_header(name, value) is secret


@pytest.mark.parametrize(
    ("text", "line", "block"),
    [
        ("a\n2026-01-01 INFO all is well\r\nb", "a 2026-01-01 INFO all is well b", "a\n2026-01-01 INFO all is well\nb"),
        ("\x1b[31mred\x1b[0m \x1b]0;owned\x07\x1b[2Jx\x9by", "red xy", "red xy"),
        ("a\u202eb\u2066c\u2028d\x85e\x00f", "abc d ef", "abcdef"),
        ("naïve\tgröße 漢字", "naïve größe 漢字", "naïve\tgröße 漢字"),
    ],
)
def test_a_strangers_text_cannot_forge_lines_or_steer_a_terminal(text: str, line: str, block: str) -> None:
    """Escape sequences, control characters and marks of direction go; letters of any script stay."""
    assert one_line(text) == line
    assert printable(text) == block


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
