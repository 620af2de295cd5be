"""`scripts/test [--install] [pytest args]`: everything that this machine can test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

PROJECT = Path(__file__).resolve().parents[2]

SYSTEM_PACKAGES = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "docker-compose": "docker-compose",
}
"""Program that some tests need -> Debian package that brings it. Without it those tests are skipped and say so."""


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


def main(arguments: list[str]) -> NoReturn:
    """Install if asked to, then become pytest."""
    if "--install" in arguments:
        arguments = [argument for argument in arguments if argument != "--install"]
        install_system_packages()
    os.chdir(PROJECT)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606 - no shell in between


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
