"""Preparing the environment: what is noticed, what is mended, what is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import psutil
import pytest

import bootstrap

SCRIPTS = Path(bootstrap.__file__).parent


@pytest.fixture
def environment(tmp_path: Path) -> bootstrap.Environment:
    """A prepared environment of a project of its own."""
    (tmp_path / "uv.lock").write_text("version = 1")
    (tmp_path / "pyproject.toml").write_text("[project]")
    environment = bootstrap.Environment(tmp_path)
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    stamp = {"fingerprint": bootstrap.fingerprint(tmp_path, ""), "groups": ["demo", "test"]}
    environment.stamp.write_text(json.dumps(stamp))
    return environment


def test_a_prepared_environment_is_ready_for_the_groups_it_covers(environment: bootstrap.Environment) -> None:
    """A stamp that fits spares the preparation, but only for what was installed."""
    assert environment.ready("demo")
    assert environment.ready("test")
    assert not environment.ready("check")


@pytest.mark.parametrize("changed", ["uv.lock", "pyproject.toml", ".venv/pyvenv.cfg"])
def test_whatever_decides_the_content_makes_the_stamp_stale(environment: bootstrap.Environment, changed: str) -> None:
    """Another lock file, other metadata or another Python lead to a new preparation."""
    (environment.project / changed).write_text("something else")
    assert not environment.ready("demo")


def test_an_interrupted_installation_is_not_taken_for_a_finished_one(environment: bootstrap.Environment) -> None:
    """While the mark of an unfinished installation is there, a fitting stamp of an earlier one counts for nothing."""
    environment.unfinished.touch()
    assert not environment.ready("demo")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"groups": ["demo"]}'])
def test_a_damaged_stamp_counts_for_nothing(environment: bootstrap.Environment, content: str) -> None:
    """A stamp that was cut off or is not ours leads to a new preparation, not to an error."""
    environment.stamp.write_text(content)
    assert not environment.ready("demo")


def test_a_missing_interpreter_is_noticed(environment: bootstrap.Environment) -> None:
    """A stamp without a Python beside it, as after a removed interpreter, is not enough."""
    environment.python.unlink()
    environment.python.symlink_to("/nowhere/python")
    assert not environment.ready("demo")


def test_an_unfinished_installation_is_finished(tmp_path: Path) -> None:
    """After an interruption inside uv, preparing once leaves an environment that is ready and holds the package."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or pytest.skip("uv is not in this environment")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "thing"\nversion = "1"\nrequires-python = ">=3.11"\n[dependency-groups]\ndemo = []\n'
    )
    subprocess.run([uv, "lock", "--offline", "--quiet"], cwd=tmp_path, check=True)
    environment = bootstrap.Environment(tmp_path)
    venv.create(environment.root, symlinks=True)
    shutil.copy(uv, environment.uv)
    environment.unfinished.touch()

    environment.prepare("demo")

    assert environment.ready("demo")
    assert not environment.ready("test")
    assert not environment.unfinished.exists()


def test_a_failing_step_shows_the_end_of_its_output(tmp_path: Path) -> None:
    """A step that fails raises one message with the step's name and its last words, and no stamp is left."""
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "uv.lock").write_text("version = 1")
    environment = bootstrap.Environment(tmp_path)
    venv.create(environment.root, symlinks=True)
    environment.uv.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "the network is down" >&2\nexit 7\n')
    environment.uv.chmod(0o755)
    with pytest.raises(bootstrap.SetupFailed, match=r"uv.lock for demo failed \(exit code 7\)[\s\S]*network is down"):
        environment.prepare("demo")
    assert not environment.ready("demo")
    assert environment.unfinished.exists()


