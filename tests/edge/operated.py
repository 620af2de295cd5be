"""An edge whose process is watched: its admin pages, its log, its signals; and clients that count what they lose."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.edge.edge_process import ROOT, command

PATIENCE = 15.0


@dataclass
class Operated:
    """A running edge; `said` are the lines of its standard error so far."""

    process: subprocess.Popen[str]
    port: int = 0
    admin: int = 0
    said: list[str] = field(default_factory=list)

    def signal(self, number: int) -> None:
        """Send a signal to the process that was started."""
        self.process.send_signal(number)

    def page(self, name: str) -> tuple[int, bytes]:
        """Status and body of an admin page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=PATIENCE)
        connection.request("GET", f"/-/{name}")
        response = connection.getresponse()
        return response.status, response.read()

    def is_ready(self) -> bool:
        """Whether `/-/ready` says so."""
        try:
            return self.page("ready")[0] == 200
        except OSError:
            return False

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(each) for each in found.split()]

    def until(self, what: str) -> None:
        """Wait until it has said something."""
        eventually(lambda: any(what in line for line in self.said), what)


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, for a while."""
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends, f"not in {PATIENCE} s: {what}"
        time.sleep(0.02)


@contextmanager
def operated(config: Path, *options: str, variables: Mapping[str, str] | None = None) -> Iterator[Operated]:
    """Run the edge with admin pages until they say that it is ready; it is killed with its workers at the end."""
    process = subprocess.Popen(
        [*command(config), "--admin", "127.0.0.1:0", *options],
        cwd=ROOT,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Operated(process)
    assert process.stderr is not None
    stderr = process.stderr
    reader = threading.Thread(target=lambda: running.said.extend(iter(stderr.readline, "")), daemon=True)
    reader.start()
    try:
        running.until("admin pages on ")
        ports = re.findall(r"https?://127\.0\.0\.1:(\d+)", running.said[0])
        running.port, running.admin = int(ports[0]), int(ports[-1])
        eventually(running.is_ready, "ready")
        yield running
    finally:
        children = running.workers() if process.poll() is None else []
        process.kill()
        process.wait()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        reader.join(PATIENCE)
        stderr.close()


@dataclass
class Load:
    """Clients that ask without pause. `seen` counts answers by status and body, `lost` are requests without one."""

    port: int
    target: str
    keep_alive: bool = True
    seen: Counter[tuple[int, str]] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Be one client, until told to stop or until no connection is taken any more."""
        connection: http.client.HTTPConnection | None = None
        while not self._over.is_set():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    self.refused += 1
                    return
            try:
                connection.request("GET", self.target)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(f"{type(error).__name__}: {error}")
                return
            self.seen[(response.status, body.decode())] += 1
            if response.getheader("connection") == "close" or not self.keep_alive:
                connection.close()
                connection = None

    @contextmanager
    def running(self, clients: int = 4) -> Iterator["Load"]:
        """Ask until the block ends."""
        threads = [threading.Thread(target=self.ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join(PATIENCE)


def write(config: Path, file: dict[str, Any]) -> None:
    """Replace a file at once, as careful editors and Kubernetes do."""
    new = config.with_suffix(".new")
    new.write_text(json.dumps(file))
    new.replace(config)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return int(opened.getsockname()[1])
