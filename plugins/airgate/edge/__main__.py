"""`python -m airgate.edge CONFIG --port P`: serve a gateway's file."""

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from airgate.edge.app import Edge
from airgate.edge.settings import Settings
from airgate.spec.check import problems
from airgate.spec.config import load


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; the exit code is 0 then, 2 when the file or the address cannot be served."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="airgate.edge: %(levelname)s: %(message)s")
    try:
        text = options.config.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        return _refuse(f"cannot read {options.config}: {error.strerror}")
    if options.mode == "strict":
        found = problems(text, os.environ)
        if found:
            return _refuse(f"{options.config} has {len(found)} problem(s):", *(f"  {problem}" for problem in found))
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listener = socket.create_server((options.host, options.port), family=family, backlog=2048)
    except OSError as error:
        return _refuse(f"cannot listen on {options.host}:{options.port}: {error.strerror}")

    from airgate.edge.server import serve  # after the checks: a refusal should not wait for uvicorn's import

    edge = Edge(load(text, os.environ, options.mode), _settings(options))
    _say(f"serving {options.config} on http://{options.host}:{listener.getsockname()[1]} ({options.mode} mode)")
    serve(edge, listener)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m airgate.edge", description="Serve a gateway's configuration file.")
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the gateway's JSON file")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes a free one and says which")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--mode", choices=("strict", "compatible"), default="strict", help="default: %(default)s")
    seconds = "seconds; 0 means no limit (default: %s in strict mode, none in compatible mode)"
    parser.add_argument("--connect-timeout", type=float, metavar="S", help=f"connecting to a server, {seconds % 5}")
    parser.add_argument("--total-timeout", type=float, metavar="S", help=f"a whole upstream call, {seconds % 300}")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    settings = Settings.of(options.mode)
    if options.connect_timeout is not None:
        settings = replace(settings, connect_timeout=options.connect_timeout or None)
    if options.total_timeout is not None:
        settings = replace(settings, total_timeout=options.total_timeout or None)
    return settings


def _refuse(*lines: str) -> int:
    _say(*lines)
    return 2


def _say(*lines: str) -> None:
    sys.stderr.write("airgate.edge: " + "\n".join(lines) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