def test_an_interrupt_ends_the_whole_process_group_of_a_step(tmp_path: Path) -> None:
    """SIGTERM during a step ends the step's children too, also those that ignore signals; the exit code is 143."""
    note = tmp_path / "child"
    step = f"trap '' TERM INT; sh -c 'echo $$ > {note}.new && mv {note}.new {note}; exec sleep 60' & wait"
    program = (
        "import os, sys; from pathlib import Path; import bootstrap\n"
        "bootstrap.INTERRUPTS.install()\n"
        "try: bootstrap.run_group(['sh', '-c', sys.argv[1]], cwd=Path('/'), env=dict(os.environ))\n"
        "except bootstrap.Interrupted as interrupted: sys.exit(interrupted.exit_code)\n"
    )
    setup = subprocess.Popen([sys.executable, "-c", program, step], env=os.environ | {"PYTHONPATH": str(SCRIPTS)})
    child = None
    try:
        deadline = time.monotonic() + 20
        while not note.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child = psutil.Process(int(note.read_text()))
        setup.send_signal(signal.SIGTERM)
        assert setup.wait(timeout=20) == 143
        assert gone(child)
    finally:
        setup.kill()
        setup.wait()
        if child is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def test_two_setups_do_not_run_at_once(tmp_path: Path) -> None:
    """While one process prepares a checkout, a second one waits and says so, and goes on when the first has ended."""
    program = "import sys; from pathlib import Path; import bootstrap; bootstrap.hold_alone(Path(sys.argv[1])); "
    start = [sys.executable, "-c"]
    settings = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen([*start, f"{program}print('held', flush=True); input()", tmp_path], env=settings, **pipes)
    assert first.stdout
    assert first.stdin
    assert first.stdout.readline() == "held\n"
    second = subprocess.Popen([*start, f"{program}print('held', flush=True)", tmp_path], env=settings, **pipes)
    assert second.stderr
    assert "another setup" in second.stderr.readline()
    assert second.poll() is None
    first.communicate("\n", timeout=10)
    assert second.communicate(timeout=10)[0] == "held\n"


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A checkout without an environment, and a PATH folder without any Python."""
    (tmp_path / "scripts").mkdir()
    for name in ("launch", "demo"):
        shutil.copy(SCRIPTS / name, tmp_path / "scripts" / name)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "basename"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    (tmp_path / "scripts" / "bootstrap.py").write_text("import sys; print('prepared with', sys.argv[1:])")
    return tmp_path


def launched(fresh: Path) -> subprocess.CompletedProcess[str]:
    """Run the checkout's demo command with only its own PATH folder."""
    return subprocess.run(
        [fresh / "scripts" / "demo", "--once"],
        env={"PATH": str(fresh / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_python_the_command_says_what_it_needs(fresh: Path) -> None:
    """On a machine without Python there is one line that says which versions will do."""
    done = launched(fresh)
    assert done.returncode == 1
    assert done.stderr == "error: no Python 3.11 to 3.14 found on PATH; install one and run this again\n"


def test_a_python_that_cannot_run_is_passed_over(fresh: Path) -> None:
    """A version manager's stub that fails, first on PATH, does not keep a working Python from being found."""
    stub = fresh / "bin" / "python3"
    stub.write_text("#!/bin/sh\nexit 127\n")
    stub.chmod(0o755)
    (fresh / "bin" / "python3.12").symlink_to(sys.executable)
    done = launched(fresh)
    assert done.stdout == "prepared with ['demo', '--once']\n", done.stderr


def test_a_python_without_venv_is_named(fresh: Path) -> None:
    """Where Python lacks its venv module, as on a bare Debian, the message says what to install."""
    stub = fresh / "bin" / "python3"
    stub.write_text("#!/bin/sh\nexit 4\n")
    stub.chmod(0o755)
    done = launched(fresh)
    assert done.returncode == 1
    assert "has no venv module; install it (Debian, Ubuntu: apt-get install python3-venv)" in done.stderr


def gone(process: psutil.Process) -> bool:
    """Whether a process ends within a moment."""
    try:
        process.wait(timeout=10)
    except psutil.TimeoutExpired:
        return False
    return True
