"""A real S3 server in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

import fsspec

BUCKET = "airgate-test"

_PROGRAM = (
    "import sys; from moto.server import ThreadedMotoServer; server = ThreadedMotoServer('127.0.0.1', 0);"
    "server.start(); print('port', server.get_host_and_port()[1], flush=True); sys.stdin.read()"
)


@contextmanager
def s3_server() -> Iterator[str]:
    """Run it until the end of the context; gives its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line a request
        text=True,
    )
    try:
        assert process.stdout
        port = next(line.split()[1] for line in process.stdout if line.startswith("port "))
        address = f"http://127.0.0.1:{port}"
        _wait(address)
        yield address
    finally:
        process.communicate(timeout=20)


def s3_client(address: str) -> fsspec.AbstractFileSystem:
    """A client of a server."""
    keys = {"key": "testing", "secret": "testing", "client_kwargs": {"region_name": "eu-central-1"}}
    return fsspec.filesystem("s3", endpoint_url=address, skip_instance_cache=True, **keys)


def _wait(address: str) -> None:
    for _ in range(200):
        try:
            urlopen(f"{address}/moto-api/", timeout=5).close()
        except URLError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"no S3 server at {address}")
