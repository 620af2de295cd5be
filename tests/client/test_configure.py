"""Connection fields to settings."""

from __future__ import annotations

import pytest
from airflow.sdk._shared.secrets_masker import should_hide_value_for_key

from airgate.client.auth import ApiKeyAuth, BasicAuth, BearerAuth, JwtAuth, NoAuth, OAuth2Auth
from airgate.client.configure import gateway_from_fields
from airgate.client.fields import FIELDS
from airgate.policy.breaker import BreakerSettings
from airgate.policy.redaction import is_secret_name
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
    ("auth", "kind"),
    [
        ("basic", BasicAuth),
        ("bearer", BearerAuth),
        ("api_key", ApiKeyAuth),
        ("jwt", JwtAuth),
        ("oauth2", OAuth2Auth),
    ],
)
def test_each_auth_type_takes_its_secret_from_the_password(auth, kind) -> None:
    """Secrets stand in the password field, which Airflow encrypts and masks."""
    extra = {"auth": auth, "oauth_url": "/token"}
    gateway = gateway_from_fields(host="gw", login="me", password=SECRET, extra=extra)
    assert isinstance(gateway.auth, kind)
    assert SECRET in gateway.auth.secrets
    with pytest.raises(ValueError, match="password is missing"):
        gateway_from_fields(host="gw", login="me", extra=extra)


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
        ({"host": "https://gw:many"}, "a gateway's address must be"),
        ({"host": "https://[gw"}, "a gateway's address must be"),
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
        ({"extra": {"auth": "oauth2", "oauth_url": "/t"}, "password": SECRET}, "login is missing"),
        ({"extra": {"auth": "oauth2"}, "login": "me", "password": SECRET}, "extra.oauth_url is missing"),
        (
            {"extra": {"auth": "oauth2", "oauth_url": "http://id/t"}, "login": "me", "password": SECRET},
            "oauth_url.*clear",
        ),
        ({"extra": {"proxy": "proxy:3128"}}, "proxy must be"),
        ({"extra": {"proxy": f"http://me:{SECRET}@proxy:3128"}}, "proxy must not hold credentials; set HTTPS_PROXY"),
        ({"extra": {"proxy": "http://proxy", "address_guard": "on"}}, "address_guard cannot hold"),
        ({"extra": {"client_key": "k.pem"}}, "client_key needs client_cert"),
        ({"extra": {"idempotency": "yes"}}, "extra.idempotency must be one of honoured, sent, off"),
        ({"extra": {"idempotency_header": "Key: x"}}, "idempotency_header"),
        ({"extra": {"long_wait": "sleep"}}, "extra.long_wait"),
        ({"extra": {"limits": {"rate": "many"}}}, "limits"),
        ({"extra": {"breaker": {"failures": "x"}}}, "breaker"),
        ({"extra": {"headers": {"X-A": "a\r\nX-B: b"}}}, "extra.headers: the value of 'X-A'"),
        ({"extra": {"headers": {"X-A": f"ü{SECRET}"}}}, "extra.headers: the value of 'X-A' .* must be ASCII"),
        ({"extra": {"headers": {"A b": SECRET}}}, "extra.headers: 'A b' is not the name of a header"),
        ({"extra": {"headers": {"": SECRET}}}, "extra.headers: '' is not the name of a header"),
        ({"extra": {"headers": {"X-A": SECRET, "x-a": "b"}}}, "extra.headers has a name twice"),
        ({"extra": {"attempts": "inf"}}, "extra.attempts must be a number, not 'inf'"),
        ({"extra": {"deadline": "nan"}}, "extra.deadline must be a number, not 'nan'"),
        ({"extra": {"connect_timeout": float("nan")}}, "extra.connect_timeout must be a number"),
        ({"host": f"https://gw/v1?key={SECRET}"}, "a gateway's address must be .* without a query .*auth=api_key"),
        ({"host": f"ftp://gw/?key={SECRET}"}, "a gateway's address must be .* without a query"),
        ({"host": "https://gw/v1#part"}, "a gateway's address must be .* without a query or fragment"),
        ({"extra": {"auth": "jwt", "jwt_algorithm": "RS256"}, "password": SECRET}, "jwt_algorithm"),
    ],
)
def test_a_mistake_names_its_field(fields, message) -> None:
    """Whoever filled the form in learns which field to mend; the secret is not repeated."""
    with pytest.raises(ValueError, match=message) as caught:
        gateway_from_fields(**{"host": "gw", **fields})
    assert SECRET not in str(caught.value)


def test_what_is_shared_between_processes_is_read() -> None:
    """Limits and breaker are objects of their own; an empty breaker takes its defaults."""
    plain = gateway_from_fields(host="gw")
    assert not plain.limits
    assert plain.breaker is None
    gateway = gateway_from_fields(host="gw", extra={"limits": '{"rate": "10/s"}', "breaker": "{}"})
    assert gateway.limits
    assert gateway.breaker == BreakerSettings()


def test_the_rest_of_the_fields_is_handed_on() -> None:
    """Each to the setting of its name."""
    extra = {
        "proxy": "http://proxy.test:3128",
        "client_cert": "c.pem",
        "client_key": "k.pem",
        "idempotency": "honoured",
        "idempotency_header": "X-Key",
        "long_wait": "inline",
        "openapi": "/openapi.json",
    }
    gateway = gateway_from_fields(host="gw", extra=extra)
    assert {name: getattr(gateway, name) for name in extra} == extra
    assert not gateway.address_guard
    assert gateway_from_fields(host="gw", extra={"address_guard": "on"}).address_guard


def test_a_gateway_shows_no_secret() -> None:
    """Neither those of its auth nor the headers that are secret by name; the others help whoever reads it."""
    headers = {"X-Api-Key": "hidden-value", "X-Tenant": "north"}
    gateway = gateway_from_fields(host="gw", login="me", password=SECRET, extra={"auth": "bearer", "headers": headers})
    assert SECRET not in repr(gateway)
    assert "hidden-value" not in repr(gateway)
    assert "BearerAuth" in repr(gateway)
    assert "north" in repr(gateway)
    assert {SECRET, "hidden-value"} <= set(gateway.secrets)


def test_no_field_has_a_secret_s_name() -> None:
    """Secrets stand in the password; and Airflow masks the values of such fields, which are no secrets, in all logs.

    It does not know ``client_key``, the path of a file.
    """
    assert [name for name in FIELDS if is_secret_name(name)] == ["client_key"]
    assert [name for name in FIELDS if should_hide_value_for_key(name)] == ["proxy"]
