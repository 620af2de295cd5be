"""The process supervisor (supervisord): starts the stack's programs, restarts what dies, keeps what they say."""

from __future__ import annotations

import hashlib
import http.client
import shlex
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

from interrupts import INTERRUPTS
from stack.failure import Failed
from stack.layout import Layout
from stack.processes import Program

CONFIG_HEAD = """\
[supervisord]
nodaemon=true
silent=true
logfile={logs}/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile={run}/supervisord.pid
childlogdir={logs}
directory={project}

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

CONFIG_PROGRAM = """
[program:{name}]
command={command}
environment={environment}
directory={project}
autostart=false
autorestart=true
startsecs=1
startretries=3
stopasgroup=true
killasgroup=true
stopwaitsecs=5
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=1
"""

SOCKET_PATH_LIMIT = 100
"""A unix socket's path has to fit into about 104 bytes, on Linux 108."""


class SupervisorFailed(Failed):
    """The supervisor did not start or is gone."""


@dataclass(frozen=True)
class Standing:
    """How a program stands."""

    name: str
    running: bool
    given_up: bool
    """It ended right after each of its starts, and the supervisor no longer tries."""
    pid: int


class Supervisor:
    """A supervisord of our own, in a session of its own, so that Ctrl-C at the terminal reaches only us."""

    def __init__(self, layout: Layout, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        self._layout = layout
        self._programs = programs
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = socket_for(layout.home / "run")

    def start(self, patience: float = 15.0) -> None:
        """Start supervisord itself, none of the programs.

        Args:
            patience: seconds until it has to answer.

        Raises:
            SupervisorFailed: it ended or did not answer in time.
        """
        run = self._layout.home / "run"
        for folder in (run, self._layout.process_logs):
            folder.mkdir(parents=True, exist_ok=True)
        config = run / "supervisord.conf"
        config.write_text(self._config(run))
        with INTERRUPTS:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
                cwd=self._layout.project,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=(self._layout.process_logs / "supervisord.err").open("wb"),
                start_new_session=True,
            )
        deadline = time.monotonic() + patience
        while True:
            try:
                self._ask("getPID")
            except SupervisorFailed as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = (self._layout.process_logs / "supervisord.err").read_text(errors="replace").strip()
                    raise SupervisorFailed(f"the process supervisor did not start: {said or error}") from error
                time.sleep(0.05)
            else:
                return

    def launch(self, programs: Sequence[Program]) -> None:
        """Start these programs, without waiting for them."""
        for program in programs:
            self._ask("startProcess", program.name, False)

    def standings(self) -> list[Standing]:
        """Tell how every program stands.

        Raises:
            SupervisorFailed: the supervisor is gone.
        """
        told = self._ask("getAllProcessInfo")
        return [
            Standing(one["name"], one["statename"] == "RUNNING", one["statename"] == "FATAL", one["pid"])
            for one in told
        ]

    def said(self, name: str, lines: int = 25) -> str:
        """Give the last lines of what a program wrote."""
        log = self._layout.process_logs / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def stop(self, patience: float = 8.0) -> None:
        """Ask every program and then supervisord to end, all at once. What does not listen is left to `marks.sweep`."""
        if self._process is None:
            return
        try:
            self._ask("stopAllProcesses", False)
            self._ask("shutdown")
            self._process.wait(timeout=patience)
        except (SupervisorFailed, subprocess.TimeoutExpired):
            self._process.kill()  # its children are swept next
        self._process.wait()

    def _ask(self, what: str, *arguments: object) -> Any:
        # A connection each: one that a signal interrupted in the middle of a call would be of no use for the next.
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self._socket}")
        server = xmlrpc.client.ServerProxy("http://localhost", transport=transport, allow_none=True)
        try:
            return getattr(server.supervisor, what)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise SupervisorFailed(f"the process supervisor does not answer: {error}") from error
        finally:
            transport.close()

    def _config(self, run: Path) -> str:
        paths = {"logs": self._layout.process_logs, "run": run, "project": self._layout.project, "socket": self._socket}
        escaped = {key: str(path).replace("%", "%%") for key, path in paths.items()}
        sections = [CONFIG_HEAD.format(**escaped)]
        for program in self._programs:
            command = shlex.join(program.command).replace("%", "%%")
            pairs = ",".join(f'{key}="{value}"' for key, value in program.environment.items()).replace("%", "%%")
            sections.append(CONFIG_PROGRAM.format(name=program.name, command=command, environment=pairs, **escaped))
        return "".join(sections)


def socket_for(run: Path) -> Path:
    """Give the path of the supervisor's unix socket: in `run`, or where temporary files go if that is too long."""
    socket = run / "supervisor.sock"
    if len(str(socket)) <= SOCKET_PATH_LIMIT:
        return socket
    # The same name each time, so that a killed stack leaves at most one file behind for the next one to replace.
    name = hashlib.sha256(str(run).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"airgate-{name}.sock"
