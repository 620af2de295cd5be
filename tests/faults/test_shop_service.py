"""The shop's service under a watch: it tells where a request is, and can be killed there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from stack.ports import choose
from tests.faults.saga_hits import Event, listening

ROOT = Path(__file__).resolve().parents[2]
CHARGE = {"order": "o-1", "amount": 500, "currency": "EUR", "card": "tok_visa"}
KEY = {"Idempotency-Key": "k-1"}


@contextmanager
def payments(folder: Path, port: int, listener: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running service that keeps its charges in the folder."""
    settings = folder / "faults.json"
    settings.write_text(json.dumps({}))
    command = [sys.executable, "-m", "tests.faults.shop_service", "payments", str(port)]
    process = subprocess.Popen([*command, str(folder / "payments.sqlite"), str(settings), listener], cwd=ROOT)
    try:
        ends = time.monotonic() + 60
        while not _answers(f"http://127.0.0.1:{port}/-/health"):
            assert process.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=30).ok
    except requests.RequestException:
        return False


@pytest.fixture
def port() -> int:
    return choose({"payments": 18395})["payments"]


def test_a_request_is_told_of_at_each_stage_with_the_task_that_sends_it(tmp_path: Path, port: int) -> None:
    heard: list[Event] = []
    address = f"http://127.0.0.1:{port}/charges"
    with listening(heard.append) as listener, payments(tmp_path, port, listener):
        charge = requests.post(address, json=CHARGE, headers=KEY, timeout=30).json()
        requests.post(f"{address}/{charge['id']}/refund", timeout=30)
        requests.delete(f"{address}/by-key/k-1", timeout=30)
        requests.post(address, json=CHARGE | {"card": "tok_declined"}, timeout=30)
        requests.get(f"{address}/by-key/k-1", timeout=30)
        requests.delete(f"{address}/by-key/of-nothing", timeout=30)
    assert [(event["task"], event["stage"]) for event in heard if event["stage"] != "answered"] == [
        ("charge", "arrived"),
        ("charge", "done"),
        ("undo_charge", "arrived"),
        ("undo_charge", "done"),
        ("undo_charge", "arrived"),
        ("undo_charge", "done"),
        ("charge", "arrived"),  # refused: it is never done
    ]
    assert {event["order"] for event in heard} == {"o-1"}


@pytest.mark.parametrize(("stage", "effects"), [("arrived", 0), ("done", 1)])
def test_killed_at_a_stage_it_has_had_the_effect_or_not(tmp_path: Path, port: int, stage: str, effects: int) -> None:
    running: list[Any] = []
    address = f"http://127.0.0.1:{port}"

    def heard(event: Event) -> None:
        if event["stage"] == stage and running:
            running.pop().kill()

    with listening(heard) as listener, payments(tmp_path, port, listener) as process:
        running.append(process)
        with pytest.raises(requests.ConnectionError):
            requests.post(f"{address}/charges", json=CHARGE, headers=KEY, timeout=30)
    with listening(lambda _: None) as listener, payments(tmp_path, port, listener):
        truth = requests.get(f"{address}/-/truth", timeout=30).json()
    assert truth["effects"] == effects
