"""Which loopback ports the stack listens on: the usual ones, or free ones above them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from stack.failure import Failed

UPSTREAMS = (
    *("flights", "weather", "reference", "work", "inventory", "payments", "shipping"),
    *("notices", "alerts", "loyalty"),
)
"""The sample services behind the gateway."""

DEFAULTS = {"api-server": 8080, "edge": 8787} | {name: port for port, name in enumerate(UPSTREAMS, 8801)}
"""Service -> port it has when nothing else took it."""

REACH = 200
"""How many ports above the usual one are tried."""


class NoFreePort(Failed):
    """Every port that could be tried is in use."""


def is_free(port: int) -> bool:
    """Whether this machine's loopback lets us listen on `port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do it: a connection that still lingers from the last stack does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose(wanted: Mapping[str, int] = DEFAULTS, free: Callable[[int], bool] = is_free) -> dict[str, int]:
    """Give service -> port, no port twice.

    Raises:
        NoFreePort: nothing free within `REACH` of a wanted port.
    """
    chosen: dict[str, int] = {}
    for service, usual in wanted.items():
        # Another service's usual port is left to it.
        taken = {*chosen.values(), *wanted.values()} - {usual}
        candidates = (port for port in range(usual, min(usual + REACH, 65536)) if port not in taken)
        port = next((port for port in candidates if free(port)), None)
        if port is None:
            raise NoFreePort(f"no free port for {service} between {usual} and {usual + REACH}")
        chosen[service] = port
    return chosen
