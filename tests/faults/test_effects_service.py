"""The counting service itself: a proof is worth no more than what counts for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from stack import marks
from stack.environment import LOOPBACK
from tests.faults.cases import Case

PROJECT = Path(__file__).resolve().parents[2]


class Service:
    """A running counting service."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._session = requests.Session()
        self._session.trust_env = False

    def post(self, path: str, body: Any = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._session.post(self.address + path, json=body, headers=named, timeout=30)

    def orders(self) -> dict[str, dict[str, Any]]:
        return dict(self._session.get(f"{self.address}/-/orders", timeout=30).json())


@pytest.fixture
def service(tmp_path: Path, closed_port: int) -> Iterator[Service]:
    """One that may kill what carries the mark of `tmp_path`."""
    settings = os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'scripts'}"}
    command = [sys.executable, "-m", "tests.faults.effects_service", str(closed_port), str(tmp_path)]
    process = subprocess.Popen(command, env=settings)
    service = Service(f"http://{LOOPBACK}:{closed_port}")
    deadline = time.monotonic() + 30
    try:
        while True:
            try:
                service.orders()
                break
            except requests.ConnectionError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield service
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_key_makes_one_effect_of_many_requests(service: Service) -> None:
    """Requests with one key, at once and later, share one effect and its answer; another key is another effect."""
    service.post("/-/plan", {"a": Case(0, "before end", "task", 0.3, 0.3, 0.0).as_json()})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: service.post("/orders/a", Idempotency_Key="k").json(), range(4)))
    answers.append(service.post("/orders/a", Idempotency_Key="k").json())
    assert answers == [{"effect": 1}] * 5
    order = service.orders()["a"]
    assert (order["arrivals"], order["effects"], order["keys"], order["killed"]) == (5, 1, 1, [])
    assert service.post("/orders/a", Idempotency_Key="another").json() == {"effect": 2}


def test_without_a_key_every_request_counts(service: Service) -> None:
    """Two requests without a key are two effects."""
    assert [service.post("/orders/a").json() for _ in range(2)] == [{"effect": 1}, {"effect": 2}]


def test_a_refusal_has_no_effect(service: Service) -> None:
    """The first request is refused with the time to wait, the second one performed."""
    service.post("/-/plan", {"a": Case(0, "while waiting", "triggerer", 0.0, 0.0, 0.0, refusal=503).as_json()})
    refused = service.post("/orders/a", Idempotency_Key="k")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "12")
    assert service.orders()["a"]["effects"] == 0
    assert service.post("/orders/a", Idempotency_Key="k").json() == {"effect": 1}


@pytest.mark.faults
@pytest.mark.parametrize("ours", [True, False], ids=["ours", "others"])
def test_it_kills_only_what_carries_its_mark(service: Service, tmp_path: Path, ours: bool) -> None:
    """A process that says it starts an order is killed when it belongs to the stack, and left alone when not."""
    home = tmp_path if ours else tmp_path / "another"
    sleeper = subprocess.Popen(["sleep", "60"], env=os.environ | marks.mark(home))
    try:
        service.post("/-/plan", {"a": Case(0, "before effect", "task", 0.3, 0.0, 0.1).as_json()})
        service.post("/-/started", {"order": "a", "pid": sleeper.pid, "parent": os.getpid()})
        service.post("/orders/a", Idempotency_Key="k")
        if ours:
            assert sleeper.wait(timeout=10) == -signal.SIGKILL
        else:
            assert sleeper.poll() is None
        order = service.orders()["a"]
        assert (order["killed"], order["killed_at"]) == ((["task"], "arrived") if ours else ([], ""))
    finally:
        sleeper.kill()
        sleeper.wait()
