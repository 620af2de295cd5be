"""A Python that has dlt, in an environment of its own: dlt's pins are not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ("dlt[parquet,duckdb]==1.31.0", "requests", "psycopg2-binary")
FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airgate-bench" / "dlt-1.31.0"


def dlt_python() -> str | None:
    """Path of the interpreter, made on first use; None when it cannot be had, with the reason on stderr."""
    python = FOLDER / "bin" / "python"
    if (FOLDER / "complete").exists():
        return str(python)
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).exists():
        print("dlt is left out: there is no uv to install it with", file=sys.stderr)
        return None
    for command in (
        [uv, "venv", "-q", "--clear", "--python", sys.executable, str(FOLDER)],
        [uv, "pip", "install", "-q", "--python", str(python), *REQUIREMENTS],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"dlt is left out: it cannot be installed: {done.stderr.strip()[-400:]}", file=sys.stderr)
            return None
    (FOLDER / "complete").touch()
    return str(python)
