"""A real process of the edge with its policies on a free port: `python -m tests.edge.policed_process CONFIG`."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.edge.edge_process import ROOT


@contextmanager
def policed_edge(config: Path, variables: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run the edge; yields its port. SIGTERM at the end must make it exit with 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.edge.policed_process", str(config)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}", **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"on port (\d+)", said)
        assert found, said + process.stderr.read()
        yield int(found[1])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0, process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def main() -> int:
    """Serve the file that is named first until a signal ends it; 2 when strict mode refuses it."""
    from airgate.edge.checking import problems
    from airgate.edge.policed import strict_edge
    from airgate.edge.server import serve
    from airgate.edge.settings import Settings

    config = Path(sys.argv[1])
    text = config.read_text()
    found = problems(text, os.environ, config.parent)
    if found:
        sys.stderr.write("".join(f"{problem}\n" for problem in found))
        return 2
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    edge = strict_edge(text, os.environ, config.parent, Settings.of("strict"))
    sys.stderr.write(f"on port {listener.getsockname()[1]}\n")
    sys.stderr.flush()
    serve(edge, listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
