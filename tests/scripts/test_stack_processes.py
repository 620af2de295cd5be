"""Starting, marking, owning and ending the stack's processes, with real ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stack import marks
from stack.layout import Layout
from stack.ownership import HomeTaken, Ownership
from stack.processes import Program
from stack.supervision import SOCKET_PATH_LIMIT, Supervisor, SupervisorFailed, socket_for

SCRIPTS = Path(marks.__file__).parents[1]

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"

PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
    "print(child.pid, flush=True); time.sleep(60)"
)


def started(home: Path, program: str) -> tuple[subprocess.Popen[str], str]:
    """Start a marked Python process and give the first line it says."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | marks.mark(home), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose processes are ended afterwards."""
    yield tmp_path
    marks.sweep(tmp_path, patience=1)


def test_a_sweep_ends_what_hides_and_what_does_not_listen(home: Path) -> None:
    """A grandchild whose parent was killed, in a session of its own, and a process that ignores SIGTERM both end."""
    parent, child = started(home, PARENT)
    stubborn, _ = started(home, STUBBORN)
    parent.kill()
    parent.wait()
    assert {process.pid for process in marks.marked(home)} == {int(child), stubborn.pid}

    assert marks.sweep(home, patience=1) == 2

    assert marks.marked(home) == []
    assert not psutil.pid_exists(int(child)) or psutil.Process(int(child)).status() == psutil.STATUS_ZOMBIE


def test_a_sweep_leaves_other_stacks_alone(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Processes of a stack with another home, or of none, go on."""
    other = tmp_path_factory.mktemp("other")
    neighbour, _ = started(other, STUBBORN)
    try:
        assert marks.sweep(home) == 0
        assert [process.pid for process in marks.marked(other)] == [neighbour.pid]
    finally:
        neighbour.kill()
        neighbour.wait()


def test_a_renamed_process_keeps_its_mark(home: Path) -> None:
    """A process that changes its title, as Airflow's do, is still found."""
    process, _ = started(
        home,
        "import setproctitle, time; setproctitle.setproctitle('x' * 4000); print('up', flush=True); time.sleep(60)",
    )
    assert [found.pid for found in marks.marked(home)] == [process.pid]


def test_a_home_has_one_owner_until_it_dies(tmp_path: Path) -> None:
    """A second stack in the same home is refused and told who has it; after kill -9 of the owner the home is free."""
    program = (
        "import sys, time; from pathlib import Path; from stack.ownership import Ownership\n"
        "with Ownership(Path(sys.argv[1])): print('owned', flush=True); time.sleep(60)"
    )
    settings = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    owner = subprocess.Popen([sys.executable, "-c", program, tmp_path], env=settings, stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout
        assert owner.stdout.readline() == "owned\n"
        with pytest.raises(HomeTaken, match=rf"process {owner.pid}\)"), Ownership(tmp_path):
            pass
    finally:
        owner.kill()
        owner.wait()
    with Ownership(tmp_path):
        pass


def test_the_supervisor_restarts_what_dies_and_gives_up_on_what_cannot_live(home: Path) -> None:
    """A killed program comes back under another process id; one that always ends at once is reported as given up."""
    living = Program("living", (sys.executable, "-c", "import time; time.sleep(600)"))
    doomed = Program("doomed", (sys.executable, "-c", "raise SystemExit('no such port')"))
    supervisor = Supervisor(Layout(SCRIPTS.parent, home, home), [living, doomed], os.environ | marks.mark(home))
    try:
        supervisor.start()
        supervisor.launch([living])
        first = until(supervisor, "living", running=True)
        psutil.Process(first).kill()
        assert until(supervisor, "living", running=True, other_than=first) != first
        supervisor.launch([doomed])
        until(supervisor, "doomed", running=False)
        assert "no such port" in supervisor.said("doomed")
    finally:
        supervisor.stop()
    assert marks.marked(home) == []
    with pytest.raises(SupervisorFailed):
        supervisor.standings()


def until(supervisor: Supervisor, name: str, *, running: bool, other_than: int = -1) -> int:
    """Wait until a program runs, or was given up; give its process id."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        [standing] = [standing for standing in supervisor.standings() if standing.name == name]
        if standing.pid != other_than and (standing.running if running else standing.given_up):
            return standing.pid
        time.sleep(0.05)
    raise AssertionError(f"{name} did not get there: {supervisor.standings()}")


def test_a_socket_path_always_fits(tmp_path: Path) -> None:
    """A deep home does not break the supervisor's unix socket: a short path stands in, the same one every time."""
    deep = tmp_path / ("folder" * 40) / "run"
    assert len(str(socket_for(deep))) <= SOCKET_PATH_LIMIT
    assert socket_for(deep) == socket_for(deep)
    assert socket_for(deep) != socket_for(deep.parent)
    assert socket_for(Path("/short/run")) == Path("/short/run/supervisor.sock")
