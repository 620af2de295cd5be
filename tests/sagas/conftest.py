"""Real services for sagas, and a database for their runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.services.conftest import Service, started


@dataclass(frozen=True)
class Payments:
    """The sample service of that name."""

    service: Service

    def misbehave(self, **settings: Any) -> None:
        """From now on."""
        self.service.switch(**settings).raise_for_status()

    def behave(self) -> None:
        """From now on."""
        self.service.switch(preset="none").raise_for_status()

    def told(self, *events: str) -> list[str]:
        """What the ledger tells, in order: of all events, or of those named."""
        return [event["event"] for event in self.events() if not events or event["event"] in events]

    def events(self) -> list[dict[str, Any]]:
        """The ledger."""
        return list(self.service.get("/-/ledger").json()["events"])

    def keys(self) -> list[str]:
        """The keys of the effects, in order."""
        return [event["key"] for event in self.events() if event["event"] == "effect"]

    @property
    def effects(self) -> int:
        """How many charges were ever made."""
        return int(self.service.truth()["effects"])

    @property
    def net(self) -> int:
        """How many charges are left."""
        return int(self.service.truth()["net"])

    @property
    def requests(self) -> int:
        """How many requests came."""
        return int(self.service.truth()["served_counts"]["requests"])


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's, in the home folder of these tests."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def payments_process() -> Iterator[Service]:
    """One for all tests."""
    service = started("payments")
    yield service
    service.stop()


@pytest.fixture
def payments(payments_process: Service, airflow_database: None, monkeypatch: pytest.MonkeyPatch) -> Payments:
    """The service without an effect so far, behind the default gateway connection; one attempt a try."""
    payments_process.reset()
    payments_process.switch(preset="none")
    connect(monkeypatch, payments_process.url)
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", os.environ["AIRFLOW_HOME"])
    return Payments(payments_process)


def connect(monkeypatch: pytest.MonkeyPatch, address: str, **extra: Any) -> None:
    """Put a service behind the default connection."""
    short = {"attempts": 1, "connect_timeout": 1, "read_timeout": 2, "deadline": 3, "backoff": 0.01}
    gateway = {"conn_type": "gateway", "host": address, "extra": short | extra}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_DEFAULT", json.dumps(gateway))
