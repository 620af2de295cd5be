"""Signature Version 4, recomputed here from its description."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from airgate.client.auth.aws import AwsAuth
from airgate.client.configure import gateway_from_fields
from airgate.client.effects import Ask
from airgate.client.message import Request
from airgate.policy.errors import Unavailable
from airgate.policy.retry import RetrySettings
from tests.client.either_driver import Driver

ACCESS = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def signed(auth: AwsAuth, request: Request) -> Request:
    with pytest.raises(StopIteration) as stop:
        next(auth.sign(request, 0.0))
    return stop.value.value


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def signature(request: Request, secret: str) -> str:
    """The Authorization header that the request must carry, by AWS's four steps."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    date, split = headers["x-amz-date"], urlsplit(request.url)
    found = re.search(r"Credential=(\w+)/(\S+), SignedHeaders=(\S+),", headers["authorization"])
    assert found
    access, scope, names = found.groups()
    headers.setdefault("host", split.netloc)
    canonical = "\n".join(
        [
            request.method,
            quote(split.path or "/", safe="/~"),
            "&".join(sorted(split.query.split("&"))),
            *(f"{name}:{headers[name]}" for name in names.split(";")),
            "",
            names,
            sha(request.body or b""),
        ]
    )
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, sha(canonical.encode())])
    key = f"AWS4{secret}".encode()
    for part in [*scope.split("/"), text]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={key.hex()}"


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "https://abc.execute-api.eu-central-1.amazonaws.com"),
        Request("GET", "https://abc.execute-api.eu-central-1.amazonaws.com/prod/a%2Fb%20c?z=1&a=%C3%BC&a=1"),
        Request("POST", "https://gw.test/orders", {"Content-Type": "application/json", "X-Amz-Meta": "m"}, b'{"n": 1}'),
        Request("PUT", "https://gw.test:8443/x", {"traceparent": "00-1", "Host": "inner.test"}, b"\x00\xff"),
    ],
)
@pytest.mark.parametrize("token", [None, "a-session-token"])
def test_the_signature_is_the_one_that_aws_computes(request_: Request, token: str | None) -> None:
    """An independent computation over what is sent comes to the same header."""
    password = json.dumps({"secret_key": SECRET, "session_token": token}) if token else SECRET
    auth = AwsAuth(ACCESS, password, region="eu-central-1")
    sent = signed(auth, request_)
    assert sent.headers["Authorization"] == signature(sent, SECRET)
    assert "/eu-central-1/execute-api/aws4_request" in sent.headers["Authorization"]
    assert sent.headers.get("X-Amz-Security-Token") == token
    assert (sent.method, sent.url, sent.body) == (request_.method, request_.url, request_.body)
    assert request_.headers.items() <= sent.headers.items()
    assert set(auth.secrets) == {SECRET, *([token] if token else [])}


def test_what_changes_on_the_way_is_not_signed() -> None:
    """Tracing headers and the like are added or touched by proxies; body, query and the service's headers are not."""
    request = Request("GET", "https://gw.test/x", {"traceparent": "00-1", "User-Agent": "a", "X-Amz-Target": "T"})
    sent = signed(AwsAuth(ACCESS, SECRET, region="eu-central-1"), request)
    assert "SignedHeaders=host;x-amz-date;x-amz-target," in sent.headers["Authorization"]


def test_s3_knows_the_digest_of_the_body() -> None:
    """S3 wants it in a header of its own."""
    sent = signed(
        AwsAuth(ACCESS, SECRET, region="eu-central-1", service="s3"), Request("PUT", "https://b.test/k", {}, b"x")
    )
    assert sent.headers["X-Amz-Content-SHA256"] == sha(b"x")


def test_without_login_the_machine_s_credentials_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are looked for in a question that may block, and told as secrets before they are used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-environment")
    auth, told = AwsAuth("", "", region="eu-central-1"), list[str]()
    auth.on_secret = told.append
    signing = auth.sign(Request("GET", "https://gw.test/x"), 0.0)
    ask = next(signing)
    assert isinstance(ask, Ask)
    with pytest.raises(StopIteration) as stop:
        signing.send(ask.question())
    sent = stop.value.value
    assert sent.headers["Authorization"] == signature(sent, "secret-of-the-environment")
    assert told == ["secret-of-the-environment"]
    assert told[0] in auth.secrets


def test_no_credentials_is_a_typed_error(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the call that could not be signed, with the cure, and retryable: a role may come."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    once = RetrySettings(attempts=1)
    unsigned = driver.session("https://gw.test", auth=AwsAuth("", "", region="eu-central-1"), retry=once)
    said = "GET https://gw.test/x: .*no AWS credentials were found; give login and password"
    with unsigned as session, pytest.raises(Unavailable, match=said) as caught:
        session.get()
    assert caught.value.retryable


def test_credentials_that_cannot_be_had_are_a_typed_error(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What botocore says of a profile that does not exist is said of the call."""
    config = tmp_path / "config"
    config.write_text("")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    once = RetrySettings(attempts=1)
    unsigned = driver.session("https://gw.test", auth=AwsAuth("", "", region="eu-central-1"), retry=once)
    said = r"GET https://gw.test/x: .*no AWS credentials could be had: .*\(nobody\)"
    with unsigned as session, pytest.raises(Unavailable, match=said):
        session.get()


@pytest.mark.parametrize(
    ("login", "password", "region", "said"),
    [
        (ACCESS, SECRET, "", "aws_region is missing"),
        (ACCESS, None, "eu-central-1", "login and password"),
        (None, SECRET, "eu-central-1", "login and password"),
        (ACCESS, f'{{"secret_key": "{SECRET}", "token": "x"}}', "eu-central-1", "session_token"),
        (ACCESS, f'{{"{SECRET}', "eu-central-1", "session_token"),
    ],
)
def test_a_mistake_names_its_field(login: str | None, password: str | None, region: str, said: str) -> None:
    """Before any call, and without the secret."""
    with pytest.raises(ValueError, match=said) as caught:
        gateway_from_fields(host="gw", login=login, password=password, extra={"auth": "aws", "aws_region": region})
    assert SECRET not in str(caught.value)


def test_without_botocore_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line: what to install."""
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(ValueError, match=r"^auth=aws needs botocore: install airgate\[aws\]$"):
        AwsAuth(ACCESS, SECRET, region="eu-central-1")
