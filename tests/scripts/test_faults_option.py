"""What `scripts/test` makes of its options."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def project(home: Path) -> Path:
    """Copy the folders that the command behind `scripts/test` looks at; give the command."""
    for folder in ("scripts/commands", "tests/faults/suites"):
        (home / folder).mkdir(parents=True)
    command = home / "scripts" / "commands" / "test.py"
    command.write_text((PROJECT / "scripts" / "commands" / "test.py").read_text())
    suite = "import sys\nprint(__name__, *sys.argv[1:], flush=True)\nsys.exit({code})\n"
    (home / "tests" / "faults" / "suites" / "alpha.py").write_text(suite.format(code=0))
    (home / "tests" / "faults" / "suites" / "beta.py").write_text(suite.format(code=1))
    (home / "test_seed.py").write_text(
        "import os\ndef test_seed():\n    print('\\nseed', os.environ.get('AIRGATE_FAULTS_SEED'))\n"
    )
    return command


def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command behind `scripts/test` in a project of its own."""
    command = project(home)
    settings = {name: value for name, value in os.environ.items() if name != "AIRGATE_FAULTS_SEED"}
    return subprocess.run(
        [sys.executable, str(command), *arguments], capture_output=True, text=True, check=False, env=settings
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--faults", "alpha"], 0, ["__main__"]),
        (["--faults", "beta"], 1, ["__main__"]),
        (["--faults"], 1, ["__main__", "__main__"]),
        (["--faults", "alpha", "--seed", "7", "--runs", "3"], 0, ["__main__ --runs 3 --seed 7"]),
        (["--seed", "7", "--faults", "alpha"], 0, ["__main__ --seed 7"]),
    ],
    ids=["one", "failing", "all", "arguments", "order"],
)
def test_faults_runs_the_suites(tmp_path: Path, arguments: list[str], code: int, said: list[str]) -> None:
    """A suite gets the seed and the arguments that are its own; one that fails is seen in the exit code."""
    done = run(*arguments, home=tmp_path)
    assert (done.returncode, done.stdout.splitlines()) == (code, said), done.stderr


def test_an_unknown_suite_is_named_with_the_known_ones(tmp_path: Path) -> None:
    """A mistyped name runs nothing and says what there is."""
    done = run("--faults", "gamma", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no fault suite 'gamma'; there are: alpha, beta\n"


@pytest.mark.parametrize(("arguments", "seed"), [(["--seed", "7"], "7"), ([], "None")], ids=["given", "none"])
def test_pytest_gets_the_rest(tmp_path: Path, arguments: list[str], seed: str) -> None:
    """Without --faults it is pytest that runs, with its own arguments, and the seed is there for the short suites."""
    done = run(*arguments, "-q", "-s", "-p", "no:cacheprovider", "test_seed.py", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {seed}\n" in done.stdout
    assert "1 passed" in done.stdout


def test_a_signal_ends_the_suite_first(tmp_path: Path) -> None:
    """SIGTERM goes on to the suite that runs, and the command waits until that has cleaned up."""
    command, note = project(tmp_path), tmp_path / "note"
    (tmp_path / "tests" / "faults" / "suites" / "alpha.py").write_text(
        "import pathlib, signal, sys, time\n"
        f"note = pathlib.Path({str(note)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        "try:\n    note.write_text('began')\n    time.sleep(60)\n"
        "finally:\n    time.sleep(0.3)\n    note.write_text('cleaned up')\n"
    )
    process = subprocess.Popen([sys.executable, str(command), "--faults", "alpha"])
    deadline = time.monotonic() + 30
    while not note.exists() or note.read_text() != "began":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert note.read_text() == "cleaned up"


def test_the_real_suites_explain_themselves() -> None:
    """`--faults NAME --help` answers without starting anything."""
    command = [sys.executable, "scripts/commands/test.py", "--faults", "calls", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    assert "--runs" in done.stdout
