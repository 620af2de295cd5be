"""Run one sample service: ``python -m include.services NAME --port P [--faults demo] [--seed N] [--store FILE]``."""

import argparse
import contextlib
import importlib
import socket
from dataclasses import replace
from typing import Final

import uvicorn

from include.services.faults import PRESETS
from include.services.severed import SeverableProtocol

KEEPING: Final = ("work", "inventory", "payments", "shipping", "notices", "alerts", "loyalty")
"""Services with something to keep."""
SERVICES: Final = ("flights", "weather", "reference", *KEEPING)


def main() -> None:
    """Serve until SIGTERM or Ctrl-C. One line on stdout says when the port answers, and which port it is."""
    parser = argparse.ArgumentParser(prog="python -m include.services", description="One sample service.")
    parser.add_argument("name", choices=SERVICES)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--faults", choices=tuple(PRESETS), default="none", help="how to misbehave (default: not)")
    parser.add_argument("--seed", type=int, default=0, help="which pages and records are hit")
    parser.add_argument("--store", help="file that keeps jobs or effects over the process (default: memory)")
    options = parser.parse_args()
    if options.store and options.name not in KEEPING:
        parser.error(f"--store is for {', '.join(KEEPING)}; {options.name} keeps nothing")

    settings = replace(PRESETS[options.faults], seed=options.seed)
    build = importlib.import_module(f"include.services.{options.name}").build
    app = build(settings, options.store) if options.name in KEEPING else build(settings)
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        http=SeverableProtocol,
        # The standard loop: its transports hand out the real socket, which a reset needs.
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        # A slow answer does not hold up the stop.
        timeout_graceful_shutdown=1,
    )
    listening = config.bind_socket()
    # asyncio sees to this only for sockets that it opens itself; without it the two parts of an answer, head and body,
    # wait for each other's acknowledgement: 40 ms a page.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.listen(config.backlog)
    # From here on the kernel takes connections; the loop serves them a moment later.
    print(f"{options.name}: http://{options.host}:{listening.getsockname()[1]}", flush=True)  # noqa: T201
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
