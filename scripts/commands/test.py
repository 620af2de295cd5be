"""`scripts/test [--install] [--faults [NAME]] [--seed S] [pytest args]`: everything that this machine can test."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

PROJECT = Path(__file__).resolve().parents[2]

SUITES = PROJECT / "tests" / "faults" / "suites"
"""The long kill suites, one module each; `python -m` runs one and its exit code says how it went."""

SEED = "AIRGATE_FAULTS_SEED"
"""Environment variable that hands the seed to the short siblings of the suites, which pytest runs."""

SYSTEM_PACKAGES = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "docker-compose": "docker-compose",
    "pg_ctlcluster": "postgresql",
}
"""Program that some tests need -> Debian package that brings it. Without it those tests are skipped and say so."""

EPILOG = """\
Without --faults, whatever else is given goes to pytest. With it, pytest does not run: the long kill suites do, minutes
each, with one JSON line a kill; NAME picks one, and whatever else is given goes to it (--faults NAME --help).
"""


def install_system_packages() -> None:
    """Install what is missing of `SYSTEM_PACKAGES`, where that is possible; say so where it is not."""
    missing = [package for program, package in SYSTEM_PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"--install needs root and apt-get; going on without {', '.join(missing)}", file=sys.stderr)
        return
    settings = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
    ):
        done = subprocess.run(command, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            sys.exit(f"error: {' '.join(command)} failed with exit code {done.returncode}")


def run_suites(name: str, rest: Sequence[str]) -> int:
    """Run the long kill suite of that name, or all of them if it is empty; 0 when each one held.

    Args:
        name: of a module of `SUITES`.
        rest: arguments for the suite.
    """
    known = sorted(path.stem for path in SUITES.glob("*.py") if not path.stem.startswith("_"))
    if name and name not in known:
        print(f"error: no fault suite {name!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    paths = (str(PROJECT), str(PROJECT / "scripts"), os.environ.get("PYTHONPATH", ""))
    settings = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    codes = []
    for suite in [name] if name else known:
        command = [sys.executable, "-m", f"tests.faults.suites.{suite}", *rest]
        process = subprocess.Popen(command, cwd=PROJECT, env=settings)
        try:
            codes.append(process.wait())
        finally:
            # After a signal the suite still has to stop what it started. It heeds the first signal it gets, no second.
            process.terminate()
            process.wait()
    return max(codes, key=abs, default=0)


def become_pytest(arguments: Sequence[str], seed: int | None) -> NoReturn:
    """Let pytest take the place of this process."""
    os.chdir(PROJECT)
    settings = os.environ | ({} if seed is None else {SEED: str(seed)})
    command = [sys.executable, "-m", "pytest", *arguments]
    os.execve(sys.executable, command, settings)  # noqa: S606 - no shell in between


def main(arguments: list[str]) -> int:
    """Install if asked to; then run the long kill suites, or become pytest."""
    parser = argparse.ArgumentParser(prog="scripts/test", epilog=EPILOG, add_help=False, allow_abbrev=False)
    parser.add_argument("--install", action="store_true", help="install what the tests can use first")
    parser.add_argument("--faults", nargs="?", const="", metavar="NAME", help="run the long kill suites")
    parser.add_argument("--seed", type=int, metavar="S", help="draw the kills with it, in long and short suites")
    options, rest = parser.parse_known_args(arguments)
    if options.faults is None and {"-h", "--help"} & set(rest):
        parser.print_help()
        return 0
    if options.install:
        from commands import engines

        install_system_packages()
        engines.install()
    if options.faults is not None:
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
        return run_suites(options.faults, [*rest, *([] if options.seed is None else ["--seed", str(options.seed)])])
    become_pytest(rest, options.seed)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
