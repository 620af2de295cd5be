"""The endpoint of callbacks over HTTP: what it refuses before it asks Airflow's database for anything."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import uvicorn

from airgate.ingress.app import build
from airgate.ingress.callbacks import LARGEST_BODY
from airgate.plugin import AirgatePlugin
from airgate.policy.callback import CallbackToken

SECRET = "a-secret-of-the-tests-0123456789abcdef"


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where it listens."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_SECRETS", SECRET)
    server = uvicorn.Server(uvicorn.Config(build(), host="127.0.0.1", port=0, log_level="warning"))
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    ends = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < ends
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    serving.join(20)


def token(**changes: Any) -> str:
    """One that was given out."""
    fields = {"nonce": "n", "expires_at": int(time.time()) + 60, "map_index": -1, **changes}
    return CallbackToken("d", "r", "t", **fields).signed(SECRET)


def ask(method: str, url: str, data: Any = None) -> requests.Response:
    """One request, by no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, data=data, timeout=30)


def details(answer: requests.Response) -> dict[str, Any]:
    """The problem that an answer tells of, checked for its form."""
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert set(told) == {"type", "title", "status", "detail"}
    assert told["status"] == answer.status_code
    return told


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/callbacks/forged", 401),
        ("POST", "/callbacks/CHANGED", 401),
        ("POST", f"/callbacks/{'x' * 5000}", 401),
        ("POST", "/callbacks/EXPIRED", 410),
        ("GET", "/callbacks/TOKEN", 405),
        ("PUT", "/callbacks/TOKEN", 405),
        ("POST", "/callbacks", 404),
        ("POST", "/callbacks/TOKEN/more", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 401),
        ("GET", "/redoc", 404),
    ],
)
def test_what_is_no_callback_is_refused_as_a_problem(address: str, method: str, path: str, status: int) -> None:
    tokens = {"CHANGED": f"{token()[:-3]}AAA", "EXPIRED": token(expires_at=1), "TOKEN": token()}
    for name, text in tokens.items():
        path = path.replace(name, text)
    answer = ask(method, address + path)
    assert answer.status_code == status
    assert not [text for text in tokens.values() if text.split(".")[0] in str(details(answer))]


def test_a_wrong_method_is_told_the_right_one(address: str) -> None:
    assert ask("GET", f"{address}/callbacks/x").headers["allow"] == "POST"


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_is_refused(address: str, announced: bool) -> None:
    body = b"x" * (LARGEST_BODY + 1)
    answer = ask("POST", f"{address}/callbacks/{token()}", body if announced else iter([body[:1000], body[1000:]]))
    assert details(answer)["detail"] == f"At most {LARGEST_BODY} bytes are taken."


def test_the_largest_body_is_taken_and_not_looked_at(address: str) -> None:
    assert ask("POST", f"{address}/callbacks/forged", b"\xff" * LARGEST_BODY).status_code == 401


def test_a_body_that_does_not_come_is_not_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgate.ingress.callbacks._BODY_SECONDS", 0.3)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(b"POST /callbacks/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("setting", ["", "short"])
def test_without_usable_secrets_nothing_is_believed(
    address: str, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_SECRETS", setting)
    answer = ask("POST", f"{address}/callbacks/{token()}")
    assert answer.status_code == 503
    assert details(answer)["detail"] == "Callbacks are not set up here."


def test_secrets_are_not_read_for_every_request(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expired = f"{address}/callbacks/{token(expires_at=1)}"
    assert ask("POST", expired).status_code == 410
    monkeypatch.setenv("AIRFLOW__AIRGATE__CALLBACK_SECRETS", "")
    assert ask("POST", expired).status_code == 410


def test_the_plugin_offers_it_below_a_path_of_its_own() -> None:
    plugin = AirgatePlugin()
    [offered] = plugin.fastapi_apps
    assert (offered["url_prefix"], offered["name"]) == ("/airgate/v1", "airgate")
    assert plugin.fastapi_apps[0]["app"] is offered["app"]
