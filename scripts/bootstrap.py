"""Prepare the project's own `.venv` and become the command that was asked for.

Standard library only: it is what runs before anything is installed. It may be interrupted anywhere: what is half
made is noticed by the next start and mended, and a child process is never left behind.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from interrupts import INTERRUPTS, Interrupted

PROJECT = Path(__file__).resolve().parent.parent

GROUPS = {"demo": "demo", "bench": "test", "test": "test", "check": "check"}
"""Which dependency group of pyproject.toml a command needs."""

PROJECT_CODE = ("plugins", "include")
"""Folders whose code is run in place, so that uv does not compile it."""

TAIL_LINES = 12
"""How much of a failed step's output is shown."""


class SetupFailed(Exception):
    """A step of the preparation did not succeed; the message is for the person at the terminal."""


def fingerprint(project: Path, python: str) -> str:
    """Hash what decides the content of the environment: lock file, metadata, Python version, and where it stands."""
    digest = hashlib.sha256(f"{project}\0{python}".encode())
    for name in ("uv.lock", "pyproject.toml"):
        digest.update(b"\0" + (project / name).read_bytes())
    return digest.hexdigest()


class Environment:
    """The virtual environment of a project: what state it is in and how to bring it to the wanted one."""

    def __init__(self, project: Path = PROJECT) -> None:
        self.project = project
        self.root = project / ".venv"
        self.python = self.root / "bin" / "python"
        self.uv = self.root / "bin" / "uv"
        self.stamp = self.root / "airgate-ready.json"
        self.unfinished = self.root / "airgate-unfinished"

    def ready(self, group: str) -> bool:
        """Whether the last completed preparation covers `group` and nothing it rests on has changed since."""
        return group in self._prepared() and self.python.exists()

    def prepare(self, group: str) -> None:
        """Make the environment hold `group`, mending whatever an interrupted preparation left.

        Raises:
            SetupFailed: a step failed; the environment is left for the next start to mend.
        """
        began = time.monotonic()
        prepared = self._prepared()
        say(f"preparing {self.root.name} for scripts/{group} (a few minutes at most, once)")
        if not runs([self.python, "-c", "import sys"]):
            # sys._base_executable: this very program may be running on the interpreter of a broken environment.
            base = str(getattr(sys, "_base_executable", None) or sys.executable)
            self._step("making the virtual environment", [base, "-m", "venv", "--clear", self.root])
        if not runs([self.uv, "--version"]):
            if not runs([self.python, "-m", "pip", "--version"]):
                self._step("putting pip into it", [self.python, "-m", "ensurepip", "--upgrade"])
            pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--force-reinstall"]
            self._step("installing uv", [self.python, *pip, f"uv=={self._locked_version('uv')}"])
        # uv takes a package for installed when its metadata is there, and an interrupted installation may have written
        # that first: after one, everything is laid down again (from uv's cache, so it costs no download).
        again = ["--reinstall"] if self.unfinished.exists() else []
        self.unfinished.touch()
        sync = ["sync", "--frozen", "--compile-bytecode", "--inexact", "--no-default-groups", "--group", group]
        self._step(
            f"installing the packages of uv.lock for {group}", [self.uv, *sync, *again], UV_PYTHON=str(self.python)
        )
        # Every task imports it, and where PYTHONDONTWRITEBYTECODE is set none of them would keep what it compiled.
        self._step("compiling the project", [self.python, "-m", "compileall", "-q", *PROJECT_CODE])
        self.unfinished.unlink()
        whole = self.stamp.with_suffix(".new")
        whole.write_text(
            json.dumps({"fingerprint": self._fingerprint(), "groups": sorted({*prepared, *covered(group)})})
        )
        whole.replace(self.stamp)
        say(f"ready after {time.monotonic() - began:.0f} s")

    def _prepared(self) -> set[str]:
        try:
            stamp = json.loads(self.stamp.read_text())
            if not self.unfinished.exists() and stamp["fingerprint"] == self._fingerprint():
                return set(stamp["groups"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # never prepared, or the stamp is damaged: both mean that nothing is known
        return set()

    def _fingerprint(self) -> str:
        try:
            python = (self.root / "pyvenv.cfg").read_text()
        except FileNotFoundError:
            python = ""
        return fingerprint(self.project, python)

    def _locked_version(self, name: str) -> str:
        lock = tomllib.loads((self.project / "uv.lock").read_text())
        return next(str(package["version"]) for package in lock["package"] if package["name"] == name)

    def _step(self, what: str, command: Sequence[str | Path], **extra: str) -> None:
        say(f"  {what}")
        settings = {
            "UV_PROJECT_ENVIRONMENT": str(self.root),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            **extra,
        }
        inherited = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONHOME")}
        code, output = run_group(command, cwd=self.project, env=inherited | settings)
        if code:
            tail = "\n".join(f"  | {line}" for line in output.splitlines()[-TAIL_LINES:])
            raise SetupFailed(f"{what} failed (exit code {code}); the end of what it said:\n{tail}")


def covered(group: str) -> list[str]:
    """Groups that are there when `group` is: each one includes the one before it."""
    nested = ["demo", "test", "check"]
    return nested[: nested.index(group) + 1]


def runs(command: Sequence[str | Path]) -> bool:
    """Whether a command can be started and succeeds."""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def run_group(command: Sequence[str | Path], *, cwd: Path, env: dict[str, str]) -> tuple[int, str]:
    """Run a command in a process group of its own, which ends with us; give its exit code and all its output."""
    child = None
    try:
        with INTERRUPTS:
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        output, _ = child.communicate()
    except BaseException:
        if child:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        raise
    return child.returncode, output


def hold_alone(project: Path) -> int:
    """Take the lock on setting this checkout up, waiting for another setup to finish; it lasts as long as we do."""
    folder = os.open(project, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another setup of this checkout is running; waiting for it")
        fcntl.flock(folder, fcntl.LOCK_EX)
    return folder


def say(text: str) -> None:
    """Tell the person at the terminal; on stderr, so that a command's stdout stays its own."""
    print(text, file=sys.stderr, flush=True)


def main(command: str, arguments: list[str]) -> NoReturn:
    """Prepare what `command` needs, then become it: same process id, so that signals reach it."""
    environment = Environment()
    group = GROUPS[command]
    INTERRUPTS.install()
    try:
        if not environment.ready(group):
            hold_alone(environment.project)
            if not environment.ready(group):
                environment.prepare(group)
        path = os.pathsep.join(filter(None, [str(PROJECT / "scripts"), os.environ.get("PYTHONPATH")]))
        settings = os.environ | {"PYTHONPATH": path}
        program = [str(environment.python), "-P", "-m", f"commands.{command}", *arguments]
        os.execve(program[0], program, settings)  # noqa: S606 - there is no shell in between, which is the point
    except SetupFailed as error:
        say(f"error: {error}")
        sys.exit(1)
    except Interrupted as interrupted:
        say("stopped; the next start continues from here")
        sys.exit(interrupted.exit_code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
