"""A real edge before a recording upstream, for clients that mean harm."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt

from tests.edge.edge_process import SECRET, call
from tests.edge.operated import PATIENCE, operated
from tests.edge.security.recording_upstream import Arrived, RecordingUpstream


class Attacked:
    """A running edge: its port, its process, and what reaches its upstream."""

    def __init__(self, port: int, pid: int, upstream: RecordingUpstream) -> None:
        self.port = port
        self.pid = pid
        self.upstream = upstream

    def arrived(self) -> list[Arrived]:
        """All that reached the upstream since `forget`, after an honest request has shown that nothing is under way.

        Nothing that arrived can be read in two ways.
        """
        assert call(self.port, "GET", "/fence").status == 200
        assert self.upstream.doubts == []
        found = list(self.upstream.requests)
        fences = [each for each in found if each.target == "/fence"]
        assert len(fences) == 1
        return [each for each in found if each.target != "/fence"]

    def peak_kb(self) -> int:
        """The most memory that the process ever held, in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    def descriptors(self) -> int:
        """How many files and sockets the process has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


def proxy(path: str, **more: Any) -> dict[str, Any]:
    """A route of any method to the upstream."""
    return {"method": "ANY", "path": path, "integration": {"type": "http_proxy", "server": "up"}, **more}


def token(**claims: Any) -> tuple[str, str]:
    """The header of a caller whose token is good."""
    encoded = jwt.encode({"sub": "alice", "exp": time.time() + 3600, **claims}, SECRET, "HS256")
    return "Authorization", f"Bearer {encoded}"


@contextmanager
def attacked(
    folder: Path,
    *routes: Mapping[str, Any],
    limits: Mapping[str, Any] | None = None,
    mode: str = "strict",
    options: Sequence[str] = (),
) -> Iterator[Attacked]:
    """Run an edge with routes, and `/{.+}` for the rest, before an upstream of its own."""
    upstream = RecordingUpstream()
    config = folder / f"{mode}.json"
    file = {
        "servers": [{"alias": "up", "url": upstream.url}],
        "authorizer": {"type": "jwt", "secret": SECRET},
        "x-airgate": {"limits": {"header_seconds": 1, "body_seconds": 1, **(limits or {})}},
        "paths": [*routes, proxy("/{.+}")],
    }
    config.write_text(json.dumps(file))
    try:
        with operated(config, "--mode", mode, *options) as running:
            yield Attacked(running.port, running.process.pid, upstream)
            assert running.process.poll() is None, running.said
    finally:
        upstream.close()


__all__ = ["PATIENCE", "Attacked", "attacked", "proxy", "token"]
