"""Orchestrators that tests drive, each in a Python environment of its own: their packages do not go with Airflow's."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

ENGINES = PROJECT / ".engines"
"""One environment a folder; not part of the checkout."""

REQUIREMENTS = {"dagster": PROJECT / "tests" / "jobs" / "dagster_requirements.txt"}
"""Engine -> what its environment holds."""


def program(engine: str, name: str) -> Path:
    """Give the path of a program of an engine."""
    return ENGINES / engine / "bin" / name


def installed(engine: str) -> bool:
    """Whether the engine is there, whole and at the versions of its requirements."""
    stamp = _stamp(engine)
    return stamp.exists() and stamp.read_text() == _fingerprint(engine)


def install() -> None:
    """Install the engines that are missing; end the program when that fails."""
    for engine, requirements in REQUIREMENTS.items():
        if installed(engine):
            continue
        print(f"installing {engine} for the tests", file=sys.stderr, flush=True)
        home = ENGINES / engine
        uv = Path(sys.executable).with_name("uv")
        python = home / "bin" / "python"
        # Compiled now: the processes of an engine are many, and where bytecode is not kept each would compile anew.
        packages = ["pip", "install", "--python", python, "--compile-bytecode", "--requirements", requirements]
        settings = os.environ | {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
        for command in ([uv, "venv", "--clear", "--python", sys.executable, home], [uv, *packages]):
            done = subprocess.run(
                command, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"error: {' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
        _stamp(engine).write_text(_fingerprint(engine))


def _stamp(engine: str) -> Path:
    return ENGINES / engine / "airgate-ready"


def _fingerprint(engine: str) -> str:
    return hashlib.sha256(f"{sys.version}\0{PROJECT}\0".encode() + REQUIREMENTS[engine].read_bytes()).hexdigest()
