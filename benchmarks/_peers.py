"""Pythons that have a peer, each in an environment of its own: the peers' pins are not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = {
    "dlt": ("dlt[parquet,duckdb]==1.31.0", "requests", "psycopg2-binary"),
    "airbyte": ("airbyte-cdk==7.39.1",),
    "mitmproxy": ("mitmproxy==11.0.2",),
}
FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airgate-bench"


def peer_python(peer: str) -> str | None:
    """Path of the interpreter, made on first use; None when it cannot be had, with the reason on stderr."""
    requirements = REQUIREMENTS[peer]
    folder = FOLDER / requirements[0].partition("[")[0].partition("==")[0] / requirements[0].rpartition("==")[2]
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return str(python)
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).exists():
        print(f"{peer} is left out: there is no uv to install it with", file=sys.stderr)
        return None
    for command in (
        [uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "-q", "--python", str(python), *requirements],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{peer} is left out: it cannot be installed: {done.stderr.strip()[-400:]}", file=sys.stderr)
            return None
    (folder / "complete").touch()
    return str(python)
