"""A virtual environment that knows this project only as a stranger's does: by its wheel, its folder, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]

ANSWER = "airgate-test-answer: "
"""Marks the line with a probe's answer among whatever Airflow logs to stdout."""


def uv(*arguments: str | Path, cwd: Path = PROJECT) -> str:
    """Run uv and give its stdout; an error shows what it said."""
    beside = Path(sys.executable).with_name("uv")
    program = beside if beside.exists() else shutil.which("uv")
    assert program, "uv is part of the demo dependency group and should be installed beside Python"
    return run([program, *arguments], cwd=cwd, env=dict(os.environ))


def run(command: Sequence[str | Path], *, cwd: Path, env: dict[str, str], exits: int = 0) -> str:
    """Run a command to its end, with the exit code that is expected, and give its stdout."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == exits, (
        f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout


@dataclass(frozen=True)
class CleanEnvironment:
    """A virtual environment with Airflow, in which airgate comes and goes."""

    root: Path
    constraints: Path
    wheel: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "venv" / "bin" / "python"

    def install(self) -> None:
        """Install the wheel with the dependencies that it names itself, at the versions of uv.lock."""
        uv("pip", "install", "--quiet", "--python", self.python, "--constraint", self.constraints, self.wheel)

    def uninstall(self) -> None:
        """Take airgate out; what it depends on stays."""
        uv("pip", "uninstall", "--quiet", "--python", self.python, "airgate")

    def airflow(self, *arguments: str, exits: int = 0, **settings: str) -> str:
        """Run an `airflow` command and give its stdout."""
        command = [self.python.with_name("airflow"), *arguments]
        return run(command, cwd=self.root, env=self._environment(settings), exits=exits)

    def ask(self, code: str, **settings: str) -> Any:
        """Run Python code that calls `answer(value)` once, and give that value, which must be JSON."""
        prelude = f"import json\ndef answer(value): print({ANSWER!r} + json.dumps(value), flush=True)\n"
        said = run([self.python, "-c", prelude + code], cwd=self.root, env=self._environment(settings))
        [line] = [line for line in said.splitlines() if line.startswith(ANSWER)]
        return json.loads(line.removeprefix(ANSWER))

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        """Nothing of this process's Python or Airflow may reach in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AIRFLOW"))}
        kept.pop("VIRTUAL_ENV", None)
        home = {"AIRFLOW_HOME": str(self.root / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        return {**kept, **home, **settings}
