"""What the documentation's code runs against: the real gateway in front of real sample services, on loopback."""

from __future__ import annotations

import json
import os
import re
import secrets
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
"""Seconds until a process must have said where it listens; a busy machine needs a multiple of the usual two."""


@contextmanager
def listening(command: list[str], environment: dict[str, str]) -> Iterator[str]:
    """Run a server until the end of the context; gives the address that it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", "0"],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield _address(process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    said, ends = "", time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, ends - time.monotonic())):
            line = process.stdout.readline()
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                return found[0]
            if not line:
                break
    raise AssertionError(f"{process.args} did not say where it listens:\n{said}")


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that the pages take for granted: gateway, services, connections, data root, Airflow's home."""
    home = tmp_path_factory.mktemp("docs")
    secret = secrets.token_urlsafe(48)
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    with ExitStack() as running:
        upstreams = {
            f"{name.upper()}_URL": running.enter_context(listening(["include.services", name], bare))
            for name in (
                "flights",
                "weather",
                "reference",
                "work",
                "inventory",
                "payments",
                "shipping",
                "notices",
                "alerts",
                "loyalty",
            )
        }
        # No page orders from an Airflow through the gateway, so none is there.
        told = {
            "AIRFLOW_URL": "http://127.0.0.1:9",
            "GATEWAY_JWT_SECRET": secret,
            "GATEWAY_IDENTITY_SECRET": secrets.token_urlsafe(48),
        }
        edge = ["airgate.edge", str(PROJECT / "include" / "gateway" / "api-config.json")]
        address = running.enter_context(listening(edge, {**bare, **upstreams, **told}))
        _wait_healthy(f"{address}/health")
        gateway = {
            "conn_type": "gateway",
            "host": address,
            "login": "docs",
            "password": secret,
            "extra": {"auth": "jwt", "jwt_issuer": "https://airgate.example/", "jwt_audience": "sample-services"},
        }
        yield {
            "AIRFLOW_HOME": str(home / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__AIRGATE__DATA_ROOT": (home / "data").as_uri(),
            "AIRFLOW_CONN_GATEWAY_DEFAULT": json.dumps(gateway),
            "AIRFLOW_CONN_WAREHOUSE_DEFAULT": json.dumps({"conn_type": "duckdb", "host": f"{home}/warehouse.duckdb"}),
        }


def _wait_healthy(url: str) -> None:
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(url, timeout=5):
                return
        except URLError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
