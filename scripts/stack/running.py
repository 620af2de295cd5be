"""The whole stack from start to stop."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import requests

from interrupts import INTERRUPTS
from stack import database, environment, marks, ports, processes
from stack.airflow_api import AirflowApi, ApiFailed
from stack.credentials import Credentials
from stack.failure import Failed
from stack.layout import Layout
from stack.ownership import Ownership
from stack.processes import Program
from stack.supervision import Supervisor

BOOT_PATIENCE = 150.0
"""Seconds until every process has to work; a busy machine needs a multiple of the usual 15."""

RESTARTS = 3
"""A process that had this many lives during the start will not recover by itself."""


class StackFailed(Failed):
    """The stack did not come up, or a part of it is gone for good."""


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    layout: Layout
    ports: dict[str, int]
    credentials: Credentials
    airflow: AirflowApi
    supervisor: Supervisor
    since: datetime
    """When it was started."""

    def address(self, service: str) -> str:
        """Give the URL of one of the services."""
        return f"http://{environment.LOOPBACK}:{self.ports[service]}"

    def schedule(self) -> None:
        """Start the scheduler that was held back."""
        self.supervisor.launch([processes.scheduler()])


@contextmanager
def running(layout: Layout, say: Callable[[str], None], *, hold: bool = False) -> Iterator[Stack]:
    """Start the stack, give it as soon as Airflow takes orders, and stop all of it at the end, whatever happens.

    Args:
        layout: where it lives.
        say: told what happens, a line at a time.
        hold: leave the scheduler out until `Stack.schedule`, so that nothing left over from before goes on.

    Raises:
        Failed: it is already running, or did not come up.
    """
    with Ownership(layout.home) as ownership:
        if left := marks.sweep(layout.home):
            say(f"stopped {left} processes that an earlier, killed stack had left")
        chosen = ports.choose()
        for service, port in chosen.items():
            if port != ports.DEFAULTS[service]:
                say(f"port {ports.DEFAULTS[service]} is taken: {service} listens on {port}")
        credentials = Credentials.kept(layout.home)
        variables = environment.for_processes(layout, chosen, credentials)
        upstreams, orchestrator = processes.upstreams(layout, chosen), processes.orchestrator(layout, chosen)
        scheduler, triggerer = processes.scheduler(), processes.triggerer()
        supervisor = Supervisor(layout, [*upstreams, *orchestrator, scheduler, triggerer], variables)
        airflow = AirflowApi(f"http://{environment.LOOPBACK}:{chosen['api-server']}")
        stack = Stack(layout, chosen, credentials, airflow, supervisor, datetime.now(UTC))
        ownership.note({"pid": ownership.pid, "addresses": {name: stack.address(name) for name in chosen}})
        try:
            with stopping(supervisor):
                forget_process_logs(layout)
                supervisor.start()
                supervisor.launch(upstreams)
                if database.make(layout.metadata, variables):
                    say("made Airflow's metadata database")
                early = orchestrator if hold else [*orchestrator, scheduler]
                supervisor.launch(early)
                wait_healthy(supervisor, [*upstreams, *early])
                supervisor.launch([triggerer])
                airflow.sign_in("admin", credentials.admin_password)
                airflow.set_pools(pools(layout))
                yield stack
        finally:
            # Whatever the supervisor did not end or never knew, also if a signal came just when it was to be asked.
            INTERRUPTS.ignore()
            marks.sweep(layout.home)


@contextmanager
def stopping(supervisor: Supervisor) -> Iterator[None]:
    """Stop the supervisor and its programs at the end; signals no longer count then."""
    try:
        yield
    finally:
        INTERRUPTS.ignore()
        supervisor.stop()


def forget_process_logs(layout: Layout) -> None:
    """Begin with empty process logs, so that what is shown after a failure is of this start."""
    shutil.rmtree(layout.process_logs, ignore_errors=True)


def pools(layout: Layout) -> list[dict[str, object]]:
    """Read the pools that the example DAGs use, one dict each."""
    described = json.loads((layout.project / "include" / "airflow" / "pools.json").read_text())
    return [{"name": name, **settings} for name, settings in described.items()]


def wait_healthy(supervisor: Supervisor, programs: Sequence[Program], patience: float = BOOT_PATIENCE) -> None:
    """Wait until every program runs and those with a health address answer there.

    Raises:
        StackFailed: one keeps ending, or it took longer than `patience` seconds.
    """
    deadline = time.monotonic() + patience
    lives: dict[str, set[int]] = defaultdict(set)
    waiting = {program.name: program for program in programs}
    while True:
        for standing in supervisor.standings():
            lives[standing.name].add(standing.pid)
            if standing.given_up or len(lives[standing.name] - {0}) >= RESTARTS:
                raise StackFailed(f"{standing.name} keeps ending; the last it said:\n{supervisor.said(standing.name)}")
            program = waiting.get(standing.name)
            # Running as well as answering: what answers alone may be somebody else's server on that port.
            if program and standing.running and (program.health is None or answers(program.health)):
                del waiting[standing.name]
        if not waiting:
            return
        if time.monotonic() > deadline:
            said = "\n".join(f"{name} said last:\n{supervisor.said(name)}" for name in waiting)
            raise StackFailed(f"not up after {patience:.0f} s: {', '.join(waiting)}\n{said}")
        time.sleep(0.2)


def answers(address: str) -> bool:
    """Whether an HTTP GET is answered with a success."""
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        return session.get(address, timeout=30).ok
    return False


def unhealthy(airflow: AirflowApi) -> list[str]:
    """List Airflow's components that do not report themselves healthy."""
    try:
        return [name for name, state in airflow.health().items() if state != "healthy"]
    except ApiFailed:
        return ["api-server"]
