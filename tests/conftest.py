"""What tests of several rooms share."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.scripted_server import ScriptedServer

# Before anything imports Airflow: no test may read or write the developer's own installation.
_HOME = tempfile.TemporaryDirectory(prefix="airgate-tests-")
os.environ["AIRFLOW_HOME"] = _HOME.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"

# How long an example takes says nothing: machines are busy.
settings.register_profile("airgate", deadline=None)
settings.load_profile("airgate")

_ROOT = Path(__file__).parent
_ROOMS_OF_STACKS = frozenset({"browser", "faults", "integration", "packaging"})
"""Their tests start whole stacks, on ports of their own: one after the other."""


class Scheduling(LoadScopeScheduling):
    """Of several processes (``-n 2``) one runs all tests with stacks; the others get the rest, file by file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "stacks" if _needs_stack(Path(file)) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Take that one, whatever ``--dist`` says."""
    config.option.loadscopereorder = False  # the order below counts
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the stacks: nothing that is left for the end takes as long as they do."""
    items.sort(key=lambda item: not _needs_stack(item.path.relative_to(_ROOT.parent)))


def _needs_stack(file: Path) -> bool:
    return file.parts[1] in _ROOMS_OF_STACKS


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
