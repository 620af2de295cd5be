"""What tests of several rooms share."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator

import pytest

from tests.scripted_server import ScriptedServer

# Before anything imports Airflow: no test may read or write the developer's own installation.
_HOME = tempfile.TemporaryDirectory(prefix="airgate-tests-")
os.environ["AIRFLOW_HOME"] = _HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A real HTTP server on loopback."""
    scripted = ScriptedServer()
    yield scripted
    scripted.stop()


@pytest.fixture
def closed_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
