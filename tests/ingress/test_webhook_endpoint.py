"""The endpoint of webhooks without Airflow's database: its settings, and that secrets are replaced while it runs."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import uvicorn

from airgate.ingress.app import build
from tests.ingress.webhook_sender import NEW, OLD, standard

SHOP = {"shop": {"scheme": "standard", "asset": "orders"}}


@pytest.fixture
def address() -> Iterator[str]:
    """Where it listens."""
    server = uvicorn.Server(uvicorn.Config(build(), host="127.0.0.1", port=0, log_level="warning"))
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    ends = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < ends
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    serving.join(20)


def set_up(monkeypatch: pytest.MonkeyPatch, webhooks: Any, secrets: Any) -> None:
    """Set the settings."""
    monkeypatch.setenv("AIRFLOW__AIRGATE__INGRESS_WEBHOOKS", json.dumps(webhooks))
    monkeypatch.setenv("AIRFLOW__AIRGATE__INGRESS_WEBHOOK_SECRETS", json.dumps(secrets))


def send(address: str, sent: dict[str, Any], name: str = "shop") -> requests.Response:
    """Deliver, by no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        return session.post(f"{address}/webhooks/{name}", timeout=30, **sent)


def believed(address: str, secret: str) -> bool:
    """Whether a delivery that is too old is refused for that only: it is never looked up in a database."""
    answer = send(address, standard({}, secret=secret, age=999))
    assert answer.status_code == 401
    return "seconds old" in answer.json()["detail"]


def test_without_webhooks_there_is_nothing(address: str) -> None:
    assert send(address, standard({})).status_code == 404


def test_settings_that_make_no_sense_are_named_in_the_log(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(monkeypatch, SHOP, {"shop": ["short"]})
    with caplog.at_level(logging.ERROR, "airgate.ingress.webhooks"):
        answer = send(address, standard({}))
    assert (answer.status_code, answer.json()["detail"]) == (503, "Webhooks are not set up here.")
    assert answer.headers["retry-after"] == "60"
    assert "[airgate] ingress_webhook_secrets: secret 1 of shop has 5 bytes" in caplog.text
    set_up(monkeypatch, SHOP, {"shop": [NEW]})
    assert believed(address, NEW), "what was put right counts at once"


def test_a_secret_is_replaced_without_a_restart(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgate.ingress.webhooks._SETTINGS_SECONDS", 0.0)
    for secrets, known in (([OLD], (False, True)), ([NEW, OLD], (True, True)), ([NEW], (True, False))):
        set_up(monkeypatch, SHOP, {"shop": secrets})
        assert (believed(address, NEW), believed(address, OLD)) == known


def test_secrets_are_not_read_for_every_request(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, SHOP, {"shop": [NEW]})
    assert believed(address, NEW)
    set_up(monkeypatch, SHOP, {"shop": [OLD]})
    assert believed(address, NEW)


def test_settings_that_no_longer_make_sense_let_nobody_in(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgate.ingress.webhooks._SETTINGS_SECONDS", 0.0)
    set_up(monkeypatch, SHOP, {"shop": [NEW]})
    assert believed(address, NEW)
    set_up(monkeypatch, SHOP, {})
    assert send(address, standard({}, age=999)).status_code == 503


def test_a_body_that_does_not_come_is_not_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, SHOP, {"shop": [NEW]})
    monkeypatch.setattr("airgate.ingress.reading.BODY_SECONDS", 0.3)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_is_said_to_be_large_is_not_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, SHOP, {"shop": [NEW]})
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(b"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n")
        assert slow.recv(1000).startswith(b"HTTP/1.1 413 ")
