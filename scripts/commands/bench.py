"""`scripts/bench [NAME] [options]`: list the benchmarks, or run one."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def listing() -> dict[str, str]:
    """Give name -> first line of the docstring of every benchmark."""
    found = {}
    for file in sorted(BENCHMARKS.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(file.read_text())) or "(says nothing about itself)"
        found[file.stem] = text.splitlines()[0]
    return found


def main(arguments: list[str]) -> int:
    """Run the named benchmark with the other arguments, or list them all."""
    known = listing()
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name is None:
        print("\n".join(f"{name:<12} {about}" for name, about in known.items()) or "there are no benchmarks yet")
        return 0
    if name not in known:
        print(f"error: no benchmark {name!r}; there are: {', '.join(known) or 'none'}", file=sys.stderr)
        return 2
    rest = [argument for argument in arguments if argument != name]
    program = [sys.executable, str(BENCHMARKS / f"{name}.py"), *rest]
    return subprocess.run(program, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
