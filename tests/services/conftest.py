"""Real sample services on free ports, and a client that writes down what it saw."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).parents[2]
SUBJECT = {"X-Gateway-Subject": "tests"}


@dataclass
class Reading:
    """What a client got: all records, and one word for each attempt in the order they were made."""

    records: list[dict[str, Any]] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    slow: int = 0
    """Pages that took 0.3 s and more; on a busy machine not all of them on purpose."""

    def counts(self) -> Counter[str]:
        return Counter(self.attempts)

    def real(self) -> list[dict[str, Any]]:
        return [record for record in self.records if not damaged(record)]

    def malformed(self) -> list[dict[str, Any]]:
        return [record for record in self.records if damaged(record)]


def damaged(flight: dict[str, Any]) -> bool:
    """Judge a record by its values alone: is it one that the flights file could not hold?"""
    delay = flight["dep_delay"]
    return not isinstance(flight["distance"], int) or flight["flight"] is None or isinstance(delay, dict)


@dataclass
class Service:
    """A running sample service."""

    process: subprocess.Popen[str]
    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, *, timeout: float = 10, **params: Any) -> requests.Response:
        return self.session.get(self.url + path, params=params, headers=SUBJECT, timeout=timeout)

    def switch(self, **changes: Any) -> requests.Response:
        return self.session.post(self.url + "/-/faults", json=changes, timeout=10)

    def reset(self) -> None:
        self.session.post(self.url + "/-/reset", timeout=10).raise_for_status()

    def truth(self, **params: Any) -> dict[str, Any]:
        answer = self.get("/-/truth", **params)
        answer.raise_for_status()
        return answer.json()

    def attempt(self, path: str, reading: Reading, **params: Any) -> dict[str, Any] | None:
        """Ask once; return the page or None, and write down which it was."""
        try:
            answer = self.get(path, **params)
        except requests.RequestException as error:
            if "Connection reset by peer" in str(error):
                reading.attempts.append("dropped")
            elif "IncompleteRead" in str(error):
                reading.attempts.append("cut")
            else:
                raise
        else:
            if answer.status_code == 200:
                reading.attempts.append("page")
                reading.slow += answer.elapsed.total_seconds() >= 0.3
                return answer.json()
            # The plan never asks a client to wait long.
            assert answer.headers.get("Retry-After", "1") == "1"
            assert answer.status_code != 429 or "Retry-After" in answer.headers
            reading.attempts.append(str(answer.status_code))
        return None

    def read_flights(self, *days: str | None, limit: int = 100) -> Reading:
        """Read whole days (None: everything) through all pages, asking again after each fault."""
        reading = Reading()
        for day in days:
            params = {"date": day, "limit": limit, "cursor": None}
            met: set[str | None] = set()
            while params["cursor"] not in met:
                met.add(params["cursor"])
                tries = (self.attempt("/flights", reading, **params) for _ in range(3))
                page = next((page for page in tries if page), None)
                assert page is not None, f"three faults in a row: {reading.attempts[-3:]}"
                assert len(page["data"]) <= limit
                reading.records += page["data"]
                params["cursor"] = page["next_cursor"]
                if params["cursor"] is None:
                    break
            else:
                pytest.fail("a cursor came back: the reading goes in a circle")
        return reading

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the process group; return the exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        try:
            return self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        finally:
            self.session.close()
            self.process.communicate()


def started(name: str, *arguments: str) -> Service:
    """Start a service on a free port; its first line says when and where it answers."""
    command = [sys.executable, "-m", "include.services", name, "--port", "0", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith(f"{name}: http://127.0.0.1:"):
        pytest.fail(f"the service did not start: {line}{process.communicate()[1]}")
    return Service(process, line.split()[1])


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    """Start services that this test alone uses."""
    services: list[Service] = []

    def begin(name: str, *arguments: str) -> Service:
        services.append(started(name, *arguments))
        return services[-1]

    yield begin
    for service in services:
        service.stop()


@pytest.fixture(scope="session")
def running() -> Iterator[Callable[[str], Service]]:
    """Keep one process a service for the whole suite."""
    services: dict[str, Service] = {}

    def get(name: str) -> Service:
        if name not in services:
            services[name] = started(name)
        return services[name]

    yield get
    for service in services.values():
        service.stop()


@pytest.fixture
def flights(running: Callable[[str], Service]) -> Service:
    return _behaving(running("flights"))


@pytest.fixture
def weather(running: Callable[[str], Service]) -> Service:
    return _behaving(running("weather"))


@pytest.fixture
def reference(running: Callable[[str], Service]) -> Service:
    return _behaving(running("reference"))


@pytest.fixture
def notices(running: Callable[[str], Service]) -> Service:
    return _behaving(running("notices"))


def _behaving(service: Service) -> Service:
    service.switch(preset="none", seed=0).raise_for_status()
    service.reset()
    return service
