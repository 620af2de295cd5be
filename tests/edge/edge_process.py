"""A real edge process on a free port, and raw requests to it."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-the-tests-that-is-long-enough"


@dataclass(frozen=True)
class Response:
    """What came back: status, headers in order with lower-case names, and the body as far as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    truncated: bool = False

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        return next((value for found, value in self.headers if found == name), None)


def command(config: Path, *options: str) -> list[str]:
    """The command that serves a file on a free port."""
    return [sys.executable, "-m", "airgate.edge", str(config), "--port", "0", *options]


@contextmanager
def edge(config: Path, *options: str, variables: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run the edge; yields its port. SIGTERM at the end must make it exit with 0."""
    process = subprocess.Popen(
        command(config, *options),
        cwd=ROOT,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"on http://127\.0\.0\.1:(\d+) ", said)
        assert found, said + process.stderr.read()
        yield int(found[1])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0, process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def call(
    port: int,
    method: str,
    target: str,
    headers: Sequence[Sequence[str]] = (),
    body: bytes | None = None,
    *,
    chunked: bool = False,
) -> Response:
    """Send a request byte for byte over its own connection."""
    names = {name.lower() for name, _ in headers}
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [] if "host" in names else [f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers]
    payload = body or b""
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        half = max(1, (len(payload) + 1) // 2)
        pieces = [payload[start : start + half] for start in range(0, len(payload), half)]
        payload = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    elif body is not None and "content-length" not in names:
        lines.append(f"Content-Length: {len(body)}")
    lines += [] if "connection" in names else ["Connection: close"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + payload)
        return receive(connection, method)


def receive(connection: socket.socket, method: str = "GET") -> Response:
    """Read a whole response from a connection."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    try:
        data, truncated = response.read(), False
    except http.client.IncompleteRead as error:
        data, truncated = error.partial, True
    pairs = [
        (name.lower(), value.encode("latin-1").decode("utf-8", "replace")) for name, value in response.getheaders()
    ]
    return Response(response.status, pairs, data, truncated)
