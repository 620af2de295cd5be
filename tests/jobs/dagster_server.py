"""A whole Dagster: code server, webserver and daemon in processes of their own, on loopback."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from commands import engines
from stack import marks, ports

CODE = Path(__file__).parent / "dagster_code" / "shop.py"
PATIENCE = 150.0
"""Seconds until it takes orders; a busy machine needs a multiple of the usual 10."""
INSTANCE = """\
telemetry: {enabled: false}
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
    tag_concurrency_limits: [{key: slot, value: none, limit: 0}]
"""
"""As Dagster is by default, but quicker, and with a tag whose runs stay in the queue."""
WORKSPACE = """\
load_from:
  - grpc_server: {{host: 127.0.0.1, port: {code}, location_name: shop}}
  - grpc_server: {{host: 127.0.0.1, port: {nobody}, location_name: away}}
"""
"""The second code location is one whose server is down."""
_RUNS = """query($tag: ExecutionTag!) {
  runsOrError(filter: {tags: [$tag]}) { ... on Runs { results { runId status tags { key value } } } }
}"""
_LOADED = '{ workspaceLocationEntryOrError(name: "shop") { ... on WorkspaceLocationEntry { loadStatus } } }'
_MESSAGES = """query($id: ID!) {
  logsForRun(runId: $id) { ... on EventConnection { events { ... on MessageEvent { message } } } }
}"""


@dataclass(frozen=True)
class Dagster:
    """A running one."""

    address: str

    def runs(self, key: str, value: str) -> list[dict[str, Any]]:
        """The runs with a tag, the newest first."""
        found = self.ask(_RUNS, {"tag": {"key": key, "value": value}})
        return list(found["runsOrError"]["results"])

    def messages(self, run_id: str) -> list[str]:
        """What the events of a run say."""
        return [event["message"] for event in self.ask(_MESSAGES, {"id": run_id})["logsForRun"]["events"]]

    def ask(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        """The data of a query."""
        with requests.Session() as session:
            session.trust_env = False
            body = {"query": query, "variables": variables or {}}
            answer = session.post(f"{self.address}/graphql", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()["data"]


@contextmanager
def dagster(home: Path) -> Iterator[Dagster]:
    """Start it, give it when it takes orders, and stop every process at the end, whatever happens.

    Args:
        home: Folder for all it writes.
    """
    home.mkdir()
    chosen = ports.choose({"code": 18991, "web": 18990, "nobody": 18999})
    (home / "dagster.yaml").write_text(INSTANCE)
    workspace = home / "workspace.yaml"
    workspace.write_text(WORKSPACE.format(**chosen))
    here = ("--host", "127.0.0.1", "--port")
    try:
        with ExitStack() as stack:
            code = ("code-server", "start", "-f", str(CODE), *here, str(chosen["code"]))
            processes = [stack.enter_context(_process(home, "dagster", code))]
            _wait(processes, home, lambda: not ports.is_free(chosen["code"]))
            web = ("--workspace", str(workspace), *here, str(chosen["web"]))
            processes.append(stack.enter_context(_process(home, "dagster-webserver", web)))
            processes.append(stack.enter_context(_process(home, "dagster-daemon", ("run", "-w", str(workspace)))))
            running = Dagster(f"http://127.0.0.1:{chosen['web']}")
            _wait(processes, home, lambda: _takes_orders(running))
            yield running
    finally:
        marks.sweep(home, patience=1.0)


@contextmanager
def _process(home: Path, name: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYTHON"))}
    settings = inherited | marks.mark(home) | {"DAGSTER_HOME": str(home)}
    command = [str(engines.program("dagster", name)), *arguments]
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=settings, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _takes_orders(running: Dagster) -> bool:
    try:
        return bool(running.ask(_LOADED)["workspaceLocationEntryOrError"].get("loadStatus") == "LOADED")
    except requests.RequestException:
        return False


def _wait(processes: Sequence[subprocess.Popen[bytes]], home: Path, ready: Any) -> None:
    ends = time.monotonic() + PATIENCE
    while not ready():
        gone = any(process.poll() is not None for process in processes)
        if gone or time.monotonic() > ends:
            said = "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in home.glob("*.log"))
            raise AssertionError(f"Dagster did not come up\n{said}")
        time.sleep(0.2)
