"""The work service behind a real edge, which takes its prefix away and does not rewrite what Location says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.edge.edge_process import edge

ROOT = Path(__file__).parents[2]


@dataclass
class WorkService:
    """A work service on a port of its own, which keeps its jobs in a file, and the gateway before it."""

    file: str
    process: subprocess.Popen[str]
    port: int
    gateway: int = 0

    @property
    def url(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self.port}"

    def connection(self, password: str | None = "a-token-of-the-tests", **extra: Any) -> str:
        """A connection to the gateway before it."""
        auth = {"auth": "bearer"} if password else {}
        return json.dumps(
            {
                "conn_type": "gateway",
                "host": f"http://127.0.0.1:{self.gateway}",
                "password": password,
                "extra": {"backoff": 0.001, "attempts": 3, **auth, **extra},
            }
        )

    def truth(self) -> dict[str, Any]:
        """What it was asked for."""
        return dict(requests.get(f"{self.url}/-/truth", timeout=10).json())

    def job(self, id_: str) -> dict[str, Any]:
        """A job's status document."""
        return dict(requests.get(f"{self.url}/jobs/{id_}", timeout=10).json())

    def reset(self) -> None:
        """No jobs, no misbehaviour, no interval that it asks for."""
        self.switch(preset="none", retry_after=0)
        requests.post(f"{self.url}/-/reset", timeout=10).raise_for_status()

    def switch(self, **settings: Any) -> None:
        """Change how it misbehaves."""
        requests.post(f"{self.url}/-/faults", json=settings, timeout=10).raise_for_status()

    def kill(self) -> None:
        """End it by SIGKILL, and start it anew on the same port with the same file."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self.process, _ = _started(self.file, self.port)


@contextmanager
def work_service(folder: Path) -> Iterator[WorkService]:
    """Run the service and an edge before it that serves it below ``/work`` and, at its root, as it is."""
    file = str(folder / "work.sqlite")
    process, port = _started(file, 0)
    service = WorkService(file, process, port)
    config = folder / "gateway.json"
    proxy = {"integration": {"type": "http_proxy", "server": "work"}}
    paths = [
        {"method": method, "path": path, **proxy}
        for path in ("/work/{.+}", "/{.+}")
        for method in ("GET", "POST", "DELETE")
    ]
    config.write_text(json.dumps({"servers": [{"alias": "work", "url": service.url}], "paths": paths}))
    try:
        with edge(config) as service.gateway:
            yield service
    finally:
        os.killpg(service.process.pid, signal.SIGTERM)
        service.process.communicate(timeout=20)


def _started(file: str, port: int) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "include.services", "work", "--port", str(port), "--store", file],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said.startswith("work: http://127.0.0.1:"), said
    return process, int(said.rpartition(":")[2])
