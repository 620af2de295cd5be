"""`scripts/check`: everything that is judged without running the program."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

CHECKS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "--no-cache", "."],
    "types": ["mypy"],
    "imports": ["lint-imports"],
    "docs": [sys.executable, "-m", "pytest", "-q", "tests/docs"],
}
"""Name -> command; the tools come from the environment this runs in, their settings from pyproject.toml."""


def main() -> int:
    """Run all of them, also after one failed; 0 when every one passed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    failed = []
    for name, command in CHECKS.items():
        if name == "docs" and not (PROJECT / "tests" / "docs").exists():
            continue
        print(f"== {name}: {' '.join(command[-4:])}", flush=True)
        began = time.monotonic()
        code = subprocess.run(command, cwd=PROJECT, env=os.environ | {"PATH": path}, check=False).returncode
        print(f"-- {name} {'failed' if code else 'passed'} in {time.monotonic() - began:.0f} s", flush=True)
        if code:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
