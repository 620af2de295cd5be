"""A real PostgreSQL server on a port of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian's package keeps the programs, a folder a version."""


@dataclass(frozen=True)
class PostgresServer:
    """A running one, of which anybody on this machine is the superuser."""

    port: int

    @property
    def uri(self) -> str:
        """Of its database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


def postgres_programs() -> Path | None:
    """The folder of the server's programs, the newest version's; None when it is not installed."""
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True)
    if versions:
        return versions[0].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def postgres_server(**settings: str) -> Iterator[PostgresServer]:
    """Run a server whose files go with it, and which does not flush them (no fsync); gives it once it answers.

    Args:
        settings: Of ``postgresql.conf``.
    """
    with tempfile.TemporaryDirectory(prefix="airgate-postgres-") as name, _running(Path(name), settings) as server:
        yield server


@contextmanager
def _running(folder: Path, settings: dict[str, str]) -> Iterator[PostgresServer]:
    programs, user = postgres_programs(), _user()
    assert programs is not None
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync"]
    subprocess.run([*initdb, "--locale=C"], check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
    port = _free_port()
    values = {"fsync": "off", "listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), **settings}
    options = [text for name, value in values.items() for text in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
    try:
        _wait(programs, port, process)
        yield PostgresServer(port)
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown, which does not wait for clients
        process.wait()


def _user() -> str | None:
    """Whom the server runs as, since it refuses root; None for the user of this process."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _wait(programs: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode:
        assert process.poll() is None, "postgres has ended"
        assert time.monotonic() < deadline, "postgres does not answer"
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
