"""Connection fields to settings."""

from __future__ import annotations

import pytest

from airgate.client.auth import ApiKeyAuth, BasicAuth, BearerAuth, JwtAuth, NoAuth
from airgate.client.configure import gateway_from_fields
from airgate.client.fields import FIELDS
from airgate.policy.retry import RetrySettings

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("host", "port", "scheme", "url"),
    [
        ("gw.test", None, None, "https://gw.test"),
        ("gw.test", 8080, "http", "http://gw.test:8080"),
        ("http://gw.test/v1", None, "https", "http://gw.test/v1"),
        ("http://gw.test/v1", 81, None, "http://gw.test:81/v1"),
        ("gw.test/v1", 81, None, "https://gw.test:81/v1"),
    ],
)
def test_the_address_is_put_together(host, port, scheme, url) -> None:
    """Host may be a name or an address with a prefix; https is the default."""
    assert gateway_from_fields(host=host, port=port, scheme=scheme).base_url == url


def test_empty_fields_take_the_defaults() -> None:
    """The form sends nulls and empty texts for what was left empty."""
    empty = dict.fromkeys(FIELDS, None) | {"health_path": "", "deadline": ""}
    gateway = gateway_from_fields(host="gw", extra=empty)
    assert isinstance(gateway.auth, NoAuth)
    assert (gateway.retry, gateway.verify, gateway.health_path) == (RetrySettings(), True, "/")


@pytest.mark.parametrize(
    ("auth", "kind"), [("basic", BasicAuth), ("bearer", BearerAuth), ("api_key", ApiKeyAuth), ("jwt", JwtAuth)]
)
def test_each_auth_type_takes_its_secret_from_the_password(auth, kind) -> None:
    """Secrets stand in the password field, which Airflow encrypts and masks."""
    gateway = gateway_from_fields(host="gw", login="me", password=SECRET, extra={"auth": auth})
    assert isinstance(gateway.auth, kind)
    assert SECRET in gateway.auth.secrets
    with pytest.raises(ValueError, match="password is missing"):
        gateway_from_fields(host="gw", extra={"auth": auth})


def test_values_may_be_typed_or_text() -> None:
    """A form gives numbers and objects as text, an environment variable as JSON."""
    gateway = gateway_from_fields(
        host="gw", extra={"attempts": "3", "deadline": 9, "headers": '{"X-A": 1}', "verify": False}
    )
    assert (gateway.retry.attempts, gateway.retry.deadline) == (3, 9.0)
    assert (gateway.headers, gateway.verify) == ({"X-A": "1"}, False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": None}, "host is missing"),
        ({"host": "ftp://gw"}, "http"),
        ({"host": "https://user:pw@gw"}, "credentials"),
        ({"extra": {"jwt_audiance": "x"}}, "unknown in extra: jwt_audiance; known are auth"),
        ({"extra": {"auth": "oauth"}}, "extra.auth must be one of none, basic"),
        ({"extra": {"key_in": "body"}}, "extra.key_in"),
        ({"extra": {"attempts": "many"}}, "extra.attempts must be a number"),
        ({"extra": {"attempts": 1.5}}, "extra.attempts must be a whole number"),
        ({"extra": {"attempts": 0}}, "attempts must be 1 or more"),
        ({"extra": {"deadline": True}}, "extra.deadline"),
        ({"extra": {"deadline": -1}}, "deadline"),
        ({"extra": {"read_timeout": 0}}, "read_timeout"),
        ({"extra": {"headers": "x"}}, "extra.headers must be a JSON object"),
        ({"extra": {"headers": "[1]"}}, "extra.headers must be a JSON object"),
        ({"extra": {"auth": "jwt", "jwt_lifetime": 0}, "password": SECRET}, "jwt_lifetime"),
        ({"extra": {"auth": "jwt", "jwt_algorithm": "RS256"}, "password": SECRET}, "jwt_algorithm"),
    ],
)
def test_a_mistake_names_its_field(fields, message) -> None:
    """Whoever filled the form in learns which field to mend; the secret is not repeated."""
    with pytest.raises(ValueError, match=message) as caught:
        gateway_from_fields(**{"host": "gw", **fields})
    assert SECRET not in str(caught.value)
