"""Misbehaviour on real connections: what the client sees, what the service counts, and that it can be repeated."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from conftest import Service

THREE_DAYS = ("2013-01-01", "2013-01-02", "2013-01-03")


@pytest.mark.parametrize(("seed", "limit"), [(0, 100), (1, 200), (42, 100)])
def test_three_days_survive_the_demo_and_the_counts_are_true(flights: "Service", seed: int, limit: int) -> None:
    """A client that asks again gets all 2,699 flights through every kind of fault; the service counted just that."""
    flights.switch(preset="demo", seed=seed)
    reading = flights.read_flights(*THREE_DAYS, limit=limit)
    seen = reading.counts()
    counts = flights.truth()["served_counts"]

    assert len(reading.real()) == 842 + 943 + 914
    assert len(reading.malformed()) == 9
    assert min(seen["503"], seen["429"], seen["cut"], counts["slow"]) >= 1
    assert counts.pop("slow") <= reading.slow
    assert counts == {
        "requests": len(reading.attempts),
        "pages": seen["page"],
        "records": len(reading.real()),
        "malformed": len(reading.malformed()),
        "status_503": seen["503"],
        "status_429": seen["429"],
        "status_500": 0,
        "dropped": seen["dropped"] + seen["cut"],
        "rejected": 0,
        "abandoned": 0,
    }
    assert [flights.truth(date=day)["malformed"] for day in THREE_DAYS] == [3, 3, 3]


def test_another_process_repeats_the_same_misbehaviour(flights: "Service", start: Callable[..., "Service"]) -> None:
    """Two processes with one seed, started or switched so, give the same attempts and records; another seed others."""
    first = start("flights", "--faults", "demo", "--seed", "11").read_flights(*THREE_DAYS, limit=200)
    flights.switch(preset="demo", seed=11)
    again = flights.read_flights(*THREE_DAYS, limit=200)
    flights.reset()
    flights.switch(seed=12)
    other = flights.read_flights(*THREE_DAYS, limit=200)
    assert first.attempts == again.attempts
    assert first.records == again.records
    assert other.attempts != first.attempts
    assert other.malformed() != first.malformed()
    assert other.real() == first.real()


def test_a_reset_starts_the_plan_anew(flights: "Service") -> None:
    """After a reset the counters are zero and the same attempts follow; without one, the plan goes on instead."""
    flights.switch(unavailable=0.5)
    first = flights.read_flights("2013-01-01", limit=50)
    flights.reset()
    assert set(flights.truth()["served_counts"].values()) == {0}
    assert flights.read_flights("2013-01-01", limit=50).attempts == first.attempts
    assert flights.read_flights("2013-01-01", limit=50).attempts != first.attempts


def test_a_connection_is_dropped_before_the_answer_or_inside_it(flights: "Service") -> None:
    """Drops are real: the socket is reset, or the body ends before Content-Length, each about half the time."""
    flights.switch(dropped=1.0)
    reading = flights.read_flights("2013-01-01", limit=10)
    seen = reading.counts()
    assert len(reading.records) == 842
    assert seen["page"] == 85
    assert seen["dropped"] + seen["cut"] == 2 * 85
    assert min(seen["dropped"], seen["cut"]) > 40


def test_drops_leave_the_service_healthy_and_quiet(start: Callable[..., "Service"]) -> None:
    """Dropping connections writes no traceback and leaves nothing behind: the service stops by SIGTERM in silence."""
    service = start("reference")
    service.switch(dropped=1.0)
    for page in range(1, 9):
        for _ in range(2):
            with pytest.raises(requests.RequestException):
                service.get("/airports", page=page)
    assert service.get("/airports", page=1).status_code == 200
    service.session.close()
    service.process.send_signal(signal.SIGTERM)
    output, errors = service.process.communicate(timeout=5)
    assert (output, errors, service.process.returncode) == ("", "", -signal.SIGTERM)


def test_latency_delays_pages_alone(flights: "Service") -> None:
    """The latency setting holds up every page by its seconds, but no endpoint under /-/."""
    flights.switch(latency=0.5)
    began = time.monotonic()
    assert flights.get("/flights").status_code == 200
    assert time.monotonic() - began >= 0.5
    began = time.monotonic()
    flights.truth()
    flights.get("/-/health")
    assert time.monotonic() - began < 0.5


def test_a_client_that_leaves_gets_nothing_counted(flights: "Service") -> None:
    """A request whose client is gone before the delayed answer counts as abandoned, not as a page or its records."""
    flights.switch(latency=0.3)
    with pytest.raises(requests.ReadTimeout):
        requests.get(flights.url + "/flights", headers={"X-Gateway-Subject": "leaver"}, timeout=0.1)
    for _ in range(50):
        counts = flights.truth()["served_counts"]
        if counts["abandoned"] or counts["pages"]:
            break
        time.sleep(0.1)
    assert {name: count for name, count in counts.items() if count} == {"requests": 1, "abandoned": 1}


def test_control_endpoints_never_misbehave(flights: "Service") -> None:
    """With every page failing, health, truth, faults and reset answer at once, and are not counted."""
    flights.switch(unavailable=0.5, dropped=0.5)
    for _ in range(10):
        assert flights.get("/-/health").status_code == 200
        assert flights.get("/-/faults").json()["dropped"] == 0.5
        assert flights.truth()["served_counts"]["requests"] == 0
        flights.reset()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"preset": "chaos"}', b'{"slow": 2}', b'{"unknown": 1}'])
def test_a_wrong_switch_changes_nothing(flights: "Service", body: bytes) -> None:
    """A switch that is no JSON object, or not of known settings, gets 400 and the settings stay."""
    before = flights.get("/-/faults").json()
    answer = requests.post(flights.url + "/-/faults", data=body, timeout=10)
    assert answer.status_code == 400
    assert "the settings stay as they were" in answer.json()["error"]
    assert flights.get("/-/faults").json() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_stops_soon_in_the_middle_of_a_slow_answer(start: Callable[..., "Service"], number: int) -> None:
    """SIGTERM and Ctrl-C end the process within three seconds, though an answer would have taken thirty."""
    service = start("reference")
    service.switch(latency=30)

    def wait_for_the_page() -> None:
        with pytest.raises(requests.RequestException):
            requests.get(service.url + "/planes", timeout=30).raise_for_status()

    waiting = threading.Thread(target=wait_for_the_page)
    waiting.start()
    while service.truth()["served_counts"]["requests"] == 0:
        time.sleep(0.01)
    began = time.monotonic()
    service.stop(signal.Signals(number))
    waiting.join()
    assert time.monotonic() - began < 3


def test_a_taken_port_is_said(flights: "Service") -> None:
    """Starting on a port in use fails with a line that says so."""
    port = flights.url.rpartition(":")[2]
    command = [sys.executable, "-m", "include.services", "reference", "--port", port]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=20)
    assert ended.returncode != 0
    assert "address already in use" in ended.stderr.lower()


def test_a_start_imports_neither_pandas_nor_airflow() -> None:
    """Loading, indexing and reading records needs none of the slow imports, so that the demo starts fast."""
    program = """
import sys
from include.services import __main__, dataset, weather
from include.services.faults import PRESETS
weather.build(PRESETS["demo"])
dataset.rows(dataset.load("planes"), 0, 100)
print([name for name in ("pandas", "airflow", "airgate") if name in sys.modules])
"""
    root = Path(__file__).parents[2]
    ended: Any = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
