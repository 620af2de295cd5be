"""Which processes the stack has: how each is started, and how one sees that it works."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from stack.environment import LOOPBACK, metadata_address
from stack.layout import Layout
from stack.ports import UPSTREAMS

KEEPING = ("work", "inventory", "payments", "shipping", "notices", "alerts", "loyalty")
"""Sample services that keep what they did in a file of the home folder."""


@dataclass(frozen=True)
class Program:
    """One process that the supervisor keeps running."""

    name: str
    command: tuple[str, ...]
    health: str | None = None
    """URL that answers 200 once it works; None for a program that serves nothing."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What differs from the other programs' environment; no secrets, it goes into the supervisor's configuration."""


def upstreams(layout: Layout, ports: Mapping[str, int]) -> list[Program]:
    """The sample services and the gateway before them: they need nothing else to be there."""
    python = sys.executable
    named = [
        Program(
            name,
            (
                python,
                "-m",
                "include.services",
                name,
                "--host",
                LOOPBACK,
                "--port",
                str(ports[name]),
                "--faults",
                "demo",
                *(("--store", str(layout.home / f"{name}.sqlite")) if name in KEEPING else ()),
            ),
            f"http://{LOOPBACK}:{ports[name]}/-/health",
        )
        for name in UPSTREAMS
    ]
    config = str(layout.project / "include" / "gateway" / "api-config.json")
    command = (python, "-m", "airgate.edge", config, "--port", str(ports["edge"]))
    return [*named, Program("edge", command, f"http://{LOOPBACK}:{ports['edge']}/health")]


def orchestrator(layout: Layout, ports: Mapping[str, int]) -> list[Program]:
    """Airflow's server, for people and for tasks, and what reads the DAG files. They need the metadata database."""
    server = ("api-server", "--host", LOOPBACK, "--port", str(ports["api-server"]))
    # The API that tasks report to. It is built on the first request, which takes seconds: better now than in a task.
    health = f"http://{LOOPBACK}:{ports['api-server']}/execution/health/ping"
    # Read in Airflow 3.3.2 and seen: it writes its audit log on the event loop. When that waits for the lock of a
    # request that needs the loop to finish, both stand still for as long as SQLite waits: so here that is not long.
    impatient = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_address(layout, patience=2)}
    return [
        Program("api-server", airflow(*server), health, impatient),
        Program("dag-processor", airflow("dag-processor")),
    ]


def scheduler() -> Program:
    """What starts runs and tasks. Task logs are read from the same disk, so nobody needs its server for them."""
    return Program("scheduler", airflow("scheduler", "--skip-serve-logs"))


def triggerer() -> Program:
    """What waits for deferred tasks. Only they need it, so it may come up after the rest."""
    return Program("triggerer", airflow("triggerer", "--skip-serve-logs"))


def airflow(*arguments: str) -> tuple[str, ...]:
    """Give the command line of an Airflow command."""
    return (sys.executable, "-m", "airflow", *arguments)
