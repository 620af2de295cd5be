"""`scripts/demo [--once]`: start everything, run three days of data through Airflow, show what came of it.

The last line on stdout is one JSON object, also after a failure. Exit code 0; 1 after a failure; 130 after Ctrl-C and
143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import sys

from interrupts import INTERRUPTS, Interrupted


def main(arguments: list[str]) -> int:
    """Run the demo; give the exit code."""
    INTERRUPTS.install()
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Run Airgate's demo on this machine.")
    parser.add_argument("--once", action="store_true", help="stop when the runs are done, instead of staying up")
    options = parser.parse_args(arguments)
    try:
        # It takes a second to import, in which a signal must find its handler.
        from stack.demonstration import demonstrate

        return demonstrate(once=options.once)
    except Interrupted as interrupted:
        return interrupted.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
